"""`exp.files`: saving, listing, reading, changing and deleting, row by row of the reference and of the notes.

Each test runs in local mode, with a server beside the journal, and with a server alone.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import itertools
import json
import os
import pickle
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from ml_dash.errors import (
    ContentError,
    FileMissingError,
    FileStoreError,
    InvalidArgumentError,
    NotStartedError,
    ValueWarning,
)
from ml_dash.sdk.files.builder import FileBuilder
from ml_dash.sdk.files.manager import FilesManager
from ml_dash.server.runner import EmbeddedServer
from tests.support.seen import TOKEN
from tests.support.unreadable import unreadable

_NUMBERS = itertools.count()
MODES = ("local", "hybrid", "remote")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server for all tests: each has an experiment of its own."""
    with EmbeddedServer(data=tmp_path_factory.mktemp("server"), admin_token=TOKEN) as server:
        yield server


@pytest.fixture(
    params=[pytest.param(mode, marks=pytest.mark.slow) if mode == "hybrid" else mode for mode in MODES]
)
def mode(request: pytest.FixtureRequest) -> str:
    """Whether there is a journal that is kept, a server, or both."""
    return str(request.param)


@pytest.fixture
def place(
    mode: str, request: pytest.FixtureRequest, tmp_path: Path, root: str, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """What an experiment of this mode is made with."""
    told: dict[str, Any] = {"prefix": f"alice/proj/exp{next(_NUMBERS)}", "dash_root": root, "echo": False}
    if mode != "local":
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
        told["dash_url"] = request.getfixturevalue("server").url
    if mode == "remote":
        told["dash_root"] = None
    return told


@pytest.fixture
def exp(place: dict[str, Any]) -> Iterator[Experiment]:
    """An experiment that is open. At its end every row must be accounted for, and at a server all of them there."""
    with Experiment(**place).run as experiment:
        yield experiment
    status = experiment.status()
    assert status.logged == status.acknowledged + status.pending + sum(status.dropped.values())
    if "dash_url" in place:
        assert (status.pending, status.pending_files, dict(status.dropped)) == (0, 0, {})


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of the test's own."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def model(here: Path) -> Path:
    """A file to be saved."""
    path = here / "model.pt"
    path.write_bytes(b"weights")
    return path


def blob_path(exp: Experiment, row: dict[str, Any]) -> Path:
    """Where a content lies."""
    return Path(exp.directory, "files", row["checksum"][:2], row["checksum"])


# --- saving


def test_save_returns_the_whole_row_and_list_gives_the_same(exp: Experiment, model: Path) -> None:
    """Complete at once, with an id that the client gave."""
    row = exp.files("models").save(
        "./model.pt", description="Best", tags=["best"], metadata={"epoch": 50}, bindrs=["v1", "production"]
    )

    assert row["id"].startswith("file_")
    assert len(row["id"]) == 25
    assert (row["path"], row["filename"]) == ("/models", "model.pt")
    assert (row["description"], row["tags"], row["bindrs"]) == ("Best", ["best"], ["v1", "production"])
    assert row["metadata"] == {"epoch": 50}
    assert row["sizeBytes"] == 7
    assert row["checksum"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert row["contentType"]
    assert row["uploadedAt"] == row["updatedAt"]
    assert row["deletedAt"] is None
    assert exp.files("models").list() == [row]


def test_a_file_without_details_has_empty_ones(exp: Experiment, model: Path) -> None:
    """Lists, and no description."""
    row = exp.files().save(str(model))
    assert (row["path"], row["description"], row["tags"], row["bindrs"]) == ("/", None, [], [])


def test_the_source_is_left_alone_and_may_change_afterwards(
    exp: Experiment, model: Path, tmp_path: Path
) -> None:
    """What counts is what the file held at the call."""
    before = model.stat()
    row = exp.files("models").save(model)
    assert model.stat().st_mtime_ns == before.st_mtime_ns

    model.write_bytes(b"other weights")
    model.unlink()
    path = exp.files(file_id=row["id"]).download(str(tmp_path / "back.pt"))
    assert Path(path).read_bytes() == b"weights"


def test_equal_contents_are_stored_once(exp: Experiment, mode: str, model: Path) -> None:
    """Under their checksum; with a server alone, there and not here."""
    first, second = exp.files("a").save(model), exp.files("b").save(model, to="other.pt")
    assert first["id"] != second["id"]
    exp.flush(30)
    files = [path for path in Path(exp.directory, "files").rglob("*") if path.is_file()]
    here = [] if mode == "remote" else [blob_path(exp, first)]
    assert [path for path in files if path.parent.name != "unsent"] == here
    assert exp.files(file_id=first["id"]).read_bytes() == exp.files("b/other.pt").read_bytes() == b"weights"


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    ("path", "to", "expected"),
    [
        (None, None, "/model.pt"),
        ("models", None, "/models/model.pt"),
        ("/models/", "best.pt", "/models/best.pt"),
        ("models", "sub/best.pt", "/models/sub/best.pt"),
        ("models", "sub/", "/models/sub/model.pt"),
        ("", "best.pt", "/best.pt"),
        ("/", None, "/model.pt"),
        ("models", ".hidden", "/models/.hidden"),
        ("ünï/コード", "😀.pt", "/ünï/コード/😀.pt"),
        ("models", "CON", "/models/CON"),
        ("a.txt", "[x]*.pt", "/a.txt/[x]*.pt"),
    ],
)
def test_path_and_to_are_joined(
    exp: Experiment, model: Path, path: str | None, to: str | None, expected: str
) -> None:
    """With a leading slash in the row; it may be left out or not when it is given."""
    row = exp.files(path).save(model, to=to)
    assert f"{row['path'].rstrip('/')}/{row['filename']}" == expected
    assert exp.files(expected).list() == [row]
    assert exp.files(expected.lstrip("/")).exists()


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("/etc/passwd", "begins at the root"),
        ("../x", "step in a path"),
        ("a/../../x", "step in a path"),
        ("a//b", "is empty"),
        ("a\\b", "backslash"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("x" * 300, "300 bytes"),
        ("/".join(["y" * 200] * 6), "1205 bytes"),
        ("\ud800", "surrogate"),
        ("", "names nothing"),
        (5, "is a int"),
    ],
)
def test_a_name_that_no_file_can_have_is_refused_before_anything_is_stored(
    exp: Experiment, model: Path, to: Any, said: str
) -> None:
    """With the value and the remedy."""
    with pytest.raises(InvalidArgumentError, match=said):
        exp.files("models").save(model, to=to)
    with pytest.raises(InvalidArgumentError, match=said):
        exp.files("models").save_json({}, to=to)
    assert exp.files().list() == []
    assert not Path(exp.directory, "files").exists()


