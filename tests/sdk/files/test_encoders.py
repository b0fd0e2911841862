"""What is encoded can be decoded again, and what cannot be encoded is refused with the reason."""

from __future__ import annotations

import io
import json
import math
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from ml_dash.errors import InvalidArgumentError, MissingExtraError, ValueWarning
from ml_dash.sdk.files.content_types import content_type
from ml_dash.sdk.files.encoders.images import write_figure, write_image
from ml_dash.sdk.files.encoders.objects import json_bytes, write_pickle, write_torch
from ml_dash.sdk.files.encoders.video import write_video

# --- JSON, pickles, PyTorch


def test_json_takes_what_json_takes_and_numpys_numbers_and_arrays() -> None:
    content = {
        "half": np.float32(0.5),
        "steps": np.arange(3),
        "flag": np.bool_(True),
        "nan": float("nan"),
        "grid": np.array([[1.0, math.inf]]),
        1: "an integer's key",
        "text": "größer",
    }
    read = json.loads(json_bytes(content))
    assert math.isnan(read.pop("nan"))
    assert read == {
        "half": 0.5,
        "steps": [0, 1, 2],
        "flag": True,
        "grid": [[1.0, math.inf]],
        "1": "an integer's key",
        "text": "größer",
    }


class _Selfish(list[Any]):
    def __init__(self) -> None:
        self.append(self)


@pytest.mark.parametrize(
    "content",
    [
        {"a": object()},
        [{1, 2}],
        {(1, 2): 3},
        np.array([1j]),
        [np.datetime64("2020-01-01")],
        _Selfish(),
        b"raw",
    ],
    ids=["object", "set", "tuple-key", "complex", "time", "circle", "bytes"],
)
def test_what_json_has_no_form_for_is_refused(content: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"save_json\(\) cannot write"):
        json_bytes(content)


def test_json_has_lone_surrogates_as_escapes() -> None:
    """UTF-8 does not have them; all other texts stay legible."""
    content = {"caf\udce9": ["\ud800", "é"]}
    assert json.loads(json_bytes(content)) == content
    assert "é".encode() in json_bytes({"é": 1})


def test_a_pickle_holds_the_object() -> None:
    file = io.BytesIO()
    write_pickle({"results": [1, 2, 3]}, file)
    assert pickle.loads(file.getvalue()) == {"results": [1, 2, 3]}


def test_what_cannot_be_pickled_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="cannot pickle this function"):
        write_pickle(lambda: None, io.BytesIO())


def test_without_pytorch_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install torch$"):
        write_torch({}, io.BytesIO())


def test_a_state_dict_is_saved_as_torch_saves_it() -> None:
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    write_torch(torch.nn.Linear(2, 3).state_dict(), file)
    file.seek(0)
    assert torch.load(file, weights_only=True)["weight"].shape == (3, 2)


# --- figures


@pytest.fixture
def plt() -> Iterator[Any]:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    plt.close("all")
    yield plt
    plt.close("all")


@pytest.mark.slow
def test_a_figure_is_saved_in_the_format_of_its_name(plt: Any) -> None:
    figure, axes = plt.subplots(figsize=(4, 3))
    axes.plot([1, 2])
    png, pdf = io.BytesIO(), io.BytesIO()
    write_figure(figure, png, "png", dpi=50)
    write_figure(None, pdf, "PDF", bbox_inches="tight")
    assert Image.open(png).size == (200, 150)
    assert pdf.getvalue().startswith(b"%PDF")


def test_where_no_figure_is_open_an_empty_one_is_saved_and_not_kept(plt: Any) -> None:
    """As by ``plt.gcf()``, of which forty would stay in memory."""
    file = io.BytesIO()
    with pytest.warns(UserWarning, match="no open figure"):
        write_figure(None, file, "png")
    assert np.asarray(Image.open(file)).min() == 255
    assert plt.get_fignums() == []


