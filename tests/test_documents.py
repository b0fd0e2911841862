"""The README and the pages of the guide say what the code does.

Every ``python`` block of a page is run, in order, in one process and in a directory of the page's own; one that is
marked ``python { .no-run }`` is only compiled. A ``text`` block right behind one is what it prints; ``…`` stands for
anything. Lines of ``bash`` blocks that call ``ml-dash`` are run too, on the pages named below.
"""

from __future__ import annotations

import inspect
import itertools
import os
import re
import shlex
import subprocess
import sys
import textwrap
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import ml_dash
from ml_dash.query.runs import RunInfo
from ml_dash.sdk.alerting.alerts import AlertManager
from ml_dash.sdk.buffer import BufferManager, MetricBuffer, SummaryCache
from ml_dash.sdk.files.builder import FileBuilder
from ml_dash.sdk.files.manager import FilesManager
from ml_dash.sdk.logs import LogManager
from ml_dash.sdk.metrics import MetricBuilder, MetricsManager
from ml_dash.sdk.params import ParametersBuilder
from ml_dash.sdk.run import RunManager
from ml_dash.sdk.tracks import TrackBuilder, TrackSlice, TracksManager
from ml_dash.settings import CAPTURED, LINGER, Settings
from tests.support.project import PROJECT

DOCS = PROJECT / "docs"
PAGES = [PROJECT / "README.md", *sorted(DOCS.glob("*.md"))]
WITH_COMMANDS = {"README.md", "index.md", "quickstart.md"}

FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "\x1e"  # separates what the blocks of a page print


class Fence(NamedTuple):
    """A block of code in a page."""

    language: str
    options: str
    body: str
    line: int
    gap: str  # what stands between it and the block before

    @property
    def is_run(self) -> bool:
        return self.language == "python" and ".no-run" not in self.options


def fences(page: Path) -> list[Fence]:
    text = page.read_text(encoding="utf-8")
    found, end = [], 0
    for match in FENCE.finditer(text):
        language, _, options = match["info"].partition(" ")
        line = text.count("\n", 0, match.start("body")) + 1
        found.append(Fence(language, options, match["body"], line, text[end : match.start()]))
        end = match.end()
    return found


def is_command(fence: Fence, page: Path) -> bool:
    return fence.language == "bash" and page.name in WITH_COMMANDS


def script_of(page: Path) -> str:
    """All that is run on a page, each line at its own number, so that a traceback points into the page."""
    lines: list[str] = []

    def put(line: int, text: str) -> None:
        lines.extend([""] * (line - 1 - len(lines)))
        lines.extend(text.splitlines())

    for fence in fences(page):
        if fence.is_run:
            put(fence.line - 1, f"print({MARK!r})")
            put(fence.line, fence.body)
        elif is_command(fence, page):
            commands = [shlex.split(line, comments=True) for line in fence.body.splitlines()]
            calls = [
                f"subprocess.run([sys.executable, '-m', 'ml_dash.cli', *{arguments!r}], check=True)"
                for program, *arguments in filter(None, commands)
                if program == "ml-dash"
            ]
            put(fence.line - 1, "; ".join(["import subprocess, sys", f"print({MARK!r}, flush=True)", *calls]))
    return "\n".join(lines)


def outputs_of(page: Path) -> Iterator[tuple[int, str | None]]:
    """For each block that is run: its line, and what the page says that it prints."""
    found = fences(page)
    for fence, following in itertools.zip_longest(found, found[1:]):
        if fence.is_run or is_command(fence, page):
            told = following is not None and following.language == "text" and not following.gap.strip()
            yield fence.line, following.body if told and following else None


def same(expected: str, printed: str) -> bool:
    pattern = ".*?".join(re.escape(part) for part in expected.strip().split("…"))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