@pytest.mark.sample(4)
@pytest.mark.parametrize("path", ["../up", "a/../b", "a//b", "a\\b", "a\x01", "z" * 300, 5])
def test_a_path_that_no_file_can_have_is_refused_at_once(exp: Experiment, path: Any) -> None:
    """By `exp.files` itself."""
    with pytest.raises(InvalidArgumentError, match="path="):
        exp.files(path)


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    ("details", "said"),
    [
        ({"tags": "best"}, r"pass tags=\['best'\]"),
        ({"bindrs": "v1"}, r"pass bindrs=\['v1'\]"),
        ({"tags": [1]}, "not a list of strings"),
        ({"tags": {"a": 1}}, "not a list of strings"),
        ({"metadata": [1]}, "not a dict"),
        ({"description": 5}, "not a string"),
    ],
)
def test_details_of_the_wrong_kind_are_refused(exp: Experiment, model: Path, details: Any, said: str) -> None:
    """Given to the builder or to the method."""
    with pytest.raises(InvalidArgumentError, match=said):
        exp.files("models", **details)
    with pytest.raises(InvalidArgumentError, match=said):
        exp.files("models").save(model, **details)
    assert exp.files().list() == []


def test_what_the_builder_was_given_counts_where_the_method_was_given_nothing(
    exp: Experiment, model: Path
) -> None:
    """An empty list is something."""
    builder = exp.files("models", tags=["a"], description="d", metadata={"x": 1})
    assert builder.save(model)["tags"] == ["a"]
    row = builder.save(model, tags=[], description="other")
    assert (row["tags"], row["description"], row["metadata"]) == ([], "other", {"x": 1})


def test_metadata_that_cannot_be_stored_is_stored_as_its_repr_with_one_warning(exp: Experiment) -> None:
    """And the row says so at once."""
    with pytest.warns(ValueWarning, match=r"metadata\.o"):
        row = exp.files.save_text("x", to="x.txt", metadata={"o": object, "n": 1})
    exp.files.save_text("x", to="y.txt", metadata={"o": object})  # a second warning would be an error
    assert row["metadata"]["n"] == 1
    assert row["metadata"]["o"]["__type__"] == "builtins.type"
    assert exp.files("x.txt").list() == [row]


