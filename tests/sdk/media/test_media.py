"""Media values: in their rows at once, in their files soon, and never a training that waits for them."""

from __future__ import annotations

import datetime as dt
import io
import json
import math
import threading
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ml_dash
from ml_dash import Experiment, FileMissingError, InvalidArgumentError, NotStartedError
from ml_dash.errors import ValueWarning
from ml_dash.sdk.media import store
from ml_dash.sdk.media.value import MediaValue

pillow = pytest.importorskip("PIL.Image")
PIXELS = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)


@pytest.fixture
def exp(tmp_path: Path) -> Iterator[Experiment]:
    with Experiment("a/b/media", dash_root=tmp_path).run as exp:
        yield exp


def logged(exp: Experiment, value: MediaValue, **fields: Any) -> tuple[dict[str, Any], bytes, dict[str, Any]]:
    """Log a value and end the run; return what its row says, its contents, and the row of its file."""
    exp.metrics("val").log(value=value, **fields)
    exp.run.complete()
    told = exp.metrics("val").read()["data"][-1]["data"]["value"]
    (row,) = exp.files.list(told["file"])
    assert row["metadata"]["field"] == "value"
    return (
        told,
        Path(exp.files(file_id=row["id"]).download(dest_path=exp.directory + "/../got/")).read_bytes(),
        row,
    )


def picture_of(data: bytes) -> Any:
    return np.asarray(pillow.open(io.BytesIO(data)))


@pytest.mark.parametrize(
    "make",
    [
        PIXELS.copy,
        lambda: PIXELS / 255,
        lambda: pillow.fromarray(PIXELS),
    ],
    ids=["uint8", "floats", "pillow"],
)
def test_an_image_is_what_it_was_at_the_call(exp: Experiment, make: Callable[[], Any]) -> None:
    given = make()
    value = ml_dash.Image(given, caption="before")
    if isinstance(given, np.ndarray):
        given[:] = 0
    told, data, row = logged(exp, value, step=7)
    assert told == {"_type": "image", "caption": "before", "width": 6, "height": 8, "file": told["file"]}
    assert told["file"].startswith("media/val/value/00000007-")
    assert (row["metadata"]["metric"], row["metadata"]["step"]) == ("val", 7)
    assert (picture_of(data) == PIXELS).all()


class OnDevice:
    """A tensor of torch's on a device, of a type that numpy has not, where `type` says so."""

    def __init__(
        self, array: Any, type: str = "bfloat16", steps: tuple[str, ...] = ("detach", "cpu")
    ) -> None:
        self._array, self._steps, self.dtype = np.asarray(array), steps, f"torch.{type}"

    def __getattr__(self, name: str) -> Any:
        if self._steps and name == self._steps[0]:
            return lambda: OnDevice(self._array, self.dtype[6:], self._steps[1:])
        if name == "float" and not self._steps:
            return lambda: self._array.astype(np.float32)
        raise AttributeError(name)

    def __array__(self, *_: Any, **__: Any) -> Any:
        if self._steps or self.dtype == "torch.bfloat16":
            raise TypeError(f"no array of a tensor that is on a device, or of {self.dtype}")
        return self._array


