"""Videos: frames, encoded by ffmpeg, a process with cores of its own, whose exit status is believed.

The package imageio-ffmpeg brings the program. Its own writer does not look at how ffmpeg ends, and so would take a
video for whole that a full disk has cut short.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import subprocess
import tempfile
from fractions import Fraction
from itertools import chain
from numbers import Real
from typing import TYPE_CHECKING, Any

from ml_dash.errors import FileStoreError, InvalidArgumentError, MissingExtraError
from ml_dash.sdk.files.encoders.images import as_pixels, tell_odd
from ml_dash.storage.atomic import storing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO

    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.uint8]

_BY_FFMPEG = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")
_KNOWN = (".gif", *_BY_FFMPEG)
_CODECS = {".webm": "libvpx-vp9"}
"""Where the default codec, H.264, does not fit."""
_OPTIONS = frozenset({"bitrate", "codec", "output_params", "pix_fmt_out", "quality"})
_BEST = 10
# The default: for H.264 a factor of 25, near libx264's own of 23.
_QUALITY = 5
_CRF_WORST = {"libx264": 51, "libx265": 51, "libvpx": 63, "libvpx-vp9": 63}
"""The scales of those codecs that have a constant rate factor, best at 0; others have a quantizer from 1 to 31."""
# ffmpeg's exit status is the same for all failures: only its words tell a full disk from wrong options.
_OF_THE_DISK = ("No space left on device", "Disk quota exceeded", "File too large", "Input/output error")


def write_video(
    frames: Any,
    path: str,
    *,
    fps: Any,
    codec: str | None = None,
    quality: Any = None,
    **kwargs: Any,
) -> None:
    """Encode frames; the extension of `path` says the format.

    Args:
        frames: a list, an iterator or a stacked array of frames H×W, H×W×1, H×W×3 or H×W×4 (the alpha is left out), of
            uint8, of bool, or of floats from 0 to 1; all of one shape. Odd heights and widths grow by one row or
            column, a copy of the last: the usual codecs halve the resolution of colours.
        path: where to.
        fps: frames a second.
        codec: ffmpeg's name of one.
        quality: from 1 to 10, the best.
        **kwargs: ``bitrate`` (bits a second, instead of a quality), ``pix_fmt_out`` (``yuv420p``, which all players
            know) and ``output_params`` (a list of ffmpeg's options); for GIF, Pillow's.
    """
    extension = os.path.splitext(path)[1].lower()
    if extension not in _KNOWN:
        raise InvalidArgumentError(
            f"a video cannot be saved as {extension or 'a name without an extension'!r}: end the name with one of "
            f"{', '.join(_KNOWN)}"
        )
    if isinstance(fps, bool) or not isinstance(fps, Real) or not 0 < float(fps) < math.inf:
        raise InvalidArgumentError(f"fps={fps!r} is not a number of frames a second: pass one above 0")
    rate = float(fps)
    if quality is not None and not (isinstance(quality, (int, float)) and 1 <= quality <= _BEST):
        raise InvalidArgumentError(f"quality={quality!r} is not a number from 1 to {_BEST}, the best")
    prepared = _prepared(frames)
    if extension == ".gif":
        _write_gif(prepared, path, rate, **kwargs)
    else:
        codec = codec or _CODECS.get(extension, "libx264")
        unknown = kwargs.keys() - _OPTIONS
        if unknown:
            raise InvalidArgumentError(
                f"save_video() does not know {', '.join(sorted(unknown))}: pass some of {', '.join(sorted(_OPTIONS))}"
            )
        _encode(map(_even, prepared), path, rate, codec=codec, quality=quality, **kwargs)


def _prepared(frames: Any) -> Iterator[Pixels]:
    """Return the frames as H×W×3, all of one shape; the first of them is looked at now."""
    shape = getattr(frames, "shape", None)
    if shape is not None and len(shape) not in {3, 4}:
        raise InvalidArgumentError(
            f"frames have the shape {tuple(shape)}: pass T×H×W, T×H×W×1, T×H×W×3 or T×H×W×4, or a list of frames"
        )
    try:
        items = iter(frames)
    except TypeError:
        raise InvalidArgumentError(
            f"frames={frames!r:.80} cannot be iterated over: pass a list or an array of frames"
        ) from None
    prepared = _coloured(items)
    # Now, and not when the encoder asks: wrong frames are the caller's error, and no process is started for them.
    first = next(prepared, None)
    if first is None:
        raise InvalidArgumentError("there are no frames: pass at least one")
    return chain([first], prepared)


def _coloured(frames: Iterable[Any]) -> Iterator[Pixels]:
    import numpy as np

    tell_once = functools.cache(tell_odd)  # for all of a video's frames
    shape: tuple[int, ...] | None = None
    for number, frame in enumerate(frames):
        pixels = as_pixels(frame, f"frame {number}", tell_once)
        # ffmpeg is told one size for all: a frame of another would shift all that follow.
        if shape is not None and pixels.shape != shape:
            raise InvalidArgumentError(
                f"frame {number} has the shape {pixels.shape}, and those before it {shape}: all need the same"
            )
        shape = pixels.shape
        layers = pixels[:, :, None] if pixels.ndim == 2 else pixels
        colours = np.repeat(layers, 3, axis=2) if layers.shape[2] == 1 else layers[:, :, :3]
        yield np.ascontiguousarray(colours)


def _write_gif(frames: Iterator[Pixels], path: str, fps: float, **kwargs: Any) -> None:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("save_video() of a .gif", "pillow", "video") from error
    pictures = (Image.fromarray(frame) for frame in frames)
    first = next(pictures)
    # GIF counts hundredths of a second, and viewers take less than two of them for ten
    duration = max(20, round(1000 / fps / 10) * 10)
    options: dict[str, Any] = {"loop": 0, **kwargs}
    with storing(path), open(path, "wb") as file:
        first.save(file, format="GIF", save_all=True, append_images=pictures, duration=duration, **options)


def _even(frame: Pixels) -> Pixels:
    import numpy as np

    height, width = frame.shape[:2]
    if not height % 2 and not width % 2:
        return frame
    return np.ascontiguousarray(np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))


def _encode(
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
    first = next(frames)
    height, width = first.shape[:2]
    # ffmpeg keeps rates as fractions of 32-bit ints, which a float's exact value does not fit into.
    rate = Fraction(fps).limit_denominator()
    try:
        import imageio_ffmpeg

        program = str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:  # RuntimeError: the package has none for this machine
        raise MissingExtraError("save_video()", "imageio-ffmpeg", "video") from error
    command = [program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += [*f"-s {width}x{height} -r {rate} -i - -an".split(), "-c:v", codec, "-pix_fmt", pix_fmt_out]
    command += _rate(codec, quality) if bitrate is None else ["-b:v", str(bitrate)]
    # With a protocol: ffmpeg takes what precedes a colon in a bare path for one, and a leading dash for an option.
    command += [*(output_params or []), f"file:{path}"]
    # A file, not a pipe, which nobody reads while frames are written: ffmpeg would block when it is full.
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
        # Of a process that has ended this does nothing; the other one is that of a caller who was interrupted.
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
        unbound = ["-b:v", "0"] if codec.startswith("libvpx") else []
        return ["-crf", str(int(worse * _CRF_WORST[codec])), *unbound]
    return ["-q:v", str(int(worse * 30) + 1)]


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
