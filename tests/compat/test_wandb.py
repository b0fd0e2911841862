"""The module of wandb's shape, by the calls that scripts written for wandb make."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ml_dash
from ml_dash import FileMissingError, InvalidArgumentError, InvalidCallError, ResumeError, UnknownNameError
from ml_dash.compat import wandb
from tests.support.scripts import python


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ML_DASH_ECHO", "0")
    yield
    wandb.finish()


def start(**arguments: Any) -> wandb.Run:
    return wandb.init(project="vision", entity="alice", name="first", **arguments)


def rows(metric: str | None, prefix: str = "alice/vision/first") -> list[dict[str, Any]]:
    read = ml_dash.open(prefix).metrics(metric).read(limit=10_000)
    return [{name: value for name, value in row["data"].items() if name != "_ts"} for row in read["data"]]


def status(prefix: str = "alice/vision/first") -> str:
    return str(ml_dash.open(prefix).view.attempts()[-1]["status"])


def test_a_script_written_for_wandb_logs_an_experiment() -> None:
    with start(config={"lr": 0.1}, tags=["baseline"], notes="the first") as run:
        assert vars(wandb)["run"] is run
        for step in range(3):
            wandb.log({"train/loss": 1 / (step + 1), "train/acc": 0.5, "lr": 0.1})
        wandb.config.update({"epochs": 3})
        wandb.config.layers = [1, 2]
        wandb.summary["best"] = 0.9
        assert (run.config.lr, run.config["epochs"], run.summary["train/loss"]) == (0.1, 3, 1 / 3)
    assert vars(wandb)["run"] is None
    assert rows("train") == [{"step": step, "loss": 1 / (step + 1), "acc": 0.5} for step in range(3)]
    assert rows(None)[2] == {"step": 2, "lr": 0.1}
    read = ml_dash.open("alice/vision/first")
    assert read.params.get() == {"lr": 0.1, "epochs": 3, "layers": [1, 2], "summary.best": 0.9}
    assert (read.tags, read.readme, status()) == (["baseline"], "the first", "COMPLETED")


def test_a_row_is_what_is_logged_until_it_is_committed() -> None:
    run = start()
    run.log({"a": 1}, commit=False)
    run.log({"b": 2})
    run.log({"a": 3}, step=7)
    run.log({"b": 4}, step=7)
    run.log({"a": 5}, step=8, commit=True)
    run.log({"a": 6}, step=2)
    run.finish()
    assert rows(None) == [
        {"step": 0, "a": 1, "b": 2},
        {"step": 7, "a": 3, "b": 4},
        {"step": 8, "a": 5},
        {"step": 2, "a": 6},
    ]


def test_a_row_that_was_not_committed_is_logged_when_the_script_ends(tmp_path: Path) -> None:
    script = """
    import ml_dash.compat.wandb as wandb
    wandb.init(project="vision", entity="alice", name="first")
    wandb.log({"a": 1}, step=4)
    """
    python(script, tmp_path)
    assert rows(None) == [{"step": 4, "a": 1}]
    assert status() == "COMPLETED"


def test_a_metric_counts_by_the_value_that_it_was_defined_by() -> None:
    run = start()
    run.define_metric("train/global_step")
    run.define_metric("*", step_metric="train/global_step")
    run.define_metric("val/*", step_metric="epoch")
    run.define_metric("val/loss", summary="min")
    run.define_metric("eval/loss", summary="best", goal="minimize")
    run.define_metric("eval/*", summary="last")
    run.log({"train/loss": 0.5, "train/global_step": 100})
    run.log({"eval/loss": 0.6, "train/global_step": 100})
    run.log({"val/loss": 0.7, "epoch": 3})
    run.finish()
    assert rows("train") == [{"step": 100, "loss": 0.5, "global_step": 100}]
    assert rows("eval") == [{"step": 100, "loss": 0.6}]
    assert rows("val") == [{"step": 3, "loss": 0.7}]
    assert ml_dash.open("alice/vision/first").metrics("val").best("loss") == (0.7, 3)


def test_a_run_that_dies_has_failed() -> None:
    with pytest.raises(ZeroDivisionError), start():
        raise ZeroDivisionError("by zero")
    newest = ml_dash.open("alice/vision/first").view.attempts()[-1]
    assert (newest["status"], newest["error"]) == ("FAILED", "ZeroDivisionError: by zero")
    start()
    wandb.finish(exit_code=3)
    assert status() == "FAILED"


def test_a_run_that_is_resumed_counts_on() -> None:
    for step in (0, 2):
        run = wandb.init(project="vision", entity="alice", id="abc", name="pretty", resume="allow")
        assert (run.step, run.resumed, run.id, run.name) == (step, step > 0, "abc", "pretty")
        run.log({"a": 1})
        run.log({"a": 2})
        run.finish()
    assert [row["step"] for row in rows(None, "alice/vision/abc")] == [0, 1, 2, 3]
    with pytest.raises(ResumeError):
        wandb.init(project="vision", entity="alice", id="new", resume="must")
    with pytest.raises(InvalidArgumentError, match="resume='always' is not known"):
        wandb.init(project="vision", resume="always")


def test_names_that_nobody_gave_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "speech/{n}")
    monkeypatch.setenv("WANDB_ENTITY", "bob")
    paths = []
    for _ in range(2):
        paths.append(wandb.init(group="sweep").path)
        wandb.finish()
    assert paths == ["bob/speech-(n)/sweep/run-1", "bob/speech-(n)/sweep/run-2"]


def test_an_open_run_is_returned_unless_another_one_is_wanted() -> None:
    first = start()
    assert wandb.init(config={"late": 1}) is first
    assert first.config.late == 1
    assert wandb.init(project="vision", entity="alice", name="second", reinit=True) is not first
    assert status() == "COMPLETED"


def test_a_disabled_run_takes_everything_and_leaves_nothing(tmp_path: Path) -> None:
    run = wandb.init(mode="disabled", config={"lr": 0.1})
    run.log({"a": 1, "image": wandb.Image(np.zeros((2, 2)))})
    run.define_metric("*", step_metric="a")
    run.watch(object())
    run.save("*.pt")
    run.log_artifact(__file__)
    run.summary["x"] = run.config.lr
    run.finish()
    assert list(tmp_path.iterdir()) == []


def test_media_are_values_of_their_row(tmp_path: Path) -> None:
    (tmp_path / "here.png").write_bytes(b"as it is")
    boxes = {
        "predictions": {
            "box_data": [
                {
                    "position": {"minX": 0, "minY": 0.5, "maxX": 1, "maxY": 1},
                    "class_id": 3,
                    "scores": {"p": 0.5},
                },
                {"position": {"middle": [2, 2], "width": 2, "height": 2}, "domain": "pixel"},
            ],
            "class_labels": {3: "cat"},
        }
    }
    masks = {"truth": {"mask_data": np.zeros((4, 5), np.uint8)}}
    run = start()
    run.log(
        {
            "val/image": wandb.Image(
                np.zeros((3, 4, 5), np.uint8), caption="black", boxes=boxes, masks=masks
            ),
            "val/bright": wandb.Image(np.full((4, 5, 3), 255.0)),
            "val/several": [wandb.Image(np.zeros((2, 2))), wandb.Image("here.png")],
            "val/nested": {"deep": wandb.Image(np.zeros((2, 2)))},
            "sound": wandb.Audio(np.zeros(16), sample_rate=16),
            "page": wandb.Html("<b>bold</b>"),
            "weights": wandb.Histogram([0.0, 1.0, 1.0], num_bins=2),
            "known": wandb.Histogram(np_histogram=([1, 2], [0, 1, 2])),
            "points": wandb.Object3D(np.zeros((2, 3))),
        },
        step=5,
    )
    run.finish()
    (row,) = rows("val")
    assert row.keys() == {"step", "image", "bright", "several.0", "several.1", "nested.deep"}
    image = row["image"]
    assert (image["caption"], image["width"], image["height"]) == ("black", 5, 4)
    assert image["boxes"] == [
        {"box": [0, 2.0, 5, 4], "label": "cat", "score": 0.5},
        {"box": [1.0, 1.0, 3.0, 3.0], "label": "predictions"},
    ]
    files = ml_dash.open("alice/vision/first").files
    assert files(image["masks"]["truth"]["file"]).exists()
    assert files(row["several.1"]["file"]).read_bytes() == b"as it is"
    (other,) = rows(None)
    assert files(other["sound"]["file"]).read_bytes()[:4] == b"RIFF"
    assert files(other["page"]["file"]).read_text() == "<b>bold</b>"
    assert json.loads(files(other["weights"]["file"]).read_text())["counts"] == [1, 2]
    assert json.loads(files(other["known"]["file"]).read_text())["edges"] == [0, 1, 2]
    assert other["points"]["_type"] == "points"


def test_a_video_and_figures_are_values_of_their_row() -> None:
    pytest.importorskip("imageio_ffmpeg")
    figure = pytest.importorskip("matplotlib.figure").Figure()
    run = start()
    run.log({"video": wandb.Video(np.zeros((4, 3, 16, 16), np.uint8), fps=8), "figure": figure}, step=1)
    run.finish()
    (row,) = rows(None)
    files = ml_dash.open("alice/vision/first").files
    assert row["video"]["file"].endswith(".mp4")
    assert files(row["video"]["file"]).exists()
    assert files(row["figure"]["file"]).exists()


def test_a_table_keeps_its_cells_and_their_media() -> None:
    table = wandb.Table(columns=["text", "score"], data=[["a", 0.5]])
    table.add_data("b", np.float32(0.25))
    table.add_column("image", [wandb.Image(np.zeros((2, 2))), None])
    assert table.get_column("text") == ["a", "b"]
    with pytest.raises(InvalidArgumentError, match="a row of 1 cells does not fit 3 columns"):
        table.add_data("c")
    run = start()
    run.log({"samples": table})
    run.log({"empty": wandb.Table(columns=["a"])})
    run.finish()
    row = rows(None)[0]
    files = ml_dash.open("alice/vision/first").files
    written = json.loads(files(row["samples"]["file"]).read_text())
    assert written["columns"] == ["text", "score", "image"]
    assert written["rows"] == [["a", 0.5, "samples.image.0"], ["b", 0.25, None]]
    assert files(row["samples.image.0"]["file"]).exists()


def test_a_table_that_cannot_be_kept_costs_itself_alone(caplog: pytest.LogCaptureFixture) -> None:
    run = start()
    run.log({"loss": 0.5, "table": wandb.Table(columns=["a", "a"])})
    run.finish()
    assert rows(None) == [{"step": 0, "loss": 0.5}]
    assert "table of step 0 was not saved: columns=['a', 'a']" in caplog.text


def logged(run: wandb.Run, files: dict[str, str], aliases: list[str] | None = None) -> wandb.Artifact:
    artifact = wandb.Artifact("model", type="model", metadata={"size": len(files)})
    for name, content in files.items():
        with artifact.new_file(name) as file:
            file.write(content)
    return run.log_artifact(artifact, aliases=aliases).wait()


def used(run: wandb.Run, wanted: str, place: Path) -> dict[str, str]:
    directory = Path(run.use_artifact(wanted).download(place))
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_text() for path in paths}


def test_artifacts_have_versions_and_aliases(tmp_path: Path) -> None:
    run = start()
    logged(run, {"a.bin": "1", "deep/note.txt": "x"}, ["best"])
    logged(run, {"a.bin": "2", "deep/note.txt": "x"})
    run.finish()
    later = wandb.init(project="vision", entity="alice", name="later")
    for wanted, content in (
        ("model", "2"),
        ("model:latest", "2"),
        ("model:best", "1"),
        ("alice/vision/model:v0", "1"),
    ):
        found = used(later, wanted, tmp_path / wanted.replace("/", "-"))
        assert found == {"a.bin": content, "deep/note.txt": "x"}
    best = later.use_artifact("model:best")
    assert (best.type, best.version, best.aliases, best.metadata) == ("model", "v0", ["best"], {"size": 2})
    with pytest.raises(
        FileMissingError, match="there is no artifact 'other:v1' in alice/vision/later, alice/vision/first"
    ):
        later.use_artifact("other:v1")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.bin").write_text("3")
    assert later.log_artifact(tmp_path / "folder", name="again").version == "v0"
    with pytest.raises(InvalidCallError, match="not a name within"):
        wandb.Artifact("x").add_file(__file__, "../out")


def test_an_alias_of_an_artifact_is_that_of_its_files(tmp_path: Path) -> None:
    """It goes on from version to version, and files that the new version lacks lose it."""
    run = start()
    logged(run, {"a.bin": "1", "old.bin": "x"}, ["best", "first"])
    logged(run, {"a.bin": "2"}, ["best"])
    assert used(run, "model:best", tmp_path / "best") == {"a.bin": "2"}
    assert used(run, "model:first", tmp_path / "first") == {"a.bin": "1", "old.bin": "x"}
    assert used(run, "model", tmp_path / "latest") == {"a.bin": "2"}
    assert run.experiment is not None
    files = run.experiment.files
    assert files("artifacts/model/a.bin", alias="best").read_text() == "2"
    assert [row["filename"] for row in files("artifacts/model", alias="best").list()] == ["a.bin"]
    files("artifacts/model").save_text("by hand", to="a.bin", aliases=["v1"])
    assert used(run, "model:v0", tmp_path / "v0") == {"a.bin": "1", "old.bin": "x"}
    assert logged(run, {"a.bin": "3"}).version == "v2"


def test_a_version_of_which_files_are_missing_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where its process dies in the middle: the one before is the newest, and has its aliases."""
    run = start()
    logged(run, {"a.bin": "1", "b.bin": "1"}, ["best"])
    assert run.experiment is not None
    builder: Any = type(run.experiment.files("x"))
    save = builder.save

    def dies(self: Any, path: str, **details: Any) -> Any:
        if path.endswith("b.bin"):
            raise KeyboardInterrupt
        return save(self, path, **details)

    monkeypatch.setattr(builder, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        logged(run, {"a.bin": "2", "b.bin": "2"}, ["best"])
    for wanted in ("model", "model:best"):
        assert used(run, wanted, tmp_path / wanted) == {"a.bin": "1", "b.bin": "1"}
    with pytest.raises(FileMissingError):
        run.use_artifact("model:v1")


def test_files_are_saved_by_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in ("a.pt", "b.pt", "c.txt"):
        (tmp_path / "out" / name).write_text(name)
    run = start()
    assert len(wandb.save("out/*.pt")) == 2
    wandb.alert("slow", "very", wandb.AlertLevel.WARN, wait_duration=timedelta(minutes=5))
    wandb.alert("slow", "again", level="ERROR", wait_duration=300)
    wandb.alert("fast", "again")
    run.finish()
    read = ml_dash.open("alice/vision/first")
    assert [row["filename"] for row in read.files.list()] == ["a.pt", "b.pt"]
    alerts = [(row["level"], row["title"], row["text"]) for row in read.alerts.read()["data"]]
    assert alerts == [("warning", "slow", "very"), ("info", "fast", "again")]


@pytest.mark.parametrize(
    "config", [{"lr": 0.1}, argparse.Namespace(lr=0.1)], ids=lambda config: type(config).__name__
)
def test_a_configuration_may_be_of_any_kind(config: Any) -> None:
    run = start(config=config)
    run.config.setdefaults({"lr": 1, "size": 2})
    assert run.config.as_dict() == {"lr": 0.1, "size": 2}
    assert "lr" in run.config
    assert run.config.get("none", 5) == 5
    with pytest.raises(AttributeError, match="config has no 'rate'"):
        _ = run.config.rate
    with pytest.raises(TypeError, match="config takes a dict"):
        run.config.update(3)


@pytest.mark.parametrize("name", ["Api", "sweep", "plot", "Molecule", "nothing_like_it"])
def test_what_is_not_there_says_what_to_write(name: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"ml_dash\.compat\.wandb has no '{name}': \w+"):
        getattr(wandb, name)


def test_calls_before_the_start_and_of_the_wrong_kind_are_told() -> None:
    with pytest.raises(InvalidCallError, match=r"wandb\.log\(\) was called before wandb\.init\(\)"):
        wandb.log({"a": 1})
    run = start()
    wrong: Any
    for wrong in ("loss", {1: 2}, [1]):
        with pytest.raises(InvalidArgumentError, match="takes a dict with texts for names"):
            run.log(wrong)


def test_the_module_is_found_by_the_name_of_the_other(tmp_path: Path) -> None:
    """And so is its version, and what frameworks import from below it; the package itself loads nothing of it."""
    script = """
    import importlib.metadata, importlib.util, sys
    import ml_dash
    assert not [name for name in sys.modules if name.startswith(("ml_dash.compat", "ml_dash.integrations"))]
    import ml_dash.compat
    ml_dash.compat.install("wandb", dash_root="elsewhere")
    import wandb
    from wandb.sdk.lib.config_util import ConfigError
    from wandb.wandb_run import Run
    from wandb.sdk.lib import RunDisabled
    assert importlib.util.find_spec("wandb") is not None
    assert hasattr(wandb, "run")
    assert tuple(map(int, importlib.metadata.version("wandb").split("."))) > (0, 12, 10)
    assert importlib.metadata.version("numpy") != importlib.metadata.version("wandb")
    with wandb.init(project="vision", entity="alice", name="first") as run:
        assert isinstance(run, Run)
        print(run.dir)
    ml_dash.compat.install("wandb")
    try:
        ml_dash.compat.install("neptune")
    except ml_dash.InvalidArgumentError as error:
        assert "one of 'tensorboard', 'wandb'" in str(error)
    sys.modules["torch.utils.tensorboard"] = sys
    try:
        ml_dash.compat.install("tensorboard")
    except ml_dash.InvalidArgumentError as error:
        print(error)
    """
    printed = python(script, tmp_path)
    assert "elsewhere/alice/vision/first" in printed
    assert "torch.utils.tensorboard has been imported already" in printed