def test_a_missing_file_is_refused(exp: Experiment, here: Path) -> None:
    """As Python's own errors, and nothing is listed."""
    with pytest.raises(FileNotFoundError, match=r"nothing\.pt"):
        exp.files("models").save("nothing.pt")
    with pytest.raises(InvalidArgumentError, match="local_path=None"):
        exp.files("models").save(None)  # type: ignore[arg-type]
    assert exp.files().list() == []


def test_a_file_of_no_bytes_is_a_file(exp: Experiment, here: Path, tmp_path: Path) -> None:
    """Saved and read as any other."""
    (here / "empty").touch()
    row = exp.files().save("empty")
    assert row["sizeBytes"] == 0
    path = exp.files(file_id=row["id"]).download(tmp_path / "back")
    assert Path(path).read_bytes() == b""


def test_upload_is_another_name_of_save(exp: Experiment, model: Path) -> None:
    """Of builders and of `exp.files`."""
    assert exp.files("m").upload(model)["path"] == "/m"
    assert exp.files.upload(model, to="dir/name.pt")["filename"] == "name.pt"


# --- contents made here


def test_json_text_bytes_and_pickles_are_saved(exp: Experiment) -> None:
    """Read back as they were."""
    exp.files("configs").save_json({"lr": 0.001}, to="config.json")
    exp.files("notes").save_text("grüße\n", to="a.txt")
    exp.files("raw").save_blob(b"\0\1", "b.bin")
    exp.files("data").save_pkl({"results": [1, 2, 3]}, to="data.pkl")

    assert json.loads(exp.files("configs/config.json").read_text()) == {"lr": 0.001}
    assert exp.files("notes/a.txt").read_text() == "grüße\n"
    assert exp.files("raw/b.bin").read_bytes() == b"\0\1"
    assert pickle.loads(exp.files.read_bytes("data/data.pkl")) == {"results": [1, 2, 3]}


@pytest.mark.slow
def test_figures_pictures_videos_and_models_are_read_back_as_they_were_saved(exp: Experiment) -> None:
    """Whatever made the content, it is checked by its hash on its way back."""
    import matplotlib as mpl
    import numpy as np

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    axes.plot([1, 2])
    frames = np.zeros((4, 16, 16, 3), np.uint8)
    rows = [
        exp.files("plots").save_fig(figure, to="a.png", dpi=50),
        exp.files("plots").save_fig(to="b.pdf"),
        exp.files("images").save_image(frames[0], to="c.png"),
        exp.files("videos").save_video(frames, to="d.mp4", fps=4),
        exp.files("videos").save_video(list(frames[..., 0] / 255), to="e.gif"),
    ]
    plt.close(figure)
    starts = [b"\x89PNG", b"%PDF", b"\x89PNG", b"\0\0\0", b"GIF8"]
    for row, start in zip(rows, starts, strict=True):
        content = exp.files(file_id=row["id"]).read_bytes()
        assert content.startswith(start)
        assert hashlib.sha256(content).hexdigest() == row["checksum"]
    if importlib.util.find_spec("torch"):
        import torch

        exp.files("models").save_torch({"w": torch.ones(2)}, to="model.pt")
        exp.files("models/model.pt").download("model.pt")
        assert torch.load("model.pt", weights_only=True)["w"].tolist() == [1.0, 1.0]


def test_frames_and_names_that_make_no_video_are_refused(exp: Experiment) -> None:
    """As a ValueError that says what is allowed; nothing is listed."""
    import numpy as np

    frames = np.zeros((2, 16, 16), np.uint8)
    with pytest.raises(ValueError, match="frame"):
        exp.files("videos").save_video([], to="a.mp4")
    with pytest.raises(ValueError, match=r"\.gif.*\.mp4|\.mp4.*\.gif"):
        exp.files("videos").save_video(frames, to="a.xyz")
    with pytest.raises(ValueError, match="shape"):
        exp.files("videos").save_video(np.zeros((2, 16, 16, 7), np.uint8), to="a.mp4")
    with pytest.raises(ValueError, match=r"\.png"):
        exp.files("images").save_image(frames[0], to="a.xyz")
    assert exp.files.list() == []


def test_what_is_no_text_and_no_bytes_is_refused(exp: Experiment) -> None:
    """With what to do instead."""
    with pytest.raises(InvalidArgumentError, match="takes a str"):
        exp.files.save_text(b"x", to="a")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="save_text"):
        exp.files.save_blob("x", to="a")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="save_blob"):
        exp.files.save_text("\ud800", to="a")
    with pytest.raises(InvalidArgumentError, match="to= is missing"):
        exp.files.save_fig()
    assert exp.files.list() == []


