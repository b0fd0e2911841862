"""The arguments that several commands have, and the experiment and the metrics that are meant by them."""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated

import typer

from ml_dash.cli.roots import all_of, chosen_root, right_root
from ml_dash.cli.text import UNNAMED
from ml_dash.errors import FileMissingError, InvalidArgumentError, InvalidPrefixError
from ml_dash.identity import current_user, parse_prefix
from ml_dash.paths import local_path
from ml_dash.series import Series
from ml_dash.storage.standing import is_experiment
from ml_dash.storage.survey import (
    Located,
    Survey,
    is_inside,
    leads_out,
    prefix_under,
    stored_prefix,
    survey,
)

ExperimentName = Annotated[
    str,
    typer.Argument(metavar="EXP", help="A prefix, an experiment's directory, or the last part of a prefix."),
]


def given_path(context: typer.Context, parameter: typer.CallbackParam, value: str) -> str:
    """Take a path from the command line: no shell replaces the ``~`` of ``--root=~/runs``."""
    del context
    return local_path(value, parameter.opts[0]) if value not in {"", "-"} else value


Root = Annotated[
    str,
    typer.Option(
        "--root",
        metavar="DIR",
        help="The directory in which prefixes begin; else ML_DASH_ROOT, or a .dash here, above or below.",
        callback=chosen_root,
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Read from this server instead of this disk; EXP is a whole prefix then.",
        show_default=False,
    ),
]
MetricNames = Annotated[
    list[str],
    typer.Option(
        "--metric",
        metavar="NAME",
        help="Only this metric, or those of a pattern such as 'train/*'; may be repeated. '' is the unnamed one.",
    ),
]
RankOption = Annotated[
    int | None,
    typer.Option(
        "--rank",
        metavar="N",
        help="Only what this rank of a distributed training has logged.",
        min=0,
        show_default=False,
    ),
]


_SHOWN = 5


def find_experiment(name: str, root: str) -> Located:
    """Return the experiment that is meant.

    Args:
        name: A prefix under the root, also in its short forms; a path to the experiment's directory; or the
            last part of a prefix, if no other experiment's ends so.
        root: Where prefixes begin.

    Raises:
        InvalidArgumentError: None is called so, or several are; the message names those that come near.
    """
    roots = all_of(root)
    # In this order: prefixes are what all commands print; a directory here that has such a name is the rare case.
    found = [located for each in roots if (located := _by_prefix(name, each)) is not None]
    if len(found) > 1:
        places = _listed([each.directory for each in found])
        raise InvalidArgumentError(
            f"{name!r} is in {len(found)} roots: {places}; name one by its directory, or by --root"
        )
    return found[0] if found else _by_path(name, roots[0]) or _by_last_part(name, roots, right_root(root))


def single_root(root: str) -> str:
    """Return the root that is meant; raise `InvalidArgumentError` where several were found."""
    roots = all_of(root)
    if len(roots) > 1:
        raise InvalidArgumentError(
            f"there are {len(roots)} roots below: {_listed(list(roots))}; name one by --root"
        )
    return roots[0]


def strange_hint(strange: Sequence[str], root: str) -> str | None:
    """Return what is said of directories that this ML-Dash has not written; None where there are none."""
    if not strange:
        return None
    first = repr(strange[0])
    said = f"{len(strange):,} directories under {root!r}, such as {first}, were"
    return (
        f"{said if len(strange) > 1 else f'{first} was'} not written by this ML-Dash. If the public "
        f"package of the same name has, `ml-dash import ml-dash {shlex.quote(root)}` brings in what is there"
    )


def survey_all(root: str) -> Survey:
    """Return what is under all roots that are meant; raise `InvalidArgumentError` where there is none."""
    return _together([survey(each) for each in all_of(root)])


def _together(surveys: Sequence[Survey]) -> Survey:
    found = Survey()
    for each in surveys:
        found.experiments += each.experiments
        found.strange += each.strange
        found.refused |= each.refused
    return found


def full_prefix(name: str) -> str:
    """Return the whole prefix that is meant where no directory tells: that of an experiment at a server."""
    return parse_prefix(name, user=current_user, now_ns=int).prefix


def _by_prefix(name: str, root: str) -> Located | None:
    if os.path.isabs(name):
        return None
    try:
        full = full_prefix(name)
    except InvalidPrefixError:
        return None  # a path, or nothing that an experiment could be called
    for prefix in (name.strip("/"), full):
        directory = os.path.join(root, *prefix.split("/"))
        if is_experiment(directory):
            if not is_inside(root, directory):
                raise InvalidArgumentError(f"{directory!r} is not read: {leads_out(root, directory)}")
            return Located(prefix, directory)
    return None


