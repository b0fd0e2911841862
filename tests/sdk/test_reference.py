"""Every example of the API reference, outside remote mode, as literally as can be.

The reference is the contract: where one of these tests fails, the code is wrong.
"""

from __future__ import annotations

import inspect
import json
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_dash import Experiment, InvalidArgumentError
from ml_dash.sdk.files.builder import FileBuilder
from ml_dash.sdk.logs import LogManager
from ml_dash.sdk.metrics import MetricBuilder, MetricsManager
from ml_dash.sdk.params import ParametersBuilder
from tests.support.scripts import python


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The examples write to `.dash` in the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def values(read: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of rows that were read, without their times."""
    return [{name: value for name, value in row["data"].items() if name != "_ts"} for row in read["data"]]


# --- Experiment


def test_the_constructor_takes_the_arguments_of_the_reference_in_its_order_with_its_defaults() -> None:
    """Constructor. Arguments of our own come after those of the reference, and are optional."""
    parameters = list(inspect.signature(Experiment).parameters.values())

    documented = [(parameter.name, parameter.default) for parameter in parameters[:7]]
    assert documented == [
        ("prefix", None),
        ("readme", None),
        ("tags", None),
        ("bindrs", None),
        ("metadata", None),
        ("dash_url", None),
        ("dash_root", ".dash"),
    ]
    assert parameters[0].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters[1:])
    assert all(parameter.default in (None, "allow") for parameter in parameters[7:])


def test_an_experiment_in_local_mode_lies_below_its_root(here: Path) -> None:
    """Constructor, local mode."""
    exp = Experiment(prefix="alice/my-project/exp-001", dash_root=".dash")
    with exp.run:
        pass

    assert (here / ".dash" / "alice" / "my-project" / "exp-001" / "journal").is_dir()


def test_the_root_is_dot_dash_unless_given(here: Path) -> None:
    """`dash_root` is ".dash" by default."""
    with Experiment("alice/my-project/exp-001").run:
        pass

    assert [path.name for path in here.iterdir()] == [".dash"]


def test_nothing_is_written_before_the_start(here: Path) -> None:
    """A constructed experiment that is not started leaves no trace."""
    Experiment(prefix="alice/my-project/exp-001", dash_root=".dash")

    assert list(here.iterdir()) == []


def test_a_prefix_is_owner_project_folder_and_name() -> None:
    """Prefix format: first segment owner, second project, last name, the rest folder."""
    exp = Experiment(prefix="alice/my-project/path/to/exp-001")

    assert (exp.owner, exp.project, exp.folder, exp.name) == ("alice", "my-project", "path/to", "exp-001")


def test_the_properties_of_an_experiment() -> None:
    """Properties. `id` and `data` are for remote mode."""
    experiment = Experiment(
        prefix="alice/my-project/vision/exp-001",
        readme="A first try.",
        tags=["baseline", "resnet"],
        bindrs=["v1"],
        metadata={"gpu": "H100"},
    )

    assert experiment.name == "exp-001"
    assert experiment.project == "my-project"
    assert experiment.readme == "A first try."
    assert experiment.tags == ["baseline", "resnet"]
    assert experiment.bindrs == ["v1"]
    assert experiment.metadata == {"gpu": "H100"}
    assert experiment.folder == "vision"
    assert experiment.id is None
    assert experiment.data is None


# --- RunManager


def test_the_context_manager_completes_on_success() -> None:
    """RunManager, context manager."""
    with Experiment(prefix="alice/proj/exp").run as exp:
        exp.log("Training started")
        # Auto-completes on success, auto-fails on exception

    assert exp.run.status == "COMPLETED"
    assert exp.logs.read()["data"][0]["message"] == "Training started"


def test_the_context_manager_fails_on_an_exception() -> None:
    """RunManager, context manager: the exception goes on its way."""
    with pytest.raises(ZeroDivisionError), Experiment(prefix="alice/proj/exp").run as exp:
        raise ZeroDivisionError

    assert exp.run.status == "FAILED"


def test_the_decorator_passes_the_experiment_and_returns_the_result() -> None:
    """RunManager, decorator."""
    exp = Experiment(prefix="alice/proj/exp")

    @exp.run
    def train(experiment: Experiment) -> str:
        experiment.log("Training...")
        return "done"

    result = train()

    assert result == "done"
    assert exp.run.status == "COMPLETED"
    assert exp.logs.read()["data"][0]["message"] == "Training..."


def test_manual_control() -> None:
    """RunManager, manual control."""
    exp = Experiment(prefix="alice/proj/exp")

    exp.run.start()
    try:
        exp.log("Training...")
        exp.run.complete()
    except Exception:
        exp.run.fail()
        raise

    assert exp.run.status == "COMPLETED"


@pytest.mark.parametrize(
    ("method", "status"), [("complete", "COMPLETED"), ("fail", "FAILED"), ("cancel", "CANCELLED")]
)
def test_each_method_of_the_run_sets_its_status(method: str, status: str) -> None:
    """RunManager, methods: RUNNING from the start on, then the one that the method names."""
    exp = Experiment(prefix="alice/proj/exp")

    exp.run.start()
    assert exp.run.status == "RUNNING"
    assert exp.view.run().status == "RUNNING"

    getattr(exp.run, method)()
    assert exp.run.status == status
    assert exp.view.run().status == status


# --- Parameters


def test_parameters_are_set_and_stored_under_dotted_names(exp: Experiment) -> None:
    """params.set."""
    exp.params.set(learning_rate=0.001, batch_size=32)
    returned = exp.params.set(model={"architecture": "resnet50", "layers": 50})

    assert type(returned) is ParametersBuilder
    assert exp.params.get() == {
        "learning_rate": 0.001,
        "batch_size": 32,
        "model.architecture": "resnet50",
        "model.layers": 50,
    }


def test_parameters_are_given_back_flat_or_nested(exp: Experiment) -> None:
    """params.get."""
    exp.params.set(learning_rate=0.001, model={"architecture": "resnet50"})

    flat = exp.params.get()
    assert flat == {"learning_rate": 0.001, "model.architecture": "resnet50"}

    nested = exp.params.get(flatten=False)
    assert nested == {"learning_rate": 0.001, "model": {"architecture": "resnet50"}}


# --- Logging


def test_messages_with_level_and_metadata(exp: Experiment) -> None:
    """exp.log."""
    exp.log("Training started")
    exp.log("Warning: Low GPU memory", level="warn")
    exp.log("Epoch completed", level="info", epoch=1, loss=0.5)

    rows = [(row["message"], row["level"], row["metadata"]) for row in exp.logs.read()["data"]]
    assert rows == [
        ("Training started", "info", None),
        ("Warning: Low GPU memory", "warn", None),
        ("Epoch completed", "info", {"epoch": 1, "loss": 0.5}),
    ]


def test_the_fluent_api_has_a_method_for_each_level(exp: Experiment) -> None:
    """exp.logs."""
    exp.logs.info("Training started", epoch=1)
    exp.logs.error("Failed to load data", error_code=500)

    rows = [(row["message"], row["level"], row["metadata"]) for row in exp.logs.read()["data"]]
    assert rows == [
        ("Training started", "info", {"epoch": 1}),
        ("Failed to load data", "error", {"error_code": 500}),
    ]
    assert type(exp.logs) is LogManager


@pytest.mark.parametrize("level", ["debug", "info", "warn", "error", "fatal"])
@pytest.mark.parametrize("meta", [{}, {"epoch": 1}, {"metadata": {"epoch": 1}, "loss": 0.5}])
def test_each_method_of_the_fluent_api_is_equivalent_to_log(
    exp: Experiment, level: str, meta: dict[str, Any]
) -> None:
    """`exp.logs.info(msg, **meta)` is `exp.log(msg, level="info", **meta)`, `metadata=` included."""
    exp.log("msg", level=level, **meta)
    getattr(exp.logs, level)("msg", **meta)

    first, second = exp.logs.read()["data"]
    assert {**first, "index": 1, "timestamp": None} == {**second, "timestamp": None}


# --- Metrics


@pytest.mark.parametrize("level", ["debug", "info", "warn", "error", "fatal"])
def test_a_message_is_taken_by_the_name_of_its_argument(exp: Experiment, level: str) -> None:
    """`msg` in the fluent API, `message` in `exp.log`; either is metadata where the other one is the argument."""
    getattr(exp.logs, level)(msg="one", message=1)
    exp.log(message="two", level=level, msg=2)

    rows = exp.logs.read()["data"]
    assert [(row["message"], row["metadata"]) for row in rows] == [
        ("one", {"message": 1}),
        ("two", {"msg": 2}),
    ]


def test_a_metric_is_had_by_the_name_of_the_argument(exp: Experiment) -> None:
    """exp.metrics(prefix="train"): the same builder, and the same errors, as by position."""
    assert exp.metrics(prefix="train") is exp.metrics("train")
    assert exp.metrics("eval") is exp.metrics(prefix="eval")
    assert exp.metrics(prefix=None) is exp.metrics(None)
    for wrong in ("", "a\nb", 5):
        with pytest.raises(InvalidArgumentError):
            exp.metrics(prefix=wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        exp.metrics()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        exp.metrics(name="train")  # type: ignore[call-arg]


def test_a_metric_is_had_by_its_prefix(exp: Experiment) -> None:
    """exp.metrics(prefix)."""
    exp.metrics("train").log(loss=0.5, accuracy=0.85)

    assert type(exp.metrics("train")) is MetricBuilder
    assert exp.metrics("train") is exp.metrics("train")
    assert values(exp.metrics("train").read()) == [{"loss": 0.5, "accuracy": 0.85}]


def test_grouped_fields_are_logged_to_their_metrics(exp: Experiment) -> None:
    """metrics.log."""
    epoch, train_loss, train_acc, val_loss, val_acc = 3, 0.5, 0.85, 0.6, 0.8

    first = exp.metrics("train").log(loss=0.5, accuracy=0.85)
    second = exp.metrics.log(
        epoch=epoch,
        train=dict(loss=train_loss, accuracy=train_acc),
        eval=dict(loss=val_loss, accuracy=val_acc),
    )

    assert type(first) is type(second) is MetricBuilder
    assert type(exp.metrics) is MetricsManager
    assert values(exp.metrics("train").read()) == [
        {"loss": 0.5, "accuracy": 0.85},
        {"epoch": 3, "loss": 0.5, "accuracy": 0.85},
    ]
    assert values(exp.metrics("eval").read()) == [{"epoch": 3, "loss": 0.6, "accuracy": 0.8}]


def test_values_of_batches_are_buffered_and_summarised(exp: Experiment) -> None:
    """metrics.buffer: not yet written, returns None; log_summary() writes the mean."""
    dataloader = [1.0, 2.0, 6.0]

    def train_step(batch: float) -> float:
        return batch / 2

    for batch in dataloader:
        loss = train_step(batch)
        returned: Any = exp.metrics("train").buffer(loss=loss)  # type: ignore[func-returns-value]
        assert returned is None
    assert exp.metrics("train").read()["total"] == 0

    returned = exp.metrics.buffer.log_summary()  # mean only

    assert returned is None
    assert values(exp.metrics("train").read()) == [{"loss.mean": 1.5}]


def test_a_summary_has_the_aggregations_asked_for(exp: Experiment) -> None:
    """metrics.buffer.log_summary with names."""
    for loss in (1.0, 2.0, 3.0, 4.0):
        exp.metrics("train").buffer(loss=loss)
    exp.metrics.buffer.log_summary("mean", "std", "min", "max", "count")

    assert values(exp.metrics("train").read()) == [
        {
            "loss.mean": 2.5,
            "loss.std": pytest.approx(1.2909944487358056),
            "loss.min": 1.0,
            "loss.max": 4.0,
            "loss.count": 4,
        }
    ]


def test_a_summary_has_percentiles(exp: Experiment) -> None:
    """metrics.buffer.log_summary with percentile codes."""
    losses = list(range(101))
    random.Random(1).shuffle(losses)
    for loss in losses:
        exp.metrics("train").buffer(loss=loss)
    exp.metrics.buffer.log_summary("p50", "p90", "p95", "p99")

    assert values(exp.metrics("train").read()) == [
        {"loss.p50": 50.0, "loss.p90": 90.0, "loss.p95": 95.0, "loss.p99": 99.0}
    ]


def test_a_flush_can_follow_a_row(exp: Experiment) -> None:
    """metrics.flush returns None, and what was logged is durable."""
    epoch = 1

    returned: Any = exp.metrics.log(epoch=epoch).flush()

    assert returned is None
    assert exp.metrics.flush() is None
    assert exp.metrics("train").flush() is None
    assert exp.status().durable == exp.status().logged == 1


def test_a_metric_is_read_in_pages(exp: Experiment) -> None:
    """metrics("prefix").read."""
    for step in range(250):
        exp.metrics("train_loss").log(step=step, loss=1 / (step + 1))

    data = exp.metrics("train_loss").read(start_index=0, limit=100)

    assert set(data) == {"data", "startIndex", "endIndex", "total", "hasMore"}
    assert [row["data"]["step"] for row in data["data"]] == list(range(100))
    assert (data["startIndex"], data["endIndex"], data["total"], data["hasMore"]) == (0, 99, 250, True)
    assert exp.metrics("train_loss").read() == data
    ours, own = list(inspect.signature(MetricBuilder.read).parameters.values()), {"attempt", "rank", "x"}
    assert [each.name for each in ours if each.name not in own] == ["self", "start_index", "limit"]
    assert {(each.kind, each.default) for each in ours if each.name in own} == {
        (inspect.Parameter.KEYWORD_ONLY, None)
    }


def test_a_metric_has_statistics(exp: Experiment) -> None:
    """metrics("prefix").stats."""
    for loss in (3.0, 1.0, 2.0):
        exp.metrics("train_loss").log(loss=loss)

    stats = exp.metrics("train_loss").stats()

    assert (stats["count"], stats["firstValue"], stats["lastValue"]) == (3, 3.0, 2.0)


# --- Files


@pytest.fixture
def model_file(here: Path) -> Path:
    """The file that the examples save."""
    path = here / "model.pt"
    path.write_bytes(b"weights")
    return path


def test_a_builder_is_had_by_path_or_by_id(exp: Experiment) -> None:
    """exp.files(**kwargs): the arguments of the reference, and an alias; only the path is given by position."""
    assert type(exp.files("models")) is FileBuilder
    assert type(exp.files(file_id="abc123")) is FileBuilder
    parameters = list(inspect.signature(exp.files).parameters)
    assert parameters == [
        "path",
        "description",
        "tags",
        "bindrs",
        "metadata",
        "file_id",
        "dest_path",
        "alias",
    ]


def test_a_file_is_saved_with_its_details(exp: Experiment, model_file: Path) -> None:
    """save(local_path, **kwargs)."""
    assert model_file.exists()
    first = exp.files("models").save("./model.pt")
    second = exp.files("models").save(
        "./model.pt",
        description="Best checkpoint",
        tags=["best"],
        metadata={"epoch": 50},
        bindrs=["v1", "production"],
    )

    assert type(first) is dict
    assert (second["path"], second["filename"]) == ("/models", "model.pt")
    assert (second["description"], second["tags"]) == ("Best checkpoint", ["best"])
    assert (second["metadata"], second["bindrs"]) == ({"epoch": 50}, ["v1", "production"])


def test_an_object_is_saved_as_json(exp: Experiment) -> None:
    """save_json(content, to)."""
    row = exp.files("configs").save_json({"lr": 0.001}, to="config.json")

    assert (row["path"], row["filename"]) == ("/configs", "config.json")
    assert json.loads(exp.files("configs/config.json").read_text()) == {"lr": 0.001}


def test_an_object_is_saved_by_pickle(exp: Experiment) -> None:
    """save_pkl(content, to)."""
    row = exp.files("data").save_pkl({"results": [1, 2, 3]}, to="data.pkl")

    assert (row["path"], row["filename"]) == ("/data", "data.pkl")
    assert pickle.loads(exp.files("data/data.pkl").read_bytes()) == {"results": [1, 2, 3]}


@pytest.mark.slow
def test_a_figure_is_saved(exp: Experiment) -> None:
    """save_fig(fig=None, to, **kwargs)."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots()
    axes.plot([1, 2, 3])
    try:
        current = exp.files("plots").save_fig(to="plot.png")
        given = exp.files("plots").save_fig(fig=fig, to="plot.pdf", dpi=150, bbox_inches="tight")
        by_position = exp.files("plots").save_fig(fig, "plot.svg")
    finally:
        plt.close(fig)

    assert [row["contentType"] for row in (current, given, by_position)] == [
        "image/png",
        "application/pdf",
        "image/svg+xml",
    ]
    assert exp.files("plots/plot.pdf").read_bytes().startswith(b"%PDF")


def test_frames_are_saved_as_a_video(exp: Experiment) -> None:
    """save_video(frames, to, fps=20, **kwargs)."""
    frames = np.random.default_rng(0).random((6, 32, 32, 3))
    video = exp.files("videos").save_video(frames, to="output.mp4", fps=30)
    exp.files("videos").save_video(frames, to="hq.mp4", codec="libx264", quality=8)
    exp.files("videos").save_video(list(frames[..., 0]), to="grey.gif")

    assert (video["path"], video["contentType"]) == ("/videos", "video/mp4")
    assert exp.files("videos/output.mp4").read_bytes()[4:8] == b"ftyp"
    assert exp.files("videos/grey.gif").read_bytes().startswith(b"GIF89a")
    assert len(exp.files("videos").list()) == 3


def test_a_model_is_saved_by_pytorch(exp: Experiment) -> None:
    """save_torch(model, to): a module or a state dict."""
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(2, 1)
    exp.files("models").save_torch(model, to="model.pt")
    row = exp.files("models").save_torch(model.state_dict(), to="model.pth")

    path = exp.files(file_id=row["id"]).download()
    assert torch.load(path, weights_only=True)["weight"].shape == (1, 2)


def test_files_are_listed(exp: Experiment, model_file: Path) -> None:
    """list()."""
    model = exp.files("models").save(str(model_file), tags=["checkpoint"])
    text = exp.files("notes").save_text("x", to="x.txt")

    assert exp.files().list() == [model, text]  # all files
    assert exp.files("models").list() == [model]  # by prefix
    assert exp.files(tags=["checkpoint"]).list() == [model]  # by tags


def test_a_file_is_downloaded(exp: Experiment, model_file: Path, here: Path) -> None:
    """download(dest_path=None): a str, the original filename where no path is given."""
    file_id = exp.files("models").save("./model.pt")["id"]
    model_file.unlink()

    path = exp.files(file_id=file_id).download()
    assert type(path) is str
    assert (here / "model.pt").read_bytes() == b"weights"

    path = exp.files(file_id=file_id).download(dest_path="./other.pt")
    assert path == "./other.pt"
    assert (here / "other.pt").read_bytes() == b"weights"


def test_a_file_is_updated_and_deleted(exp: Experiment, model_file: Path) -> None:
    """update() and delete(), which is a soft one."""
    file_id = exp.files("models").save(str(model_file))["id"]

    updated = exp.files(
        file_id=file_id,
        description="Updated",
        tags=["new"],
        metadata={"version": "2.0"},
    ).update()
    assert (updated["description"], updated["tags"]) == ("Updated", ["new"])
    assert updated["metadata"] == {"version": "2.0"}

    deleted = exp.files(file_id=file_id).delete()
    assert (deleted["id"], exp.files().list()) == (file_id, [])


# --- Auto-start: in processes of their own, for `dxp` is one a process and ends with it


def test_dxp_is_started_on_import_and_completed_at_exit(here: Path) -> None:
    """Auto-start, usage."""
    python(
        """
        from ml_dash.auto_start import dxp

        dxp.params.set(lr=0.001, batch_size=32)
        dxp.metrics("train").log(loss=0.5, step=0)
        # Auto-completed on Python exit
        """,
        here,
        ML_DASH_USER="alice",
    )

    found = Experiment("alice/scratch/dxp")
    assert found.params.get() == {"lr": 0.001, "batch_size": 32}
    assert values(found.metrics("train").read()) == [{"loss": 0.5, "step": 0}]
    assert found.view.run().status == "COMPLETED"


@pytest.mark.slow
def test_dxp_has_a_fixed_configuration(here: Path) -> None:
    """Auto-start, fixed configuration."""
    python(
        """
        import os
        from ml_dash import Experiment
        from ml_dash.auto_start import dxp
        from ml_dash.auto_start import dxp as again

        assert again is dxp
        assert type(dxp) is Experiment
        assert (dxp.name, dxp.project, dxp.tags, dxp.readme) == ("dxp", "scratch", [], None)
        assert dxp.params.get() == {}
        assert dxp.directory.startswith(os.path.join(os.getcwd(), ".dash"))
        for name in ("name", "project", "tags", "readme"):
            try:
                setattr(dxp, name, "other")
            except AttributeError:
                continue
            raise SystemExit(f"{name} can be changed")
        """,
        here,
    )


@pytest.mark.slow
def test_dxp_has_the_standard_run_methods(here: Path) -> None:
    """Auto-start, manual lifecycle."""
    python(
        """
        from ml_dash.auto_start import dxp

        dxp.log("one")
        dxp.run.complete()   # close manually
        assert dxp.run.status == "COMPLETED"
        dxp.run.start()      # reopen
        assert dxp.run.status == "RUNNING"
        dxp.log("two")
        dxp.run.fail()       # mark failed
        assert dxp.run.status == "FAILED"
        """,
        here,
        ML_DASH_USER="alice",
    )

    found = Experiment("alice/scratch/dxp")
    assert [row["message"] for row in found.logs.read()["data"]] == ["one", "two"]
    assert found.view.run().status == "FAILED"
