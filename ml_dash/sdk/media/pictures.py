"""Images, figures and videos."""

from __future__ import annotations

import io
import sys
from colorsys import hsv_to_rgb
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, BinaryIO

from ml_dash.errors import InvalidArgumentError, MissingExtraError
from ml_dash.limits.sparing import check_numpy
from ml_dash.sdk.files.encoders.images import as_pixels, write_figure, write_image
from ml_dash.sdk.media.value import MediaValue, file_of, is_path
from ml_dash.values.tensors import on_host

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from ml_dash.storage.blobs import Staged, Staging

_IMAGES = frozenset({"png", "jpg", "jpeg", "gif", "webp", "svg", "bmp"})
_VIDEOS = frozenset({"mp4", "webm", "gif", "mov", "mkv"})
_ENCODED = ("mp4", "webm", "gif")
_CORNERS = 4
_GOLDEN = 0.618034


class Image(MediaValue):
    """An image to be logged in a row: ``exp.metrics("val").log(step=3, sample=ml_dash.Image(array))``.

    Args:
        data: an array H×W, H×W×1, H×W×3 or H×W×4 of uint8 or of floats from 0 to 1, a tensor of that shape, a
            Pillow image, a figure of matplotlib, or the path of a file. It may change after the call.
        caption: a text below it.
        boxes: dicts with ``box``, the corners ``[x0, y0, x1, y1]`` in pixels, and if wanted ``label`` and ``score``.
        masks: classes by pixel: arrays H×W of integers from 0 to 255, by name. Each is an image of its own.

    Raises:
        InvalidArgumentError: it is nothing of these.
        FileMissingError: there is no such file.
        MissingExtraError: Pillow is not installed, and needed.
    """

    kind = "image"

    def __init__(
        self,
        data: Any,
        caption: str | None = None,
        *,
        boxes: Sequence[Mapping[str, Any]] | None = None,
        masks: Mapping[str, Any] | None = None,
    ) -> None:
        self._pixels: Any = None
        self._size: tuple[int, int] | None = None  # width and height
        source, extension, held = None, "png", 0
        if is_path(data):
            source, extension = file_of(data, _IMAGES, "an image")
        else:
            _need_pillow()
            self._pixels, self._size, held = _taken(
                _drawn(data) if hasattr(data, "savefig") else data, "the image"
            )
        super().__init__(extension, held, caption, source)
        self._boxes = [_box(each) for each in boxes or ()]
        self.masks = {name: Mask(pixels, str(name)) for name, pixels in (masks or {}).items()}

    def about(self) -> dict[str, Any]:
        """Return its size and boxes."""
        found = super().about()
        if self._size is not None:
            found |= {"width": self._size[0], "height": self._size[1]}
        return {**found, "boxes": self._boxes} if self._boxes else found

    def write(self, file: BinaryIO) -> object:
        """Encode as PNG."""
        write_image(self._pixels, file, self.extension)
        return None


class Mask(MediaValue):
    """The classes of an image's pixels."""

    kind = "mask"

    def __init__(self, pixels: Any, name: str) -> None:
        check_numpy()
        import numpy as np

        array = np.asarray(on_host(pixels))
        if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer) or 0 in array.shape:
            raise InvalidArgumentError(
                f"masks[{name!r}] has the shape {array.shape} and the type {array.dtype}: pass H×W integers"
            )
        if int(array.min()) < 0 or int(array.max()) > 255:
            raise InvalidArgumentError(
                f"masks[{name!r}] has classes from {array.min()} to {array.max()}: at most 256 are kept, 0 to 255"
            )
        self._pixels: npt.NDArray[np.uint8] = array.astype(np.uint8)
        super().__init__("png", self._pixels.nbytes)

    def write(self, file: BinaryIO) -> object:
        """Encode as PNG whose pixels are the classes, with a colour for each to look at."""
        from PIL import Image as pillow  # noqa: N813 - the module is called as the class

        picture = pillow.fromarray(self._pixels)
        picture.putpalette(_palette())
        picture.save(file, format="PNG")
        return None


