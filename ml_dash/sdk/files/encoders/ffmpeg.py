"""A process of ffmpeg that encodes frames, on cores of its own, and whose end is believed.

The package imageio-ffmpeg brings the program. Its own writer does not look at how ffmpeg ends, and so would take a
video for whole that a full disk has cut short.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from fractions import Fraction
from typing import TYPE_CHECKING

from ml_dash.errors import FileStoreError, InvalidArgumentError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.uint8]

__all__ = ["encode_by_ffmpeg"]

_QUALITY = 5
_CRF_WORST = {"libx264": 51, "libx265": 51, "libvpx": 63, "libvpx-vp9": 63}
"""The scales of those codecs that have a constant rate factor, best at 0; others have a quantizer from 1 to 31."""
_OF_THE_DISK = ("No space left on device", "Disk quota exceeded", "File too large", "Input/output error")


def encode_by_ffmpeg(
    frames: Iterator[Pixels],
    path: str,
    fps: float,
    *,
    codec: str,
    quality: float | None = None,
    bitrate: str | float | None = None,
    pix_fmt_out: str = "yuv420p",
    output_params: list[str] | None = None,
) -> None:
    """Write frames H×W×3, all of one shape, as a video.

    Raises:
        MissingExtraError: imageio-ffmpeg is not installed, or has no ffmpeg for this machine.
        InvalidArgumentError: ffmpeg does not take the options; the message has its words.
        FileStoreError: the video cannot be stored, as on a full disk.
    """
    first = next(frames)
    height, width = first.shape[:2]
    command = [_program(), "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += [
        "-s",
        f"{width}x{height}",
        "-r",
        str(Fraction(float(fps)).limit_denominator()),
        "-i",
        "-",
        "-an",
    ]
    command += ["-c:v", codec, "-pix_fmt", pix_fmt_out]
    command += _rate(codec, quality) if bitrate is None else ["-b:v", str(bitrate)]
    command += [*(output_params or []), f"file:{path}"]
    with tempfile.TemporaryFile() as said:
        status = _feed(command, first, frames, said)
        said.seek(0)
        words = said.read().decode(errors="replace")
    if status != 0:
        raise _failure(words, status, codec)


def _feed(command: list[str], first: Pixels, rest: Iterator[Pixels], said: IO[bytes]) -> int:
    """Run ffmpeg, give it the frames and return its exit status; it never outlives the call."""
    # a session of its own, so that Ctrl-C reaches the caller, who ends it
    process = subprocess.Popen(  # noqa: S603 - the program is ours, and no shell reads the arguments
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
    )
    try:
        if process.stdin is not None:
            _give(process.stdin, first, rest)
        return process.wait()
    finally:
        process.kill()
        process.wait()


def _give(pipe: IO[bytes], first: Pixels, rest: Iterator[Pixels]) -> None:
    """Write the frames; a pipe that breaks is ffmpeg's end, whose status tells why."""
    try:
        if _written(pipe, first):
            for frame in rest:
                if not _written(pipe, frame):
                    break
    finally:
        with contextlib.suppress(OSError):  # what it still holds finds a broken pipe
            pipe.close()


def _written(pipe: IO[bytes], frame: Pixels) -> bool:
    try:
        pipe.write(frame.data)
    except OSError:
        return False
    return True


def _rate(codec: str, quality: float | None) -> list[str]:
    worse = 1 - (_QUALITY if quality is None else quality) / 10
    if codec in _CRF_WORST:
        # libvpx takes the factor for a bound of the bit rate unless that is set to 0
        return [
            "-crf",
            str(int(worse * _CRF_WORST[codec])),
            *(["-b:v", "0"] if codec.startswith("libvpx") else []),
        ]
    return ["-q:v", str(int(worse * 30) + 1)]


def _program() -> str:
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:  # RuntimeError: the package has none for this machine
        raise MissingExtraError("save_video()", "imageio-ffmpeg", "video") from error


def _failure(said: str, status: int, codec: str) -> FileStoreError | InvalidArgumentError:
    lines = [line.split("] ", 1)[-1].strip().rstrip(".") for line in said.splitlines() if "file:" not in line]
    words = "; ".join(lines[:2]) or f"it ended with status {status}"
    if any(text in said for text in _OF_THE_DISK):
        return FileStoreError(
            f"the video cannot be stored: {words}. Nothing was saved; make room, and save it again"
        )
    return InvalidArgumentError(
        f"ffmpeg cannot encode the video with codec={codec!r} and the options given: {words}. Pass the name of an "
        "encoder that it has and that fits the extension, such as codec='libx264', or leave codec out"
    )