def test_figures_of_the_user_stay_open(plt: Any) -> None:
    figure, _ = plt.subplots()
    write_figure(None, io.BytesIO(), "png")
    write_figure(figure, io.BytesIO(), "svg")
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize(
    ("extension", "format", "start"),
    [
        ("png", "png", b"\x89PNG"),
        ("PNG", "png", b"\x89PNG"),
        ("jpg", "jpeg", b"\xff\xd8"),
        ("", "png", b"\x89PNG"),
        ("v2", "png", b"\x89PNG"),
        ("png", "svg", None),
        ("jpg", "PNG", None),
    ],
)
def test_a_format_must_not_contradict_the_name(
    plt: Any, extension: str, format: str, start: bytes | None
) -> None:
    """Where the name says none, the argument does; for figures and images alike."""
    figure, _ = plt.subplots()
    kinds: list[tuple[Callable[..., None], Any]] = [(write_figure, figure), (write_image, np.zeros((2, 2)))]
    for write, what in kinds:
        if start is None:
            with pytest.raises(InvalidArgumentError, match=f"{format}.*{extension}"):
                write(what, io.BytesIO(), extension, format=format)
        else:
            file = io.BytesIO()
            write(what, file, extension, format=format)
            assert file.getvalue().startswith(start)


def test_what_is_no_figure_and_formats_that_are_not_known_are_refused(plt: Any) -> None:
    figure, axes = plt.subplots()
    with pytest.raises(InvalidArgumentError, match=r"fig=ax\.figure"):
        write_figure(axes, io.BytesIO(), "png")
    with pytest.raises(InvalidArgumentError, match=r"'xyz'.*\.png"):
        write_figure(figure, io.BytesIO(), "xyz")


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install matplotlib$"):
        write_figure(None, io.BytesIO(), "png")


# --- images


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.array([[0, 128, 255]], np.uint8), [[0, 128, 255]]),
        (np.array([[0.0, 0.5, 1.0]]), [[0, 128, 255]]),
        (np.array([[0.0, 0.5, 1.0]], np.float16)[:, :, None], [[0, 128, 255]]),
        (np.array([[1.0000001, -1e-7, 1.0078125]], np.float32), [[255, 0, 255]]),
        (np.array([[False, True]]), [[0, 255]]),
        (np.full((1, 2, 3), 7, np.uint8), [[[7, 7, 7], [7, 7, 7]]]),
        (np.full((1, 1, 4), 9, np.uint8), [[[9, 9, 9, 9]]]),
        (Image.new("L", (2, 1), 5), [[5, 5]]),
    ],
    ids=["uint8", "float", "float16-H×W×1", "rounded", "bool", "rgb", "rgba", "pillow"],
)
def test_an_image_has_the_pixels_that_it_was_given(image: Any, expected: list[Any]) -> None:
    file = io.BytesIO()
    write_image(image, file, "png")
    assert np.asarray(Image.open(file)).tolist() == expected


def test_what_is_no_number_is_drawn_and_told() -> None:
    """Black, and white where it is infinite."""
    file = io.BytesIO()
    with pytest.warns(ValueWarning, match="NaN"):
        write_image(np.array([[math.nan, math.inf, -math.inf, 0.5]]), file, "png")
    assert np.asarray(Image.open(file)).tolist() == [[0, 255, 0, 128]]
    with pytest.warns(ValueWarning, match="NaN"):
        write_image(np.full((2, 2), math.nan), io.BytesIO(), "png")


def test_a_format_without_transparency_leaves_it_out() -> None:
    file = io.BytesIO()
    write_image(np.zeros((8, 8, 4), np.uint8), file, "jpg", quality=90)
    assert Image.open(file).mode == "RGB"


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4, 2)), r"shape \(4, 4, 2\)"),
        (np.zeros((0, 4)), r"shape \(0, 4\)"),
        ("a.png", r"shape \(\)"),
        (np.array([[0.0, 1.5]]), "from 0 to 1.5"),
        (np.array([[math.nan, 255.0]]), "from 0 to 255"),
        (np.array([[1, 2]]), "int64"),
    ],
)
def test_what_is_no_image_is_refused(image: Any, words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        write_image(image, io.BytesIO(), "png")


def test_an_image_format_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'xyz'.*\.png"):
        write_image(np.zeros((2, 2)), io.BytesIO(), "xyz")


def test_without_pillow_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"pip install pillow$"):
        write_image(np.zeros((2, 2)), io.BytesIO(), "png")


# --- videos


def read_back(path: Path) -> tuple[dict[str, Any], list[np.ndarray[Any, Any]]]:
    reader = imageio_ffmpeg.read_frames(str(path))
    about = next(reader)
    width, height = about["size"]
    frames = [np.frombuffer(raw, np.uint8).reshape(height, width, 3) for raw in reader]
    return about, frames


