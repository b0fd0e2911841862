"""Arrays as pixels: 8 bits a channel, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["as_pixels"]

_CHANNELS = (1, 3, 4)


def as_pixels(image: Any, what: str) -> npt.NDArray[np.uint8]:
    """Return an array H×W or H×W×1, ×3 or ×4 of uint8.

    Args:
        image: what `numpy.asarray` takes, a tensor on the CPU too: uint8 as it is, bool as black and white, floats from
            0 to 1.
        what: for messages: ``frame 3``.

    Raises:
        InvalidArgumentError: its shape is none of these, or its values are none of pixels.
    """
    import numpy as np

    array = np.asarray(image.detach() if hasattr(image, "detach") else image)
    is_image = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in _CHANNELS)
    if not is_image or 0 in array.shape:
        raise InvalidArgumentError(
            f"{what} has the shape {array.shape}: pass H×W, H×W×1, H×W×3 or H×W×4, channels last"
        )
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if not np.issubdtype(array.dtype, np.floating):
        raise InvalidArgumentError(
            f"{what} has values of type {array.dtype}: pass uint8 from 0 to 255, or floats from 0 to 1"
        )
    low, high = float(array.min()), float(array.max())
    if not (low >= 0.0 and high <= 1.0):  # NaN, too
        raise InvalidArgumentError(
            f"{what} has values from {low:g} to {high:g}: floats are from 0 to 1; divide them, or pass uint8"
        )
    scaled: npt.NDArray[np.uint8] = np.rint(array.astype(np.float64) * 255.0).astype(np.uint8)
    return scaled