def _by_path(name: str, root: str) -> Located | None:
    path = os.path.normpath(os.path.expanduser(name)) if name else name
    if path and not is_experiment(path) and os.path.basename(os.path.abspath(path)) == "journal":
        path = os.path.dirname(os.path.abspath(path))
    if not path or not is_experiment(path):
        return None
    # Through links on both sides: /tmp is one on macOS.
    real, real_root = os.path.realpath(path), os.path.realpath(root)
    if real.startswith(os.path.join(real_root, "")):
        return Located(prefix_under(real_root, real), path)
    return Located(stored_prefix(path), path)


def _by_last_part(name: str, roots: Sequence[str], remedy: str) -> Located:
    root = roots[0] if len(roots) == 1 else os.path.commonpath([os.path.abspath(each) for each in roots])
    found = _together([survey(each) for each in roots if os.path.lexists(each)])
    experiments = found.experiments
    wanted = name.strip("/")
    matches = [each for each in experiments if wanted and f"/{each.prefix}".endswith(f"/{wanted}")]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise InvalidArgumentError(
            f"{name!r} is the last part of {len(matches)} experiments: "
            f"{_listed([each.prefix if len(roots) == 1 else each.directory for each in matches])}; give more of the "
            f"{'prefix' if len(roots) == 1 else 'path'}"
        )
    missing = f"there is no experiment {name!r} under {root!r}"
    if found.refused:
        path, reason = next(iter(found.refused.items()))
        more = f" and {len(found.refused) - 1} more" if len(found.refused) > 1 else ""
        raise FileMissingError(f"{missing} that can be seen: cannot read {path!r}{more} ({reason})")
    hint = strange_hint(found.strange, root)
    if hint is not None and any(f"/{each}".endswith(f"/{wanted}") for each in found.strange):
        raise InvalidArgumentError(f"{missing} that this ML-Dash has written. {hint}")
    if not experiments:
        raise InvalidArgumentError(f"{missing}, or any other one: {hint or remedy}")
    near = _near(name, [each.prefix for each in experiments])
    hint = f"did you mean {_listed(near)}? " if near else ""
    raise InvalidArgumentError(f"{missing}: {hint}`ml-dash ls` lists all")


def _near(name: str, prefixes: list[str]) -> list[str]:
    """Return the prefixes that are like `name`, as a whole or by their ends, the likest first."""
    depth = name.strip("/").count("/") + 1
    ends = {prefix: "/".join(prefix.split("/")[-depth:]) for prefix in prefixes}
    scores = {
        prefix: 1.0
        if name and name in prefix
        else max(difflib.SequenceMatcher(None, name, text).ratio() for text in {prefix, end})
        for prefix, end in ends.items()
    }
    # 0.6 is what `difflib.get_close_matches` takes for close
    return sorted((prefix for prefix in prefixes if scores[prefix] >= 0.6), key=lambda it: -scores[it])


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


class MetricChoice:
    """Metrics given by name or by pattern, as of `fnmatch`, whose ``*`` takes ``/`` too.

    An empty text is the unnamed one, and nothing at all takes all. A name wins over a pattern: where a metric is called
    ``*``, that one alone is meant by it.
    """

    def __init__(self, wanted: Sequence[str], metrics: Sequence[Series]) -> None:
        self._metrics = metrics
        known = {series.name or "" for series in metrics}
        self._names = {each for each in wanted if each in known or not _is_pattern(each)}
        self._patterns = [each for each in wanted if each not in self._names]
        self._wanted = list(wanted)

    @property
    def is_one_name(self) -> bool:
        """Whether exactly one metric is asked for, by its name."""
        return len(self._names) == 1 and not self._patterns

    def takes(self, series: Series) -> bool:
        """Say whether a metric is asked for; it may have come since."""
        name = series.name or ""
        return not self._wanted or name in self._names or any(_fits(name, each) for each in self._patterns)

    def pick(self) -> list[Series]:
        """Return those metrics that are asked for.

        Raises:
            InvalidArgumentError: One of the names is none of these metrics' and no pattern of any.
        """
        names = [series.name or "" for series in self._metrics]
        for wanted in self._wanted:
            is_there = (
                wanted in names if wanted in self._names else any(_fits(name, wanted) for name in names)
            )
            if not is_there:
                raise InvalidArgumentError(_unknown_metric(wanted, [name or UNNAMED for name in names]))
        return [series for series in self._metrics if self.takes(series)]


def _is_pattern(text: str) -> bool:
    return any(character in text for character in "*?[")


def _fits(name: str, pattern: str) -> bool:
    # `fnmatch` would fold case on Windows, where two metrics may differ by that
    return fnmatchcase(name, pattern)


def _unknown_metric(wanted: str, names: list[str]) -> str:
    missing = "there is no unnamed metric" if wanted == "" else f"there is no metric {wanted!r}"
    if not names:
        return f"{missing}: the experiment has none"
    # all of ten thousand names would take seconds to compare
    near = [name for name in names if wanted and wanted in name] or difflib.get_close_matches(
        wanted, names[:1000], _SHOWN
    )
    listed = _listed(near or names)
    return f"{missing}: did you mean {listed}?" if near else f"{missing}; there are {listed}"
