"""Values buffered in memory until they are summarised."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest

from ml_dash import Experiment, InvalidArgumentError, NotStartedError
from ml_dash.sdk.buffer import Store
from ml_dash.values.aggregate import parse_aggregations


def values(read: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of rows that were read, without their times."""
    return [{name: value for name, value in row["data"].items() if name != "_ts"} for row in read["data"]]


def fill(exp: Experiment, *losses: float, metric: str = "train") -> None:
    for loss in losses:
        exp.metrics(metric).buffer(loss=loss)


def test_a_summary_has_one_field_a_field_and_aggregation(exp: Experiment) -> None:
    """Output fields are `loss.mean` and so on, in one row."""
    for loss, acc in ((1.0, 0.5), (3.0, 1.0)):
        exp.metrics("train").buffer(loss=loss, acc=acc)
    exp.metrics.buffer.log_summary("mean", "max")

    assert values(exp.metrics("train").read()) == [
        {"loss.mean": 2.0, "loss.max": 3.0, "acc.mean": 0.75, "acc.max": 1.0}
    ]


def test_all_aggregations(exp: Experiment) -> None:
    """Those with a name, and any percentile."""
    fill(exp, 4.0, 1.0, 2.0, 3.0)
    names = ["mean", "std", "min", "max", "count", "median", "sum", "first", "last"]
    names += ["p0", "p25", "p50", "p99.9", "p100"]
    exp.metrics.buffer.log_summary(*names)

    (row,) = values(exp.metrics("train").read())
    assert list(row) == [f"loss.{name}" for name in names]
    expected = [2.5, np.std([1, 2, 3, 4], ddof=1), 1, 4, 4, 2.5, 10, 4, 3, 1, 1.75, 2.5, 3.997, 4]
    assert list(row.values()) == pytest.approx(expected)


def test_not_a_number_is_left_out_of_aggregates(exp: Experiment) -> None:
    """And so is None."""
    fill(exp, 1.0, math.nan, 3.0)
    exp.metrics("train").buffer(loss=None)
    exp.metrics.buffer.log_summary("mean", "count", "std", "max")

    assert values(exp.metrics("train").read()) == [
        {"loss.mean": 2.0, "loss.count": 2, "loss.std": pytest.approx(math.sqrt(2)), "loss.max": 3.0}
    ]


def test_the_standard_deviation_of_one_value_is_zero(exp: Experiment) -> None:
    """The sample one, 0.0 for one value."""
    fill(exp, 5.0)
    exp.metrics.buffer.log_summary("std")

    assert values(exp.metrics("train").read()) == [{"loss.std": 0.0}]


@pytest.mark.parametrize("name", ["avg", "", "p101", "p-1", "p", "p1e1", "P50", "MEAN", None, 5, ["mean"]])
def test_an_unknown_aggregation_is_a_value_error_before_anything_is_written(
    name: Any, exp: Experiment
) -> None:
    """The message names it and those known; the buffers are kept."""
    fill(exp, 1.0)
    fill(exp, 2.0, metric="eval")
    for log_summary in (exp.metrics.buffer.log_summary, exp.metrics("train").buffer.log_summary):
        with pytest.raises(InvalidArgumentError, match="mean, std, min") as caught:
            log_summary("mean", name)
        assert isinstance(caught.value, ValueError)
        assert repr(name) in str(caught.value)
    assert exp.status().logged == 0

    exp.metrics.buffer.log_summary()
    assert values(exp.metrics("train").read()) == [{"loss.mean": 1.0}]
    assert values(exp.metrics("eval").read()) == [{"loss.mean": 2.0}]


def test_a_summary_empties_what_it_summarised(exp: Experiment) -> None:
    """The next one is of what came after."""
    fill(exp, 1.0)
    exp.metrics.buffer.log_summary()
    fill(exp, 3.0)
    exp.metrics.buffer.log_summary()
    exp.metrics.buffer.log_summary()

    assert values(exp.metrics("train").read()) == [{"loss.mean": 1.0}, {"loss.mean": 3.0}]


def test_the_summary_of_one_metric_leaves_the_others(exp: Experiment) -> None:
    """`metrics("p").buffer.log_summary()` is of that prefix only."""
    fill(exp, 1.0)
    fill(exp, 2.0, metric="eval")
    exp.metrics("train").buffer.log_summary()

    assert exp.metrics("train").read()["total"] == 1
    assert exp.metrics("eval").read()["total"] == 0
    assert exp.metrics.buffer.peek() == {"eval/loss": [2.0]}
    exp.metrics.buffer.log_summary()