@pytest.mark.sample(9)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_of_a_page_runs_and_prints_what_the_page_says(page: Path, tmp_path: Path) -> None:
    """As if it were pasted, block by block; warnings are errors, but for Python's of a fork beside threads."""
    script = tmp_path / f"{page.name}.py"
    script.write_text(script_of(page), encoding="utf-8")
    home = tmp_path / "home"
    home.mkdir()
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning", script],
        cwd=home,
        env={
            **os.environ,
            "PYTHONPATH": str(PROJECT),
            "PYTHONUTF8": "1",
            "COLUMNS": "100",
            "ML_DASH_CAPTURE": "1",
        },
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    printed = finished.stdout.split(f"{MARK}\n")[1:]
    expected = list(outputs_of(page))
    assert len(printed) == len(expected)
    for (line, text), output in zip(expected, printed, strict=True):
        assert text is None or same(text, output), f"line {line} of {page.name} printed:\n{output}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_that_is_not_run_is_python_all_the_same(page: Path) -> None:
    """A block that needs what a test has not (a device, an hour) is at least free of slips of the pen."""
    for fence in fences(page):
        if fence.language == "python":
            compile(textwrap.dedent(fence.body), f"{page.name}:{fence.line}", "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_says_in_what_language_it_is(page: Path) -> None:
    """A block without one would be left out by the tests above without a word."""
    for fence in fences(page):
        assert fence.language, f"line {fence.line} of {page.name}"


# --- settings.md


READ_ELSEWHERE = {
    "ML_DASH_ADMIN_TOKEN",
    "ML_DASH_API_URL",
    "ML_DASH_CA",
    "ML_DASH_CONFIG_DIR",
    "ML_DASH_PREFIX",
    "ML_DASH_ROOT",
    "ML_DASH_SMTP_PASSWORD",
    "ML_DASH_TOKEN",
    "ML_DASH_TOKEN_ORIGIN",
    "ML_DASH_USER",
}
"""By what they concern, and not by `Settings`."""


class Variable(NamedTuple):
    """A row of the table of environment variables."""

    name: str
    default: str
    argument: str


def variables() -> list[Variable]:
    text = (DOCS / "settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(ML_DASH_\w+)` \|([^|]*)\|([^|]*)\|", text, re.MULTILINE)
    return [Variable(name, default.strip(), argument.strip()) for name, default, argument in rows]


class Recording(dict[str, str]):
    """An environment that notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)


def test_the_page_of_settings_has_every_variable_once() -> None:
    """Those that `Settings` reads, and those that belong to prefixes, servers and tokens."""
    environment = Recording()
    Settings.from_environment(environment)
    expected = environment.asked | READ_ELSEWHERE
    assert sorted(variable.name for variable in variables()) == sorted(expected)


def field_of(variable: str) -> str | None:
    """The setting that a variable sets, found by setting it."""
    for value in ("7", "70000", "false", "true", "drop", os.curdir):
        environment: Mapping[str, str] = {variable: value}
        try:
            changed = Settings.from_environment(environment)
        except ml_dash.InvalidArgumentError:
            continue
        default = Settings()
        names = [name for name in Settings._fields if getattr(changed, name) != getattr(default, name)]
        if names:
            return names[0]
    return None


@pytest.mark.parametrize("variable", variables(), ids=lambda variable: variable.name)
def test_the_page_of_settings_has_the_defaults_of_the_code(variable: Variable) -> None:
    """As it is to be written in the environment, with the unit behind it."""
    field = field_of(variable.name)
    if field is None or variable.default.startswith("that of"):
        assert variable.name in {*READ_ELSEWHERE, "ML_DASH_FLUSH_INTERVAL"}
        return
    default = getattr(Settings(), field)
    if field == "linger":  # where rows are in shared memory
        default = LINGER
    if default == CAPTURED:
        default = True
    if default is None:
        default = "none"
    written = variable.default.split()[0].strip("`")
    as_text = (
        str(default).lower()
        if isinstance(default, bool)
        else default
        if isinstance(default, str)
        else f"{default:g}"
    )
    assert written in {as_text, str(default)}


# --- api.md

OBJECTS: Mapping[str, type] = {
    "exp": ml_dash.Experiment,
    "exp.run": RunManager,
    "exp.params": ParametersBuilder,
    "exp.logs": LogManager,
    "exp.alerts": AlertManager,
    "exp.metrics": MetricsManager,
    'exp.metrics("p")': MetricBuilder,
    'exp.metrics("p").buffer': MetricBuffer,
    'exp.metrics("p").summary_cache': SummaryCache,
    "exp.metrics.buffer": BufferManager,
    "exp.tracks": TracksManager,
    'exp.tracks("t")': TrackBuilder,
    "track_slice": TrackSlice,
    "exp.files": FilesManager,
    'exp.files("p")': FileBuilder,
}
"""How the page writes what a user gets hold of, and its class."""

API = (DOCS / "api.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^#+ `([^`]+)`", API, re.MULTILINE)
CELLS = re.findall(r"^\| `([^`]+)` \|", API, re.MULTILINE)
CALLS = [heading for heading in HEADINGS if heading.endswith(")")]


def documented(call: str) -> tuple[Any, str]:
    """The function that a heading such as ``exp.logs.read(limit=100)`` is about, and the arguments in it."""
    for expression in sorted(OBJECTS, key=len, reverse=True):
        match = re.fullmatch(r"(?:\.(\w+))?(\(.*\))", call.removeprefix(expression))
        if call.startswith(expression) and match:
            return inspect.getattr_static(OBJECTS[expression], match[1] or "__call__"), match[2]
    name, _, rest = call.partition("(")
    return getattr(ml_dash, name), f"({rest}"


@pytest.mark.parametrize("call", CALLS)
def test_the_signatures_of_the_reference_are_those_of_the_code(call: str) -> None:
    """Names, order and defaults of all arguments."""
    function, arguments = documented(call)
    if isinstance(function, types.MemberDescriptorType):
        return  # the look-up of a metric, done by the interpreter itself
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name != "self"
    ]
    # That an argument cannot be given by its name is told by the text, not by a slash.
    shown = str(inspect.Signature(parameters)).replace(", /", "")
    assert arguments == shown.replace("'", '"')


@pytest.mark.parametrize("expression", OBJECTS)
def test_the_completion_of_an_object_is_what_the_reference_has(expression: str, tmp_path: Path) -> None:
    """Neither has been forgotten on the page, nor is plumbing shown: that has names with an underscore."""
    exp = ml_dash.Experiment("a/b/c", dash_root=tmp_path)
    (tmp_path / "a" / "b" / "c" / "journal").mkdir(parents=True)
    shown = eval(expression, {"exp": exp, "track_slice": exp.tracks("t").slice()})
    assert type(shown) is OBJECTS[expression]
    names = {re.sub(r"\([^()]*\)$", "", text) for text in (*HEADINGS, *CELLS, *OBJECTS)}
    documented = {name.rpartition(".")[2] for name in names if name.rpartition(".")[0] == expression}
    assert {name for name in dir(shown) if not name.startswith("_")} == documented


def test_the_reference_has_every_name_of_the_package() -> None:
    """What is not on the page has been forgotten, or should have a name with an underscore."""
    names = {re.sub(r"\([^()]*\)$", "", text) for text in (*HEADINGS, *CELLS)}
    assert sorted(set(ml_dash.__all__) - names) == []


@pytest.mark.parametrize(
    "kind", [ml_dash.FlushResult, ml_dash.ExperimentStatus, RunInfo], ids=lambda kind: kind.__name__
)
def test_the_reference_has_every_field_of_what_is_returned(kind: type) -> None:
    """In the table below the class's heading, in order."""
    section = API.split(f"# `{kind.__name__}`", 1)[1].split("\n#", 1)[0]
    fields = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert fields == [*inspect.signature(kind).parameters]


# --- security.md


PROMISED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (DOCS / "security.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("file", "test"), PROMISED, ids=[test for _, test in PROMISED])
def test_a_promise_has_the_test_that_it_names(file: str, test: str) -> None:
    assert re.search(rf"^(async )?def {test}\(", (PROJECT / file).read_text(encoding="utf-8"), re.MULTILINE)