def test_positional_arguments_are_those_of_the_reference() -> None:
    """In its order and with its names, and the direct forms have them too."""
    documented = {
        "save": ["local_path"],
        "save_json": ["content", "to"],
        "save_torch": ["model", "to"],
        "save_pkl": ["content", "to"],
        "save_fig": ["fig", "to"],
        "save_video": ["frames", "to", "fps"],
        "save_text": ["text", "to"],
        "save_image": ["image", "to"],
        "duplicate": ["source", "to"],
    }
    for owner in (FileBuilder, FilesManager):
        for name, expected in documented.items():
            parameters = inspect.signature(getattr(owner, name)).parameters.values()
            positional = [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
            assert positional[1:] == expected, name


# --- before and after the run


def test_a_write_needs_an_open_run_and_copies_nothing_without(place: dict[str, Any], model: Path) -> None:
    """Before the start and after the end, and by a builder that was kept from before."""
    exp = Experiment(**place)
    kept = exp.files("models")
    for _ in range(2):
        for write in (
            lambda: kept.save(model),
            lambda: kept.save_json({}, to="a.json"),
            lambda: kept.save_video([], to="a.mp4"),
            lambda: kept.duplicate("x", to="y"),
            lambda: exp.files(file_id="x", tags=[]).update(),
            lambda: exp.files(file_id="x").delete(),
        ):
            with pytest.raises(NotStartedError, match="not started"):
                write()
        assert not Path(exp.directory, "files").exists()
        with exp.run:
            pass


def test_reading_needs_no_open_run(place: dict[str, Any], model: Path) -> None:
    """That is how an ended run is read."""
    with Experiment(**place).run as exp:
        row = exp.files("models").save(model)
    other = Experiment(**place)
    assert other.files.list() == [row]
    assert other.files("models/model.pt").exists()
    assert Path(other.files(file_id=row["id"]).download("copy.pt")).read_bytes() == b"weights"
    assert other.run.status is None


# --- listing


def test_files_are_listed_by_path_segments_tags_and_bindrs(exp: Experiment) -> None:
    """`models` does not match `models2`; of tags, any is enough."""
    for name, tags in [("models/a.pt", ["checkpoint"]), ("models/x/b.pt", ["best"]), ("models2/c.pt", [])]:
        exp.files.save_text(name, to=name, tags=tags, bindrs=[name[-4]])

    def names(rows: list[dict[str, Any]]) -> list[str]:
        return [row["filename"] for row in rows]

    assert names(exp.files().list()) == ["a.pt", "b.pt", "c.pt"]
    assert names(exp.files("models").list()) == names(exp.files("/models/").list()) == ["a.pt", "b.pt"]
    assert names(exp.files(tags=["checkpoint", "best"]).list()) == ["a.pt", "b.pt"]
    assert names(exp.files("models", tags=["best"]).list()) == ["b.pt"]
    assert names(exp.files(bindrs=["c"]).list()) == ["c.pt"]
    assert names(exp.files("models/*.pt").list()) == ["a.pt"]
    assert names(exp.files.list("**/b.*")) == ["b.pt"]
    assert names(exp.files.list("nothing")) == []


def test_the_newest_version_is_listed_and_older_ones_stay_readable(exp: Experiment) -> None:
    """By their ids."""
    first = exp.files.save_text("one", to="notes.txt")
    second = exp.files.save_text("two", to="notes.txt")
    assert exp.files.list() == [second]
    assert exp.files("notes.txt").read_text() == "two"
    assert exp.files(file_id=first["id"]).read_text() == "one"

    exp.files(file_id=second["id"]).delete()
    assert exp.files.list() == []
    assert not exp.files("notes.txt").exists()
    third = exp.files.save_text("three", to="notes.txt")
    assert exp.files.list() == [third]


# --- downloading


def test_a_download_without_a_destination_has_the_files_own_name(
    exp: Experiment, model: Path, here: Path
) -> None:
    """In the working directory."""
    row = exp.files("models").save(model)
    model.unlink()
    path = exp.files(file_id=row["id"]).download()
    assert path == "model.pt"
    assert (here / "model.pt").read_bytes() == b"weights"


def test_a_download_goes_where_it_is_asked_to(exp: Experiment, model: Path, here: Path) -> None:
    """A file's path, an existing directory, or one that is made for it."""
    exp.files("models").save(model)
    by_name = exp.files("models/model.pt")
    (here / "there").mkdir()
    assert by_name.download("there") == os.path.join("there", "model.pt")
    assert by_name.download("new/") == os.path.join("new/", "model.pt")
    assert by_name.download(dest_path="deep/er/x.pt") == "deep/er/x.pt"
    assert exp.files("models/model.pt", dest_path="y.pt").download() == "y.pt"
    assert exp.files.download("models/model.pt", "z.pt") == "z.pt"
    for path in ("there/model.pt", "new/model.pt", "deep/er/x.pt", "y.pt", "z.pt"):
        assert (here / path).read_bytes() == b"weights"
    with pytest.raises(InvalidArgumentError, match="dest_path=5"):
        by_name.download(5)  # type: ignore[arg-type]


def test_a_download_replaces_a_file_that_is_there(exp: Experiment, model: Path, here: Path) -> None:
    """In one step; a directory of that name is where the file goes."""
    exp.files("models").save(model)
    (here / "x.pt").write_bytes(b"something that is longer than the weights")
    assert exp.files("models/model.pt").download("x.pt") == "x.pt"
    assert (here / "x.pt").read_bytes() == b"weights"
    assert sorted(path.name for path in here.iterdir()) == ["model.pt", "x.pt"]


def test_a_content_that_cannot_be_looked_at_is_not_said_to_be_removed(model: Path, here: Path) -> None:
    """The error says what the system says; afterwards it is there."""
    with Experiment("alice/proj/unread", dash_root=here / "root", echo=False).run as exp:
        row = exp.files("models").save(model)
        with unreadable(blob_path(exp, row)), pytest.raises(FileStoreError, match="cannot read"):
            exp.files("models/model.pt").download("x.pt")
        exp.files("models/model.pt").download("x.pt")
    assert (here / "x.pt").read_bytes() == b"weights"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes and links like these")
def test_a_download_writes_into_what_is_no_file(exp: Experiment, model: Path, here: Path) -> None:
    """A pipe is read, a device swallows, a link is followed; all of them stay, and nothing is left beside them."""
    exp.files("models").save(model)
    by_name = exp.files("models/model.pt")
    os.mkfifo(here / "pipe")
    (here / "behind").write_bytes(b"before")
    (here / "link").symlink_to("behind")
    (here / "dangling").symlink_to("later")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((here / "pipe").read_bytes()))
    reader.start()
    assert by_name.download("pipe") == "pipe"
    reader.join()
    assert got == [b"weights"]
    assert stat.S_ISFIFO((here / "pipe").stat().st_mode)
    for link, behind in (("link", "behind"), ("dangling", "later")):
        assert by_name.download(link) == link
        assert (here / link).is_symlink()
        assert (here / behind).read_bytes() == b"weights"
    assert sorted(path.name for path in here.iterdir()) == [
        "behind",
        "dangling",
        "later",
        "link",
        "model.pt",
        "pipe",
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes and links like these")
def test_what_the_user_has_not_named_is_no_place_for_a_download(exp: Experiment, here: Path) -> None:
    """A link or a pipe that has the file's own name, in a directory that was named."""
    exp.files.save_text("x", to="a.txt")
    (here / "out").mkdir()
    (here / "elsewhere").write_bytes(b"before")
    for is_pipe in (False, True):
        if is_pipe:
            os.mkfifo(here / "out" / "a.txt")
        else:
            (here / "out" / "a.txt").symlink_to(here / "elsewhere")
        (here / "a.txt").symlink_to(here / "out" / "a.txt")
        for name, dest in (("a.txt", "out"), ("a.txt", None), ("*", "out")):
            with pytest.raises(FileStoreError, match="have not named"):
                exp.files(name).download(dest)
        (here / "out" / "a.txt").unlink()
        (here / "a.txt").unlink()
    assert (here / "elsewhere").read_bytes() == b"before"


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to the superuser"
)
def test_a_source_that_may_not_be_read_is_refused(exp: Experiment, model: Path) -> None:
    model.chmod(0)
    with pytest.raises(FileStoreError, match=r"model\.pt"):
        exp.files("models").save(model)
    assert exp.files.list() == []


