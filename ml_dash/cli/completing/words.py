"""What may stand where the cursor is: commands, options, and values that are there: experiments, metrics, parameters.

It is asked at each press of a key, so it loads no more than the command that is typed, and what goes wrong is an empty
answer: a shell shows what is printed in the middle of the line that is typed.
"""

from __future__ import annotations

import inspect
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from enum import Enum
from itertools import starmap
from typing import Any, NamedTuple, get_args, get_type_hints

from ml_dash.cli.roots import all_of, default_roots
from ml_dash.paths import local_path
from ml_dash.query.listing.listed import ListedExperiment
from ml_dash.query.listing.naming import COLUMNS, FUNCTIONS, KnownNames, title_of
from ml_dash.settings import Settings

_FEW = 200
"""With more experiments than these, the next segment of their prefixes is offered, and not all of each."""


class Candidate(NamedTuple):
    """What may stand there, and what it is."""

    word: str
    help: str = ""


class _Line(NamedTuple):
    """What was typed before the cursor.

    Attributes:
        options: Values of the options that were given, by their parameter's name.
        arguments: The others, each with the name of its parameter.
        choices: What parameters can be that are one of a few, by name.
    """

    options: dict[str, list[str]]
    arguments: list[tuple[str, str]]
    choices: dict[str, type[Enum]]


def candidates(index: int, words: Sequence[str]) -> list[Candidate]:
    """Return what may stand in the place of a word.

    Args:
        index: The number of the word at the cursor; that of the program's name is 0.
        words: All words, that one as far as it was typed.
    """
    words = _joined(list(map(_plain, words[: index + 1] if index < len(words) else [*words, ""])))
    *before, typed = words[1:] or [""]
    from ml_dash.cli.app import commands, load

    names = commands()
    if not before or before[0] not in names:
        return _fitting([*starmap(Candidate, names.items()), *_options_of_all()], typed) if not before else []
    command = load(before[0])
    rest = before[1:]
    # `server token create` and the like
    while rest and getattr(command, "commands", None) and rest[0] in command.commands:
        command, rest = command.commands[rest[0]], rest[1:]
    found = [
        Candidate(name, each.help or "") for name, each in (getattr(command, "commands", None) or {}).items()
    ]
    return _fitting(found, typed) + _of_command(command, rest, typed)


def _plain(word: str) -> str:
    """Return a word without its quotes and backslashes; shells give it as it was typed, with a quote that is open."""
    for end in ("", "'", '"'):
        with suppress(ValueError):
            parts = shlex.split(word + end)
            return parts[0] if len(parts) == 1 else word
    return word


def _joined(words: Sequence[str]) -> list[str]:
    """Put together what bash takes apart at ``=``."""
    found: list[str] = []
    for word in words:
        if word == "=" and found and found[-1].startswith("--"):
            found[-1] += "="
        elif found and found[-1].startswith("--") and found[-1].endswith("="):
            found[-1] += word
        else:
            found.append(word)
    return found


def _of_command(command: Any, before: Sequence[str], typed: str) -> list[Candidate]:
    spelled = [(name, each) for each in command.params for name in (*each.opts, *each.secondary_opts)]
    options = {name: each for name, each in spelled if name.startswith("-")}
    arguments = [each for each in command.params if not any(name.startswith("-") for name in each.opts)]
    line = _Line({}, [], _choices(command))
    waiting: Any = None
    for word in before:
        name, is_equal, value = word.partition("=")
        if waiting is not None:
            line.options.setdefault(waiting.name, []).append(word)
            waiting = None
        elif name in options:
            if is_equal:
                line.options.setdefault(options[name].name, []).append(value)
            elif not getattr(options[name], "is_flag", False):
                waiting = options[name]
        else:
            at = min(len(line.arguments), len(arguments) - 1)
            line.arguments.append((arguments[at].name if arguments else "", word))
    name, is_equal, value = typed.partition("=")
    if waiting is None and is_equal and name in options:
        # bash replaces what stands behind the sign alone
        return _fitting(_values(options[name], line, value), value)
    if waiting is not None:
        return _fitting(_values(waiting, line, typed), typed)
    if typed.startswith("-"):
        return _fitting((Candidate(name, each.help or "") for name, each in options.items()), typed)
    if not arguments:
        return []
    at = len(line.arguments)
    meant = arguments[at] if at < len(arguments) else arguments[-1] if arguments[-1].nargs == -1 else None
    return [] if meant is None else _fitting(_values(meant, line, typed), typed)


def _choices(command: Any) -> dict[str, type[Enum]]:
    """Return the enums that a command's function takes: what typer makes of them is another thing in each version."""
    found: dict[str, type[Enum]] = {}
    if command.callback is None:  # one that has commands of its own, and does nothing else
        return found
    for name, hint in get_type_hints(inspect.unwrap(command.callback)).items():
        for each in (hint, *get_args(hint)):
            if isinstance(each, type) and issubclass(each, Enum):
                found[name] = each
    return found


def _options_of_all() -> list[Candidate]:
    return [Candidate("--help", "Show what there is."), Candidate("--version", "Print the version.")]


def _fitting(found: Iterable[Candidate], typed: str) -> list[Candidate]:
    seen: dict[str, Candidate] = {}
    for each in found:
        if each.word.startswith(typed):
            seen.setdefault(each.word, each)
    return list(seen.values())


# --- values


def _values(parameter: Any, line: _Line, typed: str) -> list[Candidate]:
    if (choices := line.choices.get(parameter.name)) is not None:
        return [Candidate(str(each.value)) for each in choices]
    find = _FINDERS.get(parameter.name)
    return [] if find is None else list(find(line, typed))


