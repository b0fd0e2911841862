"""Media as frameworks give them, as values of a row: arrays with their axes in other orders, several at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.integrations.tracked import as_array, image_of, log_values
from ml_dash.sdk.media.pictures import Image, Video
from ml_dash.sdk.media.sound import Audio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_dash.sdk.experiment import Experiment
    from ml_dash.sdk.media.value import MediaValue

_CHANNELS = (1, 3, 4)


def image(
    pixels: Any,
    layout: str | None = None,
    caption: str | None = None,
    boxes: Sequence[Mapping[str, Any]] | None = None,
    masks: Mapping[str, Any] | None = None,
) -> Image:
    """Return an image: of Pillow, or an array or tensor whose axes are `layout`, or are guessed."""
    if not hasattr(pixels, "getbands"):
        array = as_array(pixels)
        pixels = image_of(array, layout or _layout(array.shape))
    return Image(pixels, caption, boxes=boxes, masks=masks)


def video(
    frames: Any, fps: float, layout: str = "TCHW", caption: str | None = None, *, format: str = "mp4"
) -> Video:
    """Return a video of an array of frames, whose axes are `layout`; of several, one beside the other."""
    import numpy as np

    array = as_array(frames)
    if array.ndim != len(layout):
        raise InvalidArgumentError(f"a video of the shape {array.shape} has not the axes {layout!r}")
    array = np.moveaxis(array, [layout.index(axis) for axis in "NTHWC" if axis in layout], range(array.ndim))
    if "N" in layout:
        array = np.concatenate(list(array), axis=2)
    return Video(array, max(1, round(fps)), caption, format=format)


def sound(samples: Any, rate: int, caption: str | None = None) -> Audio:
    """Return a sound of samples L, 1×L, or L×channels."""
    array = as_array(samples)
    return Audio(array.T if array.ndim == 2 and array.shape[0] == 1 else array, int(rate), caption)


def log_media(
    experiment: Experiment, name: str, step: float | None, media: Sequence[MediaValue], **shared: Any
) -> None:
    """Log a row with media; several are ``name.0``, ``name.1``, …."""
    log_values(experiment, named(name, media), step, **shared)


def named(name: str, media: Sequence[MediaValue]) -> dict[str, MediaValue]:
    """Return media by the names that they are logged by."""
    return {name: media[0]} if len(media) == 1 else {f"{name}.{at}": each for at, each in enumerate(media)}


def _layout(shape: tuple[int, ...]) -> str:
    """Return the axes of an image by its shape; where both ends could be channels, they are last."""
    if len(shape) == 3 and shape[2] not in _CHANNELS and shape[0] in _CHANNELS:
        return "CHW"
    return "HWC" if len(shape) == 3 else "HW"
