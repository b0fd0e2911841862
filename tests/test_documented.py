"""Whatever can be set, called, raised or asked stands in the docs, and the docs name nothing that there is not."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

import ml_dash
from ml_dash import errors
from ml_dash.cli import app
from ml_dash.server.api.contract import ROUTES
from tests.support.project import PROJECT
from tests.support.sources import sources

DOCS = PROJECT / "docs"
PAGES = {page.name: page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("*.md"))}
PAGES["README.md"] = (PROJECT / "README.md").read_text(encoding="utf-8")
SETTINGS = re.findall(r"^\| `(ML_DASH_\w+)` \|", PAGES["settings.md"], re.MULTILINE)


def test_every_environment_variable_is_on_the_page_of_settings() -> None:
    """Those of the server, too; found wherever the code names one, and none is on the page that no code reads."""
    named = {
        name
        for source in sources()
        for name in source.strings
        if isinstance(name, str) and re.fullmatch(r"ML_DASH_[A-Z_]+", name)
    }
    assert named == set(SETTINGS)


def test_pages_name_no_variable_that_there_is_not() -> None:
    wrong = {
        f"{page}: {name}"
        for page, text in PAGES.items()
        for name in re.findall(r"\bML_DASH_[A-Z_]+\b", text)
        if name not in SETTINGS
    }
    assert wrong == set()


def test_every_argument_of_an_experiment_has_its_row_in_the_reference() -> None:
    section = PAGES["api.md"].split("### `Experiment(", 1)[1].split("\n### ", 1)[0]
    rows = re.findall(r"^\| (`[^|]*`) \|", section, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert told == set(inspect.signature(ml_dash.Experiment).parameters)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_and_warning_is_in_the_reference(name: str) -> None:
    """In the table of errors, with the builtin that it is also a subclass of."""
    section = PAGES["api.md"].split("\n## Errors", 1)[1].split("\n## ", 1)[0]
    (row,) = re.findall(rf"^\| `{name}` \|.*$", section, re.MULTILINE)
    (builtin, *_) = [kind.__name__ for kind in getattr(errors, name).__mro__ if kind.__module__ == "builtins"]
    assert name.endswith("Warning") or builtin == "Exception" or f"`{builtin}`" in row


# --- commands

ALL = "What is common to all"
FLAGS_OF_ALL = {"--help", "-h"}


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    yield name, command
    for sub, found in getattr(command, "commands", {}).items():
        yield from commands(found, f"{name} {sub}")


COMMANDS = {name: command for top in app._COMMANDS for name, command in commands(app.load(top), top)}
OPTIONS = {
    name: {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    for name, command in COMMANDS.items()
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_in_the_docs(name: str) -> None:
    """In the section of the command or in that of all, and for those of a server on its page."""
    top = name.split(maxsplit=1)[0]
    sections = re.split(r"^## ", PAGES["cli.md"], flags=re.MULTILINE)
    titles = {section: section.split("\n", 1)[0] for section in sections}
    text = "".join(
        section for section, title in titles.items() if title == ALL or top in re.split(r"[,\s]+", title)
    )
    text += PAGES["server.md"] if top == "server" else ""
    assert f"ml-dash {name}" in text
    words = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", text, re.IGNORECASE))
    flags = {flag for flag in OPTIONS[name] if flag.startswith("-")} - FLAGS_OF_ALL
    assert flags - words == set()


def lines_of_commands() -> Iterator[tuple[str, str]]:
    """Every line in a block of a page that calls `ml-dash`, and every inline one that names it with arguments."""
    for page, text in PAGES.items():
        for block in re.findall(r"^```(?:bash|sh|text)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                call = line.strip().removeprefix("$ ")
                if call.startswith("ml-dash ") or " | ml-dash " in call:
                    yield page, call[call.index("ml-dash") :]
        outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        for call in re.findall(r"`(ml-dash [^`]+)`", outside):
            yield page, re.sub(r"\s+", " ", call)


LINES = sorted(set(lines_of_commands()))


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{page}: {line}" for page, line in LINES])
def test_a_command_in_the_docs_is_one_that_there_is(page: str, line: str) -> None:
    """With options that it has. Whether it does what is said there, the tests of commands see."""
    words = shlex.split(re.split(r"[|>;&]|…", line)[0], comments=True)[1:]
    flags = [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word, re.IGNORECASE)]
    if not words or words[0] in {"COMMAND", "--help", "--version"}:
        return
    name = next((" ".join(words[:size]) for size in (3, 2, 1) if " ".join(words[:size]) in COMMANDS), None)
    assert name is not None
    assert set(flags) - OPTIONS[name] - FLAGS_OF_ALL == set()


# --- routes


def test_every_route_is_on_the_page_of_the_http_api() -> None:
    """With its method and its sentence, in the order of the contract; and no other is."""
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \| (.*) \|$", PAGES["http-api.md"], re.MULTILINE)
    assert rows == [(route.method, route.path, route.summary) for route in ROUTES]


# --- messages


@cache
def messages() -> tuple[str, ...]:
    """Every text of the code, with `…` for what is put in."""
    found: set[str] = set()
    for source in sources():
        for string in source.strings:
            text = string if isinstance(string, str) else string.decode("utf-8", "replace")
            found.add(re.sub(r"%[srd]", "…", text))
    return tuple(found)


QUOTED = re.findall(r"^### `(.*)`$", PAGES["faq.md"], re.MULTILINE)


@pytest.mark.parametrize("quoted", QUOTED)
def test_a_message_in_the_questions_is_one_that_there_is(quoted: str) -> None:
    """Whoever looks for it finds it as it is printed."""
    parts = quoted.split("…")
    pattern = re.compile(".*?".join(re.escape(part) for part in parts), re.DOTALL)
    longest = max(parts, key=len)
    assert any(longest in text and pattern.search(text) for text in messages())


# --- pages


GIVEN_UP = (
    "of no moment",
    "cursor that is none",
    "is what the filter asks for",
    "with their course",
    "so many seconds at most",
    "proves himself",
    "had come of it",
    "What the content of one file may have",
    "what it was sent to a server for",
)
"""Phrases that users did not understand; docs and messages say it in the words of the field."""


def test_users_meet_none_of_the_phrases_that_were_given_up() -> None:
    """In docs, messages, help and pages."""
    sources = [*PROJECT.glob("ml_dash/**/*.py"), *PROJECT.glob("dashboard/src/**/*.ts*")]
    texts = {**PAGES, **{str(path): path.read_text(encoding="utf-8") for path in sources}}
    found = {(name, phrase) for name, text in texts.items() for phrase in GIVEN_UP if phrase in text}
    assert found == set()


COUNTED = re.compile(
    r"(?:%d|[}\d,]) ?rows? (?:wait|were dropped|not known|not at the server|sent|to go|logged|lost|have not)"
)
"""Counts of all that was logged."""


def test_what_counts_all_that_was_logged_says_events() -> None:
    """Rows are those of metrics, see durability.md."""
    sources = [*PROJECT.glob("ml_dash/**/*.py"), *PROJECT.glob("docs/examples/*.py")]
    texts = {**PAGES, **{str(path): path.read_text(encoding="utf-8") for path in sources}}
    assert [(name, found) for name, text in texts.items() for found in COUNTED.findall(text)] == []


def test_every_page_can_be_found() -> None:
    """From the page that the docs begin with, by a link."""
    index = PAGES["index.md"]
    names = [page for page in PAGES if page not in {"index.md", "README.md"}]
    assert [page for page in names if f"({page})" not in index] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    """To files that there are, and to headings that these have."""
    here = PROJECT if page == "README.md" else DOCS
    links = re.findall(
        r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)",
        re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.MULTILINE | re.DOTALL),
    )
    for path, anchor in links:
        if "://" in path or path.startswith("/"):
            continue
        target = here / path if path else here / page
        assert target.exists(), path
        if anchor and target.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [slug(heading) for heading in headings], f"{path}#{anchor}"


def slug(heading: str) -> str:
    """The anchor of a heading, as Python-Markdown's `toc` makes it."""
    text = (
        re.sub(r"[^\w\s-]", "", re.sub(r"[`*]", "", heading).encode("ascii", "ignore").decode())
        .strip()
        .lower()
    )
    return re.sub(r"[-\s]+", "-", text)
