"""What a coding agent asks, and what it is told: in bounds, with what is left out."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, InvalidArgumentError
from ml_dash.cli.agents.questions import Questions
from ml_dash.cli.commands.mcp import TOOLS, serve
from ml_dash.errors import MissingExtraError
from tests.support.cli_experiments import make
from tests.support.public_trees import bytes_below
from tests.support.shell import succeed

RATES = {"slow": 0.001, "good": 0.01, "fast": 0.1}


def sweep(rate: float) -> Any:
    def log(exp: Experiment) -> None:
        exp.params.set(lr=rate, model={"layers": 4})
        for step in range(300):
            exp.metrics.log(
                step=step, train=dict(loss=1 / (step + 1)), val=dict(acc=1 - abs(math.log10(rate) + 2) / 10)
            )
        exp.log("done", level="info")
        print("epoch 1 of 1")
        exp.files("notes").save_text("The learning rate was a guess.", to="plan.txt")

    return log


def fail(exp: Experiment) -> None:
    exp.params.set(lr=1.0)
    exp.metrics("train").log(step=0, loss=math.nan)
    exp.log("loss is NaN at step 0", level="error", step=0)
    raise ValueError("loss became NaN: lr=1.0 is too large")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("agents")
    for name, rate in RATES.items():
        make(root, f"zoe/sweep/{name}", sweep(rate), tags=["sweep"])
    with pytest.raises(ValueError, match="too large"):
        make(root, "zoe/sweep/broken", fail, tags=["sweep"])
    return root


@pytest.fixture
def ask(root: Path) -> Questions:
    return Questions(str(root))


def test_runs_are_found_and_ranked(ask: Questions, root: Path) -> None:
    before = bytes_below(root / "zoe")
    found = ask.search_runs("tag:sweep lr<0.05", "lr", 1)
    assert ([each["run"] for each in found["runs"]], found["more"]) == (["zoe/sweep/slow"], True)
    assert found["runs"][0]["params"]["lr"] == 0.001
    best = ask.best_runs("val/acc", "zoe/**")
    assert (best["runs"][0]["run"], best["runs"][0]["params"]["lr"]) == ("zoe/sweep/good", 0.01)
    assert ask.best_runs("train/loss", mode="min", limit=1)["more"]
    with pytest.raises(InvalidArgumentError, match="there are train/loss, val/acc"):
        ask.best_runs("val/accuracy", "zoe/**")
    assert bytes_below(root / "zoe") == before


def test_a_run_is_told_in_short_and_why_it_failed(ask: Questions) -> None:
    told = ask.run_summary("broken")
    assert (told["run"], told["status"]) == ("zoe/sweep/broken", "FAILED")
    assert "loss became NaN: lr=1.0 is too large" in told["error"]
    assert [row["message"] for row in told["errors"]] == ["loss is NaN at step 0"]
    json.dumps(told, allow_nan=False)


def test_a_history_is_bounded_and_keeps_the_extremes(ask: Questions) -> None:
    whole = ask.history("good", "train", max_points=1_000)
    assert (whole["rows"], whole["shown"], whole["which"]) == (300, 300, "all")
    told = ask.history("good", "train", max_points=20)
    assert (told["rows"], told["shown"] <= 20, told["which"] == "all") == (300, True, False)
    steps = told["columns"]["step"]
    assert (steps[0], steps[-1], steps == sorted(steps)) == (0, 299, True)
    assert ask.history("good", "train", from_step=10, to_step=12)["columns"]["step"] == [10, 11, 12]
    assert ask.history("broken", "train")["columns"]["loss"] == ["NaN"]
    for words, arguments in (
        ("it has 'train', 'val'", {"metric": "test"}),
        ("it has loss", {"metric": "train", "fields": ["acc"]}),
        ("max_points=0 is not", {"metric": "train", "max_points": 0}),
        ("max_points=100000 is not", {"metric": "train", "max_points": 100_000}),
    ):
        with pytest.raises(InvalidArgumentError, match=words):
            ask.history("good", **arguments)


def test_differences_logs_and_files_are_told(ask: Questions) -> None:
    pair = ask.compare_runs(["good", "fast"])
    assert pair["params"] == {"lr": {"a": 0.01, "b": 0.1}}
    several = ask.compare_runs(["good", "fast", "slow"])
    assert several["params"] == {"lr": [0.01, 0.1, 0.001]}
    with pytest.raises(InvalidArgumentError, match="name 2 to 20"):
        ask.compare_runs(["good"])
    assert ask.logs("good", search="DONE")["rows"][0]["message"] == "done"
    assert ask.logs("good", source="console")["total"] == 0, "the console is not kept in tests"
    with pytest.raises(InvalidArgumentError, match="have no level"):
        ask.logs("good", source="console", level="info")
    assert [each["name"] for each in ask.list_files("good", "notes/*")["files"]] == ["notes/plan.txt"]
    assert ask.read_file("good", "notes/plan.txt")["text"] == "The learning rate was a guess."
    part = ask.read_file("good", "notes/plan.txt", offset=4)
    assert (part["text"][:8], part["next"]) == ("learning", None)
    with pytest.raises(InvalidArgumentError, match="list_files tells"):
        ask.read_file("good", "../journal/x")
    with pytest.raises(InvalidArgumentError, match="offset=-5 is not a whole number from 0 on"):
        ask.read_file("good", "notes/plan.txt", offset=-5)


def test_long_messages_and_many_rows_are_cut(ask: Questions, root: Path, tmp_path: Path) -> None:
    """And what is left out is told."""

    def log(exp: Experiment) -> None:
        for number in range(700):
            exp.log(f"{number} " + "x" * 5_000)

    make(tmp_path, "zoe/p/long", log)
    told = Questions(str(tmp_path)).logs("long", last=3)
    assert (told["shown"], told["total"]) == (3, 700)
    assert told["rows"][-1]["message"].startswith("699 x")
    assert told["rows"][-1]["message"].endswith("… (5,004 characters)")


def test_sql_that_takes_long_is_stopped_and_told(ask: Questions, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("duckdb")
    monkeypatch.setattr("ml_dash.cli.agents.sql.SECONDS_MOST", 0.2)
    with pytest.raises(InvalidArgumentError, match=r"took over 0\.2 s and was stopped: ask for less"):
        ask.sql("select count(*) from range(1000000000000) a, range(1000000) b")


def test_sql_answers_and_reads_nothing_else(ask: Questions, root: Path) -> None:
    pytest.importorskip("duckdb")
    query = """select p.value as lr, max(m.value) as acc from points m join params p using (prefix)
               where m.metric = 'val' and m.field = 'acc' and p.name = 'lr' group by 1 order by 2 desc"""
    found = ask.sql(query, "zoe/**", 1)
    assert (found["columns"], found["rows"], found["more"], found["runs"]) == (
        ["lr", "acc"],
        [[0.01, 1.0]],
        True,
        4,
    )
    for bad in (
        "select * from nothing",
        f"select * from read_csv('{root}/x.csv')",
        "copy points to '/tmp/x.csv'",
        "set enable_external_access=true",
        "install httpfs",
    ):
        with pytest.raises(InvalidArgumentError, match="the query cannot be answered"):
            ask.sql(bad, "zoe/**")


def test_sql_answers_one_statement_and_refuses_several(ask: Questions) -> None:
    """DuckDB would run all of them, and answer the last one alone."""
    pytest.importorskip("duckdb")
    with pytest.raises(InvalidArgumentError, match="2 statements, and one is answered"):
        ask.sql("select 1; select 2", "zoe/**")
    with pytest.raises(InvalidArgumentError, match="0 statements"):
        ask.sql("-- nothing", "zoe/**")
    assert ask.sql("select ';' as a;", "zoe/**")["rows"] == [[";"]]


@pytest.mark.parametrize("wrong", ["(((", "( lr<0.1 )", "tag:sweep )"])
def test_a_filter_with_parentheses_is_refused_and_not_looked_for(ask: Questions, wrong: str) -> None:
    with pytest.raises(InvalidArgumentError, match="groups nothing here"):
        ask.search_runs(wrong)


def test_without_its_package_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    with pytest.raises(MissingExtraError, match="pip install mcp"):
        serve(Questions("."))


def command(root: Path) -> Any:
    from mcp.client.stdio import StdioServerParameters

    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "ml_dash", "mcp", "--root", str(root)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_the_skill_names_the_tools_that_there_are() -> None:
    page = succeed("mcp", "--skill")
    assert page.startswith("---\nname: ml-dash\n")
    assert [name for name in TOOLS if f"`{name}(" not in page] == []


@pytest.mark.sample(2)
@pytest.mark.parametrize("way", ["in process", pytest.param("over pipes", marks=pytest.mark.slow)])
async def test_an_agent_finds_the_best_rate_and_why_a_run_failed(root: Path, way: str) -> None:
    """By the tools alone, also over standard input and output, as a client starts the command."""
    mcp = pytest.importorskip("mcp")
    server = serve(Questions(str(root))) if way == "in process" else command(root)
    async with mcp.Client(server, read_timeout_seconds=60) as client:
        tools = {each.name: each for each in (await client.list_tools()).tools}
        assert set(tools) == set(TOOLS)
        assert all(each.annotations.read_only_hint for each in tools.values())
        assert "filter" in tools["search_runs"].input_schema["properties"]

        async def call(name: str, **arguments: Any) -> Any:
            answer = await client.call_tool(name, arguments)
            text = answer.content[0].text
            return text if answer.is_error else json.loads(text)

        # Which learning rate was best?
        runs = await call("search_runs", filter="tag:sweep")
        metrics = {name for each in runs["runs"] for name in each["last"]}
        assert "val/acc" in metrics
        best = (await call("best_runs", metric="val/acc", filter="tag:sweep", limit=1))["runs"][0]
        assert best["params"]["lr"] == 0.01
        # Why did that one fail?
        (failed,) = [each["run"] for each in runs["runs"] if each["status"] == "FAILED"]
        told = await call("run_summary", run=failed)
        assert "lr=1.0 is too large" in told["error"]
        wrong = await call("history", run=failed, metric="nothing")
        assert "has no metric 'nothing': it has 'train'" in wrong
        everything = await call("search_runs", limit=100_000)
        assert "is not a whole number from 1 to 100" in everything