def test_the_unnamed_metric_has_a_buffer_too(exp: Experiment) -> None:
    """`exp.metrics.buffer(x=…)`."""
    exp.metrics.buffer(x=1)
    exp.metrics.buffer(x=2)
    exp.metrics.buffer.log_summary("sum")

    assert values(exp.metrics.read()) == [{"x.sum": 3.0}]


def test_peek_shows_the_last_values_and_keeps_them(exp: Experiment) -> None:
    """`{field: [last values]}`; without a prefix the keys are `train/loss`, and the unnamed metric's plain."""
    for step in range(10):
        exp.metrics("train").buffer(loss=step, acc=-step)
    exp.metrics.buffer(x=1)
    peek = exp.metrics.buffer.peek

    assert peek("train") == {"loss": [5, 6, 7, 8, 9], "acc": [-5, -6, -7, -8, -9]}
    assert peek("train", "loss", limit=2) == {"loss": [8, 9]}
    assert peek(limit=1) == {"train/loss": [9], "train/acc": [-9], "x": [1]}
    assert peek(None, "x") == {"x": [1]}
    assert peek("nothing") == {}
    assert exp.metrics("train").buffer.peek("acc", limit=100)["acc"] == [-step for step in range(10)]

    exp.metrics.buffer.log_summary("count")
    assert peek() == {}
    assert values(exp.metrics("train").read()) == [{"loss.count": 10, "acc.count": 10}]


@pytest.mark.parametrize("limit", [0, -1, 1.5, None, True])
def test_a_peek_of_no_values_is_refused(limit: Any, exp: Experiment) -> None:
    """With the value."""
    with pytest.raises(InvalidArgumentError, match=f"limit={limit!r}"):
        exp.metrics.buffer.peek("train", limit=limit)