class Figure(MediaValue):
    """A figure of matplotlib or plotly: the first is drawn at the call as PNG, the second kept as plotly's JSON.

    Args:
        figure: the figure; it may change, or be closed, after the call.
        caption: a text below it.
    """

    kind = "figure"

    def __init__(self, figure: Any, caption: str | None = None) -> None:
        if callable(getattr(figure, "to_json", None)) and not hasattr(figure, "savefig"):
            self._bytes, extension = str(figure.to_json()).encode(), "plotly.json"
        else:
            self._bytes, extension = _png(figure), "png"
        super().__init__(extension, len(self._bytes), caption)

    def write(self, file: BinaryIO) -> object:
        """Write what was drawn at the call."""
        return file.write(self._bytes)


class Video(MediaValue):
    """Frames, or the file of a video.

    Args:
        data: frames H×W, H×W×1 or H×W×3 of uint8 or of floats from 0 to 1, as a list or an array T×H×W×C; or a path.
        fps: frames a second.
        caption: a text below it.
        format: of what is encoded: ``"mp4"``, ``"webm"`` or ``"gif"``.
    """

    kind = "video"

    def __init__(
        self, data: Any, fps: float = 20, caption: str | None = None, *, format: str = "mp4"
    ) -> None:
        self._frames: list[Any] = []
        self._fps = fps
        source, extension = None, format
        if is_path(data):
            source, extension = file_of(data, _VIDEOS, "a video")
        elif format not in _ENCODED:
            raise InvalidArgumentError(f"format={format!r} is not known: use one of {', '.join(_ENCODED)}")
        else:
            self._frames = [as_pixels(frame, f"frame {at}").copy() for at, frame in enumerate(data)]
            if not self._frames:
                raise InvalidArgumentError("the video has no frames: pass at least one")
            if len({frame.shape for frame in self._frames}) > 1:
                raise InvalidArgumentError("the frames have different shapes: crop or pad them to one")
        super().__init__(extension, sum(frame.nbytes for frame in self._frames), caption, source)

    def about(self) -> dict[str, Any]:
        """Return its size and length."""
        if not self._frames:
            return super().about()
        height, width = self._frames[0].shape[:2]
        return {
            **super().about(),
            "width": width,
            "height": height,
            "frames": len(self._frames),
            "fps": self._fps,
        }

    def stage(self, staging: Staging) -> Staged:
        """Encode by ffmpeg."""
        if self.source is not None:
            return super().stage(staging)
        from ml_dash.sdk.files.encoders.video import write_video

        return staging.encode(
            f".{self.extension}", lambda path: write_video(self._frames, path, fps=self._fps)
        )


@cache
def _palette() -> list[int]:
    """Return red, green and blue of 256 classes: the first is black, and neighbours differ by the golden angle."""
    colors = (hsv_to_rgb(at * _GOLDEN % 1.0, 0.65, 0.95) for at in range(255))
    return [0, 0, 0, *(round(255 * part) for color in colors for part in color)]


def _taken(data: Any, what: str) -> tuple[Any, tuple[int, int], int]:
    """Return pixels, or a Pillow image, that nobody else will change; its width and height; and its bytes."""
    # another thread may be in the middle of importing it: then this is none of its images
    picture = getattr(sys.modules.get("PIL.Image"), "Image", None)
    if picture is not None and isinstance(data, picture):
        return data.copy(), data.size, data.width * data.height * len(data.getbands())
    pixels = as_pixels(data, what).copy()
    return pixels, (pixels.shape[1], pixels.shape[0]), pixels.nbytes


def _png(figure: Any) -> bytes:
    drawn = io.BytesIO()
    write_figure(figure, drawn, "png")
    return drawn.getvalue()


def _drawn(figure: Any) -> Any:
    from PIL import Image as pillow  # noqa: N813 - the module is called as the class

    picture = pillow.open(io.BytesIO(_png(figure)))
    picture.load()
    return picture


def _need_pillow() -> None:
    if "PIL" not in sys.modules and find_spec("PIL") is None:
        raise MissingExtraError("ml_dash.Image", "pillow", "image")


def _box(given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        corners = [float(corner) for corner in given["box"]]
        if len(corners) != _CORNERS:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise InvalidArgumentError(
            f"boxes has {given!r:.200}: each is a dict with box=[x0, y0, x1, y1] in pixels, if wanted label and score"
        ) from None
    return {**given, "box": corners}