def test_a_pattern_downloads_all_below_a_directory(exp: Experiment, here: Path) -> None:
    """Under their paths."""
    for name in ("models/a.pt", "models/x/b.pt", "notes.txt"):
        exp.files.save_text(name, to=name)
    paths = exp.files("models/**").download("out")
    assert sorted(paths) == [
        os.path.join("out", "models", "a.pt"),
        os.path.join("out", "models", "x", "b.pt"),
    ]
    assert (here / "out/models/x/b.pt").read_text() == "models/x/b.pt"
    assert not (here / "out/notes.txt").exists()
    assert exp.files("*.nothing").download("out") == []
    for path in ("notes.txt", os.devnull):
        (here / "notes.txt").write_text("mine")
        with pytest.raises(InvalidArgumentError, match="is not a directory"):
            exp.files("models/**").download(path)
    assert (here / "notes.txt").read_text() == "mine"


def test_a_pattern_never_writes_outside_the_directory_through_a_link(exp: Experiment, here: Path) -> None:
    """Where somebody put one there."""
    exp.files.save_text("x", to="models/a.pt")
    (here / "out").mkdir()
    (here / "elsewhere").mkdir()
    (here / "out" / "models").symlink_to(here / "elsewhere", target_is_directory=True)
    with pytest.raises(FileStoreError, match="leads out"):
        exp.files("models/*").download("out")
    assert list((here / "elsewhere").iterdir()) == []