def test_tensors_of_devices_and_of_types_that_numpy_has_not(exp: Experiment) -> None:
    rising = np.linspace(0, 1, 12)
    labels = OnDevice(np.ones((4, 3), np.int64), "int64")
    row = {
        "image": ml_dash.Image(OnDevice(rising.reshape(4, 3)), masks={"truth": labels}),
        "video": ml_dash.Video([OnDevice(rising.reshape(4, 3))], format="gif"),
        "sound": ml_dash.Audio(OnDevice(rising), sample_rate=8),
        "weights": ml_dash.Histogram(OnDevice(rising), bins=2),
        "points": ml_dash.Points3D(OnDevice(rising.reshape(4, 3))),
    }
    exp.metrics("val").log(row)
    exp.files.save_image(OnDevice(rising.reshape(4, 3)), to="saved.png")
    exp.run.complete()
    told = exp.metrics("val").read()["data"][0]["data"]
    assert json.loads(exp.files(told["weights"]["file"]).read_text())["counts"] == [6, 6]
    assert picture_of(exp.files(told["image"]["file"]).read_bytes())[-1, -1] == 255
    assert (picture_of(exp.files(told["image"]["masks"]["truth"]["file"]).read_bytes()) == 1).all()
    assert exp.files(told["sound"]["file"]).read_bytes()[-2:] == b"\xff\x7f"
    assert told["points"]["points"] == 4
    assert exp.files("saved.png").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda pixels: pixels[::-1, ::-1],
        np.asfortranarray,
        lambda pixels: (pixels / 255).astype(np.float16),
        lambda pixels: (pixels / 255).astype(">f4"),
        lambda pixels: (pixels / 255).astype(np.longdouble),
        lambda pixels: pixels[:1, :1],
        lambda pixels: pixels[..., :1],
        lambda pixels: pixels[..., 0] > 20,
        lambda pixels: np.repeat(pixels[:, :1], 3000, axis=1),
    ],
    ids=["turned", "fortran", "half", "big endian", "long", "one pixel", "one channel", "bools", "wide"],
)
def test_images_of_odd_shapes_and_types(exp: Experiment, change: Callable[[Any], Any]) -> None:
    given = change(PIXELS)
    _, data, _ = logged(exp, ml_dash.Image(given))
    expected = given * 255.0 if given.dtype.kind in "fb" else given
    assert np.abs(picture_of(data).astype(float) - np.squeeze(expected).astype(float)).max() <= 1


def test_boxes_and_masks(exp: Experiment) -> None:
    classes = np.arange(48).reshape(8, 6) % 5
    box = {"box": [0, 1, 5, 6], "label": "cat", "score": 0.5}
    told, _, _ = logged(exp, ml_dash.Image(PIXELS, boxes=[box], masks={"truth": classes}))
    assert told["boxes"] == [{**box, "box": [0.0, 1.0, 5.0, 6.0]}]
    (mask,) = exp.files.list(told["masks"]["truth"]["file"])
    data = Path(exp.files(file_id=mask["id"]).download(dest_path=exp.directory + "/../got/")).read_bytes()
    assert (picture_of(data) == classes).all()


def test_a_figure_is_drawn_at_the_call(exp: Experiment) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    figure.subplots().plot([1, 2])
    value = ml_dash.Figure(figure)
    figure.clear()
    _, data, row = logged(exp, value)
    assert row["contentType"] == "image/png"
    assert len(np.unique(picture_of(data))) > 2


def test_a_file_is_what_it_was_at_the_call(exp: Experiment, tmp_path: Path) -> None:
    path = tmp_path / "model.stl"
    path.write_bytes(b"solid")
    exp.metrics("val").log(value=ml_dash.Mesh(path))
    path.write_bytes(b"other")
    exp.run.complete()
    (row,) = exp.files.list("media/**")
    assert (
        Path(exp.files(file_id=row["id"]).download(dest_path=str(tmp_path / "got/"))).read_bytes() == b"solid"
    )


@pytest.mark.parametrize("samples", [np.array([0, 16384, -32767], np.int16), np.array([0, 0.5, -1.0])])
def test_a_sound(exp: Experiment, samples: Any) -> None:
    told, data, _ = logged(exp, ml_dash.Audio(samples, 8000))
    assert (told["sampleRate"], told["seconds"]) == (8000, 3 / 8000)
    with wave.open(io.BytesIO(data)) as sound:
        assert (sound.getnchannels(), sound.getframerate()) == (1, 8000)
        assert np.frombuffer(sound.readframes(3), "<i2").tolist() == [0, 16384, -32767]


def test_a_histogram_of_values_counts_what_is_no_number_apart(exp: Experiment) -> None:
    values = np.array([[0.0, 1.0], [2.0, np.nan], [np.inf, 0.0]])
    _, data, _ = logged(exp, ml_dash.Histogram(values, bins=2))
    assert json.loads(data) == {"counts": [2, 2], "edges": [0.0, 1.0, 2.0], "odd": 2}