@pytest.mark.sample(3)
@pytest.mark.parametrize("extension", ["mp4", "m4v", "mov", "mkv", "avi", "webm"])
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_video_has_the_frames_that_it_was_given(extension: str, tmp_path: Path) -> None:
    levels = [0.0, 0.25, 0.5, 0.75, 1.0]
    path = tmp_path / f"video.{extension}"
    write_video([np.full((32, 48), level) for level in levels], str(path), fps=10)
    about, frames = read_back(path)
    assert about["size"] == (48, 32)
    assert about["fps"] == 10
    assert [round(float(frame.mean()) / 255, 1) for frame in frames] == pytest.approx(levels, abs=0.1)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_odd_sizes_grow_by_a_copy_of_the_last_row_and_column(tmp_path: Path) -> None:
    path = tmp_path / "odd.mp4"
    write_video(np.full((3, 33, 47, 3), 200, np.uint8), str(path), fps=20)
    about, frames = read_back(path)
    assert about["size"] == (48, 34)
    assert float(frames[0][-1, -1].mean()) == pytest.approx(200, abs=6)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_codec_and_quality_are_passed_on(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (8, 64, 64, 3), np.uint8)
    sizes = {}
    for quality in (1, 10):
        path = tmp_path / f"{quality}.mp4"
        write_video(noise, str(path), fps=20, codec="libx264", quality=quality)
        sizes[quality] = path.stat().st_size
    assert sizes[1] < sizes[10]
    assert read_back(path)[0]["codec"] == "h264"


def test_a_gif_has_its_frames_and_runs_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "video.gif"
    frames = (np.full((5, 7, 1), 60 * number, np.uint8) for number in range(4))
    write_video(frames, str(path), fps=20)
    with Image.open(path) as gif:
        assert (gif.format, gif.size, getattr(gif, "n_frames", 1)) == ("GIF", (7, 5), 4)
        assert gif.info["duration"] == 50
        assert gif.info["loop"] == 0


@pytest.mark.parametrize(
    ("frames", "options", "words"),
    [
        ([], {}, "no frames"),
        (np.zeros((0, 4, 4)), {}, "no frames"),
        ([np.zeros((4, 4)), np.zeros((5, 4))], {}, r"frame 1 has the shape \(5, 4\)"),
        ([np.zeros((4, 4)), np.full((4, 4), 2.0)], {}, "frame 1 has values from 2 to 2"),
        ([np.zeros((4, 4), int)], {}, "int64"),
        (np.zeros((3, 3)), {}, r"shape \(3, 3\)"),
        (7, {}, "frames=7 cannot be iterated"),
        (np.zeros((2, 4, 4)), {"fps": 0}, "fps=0"),
        (np.zeros((2, 4, 4)), {"fps": "fast"}, "fps='fast'"),
        (np.zeros((2, 4, 4)), {"codec": "nonsense"}, "codec='nonsense'"),
        (np.zeros((2, 4, 4)), {"quality": 11}, "quality=11"),
        (np.zeros((2, 4, 4)), {"nonsense": 1}, "nonsense"),
    ],
)
def test_what_is_no_video_is_refused(
    frames: Any, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        write_video(frames, str(tmp_path / "video.mp4"), **{"fps": 20, **options})


def test_frames_that_are_no_numbers_are_drawn_and_told_once(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        write_video(np.full((5, 4, 4), math.nan), str(tmp_path / "video.gif"), fps=20)
    assert [each.category for each in told] == [ValueWarning]
    with Image.open(tmp_path / "video.gif") as picture:
        assert np.asarray(picture.convert("L")).max() == 0


@pytest.mark.parametrize("name", ["video.xyz", "video"])
def test_an_extension_that_is_not_known_is_refused_with_those_that_are(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"\.gif.*\.mp4"):
        write_video(np.zeros((2, 4, 4)), str(tmp_path / name), fps=20)


@pytest.mark.parametrize(("package", "extension"), [("imageio_ffmpeg", "mp4"), ("PIL", "gif")])
def test_without_an_encoder_the_error_names_the_extra(
    package: str, extension: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install imageio-ffmpeg pillow$"):
        write_video(np.zeros((2, 4, 4)), str(tmp_path / f"video.{extension}"), fps=20)


# --- content types


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plot.PNG", "image/png"),
        ("config.json", "application/json"),
        ("notes.md", "text/markdown"),
        ("clip.mp4", "video/mp4"),
        ("model.pt", "application/octet-stream"),
        ("data.tar.gz", "application/octet-stream"),
        (".bashrc", "application/octet-stream"),
        ("README", "application/octet-stream"),
    ],
)
def test_the_extension_says_the_content_type(name: str, expected: str) -> None:
    assert content_type(name) == expected
