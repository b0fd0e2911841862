"""Images: those of Pillow, arrays, and figures of matplotlib."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, BinaryIO

from ml_dash.errors import InvalidArgumentError, MissingExtraError, ValueWarning
from ml_dash.limits.sparing import check_numpy
from ml_dash.notices import warn_user
from ml_dash.values.tensors import on_host

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    import numpy.typing as npt

_CHANNELS = (1, 3, 4)
_OPAQUE = frozenset({"JPEG"})
"""Formats that have no transparency."""
_ROUNDING = 0.01
"""Floats this far outside of 0 to 1 are there by rounding: a step of bfloat16 above 1 is 0.0078."""
_FIGURE_ALIASES = {"jpg": "jpeg", "tif": "tiff", "raw": "rgba"}


def write_image(
    image: Any, file: BinaryIO, extension: str, *, format: str | None = None, **kwargs: Any
) -> None:
    """Write a Pillow image, or an array as of `as_pixels`, in the format of its name's extension, such as ``png``.

    `format` says it where the extension does not, and must not say another.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("save_image()", "pillow", "image") from error
    Image.init()
    writable = {
        extension[1:]: name for extension, name in Image.registered_extensions().items() if name in Image.SAVE
    }
    chosen = _format(extension, format, writable)
    name = writable.get(chosen)
    if name is None:
        raise InvalidArgumentError(
            f"an image cannot be saved as {chosen!r}: end the name with one of .{', .'.join(sorted(writable))}"
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
            f"an image of mode {picture.mode!r} cannot be saved as {chosen!r}: {error}; convert it, or use .png"
        ) from error


def tell_odd() -> None:
    """Warn of pixels that are no numbers."""
    warn_user("pixels that are NaN or -inf are drawn black, and those that are inf white", ValueWarning)


def as_pixels(image: Any, what: str, tell_odd: Callable[[], None] = tell_odd) -> npt.NDArray[np.uint8]:
    """Return an array H×W or H×W×1, ×3 or ×4 of uint8.

    Floats that are a little outside are clipped, and so are infinities; NaN is drawn black. Of the last two the user is
    warned: a picture is often saved to see just what has gone wrong, in a loop that must go on.

    Args:
        image: what `numpy.asarray` takes, or a tensor: uint8, bool (black and white), floats from 0 to 1.
        what: for messages: ``frame 3``.
        tell_odd: called where there are such pixels.
    """
    check_numpy()
    import numpy as np

    array = np.asarray(on_host(image))
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
    values = array.astype(np.float64)
    is_odd = not np.isfinite(values).all()
    if is_odd:
        values = np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if low < -_ROUNDING or high > 1.0 + _ROUNDING:
        raise InvalidArgumentError(
            f"{what} has values from {low:g} to {high:g}: floats are from 0 to 1; divide them, or pass uint8"
        )
    if is_odd:
        tell_odd()
    # Rounded, not cut: n / 255 * 255 may be a hair below n, and would lose a step.
    scaled: npt.NDArray[np.uint8] = np.rint(values.clip(0.0, 1.0) * 255.0).astype(np.uint8)
    return scaled


def write_figure(
    fig: Any, file: BinaryIO, extension: str, *, format: str | None = None, **kwargs: Any
) -> None:
    """Write a figure, or pyplot's current one, by its ``savefig``. Neither the figure nor the backend is changed.

    `format` is as for `write_image`.
    """
    figure = _current() if fig is None else fig
    canvas = getattr(figure, "canvas", None)
    if canvas is None or not callable(getattr(figure, "savefig", None)):
        raise InvalidArgumentError(
            f"fig={figure!r:.200} is not a figure of matplotlib: pass fig=plt.gcf(), or fig=ax.figure"
        )
    known = canvas.get_supported_filetypes()
    chosen = _format(extension, format, {each: _FIGURE_ALIASES.get(each, each) for each in known})
    if chosen not in known:
        raise InvalidArgumentError(
            f"a figure cannot be saved as {chosen!r}: end the name with one of .{', .'.join(sorted(known))}"
        )
    figure.savefig(file, format=chosen, **kwargs)


def _current() -> Any:
    """Return pyplot's current figure; where there is none, an empty one, which `gcf` would make as well."""
    try:
        import matplotlib as mpl  # noqa: F401 - whether it is there at all
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("save_fig()", "matplotlib", "plot") from error
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None or not pyplot.get_fignums():
        warn_user(
            "there is no open figure, so an empty one is saved: plot something first, or pass fig=",
            UserWarning,
        )
        return Figure()  # not by pyplot, which would keep it until somebody closes it
    return pyplot.gcf()


def _format(extension: str, given: str | None, kinds: Mapping[str, str]) -> str:
    """Return the format to write: what the name says wins, and an argument that contradicts it is refused.

    Args:
        extension: the name's.
        given: the argument.
        kinds: for each extension that is known, what it means: ``jpg`` and ``jpeg`` are the same.
    """
    said, wanted = extension.lower(), (given or extension).lower()
    if said in kinds and kinds[said] != kinds.get(wanted, wanted):
        raise InvalidArgumentError(
            f"format={given!r} and a name that ends with .{extension} say different things: leave format= out, or end "
            f"the name with .{wanted}"
        )
    return wanted