@pytest.mark.parametrize(
    "value",
    ["0.5", [1, 2], np.zeros(3), object(), 1j, {"a": 1}, 10**400],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_number_cannot_be_buffered(value: Any, exp: Experiment) -> None:
    """It raises, and nothing of that call is kept."""
    with pytest.raises(InvalidArgumentError, match="loss="):
        exp.metrics("train").buffer(acc=1, loss=value)

    assert exp.metrics.buffer.peek() == {}


@pytest.mark.parametrize(
    "value", [2, 2.0, np.float32(2), np.int8(2), np.array(2.0), np.array([2.0])], ids=repr
)
def test_numbers_of_all_kinds_can_be_buffered(value: Any, exp: Experiment) -> None:
    """Also numpy's scalars and arrays of one element too."""
    exp.metrics("train").buffer(loss=value)

    assert exp.metrics.buffer.peek("train") == {"loss": [2.0]}
    exp.metrics.buffer.log_summary()


def test_fields_may_come_in_any_mixture(exp: Experiment) -> None:
    """Each is summarised over the calls that had it."""
    exp.metrics("train").buffer(loss=1)
    exp.metrics("train").buffer(acc=1)
    exp.metrics("train").buffer(loss=3, acc=0)
    exp.metrics.buffer.log_summary("mean", "count")

    assert values(exp.metrics("train").read()) == [
        {"loss.mean": 2, "loss.count": 2, "acc.mean": 0.5, "acc.count": 2}
    ]


def test_what_is_left_in_buffers_at_the_end_is_summarised_and_a_warning_says_so(root: str) -> None:
    """With the mean; for every metric. The warning points to the line that ended the run."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    exp.run.start()
    fill(exp, 1.0, 3.0)
    exp.metrics("eval").summary_cache.store(loss=5.0)
    exp.metrics("eval").summary_cache.set(epoch=2)
    with pytest.warns(UserWarning, match=r"\['train', 'eval'\].*log_summary") as caught:
        exp.run.complete()

    assert [warning.filename for warning in caught] == [__file__]
    assert values(exp.metrics("train").read()) == [{"loss.mean": 2.0}]
    assert values(exp.metrics("eval").read()) == [{"epoch": 2, "loss.mean": 5.0}]
    assert exp.view.run().status == "COMPLETED"


def test_threads_may_buffer_at_the_same_time(exp: Experiment) -> None:
    """No value is lost."""

    def buffer() -> None:
        for _ in range(1000):
            exp.metrics("train").buffer(loss=1)

    threads = [threading.Thread(target=buffer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    exp.metrics.buffer.log_summary("count", "sum")

    assert values(exp.metrics("train").read()) == [{"loss.count": 8000, "loss.sum": 8000.0}]


# --- the summary cache


def test_the_summary_cache_summarises_and_clears(exp: Experiment) -> None:
    """`store`, `set` and `summarize`."""
    cache = exp.metrics("train").summary_cache
    cache.store(loss=1.0)
    cache.store(loss=3.0)
    cache.set(epoch=1, note="first")
    cache.summarize()
    cache.store(loss=5.0)
    cache.summarize("max", "count")

    assert values(exp.metrics("train").read()) == [
        {"epoch": 1, "note": "first", "loss.mean": 2.0},
        {"loss.max": 5.0, "loss.count": 1},
    ]


def test_the_summary_cache_can_be_kept(exp: Experiment) -> None:
    """`summarize(clear=False)` keeps everything for the next one."""
    cache = exp.metrics("train").summary_cache
    cache.set(epoch=1)
    cache.store(loss=1.0)
    cache.summarize(clear=False)
    cache.set(epoch=2)
    cache.store(loss=3.0)
    cache.summarize(clear=True)
    cache.summarize()

    assert values(exp.metrics("train").read()) == [
        {"epoch": 1, "loss.mean": 1.0},
        {"epoch": 2, "loss.mean": 2.0},
    ]


def test_the_summary_cache_can_be_peeked_into(exp: Experiment) -> None:
    """As the buffer can."""
    cache = exp.metrics("train").summary_cache
    for step in range(10):
        cache.store(loss=step, acc=-step)

    assert cache.peek("loss", limit=3) == {"loss": [7, 8, 9]}
    assert cache.peek() == {"loss": [5, 6, 7, 8, 9], "acc": [-5, -6, -7, -8, -9]}
    assert exp.metrics.buffer.peek() == {}
    cache.summarize()


def test_an_unknown_aggregation_keeps_the_summary_cache(exp: Experiment) -> None:
    """Nothing is written, nothing is lost."""
    cache = exp.metrics("train").summary_cache
    cache.store(loss=1.0)
    with pytest.raises(InvalidArgumentError):
        cache.summarize("avg")
    cache.summarize()

    assert values(exp.metrics("train").read()) == [{"loss.mean": 1.0}]


@pytest.mark.filterwarnings("error")
def test_what_a_summary_has_kept_is_no_leftover(exp: Experiment) -> None:
    """`clear=False` keeps values for the next summary; at the end they are in one already."""
    cache = exp.metrics("train").summary_cache
    cache.store(loss=1.0)
    cache.store(loss=3.0)
    cache.summarize("mean", clear=False)
    exp.run.complete()

    assert values(exp.metrics("train").read()) == [{"loss.mean": 2.0}]


def test_what_came_after_the_last_summary_is_summarised_at_the_end_with_what_was_kept(
    exp: Experiment,
) -> None:
    cache = exp.metrics("train").summary_cache
    cache.store(loss=1.0)
    cache.summarize("max", clear=False)
    cache.store(loss=3.0)
    with pytest.warns(UserWarning, match="train"):
        exp.run.complete()

    assert values(exp.metrics("train").read()) == [{"loss.max": 1.0}, {"loss.mean": 2.0}]


def test_a_summary_is_logged_though_another_thread_ends_the_run_in_its_middle(
    exp: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end would find nothing that is left, and the summary no run: the values would be lost."""
    take = Store._take

    def take_and_end(store: Store, aggregations: Any) -> dict[str, Any]:
        row = take(store, aggregations)
        monkeypatch.undo()
        thread = threading.Thread(target=exp.run.complete)
        thread.start()
        thread.join()
        return row

    monkeypatch.setattr(Store, "_take", take_and_end)
    fill(exp, 1.0, 3.0)
    exp.metrics("train").buffer.log_summary("sum")
    assert not exp.run.is_open
    assert values(exp.metrics("train").read()) == [{"loss.sum": 4.0}]
    with pytest.raises(NotStartedError):
        exp.metrics("train").buffer.log_summary("sum")


def test_an_end_logs_no_row_of_what_another_thread_summarises_at_that_moment(
    exp: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end has seen that something is left, and the other one takes it first: it must not log an empty row."""
    log_summary = exp.metrics("train").buffer.log_summary
    other = threading.Thread(target=lambda: log_summary("sum"))

    def parse_late(names: tuple[str, ...]) -> Any:
        if not names:
            monkeypatch.undo()
            other.start()
            other.join(0.2)  # it is done by then, or waits for this one
        return parse_aggregations(names)

    fill(exp, 1.0, 3.0)
    monkeypatch.setattr("ml_dash.sdk.buffer.parse_aggregations", parse_late)
    exp.metrics("train")._metric.buffered.log_means(None)
    other.join()
    (row,) = values(exp.metrics("train").read())
    assert row in ({"loss.mean": 2.0}, {"loss.sum": 4.0})