def test_a_file_and_a_directory_of_one_name_both_come(exp: Experiment, here: Path) -> None:
    """The file under another name, of which a warning tells."""
    contents = {"model": "1", "model/config.json": "2", "model (2)": "3", "data/x": "4", "data": "5"}
    for name, text in contents.items():
        exp.files.save_text(text, to=name)
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"'model' is .*model \(3\)") as told:
            paths = exp.files("**").download("out")
        assert len(told) == 1
        assert len(set(paths)) == 5
        got = {str(path.relative_to(here / "out")): path.read_text() for path in (here / "out").rglob("*.*")}
        assert got == {os.path.join("model", "config.json"): "2"}
        assert [Path(path).read_text() for path in sorted(paths)] == ["5", "4", "3", "1", "2"]
    assert {path.name for path in (here / "out").iterdir()} == {
        "data",
        "data (2)",
        "model",
        "model (2)",
        "model (3)",
    }


@pytest.mark.parametrize("mode", ["local", "hybrid"], indirect=True)
def test_a_damaged_content_is_not_given_out(
    place: dict[str, Any], model: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no server has a right one; and an existing file at the destination stays as it is."""
    if "dash_url" in place:
        place["dash_url"] = "http://127.0.0.1:9"  # nobody listens there
        monkeypatch.setenv("ML_DASH_START_TIMEOUT", "0")
        monkeypatch.setenv("ML_DASH_FLUSH_TIMEOUT", "0.1")
    exp = Experiment(**place)
    with exp.run:
        row = exp.files("models").save(model)
        blob_path(exp, row).chmod(0o600)
        blob_path(exp, row).write_bytes(b"WEIGHTS")
        (here / "x.pt").write_bytes(b"before")
        with pytest.raises(ContentError, match=r"checksum|content"):
            exp.files(file_id=row["id"]).download("x.pt")
        with pytest.raises(ContentError):
            exp.files(file_id=row["id"]).read_bytes()
    assert (here / "x.pt").read_bytes() == b"before"
    assert sorted(path.name for path in here.iterdir()) == ["model.pt", "x.pt"]


def test_a_content_that_is_damaged_here_and_right_at_the_server_comes_from_there(
    exp: Experiment, mode: str, model: Path
) -> None:
    """So does one that was removed here; on this disk alone it is missed, with its name."""
    row = exp.files("models").save(model)
    exp.flush(30)
    blob_path(exp, row).unlink(missing_ok=mode == "remote")  # there it is gone as soon as it has arrived
    if mode != "remote":
        blob_path(exp, row).write_bytes(b"WEIGHTS")
    if mode != "local":
        assert exp.files(file_id=row["id"]).read_bytes() == b"weights"
    blob_path(exp, row).unlink(missing_ok=mode == "remote")
    if mode != "local":
        assert exp.files(file_id=row["id"]).read_bytes() == b"weights"
    else:
        with pytest.raises(FileMissingError, match=r"models/model\.pt"):
            exp.files(file_id=row["id"]).download("x.pt")


def test_what_is_not_there_is_missed_with_what_to_do(exp: Experiment, model: Path) -> None:
    """Ids, names, and what is named by neither."""
    exp.files("models").save(model)
    with pytest.raises(FileMissingError, match="no file with the id 'abc123'"):
        exp.files(file_id="abc123").download()
    with pytest.raises(FileMissingError, match=r"no file 'models'.*'models/\*\*'"):
        exp.files("models").read_bytes()
    with pytest.raises(FileMissingError, match=r"no file 'model'.*'model/\*\*'"):
        exp.files("model").download()
    with pytest.raises(InvalidArgumentError, match="does not know which file"):
        exp.files().download()
    with pytest.raises(InvalidArgumentError, match="file_id=''"):
        exp.files(file_id="")
    assert not exp.files("models").exists()
    assert not exp.files("x/y").exists()
    assert not exp.files(file_id="file_aaaaaaaaaaaaaaaaaaaa").exists()


def test_text_that_is_none_says_so(exp: Experiment) -> None:
    """And how to get at it."""
    exp.files.save_blob(b"\xff", to="b.bin")
    with pytest.raises(InvalidArgumentError, match="read_bytes"):
        exp.files("b.bin").read_text()


# --- changing


def test_update_changes_only_what_was_given(exp: Experiment, model: Path) -> None:
    """By id or by name; the row that it returns is the one that is listed."""
    row = exp.files("models").save(model, description="d", tags=["a"], metadata={"x": 1}, bindrs=["b"])

    updated = exp.files(
        file_id=row["id"], description="Updated", tags=["new"], metadata={"version": "2.0"}
    ).update()
    assert (updated["description"], updated["tags"], updated["metadata"]) == (
        "Updated",
        ["new"],
        {"version": "2.0"},
    )
    assert updated["bindrs"] == ["b"]
    assert updated["uploadedAt"] == row["uploadedAt"]
    assert updated["updatedAt"] > row["updatedAt"]
    assert exp.files.list() == [updated]

    emptied = exp.files.update("models/model.pt", description="", tags=[], metadata={})
    assert (emptied["description"], emptied["tags"], emptied["metadata"]) == ("", [], {})
    assert exp.files.list() == [emptied]


def test_update_needs_a_file_and_something_to_change(exp: Experiment, model: Path) -> None:
    """And says so."""
    row = exp.files("models").save(model)
    with pytest.raises(InvalidArgumentError, match="does not know which file"):
        exp.files(tags=["x"]).update()
    with pytest.raises(InvalidArgumentError, match="nothing to change"):
        exp.files(file_id=row["id"]).update()
    with pytest.raises(FileMissingError):
        exp.files(file_id="unknown", tags=["x"]).update()


def test_a_deleted_file_is_not_listed_and_its_download_says_since_when(
    exp: Experiment, mode: str, model: Path
) -> None:
    """Deleting again changes nothing; its content stays on this disk, where that is kept at all."""
    row = exp.files("models").save(model)
    deleted = exp.files(file_id=row["id"]).delete()
    assert deleted["deletedAt"] is not None
    assert {**deleted, "deletedAt": None} == row
    assert exp.files(file_id=row["id"]).delete() == deleted
    assert exp.files.list() == []
    for builder in (exp.files(file_id=row["id"]), exp.files("models/model.pt")):
        with pytest.raises(FileNotFoundError, match=f"deleted at {deleted['deletedAt']}"):
            builder.download("x")
    with pytest.raises(FileMissingError, match="deleted at"):
        exp.files(file_id=row["id"], tags=["x"]).update()
    assert mode == "remote" or blob_path(exp, row).exists()


def test_a_pattern_deletes_all_that_it_matches(exp: Experiment) -> None:
    """And returns their rows; a path without a pattern is one file's."""
    for name in ("tmp/a", "tmp/b", "kept"):
        exp.files.save_text(name, to=name)
    rows = exp.files.delete("tmp/*")
    assert [row["filename"] for row in rows] == ["a", "b"]
    assert all(row["deletedAt"] for row in rows)
    assert [row["filename"] for row in exp.files.list()] == ["kept"]
    assert exp.files("kept").delete()["filename"] == "kept"
    with pytest.raises(InvalidArgumentError, match="which file"):
        exp.files().delete()


def test_a_name_with_characters_of_patterns_is_that_files(exp: Experiment) -> None:
    """Before it is a pattern."""
    exp.files.save_text("x", to="a[1].txt")
    exp.files.save_text("y", to="a1.txt")
    assert exp.files("a[1].txt").read_text() == "x"
    assert [row["filename"] for row in exp.files("a[1].txt").list()] == ["a[1].txt"]
    assert exp.files("a[1].txt").delete()["filename"] == "a[1].txt"


def test_a_duplicate_has_the_content_and_the_details_of_its_source(exp: Experiment, model: Path) -> None:
    """By row, id or name; what is given wins."""
    row = exp.files("models").save(model, tags=["a"], metadata={"x": 1}, description="d")
    for source in (row, row["id"], "models/model.pt", "/models/model.pt"):
        copy = exp.files("best").duplicate(source, to="final.pt", description="best")
        assert copy["id"] != row["id"]
        assert (copy["path"], copy["filename"], copy["checksum"]) == ("/best", "final.pt", row["checksum"])
        assert (copy["tags"], copy["metadata"], copy["description"]) == (["a"], {"x": 1}, "best")
    assert exp.files.duplicate(row, to="kept/")["filename"] == "model.pt"
    assert exp.files("best/final.pt").read_bytes() == b"weights"
    with pytest.raises(FileMissingError):
        exp.files.duplicate("nothing", to="x")
    with pytest.raises(InvalidArgumentError, match="source="):
        exp.files.duplicate(5, to="x")


def test_every_row_is_accounted_for(exp: Experiment, model: Path) -> None:
    """Rows of files are rows as any others."""
    exp.files("models").save(model)
    exp.files.delete("models/model.pt")
    result = exp.flush()
    assert (result.durable, result.pending) == (2, 0)
    assert exp.status().logged == 2


# --- aliases


def test_an_alias_is_one_version_and_moves_with_one_call(exp: Experiment, tmp_path: Path) -> None:
    """Whichever mode; of a pattern, of each name the version that it means."""
    first = exp.files("ckpt").save_text("one", to="a.txt", aliases=["best", "latest"])
    second = exp.files("ckpt").save_text("two", to="a.txt")
    exp.files("ckpt").save_text("other", to="b.txt", aliases=["best"])
    assert (first["aliases"], second["aliases"]) == (["best"], [])
    assert exp.files("ckpt/a.txt", alias="best").read_text() == "one"
    assert exp.files("ckpt/a.txt", alias="latest").read_text() == exp.files("ckpt/a.txt").read_text() == "two"
    assert exp.files("ckpt/a.txt").alias("best", "prod")["aliases"] == ["best", "prod"]
    assert exp.files("ckpt/a.txt", alias="best").read_text() == "two"
    assert [row["aliases"] for row in exp.files("ckpt/*.txt", alias="best").list()] == [
        ["best", "prod"],
        ["best"],
    ]
    back = exp.files(file_id=first["id"]).alias("best")
    assert back["aliases"] == ["best"]
    assert exp.files(file_id=second["id"]).list()[0]["aliases"] == ["prod"]
    paths = exp.files("ckpt", alias="best").download(tmp_path / "back")
    assert sorted(Path(path).read_text() for path in paths) == ["one", "other"]
    assert exp.files("ckpt/a.txt", alias="best").unalias("best")["aliases"] == []
    assert not exp.files("ckpt/a.txt", alias="best").exists()
    with pytest.raises(FileMissingError, match=r"no version of 'ckpt/a\.txt' has the alias 'best'"):
        exp.files("ckpt/a.txt", alias="best").download(tmp_path / "none")


def test_every_save_takes_aliases(exp: Experiment, model: Path) -> None:
    saves = exp.files("x")
    saved = [
        saves.save(model, aliases=["a"]),
        saves.save_json({}, to="b.json", aliases=["a"]),
        saves.save_blob(b"", to="c", aliases=["a"]),
        saves.save_pkl({}, to="d.pkl", aliases=["a"]),
        saves.duplicate("x/b.json", to="e.json", aliases=["a"]),
    ]
    assert [row["aliases"] for row in saved] == [["a"]] * 5
    assert len(exp.files("x", alias="a").list()) == 5


@pytest.mark.sample(4)
@pytest.mark.parametrize("wrong", ["best", [""], [" x"], ["a\n"], ["x" * 65], [7], 7])
def test_what_cannot_be_an_alias_is_refused_before_anything_is_saved(exp: Experiment, wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="alias"):
        exp.files.save_text("x", to="a.txt", aliases=wrong)
    assert exp.files.list() == []


def test_latest_is_given_to_nobody(exp: Experiment) -> None:
    exp.files.save_text("x", to="a.txt")
    for names in ((), ("latest",)):
        with pytest.raises(InvalidArgumentError, match="always means the newest"):
            exp.files("a.txt").alias(*names)
    with pytest.raises(InvalidArgumentError, match="is no alias"):
        exp.files("a.txt", alias="")