@pytest.mark.parametrize("values", [[], [np.nan], np.zeros((0, 3))])
def test_a_histogram_of_nothing(exp: Experiment, values: Any) -> None:
    _, data, _ = logged(exp, ml_dash.Histogram(values))
    assert json.loads(data)["counts"] == []


def test_a_histogram_of_counts(exp: Experiment) -> None:
    _, data, _ = logged(exp, ml_dash.Histogram(counts=[1, 2], edges=[0, 1, 5]))
    assert json.loads(data) == {"counts": [1.0, 2.0], "edges": [0.0, 1.0, 5.0], "odd": 0}


def test_a_table(exp: Experiment) -> None:
    rows = [["a", 1, True], ["b", np.float32(0.5), None]]
    value = ml_dash.Table(["name", "score", "ok"], rows)
    rows[0][0] = "changed"
    told, data, _ = logged(exp, value)
    assert (told["columns"], told["rows"]) == (["name", "score", "ok"], 2)
    assert json.loads(data)["rows"] == [["a", 1, True], ["b", 0.5, None]]


def test_a_table_of_a_data_frame(exp: Experiment) -> None:
    frame = pytest.importorskip("pandas").DataFrame({"a": [1, 2], "b": ["x", "y"]})
    _, data, _ = logged(exp, ml_dash.Table(frame))
    assert json.loads(data) == {"columns": ["a", "b"], "rows": [[1, "x"], [2, "y"]]}


def test_a_table_without_rows_is_one(exp: Experiment) -> None:
    told, data, _ = logged(exp, ml_dash.Table(["a", "b"], []))
    assert (told["columns"], told["rows"]) == (["a", "b"], 0)
    assert json.loads(data) == {"columns": ["a", "b"], "rows": []}


def test_cells_of_a_table_are_what_they_were_at_the_call(exp: Experiment) -> None:
    pandas = pytest.importorskip("pandas")
    changed: dict[str, Any] = {"b": [1, math.nan]}
    at = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)
    cells = [changed, np.arange(2), np.float32(0.5), np.int64(3), np.bool_(True), at, pandas.Timestamp(at)]
    value = ml_dash.Table([*"abcdefghi"], [[*cells, pandas.NA, pandas.NaT]])
    changed["b"].clear()
    _, data, _ = logged(exp, value)
    iso = "2026-01-02T03:04:05+00:00"
    assert json.loads(data)["rows"][0][1:] == [[0, 1], 0.5, 3, True, iso, iso, None, "NaT"]
    assert json.loads(data)["rows"][0][0]["b"] == [1, pytest.approx(math.nan, nan_ok=True)]


def test_a_text(exp: Experiment) -> None:
    text = "ü" * 1000 + "\ud800"
    told, data, row = logged(exp, ml_dash.Text(text, markdown=True))
    assert (told["preview"], told["characters"], row["filename"][-3:]) == ("ü" * 500, 1001, ".md")
    assert data.decode("utf-8", "surrogatepass") == text


def test_points(exp: Experiment) -> None:
    told, data, _ = logged(exp, ml_dash.Points3D(np.array([[0, 1, 2, 255, 0, 7]])))
    assert told["points"] == 1
    assert data.startswith(b"ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty float x\n")
    assert data.endswith(np.array([0, 1, 2], "<f4").tobytes() + bytes([255, 0, 7]))


class Frame:
    """A data frame of a million rows, which nobody goes through."""

    columns = ("a",)

    def __len__(self) -> int:
        return 1_000_000

    def itertuples(self, **_: Any) -> Any:
        raise AssertionError("the rows are counted before they are copied")


