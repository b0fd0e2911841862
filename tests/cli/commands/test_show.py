"""`ml-dash show`."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.cli.commands.metric_table import Sparkline
from ml_dash.journal.blocks import Column
from tests.support.cli_experiments import make
from tests.support.shell import invoke, succeed


def sections(out: str) -> dict[str | None, list[str]]:
    """The lines of each section, by its title; those before the first by None."""
    found: dict[str | None, list[str]] = {None: []}
    title: str | None = None
    lines = iter(out.splitlines())
    for line in lines:
        if line:
            found[title].append(line)
        else:
            title = next(lines)
            found[title] = []
    return found


def test_all_about_an_experiment(root: Path) -> None:
    """Who it is, how it stands, parameters, metrics, tracks, and the last messages."""
    shown = sections(succeed("show", "alice/vision/first", "--root", root))
    assert list(shown) == [None, "Parameters", "Metrics", "Tracks", "Logs"]
    title, *facts = shown[None]
    assert title == "alice/vision/first  COMPLETED"
    known = dict(fact.split(maxsplit=1) for fact in facts)
    assert known["about"] == "ResNet ..."
    assert known["tags"] == "cifar, base"
    assert known["host"].endswith(f"process {os.getpid()}")
    assert known["journal"].startswith("105 rows, ")
    assert known["directory"] == str(root / "alice/vision/first")
    assert [line.split() for line in shown["Parameters"]] == [
        ["lr", "0.001"],
        ["model.arch", "resnet50"],
        ["model.layers", "50"],
    ]
    assert [line.split() for line in shown["Tracks"]] == [["pose", "1", "entry"]]
    assert [line.split()[2:] for line in shown["Logs"]] == [
        ["info", "training", "begins", "gpu=3"],
        ["warn", "done"],
    ]


def test_metrics_have_a_line_a_field(root: Path) -> None:
    """With its course, last value, extremes and mean."""
    lines = [line.split() for line in sections(succeed("show", "first", "--root", root))["Metrics"]]
    assert lines[0] == ["last", "min", "max", "mean"]
    assert lines[1] == ["train", "100", "rows"]
    name, course, *numbers = lines[2]
    assert (name, numbers) == ("step", ["99", "0", "99", "49.5"])
    assert len(course) == 60
    assert course == "".join(sorted(course))
    assert lines[3][1] == "".join(sorted(lines[3][1], reverse=True))
    assert lines[5] == ["eval", "5", "rows"]
    assert lines[6] == ["epoch", "▁▃▅▇█", "4", "0", "4", "2"]
    assert lines[8] == ["best", "True"]


def test_metrics_are_chosen_by_name_or_pattern(root: Path) -> None:
    """One that is not there is a usage error that lists those that come near."""
    assert "eval" not in succeed("show", "first", "--root", root, "--metric", "train")
    assert "eval" in succeed("show", "first", "--root", root, "--metric", "*a*")
    code, out, err = invoke("show", "first", "--root", root, "--metric", "trian")
    assert (code, out) == (2, "")
    assert "did you mean train?" in err


def test_an_unnamed_metric_is_called_so(root: Path) -> None:
    """And asked for by an empty name."""

    def script(exp: Experiment) -> None:
        exp.metrics.log(loss=1.0)
        exp.metrics("named").log(loss=1.0)

    make(root, "dora/p/unnamed", script)
    out = succeed("show", "unnamed", "--root", root, "--metric", "")
    assert "(unnamed)  1 row" in out
    assert "named  1 row\n" not in out.replace("(unnamed)", "")


def test_only_the_first_metrics_of_many_are_shown(root: Path) -> None:
    """The rest is counted; --all shows them, and JSON has them."""

    def script(exp: Experiment) -> None:
        for number in range(25):
            exp.metrics(f"m{number:02}").log(x=number)

    make(root, "dora/p/many", script)
    out = succeed("show", "many", "--root", root)
    assert "m19" in out
    assert "m20" not in out
    assert "and 5 more metrics" in out
    out = succeed("show", "many", "--root", root, "--all")
    assert "m24" in out
    assert "more metrics" not in out
    assert len(json.loads(succeed("show", "many", "--root", root, "--json"))["metrics"]) == 25


def test_nan_and_infinities_are_shown_and_counted(root: Path) -> None:
    """They are often the very reason to look."""

    def script(exp: Experiment) -> None:
        for value in (1.0, math.nan, math.inf, -math.inf, math.nan):
            exp.metrics("train").log(loss=value)

    make(root, "dora/p/nan", script)
    lines = [line.split() for line in sections(succeed("show", "nan", "--root", root))["Metrics"]]
    assert lines[0] == ["last", "min", "max", "mean", "NaN"]
    # in the course each of them is a gap
    assert lines[2] == ["loss", "▁", "nan", "-inf", "inf", "nan", "2"]


def test_the_experiments_without_rows_are_shown_too(root: Path) -> None:
    """Cancelled at once, never started, or killed."""
    assert "bob/nlp/cancelled  CANCELLED" in succeed("show", "cancelled", "--root", root)
    assert "bob/nlp/empty  NOT STARTED" in succeed("show", "empty", "--root", root)
    assert "bob/nlp/killed  STALE" in succeed("show", "killed", "--root", root)
    assert "error      ValueError: loss is NaN" in succeed("show", "failed", "--root", root)


def test_json_has_everything_for_programs(root: Path) -> None:
    """With the same statistics as a script gets."""
    record = json.loads(succeed("show", "first", "--root", root, "--json"))
    exp = Experiment("alice/vision/first", dash_root=root)
    assert record["params"] == exp.params.get()
    assert record["metrics"] == [exp.metrics("train").stats(), exp.metrics("eval").stats()]
    assert record["tracks"] == [{"name": "pose", "count": 1}]
    assert [(log["level"], log["message"], log["metadata"]) for log in record["logs"]] == [
        ("info", "training begins", {"gpu": 3}),
        ("warn", "done", None),
    ]
    assert record["experiment"]["tags"] == ["cifar", "base"]
    assert record["experiment"]["readme"] == "ResNet\non CIFAR"
    assert (record["status"], record["rows"], record["writers"]) == ("COMPLETED", 105, 1)
    assert 0 < record["durationSeconds"] < 60
    assert record["damage"] == []


def test_rows_that_a_later_attempt_has_superseded_are_in_no_statistics(tmp_path: Path) -> None:
    """As in those that a script gets."""
    exp = Experiment("a/b/resumed", dash_root=tmp_path, echo=False)
    for resume_from, loss in ((None, 4.0), (2, 1.0)):
        exp.run.start(resume_from=resume_from)
        for step in range(resume_from or 0, 5):
            exp.metrics("train").log(step=step, loss=loss)
        exp.run.complete()
    shown = sections(succeed("show", "resumed", "--root", tmp_path))["Metrics"]
    assert shown[1] == "train  5 rows, 3 superseded"
    assert shown[3].split() == ["loss", "██▁▁▁", "1", "1", "4", "2.2"]
    record = json.loads(succeed("show", "resumed", "--root", tmp_path, "--json"))
    assert record["metrics"] == [exp.metrics("train").stats()]
    assert record["metrics"][0]["superseded"] == 3


def test_the_number_of_messages_can_be_chosen(root: Path) -> None:
    """The last ones are shown; 0 shows none."""

    def script(exp: Experiment) -> None:
        for number in range(30):
            exp.log(f"message {number}")

    make(root, "dora/p/chatty", script)
    shown = sections(succeed("show", "chatty", "--root", root, "--logs", "3"))
    assert [line.split()[-1] for line in shown["Logs, the last 3 of 30"]] == ["27", "28", "29"]
    assert "Logs" not in succeed("show", "chatty", "--root", root, "--logs", "0")
    assert len(json.loads(succeed("show", "chatty", "--root", root, "--json"))["logs"]) == 10


def test_the_duration_of_several_attempts_is_told_as_what_it_is(tmp_path: Path) -> None:
    """They may be days apart."""
    for count in range(2):
        make(tmp_path, "a/p/again")
        shown = succeed("show", "again", "--root", tmp_path)
        assert (", since the first attempt began\n" in shown) == (count > 0)


def test_damage_is_reported_and_the_rest_is_shown(root: Path, damaged: Path) -> None:
    """On standard error, with the number of rows that are missing."""
    code, out, err = invoke("show", "damaged", "--root", root)
    assert code == 1
    lines = [line.split() for line in sections(out)["Metrics"]]
    assert lines[2] == ["n", "▁", "█", "3", "1", "3", "2"]
    assert err.count("\n") == 1
    assert "1 event lost" in err
    record = json.loads(invoke("show", "damaged", "--root", root, "--json").out)
    assert record["damage"][0]["events"] == 1


def test_a_journal_of_a_later_version_is_refused(root: Path, newer: Path) -> None:
    """In one line that says what to do."""
    code, out, err = invoke("show", "newer", "--root", root)
    assert (code, out) == (1, "")
    assert "install a newer version" in err
    assert err.count("\n") == 1


def test_what_was_logged_cannot_command_the_terminal(root: Path) -> None:
    """Names, values, messages and metadata, wherever they come up."""
    evil = "\x1b]0;pwned\x07\x9b2J\u202e"

    def script(exp: Experiment) -> None:
        exp.params.set(**{f"p{evil}": evil})
        exp.metrics("train").log(**{f"f{evil}": 1.0, "text": evil})
        exp.tracks("pose").append(**{f"t{evil}": evil})
        exp.log(f"m{evil}\nsecond", metadata={f"k{evil}": {evil: evil}})
        raise ValueError(evil)

    with pytest.raises(ValueError, match="pwned"):
        make(root, "dora/p/evil", script, readme=evil, tags=[evil], metadata={evil: evil})
    for out in (
        succeed("show", "evil", "--root", root),
        succeed("show", "evil", "--root", root, "--json"),
        succeed("tail", "evil", "--root", root),
        succeed("ls", root),
    ):
        assert not set(out) & set("\x1b\x07\x9b\u202e")


def points(course: int, parts: int, *blocks: list[float]) -> str:
    """The course of values that come in blocks."""
    line = Sparkline(sum(len(block) for block in blocks), parts)
    start = 0
    for block in blocks:
        line.add(start, Column("x", "f", None, block))
        start += len(block)
    return line.draw(course)


@pytest.mark.parametrize(
    ("width", "blocks", "drawn"),
    [
        (8, [[0, 1, 2, 3, 4, 5, 6, 7]], "▁▂▃▄▅▆▇█"),
        (4, [[0, 1, 2, 3, 4, 5, 6, 7]], "▁▃▆█"),
        (8, [[0, 1, 2], [3, 4, 5, 6, 7]], "▁▂▃▄▅▆▇█"),
        (8, [[5.0, 5.0]], "▁▁"),
        (8, [[1.0, 0.99999994, 1.0000001]], "▃▁█"),
        (8, [[1e300, 1.7e308, 0.9e308]], "▁█▅"),
        (8, [[1e-30, 3e-30, 2e-30]], "▁█▅"),
        (8, [[math.nan, 1.0, 2.0]], " ▁█"),
        (8, [[math.nan, math.nan]], ""),
        (8, [[-1.7e308, 1.7e308]], "▁█"),
        (8, [[-math.inf, 0.0, math.inf, 1.0]], " ▁ █"),
    ],
)
def test_a_course_is_drawn_of_the_means_of_equal_parts(
    width: int, blocks: list[list[float]], drawn: str
) -> None:
    """Whatever the blocks, and however large the values."""
    assert points(width, 60, *blocks) == drawn


def test_a_course_of_rows_that_lack_a_value_keeps_their_place() -> None:
    """The axis is the row's number, not the value's."""
    line = Sparkline(6, 60)
    line.add(0, Column("x", "i", [1, 2], [1, 2]))
    line.add(3, Column("x", "f", [2], [3.0]))
    assert line.draw(60) == " ▁▅  █"
    assert line.draw(60, ascii_only=True) == " _=  #"


def test_rows_that_came_after_they_were_counted_belong_to_the_last_part() -> None:
    """A run may go on while it is looked at."""
    line = Sparkline(2, 60)
    line.add(0, Column("x", "i", None, [0, 1, 1, 1]))
    assert line.draw(60) == "▁█"
