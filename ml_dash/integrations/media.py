"""Images, videos, sounds, tables and texts of other trackers, saved as files with their step.

Each is saved below ``media/``, named after what it was logged as, and a file for each step. The row of that step
has the file's name.
"""

from __future__ import annotations

import io
import os
import wave
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.errors import InvalidArgumentError
from ml_dash.integrations.tracked import as_array, file_name, image_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.sdk.experiment import Experiment
    from ml_dash.sdk.files.builder import FileBuilder

FOLDER = "media"
_CHANNELS = (1, 3, 4)
_VOLUME = 32767  # the largest sample of 16 bits


class Media(NamedTuple):
    """A thing that becomes a file.

    Attributes:
        extension: of its name.
        save: called with the builder of the folder, the name and the details.
        details: what is said of it: a caption, boxes.
    """

    extension: str
    save: Callable[[FileBuilder, str, dict[str, Any]], object]
    details: dict[str, Any]


def save_media(
    experiment: Experiment, name: str, step: float | None, medium: Media, part: int | None = None
) -> str:
    """Save what was logged as `name` at a step, the `part`th of several; return the file's name."""
    to = file_name(name if part is None else f"{name}/{part}", step, medium.extension)
    said = {key: value for key, value in medium.details.items() if value is not None}
    medium.save(experiment.files(FOLDER), to, {"step": step, "name": name, **said})
    return f"{FOLDER}/{to}"


def of_path(path: str | os.PathLike[str], **details: Any) -> Media:
    """Return a file of this disk, as it is now."""
    path = os.fspath(path)
    extension = os.path.splitext(path)[1].lstrip(".").lower() or "bin"
    with open(path, "rb") as file:  # now: the file may change or go before it is logged
        data = file.read()
    return Media(extension, lambda files, to, said: files.save_blob(data, to=to, metadata=said), details)


def of_image(pixels: Any, layout: str | None = None, **details: Any) -> Media:
    """Return an image: a Pillow image, or an array or tensor whose axes are `layout`, or are guessed."""
    if not hasattr(pixels, "getbands"):
        array = as_array(pixels)
        pixels = image_of(array, layout or _layout(array.shape))
    return Media("png", lambda files, to, said: files.save_image(pixels, to=to, metadata=said), details)


def of_video(frames: Any, fps: float, layout: str = "TCHW", extension: str = "mp4", **details: Any) -> Media:
    """Return a video of an array of frames, whose axes are `layout`; of several, one beside the other."""
    import numpy as np

    array = as_array(frames)
    if array.ndim != len(layout):
        raise InvalidArgumentError(f"a video of the shape {array.shape} has not the axes {layout!r}")
    array = np.moveaxis(array, [layout.index(axis) for axis in "NTHWC" if axis in layout], range(array.ndim))
    if "N" in layout:
        array = np.concatenate(list(array), axis=2)
    return Media(
        extension,
        lambda files, to, said: files.save_video(array, to=to, fps=max(1, round(fps)), metadata=said),
        details,
    )


def of_sound(samples: Any, rate: int, **details: Any) -> Media:
    """Return a sound of samples from -1 to 1, T or T×C, or of 16 bits, as a WAV file."""
    data = wav_bytes(samples, rate)
    return Media("wav", lambda files, to, said: files.save_blob(data, to=to, metadata=said), details)


def of_json(content: Any, **details: Any) -> Media:
    """Return what is written as JSON."""
    return Media("json", lambda files, to, said: files.save_json(content, to=to, metadata=said), details)


def of_text(text: str, extension: str = "txt", **details: Any) -> Media:
    """Return a text."""
    return Media(extension, lambda files, to, said: files.save_text(text, to=to, metadata=said), details)


def of_figure(figure: Any, **details: Any) -> Media:
    """Return a figure of matplotlib, drawn now: it may be closed or go on being drawn on."""
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return Media(
        "png", lambda files, to, said: files.save_blob(data.getvalue(), to=to, metadata=said), details
    )


def wav_bytes(samples: Any, rate: int) -> bytes:
    """Return samples as a WAV file of 16 bits; what is louder than 1 is clipped."""
    import numpy as np

    array = np.atleast_2d(as_array(samples).T).T  # T×C
    if array.ndim != 2 or 0 in array.shape:
        raise InvalidArgumentError(f"a sound has the shape T or T×C, and not {array.shape}")
    if array.dtype != np.int16:
        array = (np.nan_to_num(array.astype(np.float64)).clip(-1, 1) * _VOLUME).astype(np.int16)
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(array.shape[1])
        written.setsampwidth(2)
        written.setframerate(int(rate))
        written.writeframes(array.astype("<i2").tobytes())
    return file.getvalue()


def _layout(shape: tuple[int, ...]) -> str:
    """Return the axes of an image by its shape; where both ends could be channels, they are last."""
    if len(shape) == 3 and shape[2] not in _CHANNELS and shape[0] in _CHANNELS:
        return "CHW"
    return "HWC" if len(shape) == 3 else "HW"
