"""Descriptions of experiments, filters for them, and the errors for those that are missing: for every library."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.protocol import ErrorCode
from ml_dash.query.times import NANOSECONDS, iso_time
from ml_dash.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_dash.identity import Identity

STALE = "STALE"
"""As the status to ask for: RUNNING without a sign of life. No run has it."""
_SAME_TIME_NS = 30 * NANOSECONDS
_ID = re.compile(r"exp_[a-z0-9]{20}")


@dataclass(frozen=True, slots=True)
class Description:
    """What a client says of an experiment; None keeps what is stored.

    Attributes:
        said_ns: When it said each, by its clock; now, where that is not told.
        sent_ns: What its clock says now; None where it does not tell.
    """

    readme: str | None = None
    tags: tuple[str, ...] | None = None
    bindrs: tuple[str, ...] | None = None
    metadata: dict[Any, Any] | None = None
    said_ns: Mapping[str, int | None] = field(default_factory=dict)
    sent_ns: int | None = None

    @property
    def given(self) -> dict[str, Any]:
        """What is said, as it is stored."""
        said = {
            "readme": self.readme,
            "tags": None if self.tags is None else list(dict.fromkeys(self.tags)),
            "bindrs": None if self.bindrs is None else list(self.bindrs),
            "metadata": self.metadata,
        }
        return {name: value for name, value in said.items() if value is not None}

    def time_ns(self, name: str, now_ns: int) -> int:
        """Return when one of these was said, by this server's clock, and never later than now.

        Of a client's clock that is wrong, only differences count.
        """
        said_ns = self.said_ns.get(name)
        if said_ns is None:
            return now_ns
        ahead_ns = 0 if self.sent_ns is None else self.sent_ns - now_ns
        # a request takes its time: within that, a clock is not known to be wrong
        right_ns = said_ns if abs(ahead_ns) <= _SAME_TIME_NS else said_ns - ahead_ns
        return min(now_ns, max(0, right_ns))


class Introduction(NamedTuple):
    """What a client says of an experiment that it is about to send.

    Attributes:
        identity: Its prefix.
        description: Its description.
        recreate: Whether to bring it back, with all its data, if it was deleted.
        anew: Whether to begin another one under its name then, without its data.
        only_new: Whether it must be a new one, of this very name.
        writers: Writers of the client's journal, by which it may mean one that was moved; None where it tells none.
        begun: Those of them that have begun a run since an experiment of this name was deleted; None of a client that
            cannot tell.
    """

    identity: Identity
    description: Description = Description()
    recreate: bool = False
    anew: bool = False
    only_new: bool = False
    writers: Sequence[str] | None = None
    begun: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """What a list is asked for in the language of filters, as it was written.

    Attributes:
        filter: Which experiments.
        order: By what they are sorted; None for the newest first.
        columns: Parameters and metrics that are shown of each.
    """

    filter: str = ""
    order: str | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExperimentFilter:
    """Which experiments to list; None leaves a condition out.

    Attributes:
        owners: Only of these owners.
        prefix: Only the experiment of this prefix, and those below it.
        owner: Only of this owner.
        project: Only of a project of this name.
        folder: Only in this folder, and below it.
        tag: Only with this tag.
        status: Only with this status, or `STALE`.
        search: Only where every word of this is part of the prefix, a tag or the readme, in any case.
        texts: Only where each of these is, blanks and all.
        asked: Only what is asked for so, in such an order, and with such columns.
        ids: Only of these.
    """

    owners: frozenset[str] | None = None
    prefix: str | None = None
    owner: str | None = None
    project: str | None = None
    folder: str | None = None
    tag: str | None = None
    status: str | None = None
    search: str | None = None
    texts: tuple[str, ...] = ()
    asked: Search | None = None
    ids: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """An experiment that exists: enough to say who may see it."""

    id: str
    prefix: str
    owner: str
    deleted: bool


def is_id(text: str) -> bool:
    """Say whether a text could be an experiment's id."""
    return _ID.fullmatch(text) is not None


def no_such_experiment(experiment_id: str) -> ApiError:
    """Return the error for an id that no experiment has."""
    return ApiError(
        404,
        ErrorCode.NOT_FOUND,
        f"there is no experiment {experiment_id!r:.80}: create it by POST /api/v1/experiments",
    )


_SUCCEEDED = "/.deleted/"


def prefix_of_succeeded(prefix: str, experiment_id: str) -> str:
    """Return the prefix of a deleted experiment whose name another one has: no living one can have such a prefix."""
    return f"{prefix}{_SUCCEEDED}{experiment_id}"


def gone(prefix: str, **details: Any) -> ApiError:
    """Return the error for an experiment that was deleted."""
    return ApiError(
        410,
        ErrorCode.GONE,
        f"the experiment {own_prefix(prefix)!r} was deleted: `ml-dash restore` brings it back with all its data, and "
        'so does POST /api/v1/experiments with "recreate": true (`ml-dash sync --recreate`); or begin another one with '
        '"anew": true',
        **details,
    )


def exists(prefix: str, remedy: str = 'choose another name, or leave out "onlyNew"') -> ApiError:
    """Return the error for an experiment that there is, where a new one was asked for."""
    return ApiError(409, ErrorCode.EXISTS, f"there is an experiment {prefix!r}: {remedy}")


def changed_meanwhile(what: str) -> ApiError:
    """Return the error for a note or a readme that somebody has changed since who changes it has read it."""
    return ApiError(
        412, ErrorCode.CHANGED, f"the {what} was changed meanwhile: read it again, and put both together"
    )


def own_prefix(prefix: str) -> str:
    """Return what an experiment is, or was, called: a deleted one may have given its name away."""
    return prefix.partition(_SUCCEEDED)[0]


def time_or_none(time_ns: int | None) -> str | None:
    """Return a time in its public form."""
    return None if time_ns is None else iso_time(time_ns)
