"""What users did, or might do, that once broke something. Each of these was a defect."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ml_dash import Experiment, InvalidArgumentError
from ml_dash.cli.text import value_text
from ml_dash.journal.verify import verify
from tests.support.project import PROJECT
from tests.support.scripts import python


@pytest.mark.parametrize("what", ["directory", "root"])
def test_a_journal_that_is_deleted_while_it_is_written_is_not_vouched_for(
    what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An fsync of a deleted file succeeds and keeps nothing: that is said, and a new segment is begun."""
    exp = Experiment("alice/vision/deleted", dash_root=tmp_path / "root", echo=False)
    with exp.run, caplog.at_level(logging.WARNING, "ml_dash"):
        exp.metrics("train").log(step=0)
        assert exp.flush().pending == 0
        shutil.rmtree(exp.directory if what == "directory" else tmp_path / "root")
        exp.metrics("train").log(step=1)
        result = exp.flush()
        assert (result.durable, result.pending) == (1, 1)
        assert "deleted or moved" in (exp.status().last_error or "")
        while exp.flush().pending:
            pass
        status = exp.status()
        assert status.logged == 2 == status.acknowledged + status.pending + sum(status.dropped.values())
    assert [row["data"]["step"] for row in exp.metrics("train").read()["data"]] == [1]
    assert "deleted or moved" in caplog.text


def test_a_journal_that_is_moved_while_it_is_written_goes_on_where_it_belongs(tmp_path: Path) -> None:
    """Rows that were not acknowledged when the root was renamed are written again below the old name."""
    exp = Experiment("alice/vision/moved", dash_root=tmp_path / "root", echo=False)
    with exp.run:
        exp.metrics("train").log(step=0)
        exp.flush()
        (tmp_path / "root").rename(tmp_path / "elsewhere")
        exp.metrics("train").log(step=1)
        while exp.flush().pending:
            pass
    assert [row["data"]["step"] for row in exp.metrics("train").read()["data"]] == [1]


def test_another_object_of_the_same_prefix_reads_what_was_just_logged(tmp_path: Path) -> None:
    """It never started, so it has no queue of its own, but this process has one for that experiment."""
    exp = Experiment("alice/vision/twice", dash_root=tmp_path, echo=False)
    with exp.run:
        exp.metrics("train").log(step=1)
        exp.params.set(lr=0.1)
        exp.log("hello")
        other = Experiment("alice/vision/twice", dash_root=tmp_path)
        assert other.metrics("train").read()["total"] == 1
        assert other.params.get() == {"lr": 0.1}
        assert other.logs.read()["total"] == 1
        assert other.status().status == "RUNNING"


def test_the_journal_is_never_opened_as_a_standard_stream(tmp_path: Path) -> None:
    """With all three closed the next files would be 0, 1 and 2, and whatever is printed would go into them."""
    python(
        """
        import os
        os.close(0); os.close(1); os.close(2)
        from ml_dash import Experiment
        with Experiment("alice/vision/closed", dash_root="root").run as exp:
            exp.metrics("train").log(step=1)
            exp.flush()
            for number in range(3):
                try:
                    os.write(number, b"from a C library")
                except OSError:
                    pass
            exp.log("hello")
            exp.metrics("train").log(step=2)
        """,
        tmp_path,
    )
    exp = Experiment("alice/vision/closed", dash_root=tmp_path / "root")
    assert exp.metrics("train").read()["total"] == 2
    assert not verify(str(Path(exp.directory, "journal"))).damage


def test_a_deeply_nested_value_can_be_shown() -> None:
    """It is cut at some depth; a row that cannot be printed would hide all others."""
    value: object = 1
    for _ in range(5000):
        value = [value]
    assert value_text(value).startswith("[[[[")
    assert "…" in value_text(value)


def test_a_closed_standard_error_does_not_raise_in_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warning about a value that cannot be stored has nowhere to go; the row is stored."""
    output = subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "import sys; from ml_dash import Experiment; sys.stderr.close()\n"
                "with Experiment('a/b/c', dash_root='root').run as exp:\n"
                "    exp.metrics('m').log(x=object())\n"
                "    print(exp.metrics('m').read()['total'])"
            ),
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout
    assert output == b"1\n"


def test_names_that_clash_in_an_export_both_stay(tmp_path: Path) -> None:
    """A field `index` gives way to the row's own, and not into the place of a field `index_`."""
    exp = Experiment("alice/vision/clash", dash_root=tmp_path, echo=False)
    with exp.run:
        exp.metrics("m").log(index=1, index_=2)
    command = [sys.executable, "-m", "ml_dash.cli", "export", exp.directory, "--metric", "m", "--format"]
    for form, expected in (("csv", "index__"), ("jsonl", '"index__": 1')):
        text = subprocess.run([*command, form], capture_output=True, text=True, check=True, timeout=60).stdout
        assert expected in text
        assert "2" in text


def test_a_masked_number_is_not_zero(tmp_path: Path) -> None:
    """What numpy calls `masked` says 0.0 when asked for its item; it has no value, and that is NaN."""
    exp = Experiment("alice/vision/masked", dash_root=tmp_path, echo=False)
    with exp.run:
        exp.metrics("m").log(x=np.ma.masked)
        exp.metrics("m").buffer(y=np.ma.masked)
        exp.metrics("m").buffer.log_summary("count")
    rows = exp.metrics("m").read()["data"]
    assert np.isnan(rows[0]["data"]["x"])
    assert rows[1]["data"]["y.count"] == 0


def test_wrong_arguments_are_refused_at_once(tmp_path: Path) -> None:
    """They were accepted, or failed later with somebody else's error."""
    with pytest.raises(InvalidArgumentError, match="NUL"):
        Experiment("a/b/c", dash_root="a\0b")
    exp = Experiment("a/b/c", dash_root=tmp_path, echo=False)

    def generate(experiment: Experiment) -> Iterator[int]:
        yield 1

    with pytest.raises(InvalidArgumentError, match="generator"):
        exp.run(generate)
    with pytest.raises(InvalidArgumentError, match="5"):
        exp.run(5)  # type: ignore[arg-type]
    with exp.run, pytest.raises(InvalidArgumentError, match="_ts"):
        exp.metrics("m").buffer(x=1, _ts=1.0)
    with exp.run:
        exp.log("x", self=1)
    assert exp.logs.read()["data"][0]["metadata"] == {"self": 1}