def _experiments(line: _Line, typed: str) -> Iterator[Candidate]:
    prefixes = [each.prefix for each in _listed(line)]
    beginning = [each for each in prefixes if each.startswith(typed)]
    if len(beginning) <= _FEW:
        yield from map(Candidate, beginning)
    else:
        # up to the next slash: of 100,000 experiments nobody reads a list
        above = len(typed.rpartition("/")[0])
        ends = {each: each.find("/", max(above + 1, len(typed))) for each in beginning}
        yield from (Candidate(each if end < 0 else each[: end + 1]) for each, end in sorted(ends.items()))
    if "/" not in typed:
        yield from (Candidate(each.rpartition("/")[2], each) for each in prefixes)


def _deleted(line: _Line, _typed: str) -> Iterator[Candidate]:
    from ml_dash.cli.place import open_place

    with open_place(_root(line), _url(line)) as place:
        yield from (Candidate(each.prefix) for each in place.changes.trash())


def _metrics(line: _Line, _typed: str) -> Iterator[Candidate]:
    """Names of metrics, of the experiment that is named where one is."""
    for each in _named_or_all(line):
        yield from (Candidate(name) for name in each.metrics if name)


def _titles(line: _Line, _typed: str) -> Iterator[Candidate]:
    for each in _named_or_all(line):
        yield from (
            Candidate(title_of(name, field)) for name, fields in each.metrics.items() for field in fields
        )


def _names(line: _Line, typed: str) -> Iterator[Candidate]:
    """What a filter may name, behind what was typed of a list or a condition before it, or behind a minus."""
    start = max(typed.rfind(sign) + 1 for sign in ", ")
    start += typed.startswith("-", start)
    before, part = typed[:start], typed[start:]
    known = KnownNames(_listed(line))
    titles = [title_of(*each) for each in known.fields()]
    function, is_called, _ = part.partition("(")
    if is_called:
        if function.lower() in FUNCTIONS:
            yield from (Candidate(f"{before}{function}({title})") for title in titles)
        return
    names = [*COLUMNS, *(f"params.{name}" for name in known.params()), *titles]
    yield from (Candidate(before + name) for name in names)
    for each in FUNCTIONS if titles else ():
        if part and each.startswith(part) and len(titles) <= _FEW:
            yield from (Candidate(f"{before}{each}({title})") for title in titles)
        else:
            yield Candidate(f"{before}{each}(", "of a metric's values")


def _orders(line: _Line, typed: str) -> Iterator[Candidate]:
    yield from map(Candidate, ("metrics", "size", "activity"))
    yield from _names(line, typed)


def _columns(line: _Line, typed: str) -> Iterator[Candidate]:
    before = typed[: typed.rfind(",") + 1]
    yield from (Candidate(before + each, "all there are") for each in ("params", "metrics"))
    yield from _names(line, typed)


def _tags(line: _Line, _typed: str) -> Iterator[Candidate]:
    yield from (Candidate(tag) for each in _listed(line) for tag in each.tags)


def _paths(_line: _Line, typed: str) -> Iterator[Candidate]:
    above, slash, _ = typed.rpartition("/")
    directory = local_path(above, "path") if above else slash or "."
    with os.scandir(directory) as entries:
        for entry in entries:
            yield Candidate(f"{above}{slash}{entry.name}{'/' if entry.is_dir() else ''}")


def _servers(_line: _Line, _typed: str) -> Iterator[Candidate]:
    from ml_dash.tokens import TokenStore

    yield from map(Candidate, TokenStore().all())


_FINDERS: dict[str | None, Callable[[_Line, str], Iterator[Candidate]]] = {
    **dict.fromkeys(("exp", "exps", "names", "first", "second"), _experiments),
    "prefixes": _deleted,
    "metric": _metrics,
    "title": _titles,
    "columns": _columns,
    "sort": _orders,
    "filter": _names,
    **dict.fromkeys(("add", "remove", "only", "tag"), _tags),
    **dict.fromkeys(("url", "to"), _servers),
    **dict.fromkeys(("root", "paths", "path", "output", "directory", "file", "data"), _paths),
}
"""What finds values, by the name of the parameter in the command's function."""


def _root(line: _Line) -> str:
    given = line.options.get("root") or [word for name, word in line.arguments if name == "root"]
    return local_path(given[-1], "--root") if given else default_roots()


def _url(line: _Line) -> str | None:
    return line.options.get("url", [None])[-1]


def _listed(line: _Line) -> list[ListedExperiment]:
    if (url := _url(line)) is not None:
        from ml_dash.cli.listing import list_server

        return [each.listed for each in list_server(url, "", None, None).lines if each.listed is not None]
    from ml_dash.query.listing.binding import bind
    from ml_dash.query.listing.filters import parse
    from ml_dash.storage.summaries.asking import selected
    from ml_dash.storage.summaries.root import RootIndex

    found: list[ListedExperiment] = []
    for root in all_of(_root(line)):
        with closing(RootIndex(root, Settings.from_environment().stale_after)) as index:
            index.look()
            found += index.ask(lambda store: selected(index, bind(parse(""), store.names), None))
    return found


def _named_or_all(line: _Line) -> list[ListedExperiment]:
    listed = _listed(line)
    named = {word.strip("/") for name, word in line.arguments if name in ("exp", "exps")}
    chosen = [each for each in listed if any(f"/{each.prefix}".endswith(f"/{name}") for name in named)]
    return chosen or listed
