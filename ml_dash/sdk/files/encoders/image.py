"""Images: arrays, and those of Pillow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from ml_dash.errors import InvalidArgumentError, MissingExtraError
from ml_dash.sdk.files.encoders.pixels import as_pixels

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["write_image"]

_OPAQUE = frozenset({"JPEG"})
"""Formats that have no transparency."""


def write_image(image: Any, file: BinaryIO, format: str, **kwargs: Any) -> None:
    """Write an image.

    Args:
        image: a Pillow image, or an array H×W, H×W×1, H×W×3 or H×W×4 of uint8, of bool, or of floats from 0 to 1.
        file: where to.
        format: as the name's extension has it, ``png`` or ``jpg`` for instance.
        **kwargs: for Pillow's ``save``.

    Raises:
        MissingExtraError: Pillow is not installed.
        InvalidArgumentError: it is no image, or Pillow does not write the format.
    """
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
    picture = (
        image if isinstance(image, Image.Image) else Image.fromarray(_squeezed(as_pixels(image, "the image")))
    )
    try:
        _for_format(picture, name).save(file, format=name, **kwargs)
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) is not None:
            raise  # the disk's, not Pillow's
        raise InvalidArgumentError(
            f"an image of mode {picture.mode!r} cannot be saved as {format!r}: {error}; convert it, or use .png"
        ) from error


def _squeezed(pixels: Any) -> Any:
    return pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels


def _for_format(picture: Image, name: str) -> Image:
    return picture.convert("RGB") if name in _OPAQUE and picture.mode in {"RGBA", "LA", "P"} else picture