def test_pixels_that_are_no_numbers_are_drawn_and_told(exp: Experiment) -> None:
    with pytest.warns(ValueWarning, match="NaN or -inf are drawn black"):
        image = ml_dash.Image(np.array([[np.nan, np.inf], [-np.inf, 0.5]], np.float16))
    told, data, _ = logged(exp, image)
    assert (told["width"], told["height"]) == (2, 2)
    assert picture_of(data).tolist() == [[0, 255], [0, 128]]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ml_dash.Image(np.zeros((3, 8, 8))), r"shape \(3, 8, 8\)"),
        (lambda: ml_dash.Image(np.zeros((8, 8)) + 2), "from 2 to 2"),
        (lambda: ml_dash.Image(np.zeros(8)), r"shape \(8,\)"),
        (lambda: ml_dash.Image(np.float32(0)), r"shape \(\)"),
        (lambda: ml_dash.Image(np.zeros((0, 8, 3))), r"shape \(0, 8, 3\)"),
        (lambda: ml_dash.Image(np.zeros((2, 8, 8, 3))), r"shape \(2, 8, 8, 3\)"),
        (lambda: ml_dash.Image(np.zeros((8, 8), np.int64)), "type int64"),
        (lambda: ml_dash.Image(np.zeros((8, 8), np.complex64)), "type complex64"),
        (lambda: ml_dash.Image(np.full((8, 8), None)), "type object"),
        (lambda: ml_dash.Image(np.full((8, 8), "a")), "type <U1"),
        (lambda: ml_dash.Image("notes.txt"), "does not look like an image"),
        (lambda: ml_dash.Image(PIXELS, boxes=[{"box": [1, 2]}]), "box="),
        (lambda: ml_dash.Image(PIXELS, masks={"a": PIXELS}), "H×W integers"),
        (lambda: ml_dash.Image(PIXELS, masks={"a": np.full((2, 2), 300)}), "0 to 255"),
        (lambda: ml_dash.Image(PIXELS, caption=3), "caption"),  # type: ignore[arg-type]
        (lambda: ml_dash.Video([]), "no frames"),
        (lambda: ml_dash.Video([PIXELS, PIXELS[:4]]), "different shapes"),
        (lambda: ml_dash.Video([PIXELS], format="avi"), "format='avi'"),
        (lambda: ml_dash.Audio(np.zeros(4)), "sample_rate=None"),
        (lambda: ml_dash.Audio(np.zeros(4) + 3, 8000), "up to 3"),
        (lambda: ml_dash.Audio(np.zeros(0), 8000), "shape"),
        (lambda: ml_dash.Audio(np.zeros(4, np.int64), 8000), "int64"),
        (ml_dash.Histogram, "counts= and edges= together"),
        (lambda: ml_dash.Histogram([1], counts=[1], edges=[0, 1]), "counts= and edges= together"),
        (lambda: ml_dash.Histogram(counts=[1, 2], edges=[0, 1]), "one more"),
        (lambda: ml_dash.Histogram(["a"]), "no numbers"),
        (lambda: ml_dash.Histogram(counts=[np.nan], edges=[0, 1]), r"counts=\[nan\].*finite"),
        (lambda: ml_dash.Histogram([1], bins=0), "bins=0"),
        (lambda: ml_dash.Table([], []), "columns="),
        (lambda: ml_dash.Table(["a", "a"], []), "columns="),
        (lambda: ml_dash.Table(["a"], [[1, 2]]), "row 0"),
        (lambda: ml_dash.Table(["a"], [[1], [{"b": object()}]]), "row 1 .* column 'a' a builtins.dict"),
        (
            lambda: ml_dash.Table(["a"], [[ml_dash.Text("x")]]),
            "Text, which has no form in JSON.*a field of its own",
        ),
        (lambda: ml_dash.Table(["a"], (row for row in [[1]] * 100_001)), "100,001 rows"),  # type: ignore[arg-type]
        (lambda: ml_dash.Table(["a"], range(1_000_000)), "1,000,000 rows"),  # type: ignore[arg-type] # not looked at
        (lambda: ml_dash.Table(Frame()), "1,000,000 rows"),
        (lambda: ml_dash.Text(b"x"), "bytes"),  # type: ignore[arg-type]
        (lambda: ml_dash.Points3D(np.zeros((3, 2))), r"\(3, 2\)"),
        (lambda: ml_dash.Points3D(np.full((3, 6), 300)), "0 to 255"),
        (lambda: ml_dash.Mesh("a.txt"), "does not look like a 3D model"),
    ],
)
def test_what_cannot_be_is_refused_at_once(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(InvalidArgumentError, match=says):
        make()


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(FileMissingError, match=r"gone\.png"):
        ml_dash.Image("gone.png")


def test_a_backlog_that_is_full_drops_and_says_so(exp: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "WAITING_MAX", 2)
    goes_on = threading.Event()
    monkeypatch.setattr(ml_dash.Text, "write", lambda self, file: goes_on.wait() and file.write(b"x"))
    for number in range(5):
        exp.metrics("val").log(step=number, value=ml_dash.Text("x"))
    goes_on.set()
    with pytest.warns(ValueWarning, match="3 media values of 'a/b/media' have no file"):
        exp.run.complete()
    told = [row["data"]["value"] for row in exp.metrics("val").read()["data"]]
    assert [each.get("dropped") for each in told] == [None, None, *["backlog"] * 3]
    assert len(exp.files.list("media/**")) == 2
    status = exp.status()
    assert status.logged == status.acknowledged + status.pending + sum(status.dropped.values())


def test_what_cannot_be_encoded_is_told_and_stops_nothing(
    exp: Experiment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ml_dash.Text, "write", refuse)
    exp.metrics("val").log(value=ml_dash.Text("x"))
    exp.metrics("val").log(value=ml_dash.Histogram([1, 2]))
    exp.run.complete()
    assert "No space left on device" in caplog.text
    assert len(exp.files.list("media/**")) == 1


def test_equal_contents_are_stored_once(exp: Experiment) -> None:
    for step in range(3):
        exp.metrics("val").log(step=step, value=ml_dash.Image(PIXELS))
    exp.run.complete()
    rows = exp.files.list("media/**")
    assert len(rows) == 3
    assert len({row["checksum"] for row in rows}) == 1


def test_a_run_that_has_ended_begins_nothing(tmp_path: Path) -> None:
    exp = Experiment("a/b/media", dash_root=tmp_path)
    with pytest.raises(NotStartedError):
        exp.metrics("val").log(value=ml_dash.Image(PIXELS))


@pytest.mark.parametrize("name", ["..", "a/../b", "x?y:z", ".hidden", "a" * 300, "\u202e", "/", "con/ /x"])
def test_metrics_and_fields_of_any_name(exp: Experiment, name: str) -> None:
    exp.metrics(name).log(**{name: ml_dash.Text("x")})
    exp.run.complete()
    (row,) = exp.files.list("media/**")
    assert (row["metadata"]["metric"], row["metadata"]["field"]) == (name, name)


def test_rows_of_a_group_and_with_a_time(exp: Experiment) -> None:
    exp.metrics.log(step=1, val={"value": ml_dash.Text("x")})
    exp.metrics("val").log(_ts=5.0, value=ml_dash.Text("y"))
    exp.run.complete()
    assert [row["data"]["value"]["preview"] for row in exp.metrics("val").read()["data"]] == ["x", "y"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: pillow.fromarray(PIXELS), r"ml_dash\.Image"),
        (lambda: pytest.importorskip("matplotlib.figure").Figure(), r"ml_dash\.Figure"),
        (lambda: pytest.importorskip("pandas").DataFrame({"a": [1]}), r"ml_dash\.Table"),
        (lambda: np.zeros((64, 64)), r"shape \(64, 64\).*ml_dash\.Image.*ml_dash\.Histogram"),
    ],
    ids=["pillow", "figure", "frame", "array"],
)
def test_what_is_not_wrapped_says_in_what_to_wrap_it(
    exp: Experiment, make: Callable[[], Any], says: str
) -> None:
    with pytest.warns(ValueWarning, match=says):
        exp.metrics("val").log(value=make())
    exp.metrics("val").log(value=make())  # said once
    assert exp.metrics("val").read()["total"] == 2
