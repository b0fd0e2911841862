"""What can be done with an experiment in either kind of place, and what is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from ml_dash.errors import InvalidArgumentError
from ml_dash.protocol import README_MAX, STOP_REASON_MAX, TAG_MAX, TAGS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Deleted(NamedTuple):
    """An experiment in the trash of a place.

    Attributes:
        prefix: What it was called.
        id: The server's id, or where it lies.
        deleted_ns: When it was deleted; times are nanoseconds since the epoch. None where a server does not tell.
        purge_ns: When it is removed for good; None for never, or where a server does not tell.
        deleted_by: Who deleted it: a user, or what a token is called; None where that is not known.
    """

    prefix: str
    id: str
    deleted_ns: int | None
    purge_ns: int | None
    deleted_by: str | None = None


class Stop(NamedTuple):
    """A request to a run to stop.

    Attributes:
        prefix: Of which experiment.
        at_ns: When it was made, in nanoseconds since the epoch.
        by: By whom; None where that is not known.
        reason: Why.
        seen_ns: When the run has seen it; None as long as it has not.
    """

    prefix: str
    at_ns: int
    by: str | None = None
    reason: str | None = None
    seen_ns: int | None = None


class NewTags(NamedTuple):
    """Tags to change: first all are replaced by `only`, if it is given, then some are removed, then some added."""

    add: Sequence[str] = ()
    remove: Sequence[str] = ()
    only: Sequence[str] | None = None

    def applied(self, tags: Iterable[str]) -> list[str]:
        """Return the tags that there are then.

        Raises:
            InvalidArgumentError: They are too many, or one is too long.
        """
        kept = [tag for tag in (tags if self.only is None else self.only) if tag not in self.remove]
        found = list(dict.fromkeys([*kept, *self.add]))
        for tag in found:
            if len(tag) > TAG_MAX:
                raise InvalidArgumentError(
                    f"tag {tag[:40]!r}… has {len(tag):,} characters, and may have {TAG_MAX:,}"
                )
        if len(found) > TAGS_MAX:
            raise InvalidArgumentError(f"there would be {len(found):,} tags, and there may be {TAGS_MAX:,}")
        return found


def checked_text(what: str, text: str) -> str:
    """Return a note or a readme that is not too long; raise `InvalidArgumentError`."""
    if len(text) > README_MAX:
        raise InvalidArgumentError(
            f"a {what} of {len(text):,} characters is too long: it may have {README_MAX:,}; keep what is large as "
            "a file"
        )
    return text


def checked_reason(reason: str | None) -> str | None:
    """Return a reason to stop that is not too long; raise `InvalidArgumentError`."""
    if reason is not None and len(reason) > STOP_REASON_MAX:
        raise InvalidArgumentError(
            f"a reason of {len(reason):,} characters is too long: it may have {STOP_REASON_MAX:,}"
        )
    return reason


class Changes(Protocol):
    """Changes experiments in a local root, or at a server.

    All methods take whole prefixes, and raise:

    - ExperimentMissingError: there is none of that name.
    - ExperimentExistsError: there is one where another one was to go.
    - ExperimentRunningError: a run goes on, and stands in the way.
    - ChangedMeanwhileError: a text is not what it was before, see `note`.
    - StopError: no run goes on that could be asked to stop, or it has seen that it is.
    - InvalidArgumentError, InvalidPrefixError: a value cannot be taken.
    - JournalWriteError: the root cannot be written.
    - ServerUnavailableError, RemoteError: the server is out of reach; it refuses, as a token that may only read, or is
      too old.
    """

    def delete(self, prefix: str, *, force: bool = False) -> Deleted:
        """Put an experiment into the trash; one that runs only by `force`."""

    def restore(self, prefix: str, to: str | None = None) -> str:
        """Take the experiment that was called so, and was deleted last, out of the trash; return its name."""

    def move(self, prefix: str, to: str) -> str:
        """Give an experiment another name, and return it."""

    def tag(self, prefix: str, news: NewTags) -> list[str]:
        """Change its tags, and return them."""

    def note(self, prefix: str, text: str, before: str | None = None) -> None:
        """Replace the note on it; an empty text takes it away.

        With `before`, only where it is still that: else two who change it at once would undo each other's work.
        """

    def read_note(self, prefix: str) -> str | None:
        """Return the note on it."""

    def readme(self, prefix: str, text: str, before: str | None = None) -> None:
        """Replace its readme, as `note` does; a run that says another one later has it replaced again."""

    def read_readme(self, prefix: str) -> str | None:
        """Return its readme."""

    def stop(self, prefix: str, reason: str | None = None) -> Stop:
        """Ask its newest attempt to stop; return the request, which may be there already, as somebody made it first."""

    def cancel_stop(self, prefix: str) -> None:
        """Take that back, which the run has not seen yet; where nobody has asked, nothing happens."""

    def trash(self) -> list[Deleted]:
        """Return what is in the trash, what was deleted last first."""
