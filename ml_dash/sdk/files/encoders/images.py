"""Images: those of Pillow, arrays, and figures of matplotlib."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, BinaryIO

from ml_dash.errors import InvalidArgumentError, MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_CHANNELS = (1, 3, 4)
_OPAQUE = frozenset({"JPEG"})
"""Formats that have no transparency."""


def write_image(image: Any, file: BinaryIO, format: str, **kwargs: Any) -> None:
    """Write a Pillow image, or an array as of `as_pixels`, in the format of an extension such as ``png``."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("save_image()", "pillow", "image") from error
    Image.init()
    writable = {
        extension[1:]: name for extension, name in Image.registered_extensions().items() if name in Image.SAVE
    }
    name = writable.get(format.lower())
    if name is None:
        raise InvalidArgumentError(
            f"an image cannot be saved as {format!r}: end the name with one of .{', .'.join(sorted(writable))}"
        )
    picture = image
    if not isinstance(image, Image.Image):
        pixels = as_pixels(image, "the image")
        # Pillow knows H×W only as the shape of a grey image
        picture = Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)
    try:
        # Pillow refuses these for JPEG; dropping the alpha is what its users do by hand.
        is_opaque = name in _OPAQUE and picture.mode in {"RGBA", "LA", "P"}
        (picture.convert("RGB") if is_opaque else picture).save(file, format=name, **kwargs)
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) is not None:
            raise  # the disk's, not Pillow's
        raise InvalidArgumentError(
            f"an image of mode {picture.mode!r} cannot be saved as {format!r}: {error}; convert it, or use .png"
        ) from error


def as_pixels(image: Any, what: str) -> npt.NDArray[np.uint8]:
    """Return an array H×W or H×W×1, ×3 or ×4 of uint8.

    Args:
        image: what `numpy.asarray` takes, a tensor on the CPU too: uint8, bool (black and white), floats from 0 to 1.
        what: for messages: ``frame 3``.
    """
    import numpy as np

    # A tensor that takes part in a gradient refuses to become an array.
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
    # Rounded, not cut: n / 255 * 255 may be a hair below n, and would lose a step.
    scaled: npt.NDArray[np.uint8] = np.rint(array.astype(np.float64) * 255.0).astype(np.uint8)
    return scaled


def write_figure(fig: Any, file: BinaryIO, format: str, **kwargs: Any) -> None:
    """Write a figure, or pyplot's current one, by its ``savefig``. Neither the figure nor the backend is changed."""
    figure = _current() if fig is None else fig
    canvas = getattr(figure, "canvas", None)
    if canvas is None or not callable(getattr(figure, "savefig", None)):
        raise InvalidArgumentError(
            f"fig={figure!r:.200} is not a figure of matplotlib: pass fig=plt.gcf(), or fig=ax.figure"
        )
    known = canvas.get_supported_filetypes()
    if format.lower() not in known:
        raise InvalidArgumentError(
            f"a figure cannot be saved as {format!r}: end the name with one of .{', .'.join(sorted(known))}"
        )
    figure.savefig(file, format=format.lower(), **kwargs)


def _current() -> Any:
    # `gcf` itself would open an empty figure where there is none
    try:
        import matplotlib as mpl  # noqa: F401 - whether it is there at all
    except ImportError as error:
        raise MissingExtraError("save_fig()", "matplotlib", "plot") from error
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None or not pyplot.get_fignums():
        raise InvalidArgumentError("there is no current figure: plot something first, or pass fig=")
    return pyplot.gcf()
