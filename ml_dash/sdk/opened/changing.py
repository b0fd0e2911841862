"""What a script does with an experiment that is there, in whichever place: delete, move, tag, stop it, and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.errors import InvalidArgumentError
from ml_dash.forks import guarded_imports
from ml_dash.pipeline.runtime import RUNTIME
from ml_dash.sdk.about import checked_text, checked_texts
from ml_dash.sdk.guidance.calls import explained, flag
from ml_dash.sdk.guidance.guided import Guided
from ml_dash.spawning import imports_for_reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Self

    from ml_dash.client.destination import Destination
    from ml_dash.places.changing import Changes
    from ml_dash.sdk.session import Session

_TAG = "exp.tag('baseline'), exp.tag(remove=['odd']) or exp.tag(only=['final'])"


class Changeable(Guided):
    """An experiment, and what can be done with it besides logging.

    It is done where its reads ask: on this disk, or with ``dash_root=None`` at the server. All changes raise
    `ExperimentMissingError` where there is no such experiment, `JournalWriteError` where the disk refuses, and
    `ServerUnavailableError` or `RemoteError` where the server does, as for a token that may only read.
    """

    _session: Session

    @explained("exp.exists()")
    def exists(self) -> bool:
        """Say whether there is such an experiment: on this disk, or with ``dash_root=None`` at the server.

        Raises:
            ServerUnavailableError: the server cannot be reached.
            RemoteError: the server refuses to say it, as to a token that may not read.
        """
        with guarded_imports():
            from ml_dash.sdk.presence import exists

        return exists(self._session)

    @explained("exp.delete()")
    def delete(self, *, force: bool = False) -> None:
        """Put the experiment into the trash: it can be restored for 30 days, or as long as the server says.

        Args:
            force: whether to do so although a run of it goes on, which writes on to the trash, or keeps its rows.

        Raises:
            ExperimentRunningError: a run goes on.
        """
        _changes(self._session).delete(self._session.prefix, force=flag("force", force))

    @explained("exp.restore()")
    def restore(self, to: str | None = None) -> Self:
        """Take what had this name and was deleted last out of the trash; return it, opened for reading.

        Args:
            to: another name, where this one has been taken since.

        Raises:
            ExperimentExistsError: there is an experiment of that name.
        """
        name = checked_text("to", to)
        return self._opened(_changes(self._session).restore(self._session.prefix, name))

    @explained("exp.move('owner/project/name')")
    def move(self, to: str) -> Self:
        """Give the experiment another name; return it under that, opened for reading.

        At a server a run of it may go on, which then goes on in it; and the owner stays. On a disk none may.

        Raises:
            ExperimentExistsError: there is an experiment of that name.
            ExperimentRunningError: a run goes on, on this disk.
            InvalidPrefixError: `to` cannot name an experiment.
        """
        if not isinstance(to, str):
            raise InvalidArgumentError(f"to={to!r:.200} is no name: pass 'owner/project/name'")
        return self._opened(_changes(self._session).move(self._session.prefix, to))

    @explained(_TAG)
    def tag(
        self, *add: str, remove: Iterable[str] | None = None, only: Iterable[str] | None = None
    ) -> list[str]:
        """Change the tags, whether a run is open or not; return those that there are then.

        Args:
            *add: tags to add.
            remove: tags to take away.
            only: tags in the place of all that there were.
        """
        with imports_for_reading():
            from ml_dash.places.changing import NewTags

        added = checked_texts("tag", list(add)) or []
        removed = checked_texts("remove", remove) or []
        return _changes(self._session).tag(
            self._session.prefix, NewTags(added, removed, checked_texts("only", only))
        )

    @explained("exp.note('what I think of it')")
    def note(self, text: str | None = None, *, before: str | None = None) -> str | None:
        """Return the note on the experiment, which is what people write of it; or replace it.

        Args:
            text: in Markdown; an empty one takes the note away. None only reads it.
            before: what it was when it was read, empty for nothing: where it is something else by now, it stays so.

        Raises:
            ChangedMeanwhileError: it is not what it was `before`: somebody else has changed it.
        """
        changes = _changes(self._session)
        return _read_or_replaced(self._session.prefix, text, before, changes.read_note, changes.note)

    @explained("exp.describe('# What this is')")
    def describe(self, text: str | None = None, *, before: str | None = None) -> str | None:
        """Return the readme, or replace it, whether a run is open or not; a run that says another one later wins.

        Args:
            text: in Markdown; an empty one takes the readme away. None only reads it.
            before: see `note`.

        Raises:
            ChangedMeanwhileError: it is not what it was `before`: somebody else has changed it.
        """
        changes = _changes(self._session)
        return _read_or_replaced(self._session.prefix, text, before, changes.read_readme, changes.readme)

    @explained("exp.stop('the loss is NaN'), or exp.stop(cancel=True)")
    def stop(self, reason: str | None = None, *, cancel: bool = False) -> None:
        """Ask the run that goes on to stop, wherever it goes on: it reads ``exp.should_stop``, and ends as CANCELLED.

        It learns it within ten seconds. A run that does not look goes on; one that begins later is not meant.

        Args:
            reason: why, for people.
            cancel: whether to take that back, as long as the run has not seen it.

        Raises:
            StopError: no run goes on; or it has seen the request that was to be taken back.
        """
        changes, text = _changes(self._session), checked_text("reason", reason)
        if flag("cancel", cancel):
            changes.cancel_stop(self._session.prefix)
        else:
            changes.stop(self._session.prefix, text)

    def _opened(self, prefix: str) -> Self:
        """Return the experiment of this name in the same place, opened for reading."""
        raise NotImplementedError


def _changes(session: Session) -> Changes:
    """Return what changes the place that an experiment is read from."""
    return changes_at(session.destination)


def changes_at(place: Destination) -> Changes:
    """Return what changes experiments on this disk, or where none are kept here, at the server."""
    with guarded_imports(), imports_for_reading():
        if place.keeps:
            from ml_dash.places.local_changes import LocalChanges

            return LocalChanges(place.root)
        from ml_dash.client.api import Client
        from ml_dash.client.http import AiohttpTransport
        from ml_dash.places.remote_changes import RemoteChanges
        from ml_dash.tokens.current import token_for

    url = str(place.url)
    return RemoteChanges(Client(AiohttpTransport(url, lambda: token_for(url), RUNTIME.look_up)), RUNTIME.ask)


def _read_or_replaced(
    prefix: str,
    text: str | None,
    before: str | None,
    read: Callable[[str], str | None],
    replace: Callable[[str, str, str | None], None],
) -> str | None:
    text, before = checked_text("text", text), checked_text("before", before)
    if text is None:
        if before is not None:
            raise InvalidArgumentError(
                f"before={before!r:.200} goes with a text: pass what is to be there, too"
            )
        return read(prefix)
    replace(prefix, text, before)
    return text or None
