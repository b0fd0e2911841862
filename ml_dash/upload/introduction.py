"""How a server comes to know an experiment, and what is said of it besides what it logs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ml_dash.client.transport import ServerError
from ml_dash.journal.feed import writers
from ml_dash.protocol import DESCRIBED, SAID, WRITERS_TOLD_MAX, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from ml_dash.client.api import Upserted
    from ml_dash.upload.task import Target

Say: TypeAlias = "Callable[[str, str], None]"
"""Tells people a message, not too often: the kind before it says what is the same as before."""

Begins: TypeAlias = "Callable[[Mapping[str, Any]], Awaitable[Collection[str]]]"
"""Gives the writers that have begun a run since an experiment was deleted, by the watermarks that it had."""


class Told(NamedTuple):
    """What a server was told of an experiment, which had this id there; with another one it has lost that."""

    experiment_id: str | None
    about: Mapping[str, Any]


NOT_TOLD = Told(None, {})


class Introduction:
    """Introduces one experiment to one server, as often as that is needed, and tells it once what is said.

    Told again with every connection, it would undo what somebody else has said since.

    Args:
        target: The experiment, and the server.
        say: Tells people of trouble.
        about: Gives what is said of the experiment.
        told: What the server has been told of that before.
        recreate: Whether to bring back an experiment that was deleted at the server.
        begins: Gives the writers that have begun a run since one was deleted: that is another one under its name.
        begun: Gives those of which that is known without the journal, which nobody asks then.
        writers: Those of the journal, where somebody has just looked; later they are looked up.

    Attributes:
        untold: Why the server does not take what is said of the experiment, by its name (readme, tags, …).
    """

    def __init__(
        self,
        target: Target,
        say: Say,
        about: Callable[[], Mapping[str, Any]],
        told: Told,
        *,
        recreate: bool,
        begins: Begins | None,
        begun: Callable[[], Collection[str]] = tuple,
        writers: list[str] | None = None,
    ) -> None:
        self.untold: dict[str, str] = {}
        self._client = target.client
        self._prefix = target.prefix
        self._target = target
        self._called = target.prefix
        self._say = say
        self._about = about
        self._times: Mapping[str, int] = {}
        self._told = told
        self._recreate = recreate
        self._begins = begins
        self._begun = begun
        self._known = writers

    async def make(self) -> Upserted:
        """Introduce the experiment, and tell what has not been told; return what the server has of it."""
        said = self._about()
        about = {name: value for name, value in said.items() if name in DESCRIBED and value is not None}
        self._times = said.get(SAID) or {}
        told = self._told.about
        news = {name: value for name, value in about.items() if name not in told or told[name] != value}
        try:
            found = await self._tell(news)
        except ServerError as error:
            begun = await self._of_another(error)
            if not begun:
                raise
            await self.let_in(begun, anew=True)
            found = await self._tell(about)
        self._tell_name(found)
        self._recreate = False  # should it be deleted once more, that is meant
        # By its id, and not by its word that it was created now: the answer with that may have been lost.
        if found.id != self._told.experiment_id and len(news) < len(about):
            found = await self._tell(about)
        self._told = Told(found.id, about)
        return found

    async def repeat(self) -> None:
        """Tell all of it to a server that was restored from a backup, which may be older than what it was told."""
        if self._told.about:
            self._told = NOT_TOLD
            await self.make()

    async def let_in(self, begun: Collection[str], *, anew: bool = False) -> None:
        """Tell the server which writers have begun a run since the deletion: what they log is of the next one."""
        await self._client.upsert(
            self._prefix, anew=anew, writers=await self._writers(), begun=[*begun][:WRITERS_TOLD_MAX]
        )

    async def _of_another(self, error: ServerError) -> Collection[str]:
        """Return the writers by which this is another experiment than the deleted one; none where it is not."""
        known = error.details.get("watermarks")
        if error.code != ErrorCode.GONE:
            return ()
        if error.details.get("watermarksCursor") is not None:
            return ()  # these are not all, so that nobody can tell: the data stays here
        if not isinstance(known, dict) or not all(isinstance(seq, int) for seq in known.values()):
            return ()
        return self._begun() if self._begins is None else await self._begins(known)

    async def _tell(self, about: Mapping[str, Any]) -> Upserted:
        """Tell the server what is said of the experiment; what it refuses of that keeps back no row."""
        names, begun = await self._writers(), [*self._begun()][:WRITERS_TOLD_MAX]
        try:
            return await self._client.upsert(
                self._prefix, self._timed(about), recreate=self._recreate, writers=names, begun=begun
            )
        except ServerError as error:
            if not about or not _is_refusal(error):
                raise
        found = await self._client.upsert(self._prefix, recreate=self._recreate, writers=names, begun=begun)
        for name, value in about.items():
            try:
                found = await self._client.upsert(self._prefix, self._timed({name: value}), writers=names)
            except ServerError as error:
                if not _is_refusal(error):
                    raise
                self.untold[name] = error.message
                self._say(
                    f"untold-{name}",
                    f"{self._client.url} does not take the {name} of {self._prefix} ({error.message}). It stays here; "
                    "all rows are sent.",
                )
        return found

    async def _writers(self) -> list[str]:
        """Return writers of the journal, by which a server knows an experiment that was moved: the first and the last.

        All that are in the directory, and not only those that are sent: a forked child's has sent nothing yet. A disk
        that refuses is told of when frames are read.
        """
        target = self._target
        found, self._known = self._known, None
        if found is None:
            journal = os.path.join(target.directory, "journal")
            try:
                found = await target.run_blocking(lambda: writers(journal, target.disk))
            except OSError:
                return []
        half = WRITERS_TOLD_MAX // 2
        return [*found[:half], *found[max(half, len(found) - half) :]]

    def _tell_name(self, found: Upserted) -> None:
        """Say under which name the rows are found at the server, where somebody has moved the experiment there."""
        called = found.record.get("prefix")
        if isinstance(called, str) and called != self._called:
            self._called = called
            self._say(
                "moved",
                f"{self._prefix} is called {called} at {self._client.url}, where it was moved: what is logged goes on "
                "to that one, each row once",
            )

    def _timed(self, about: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return this with when it was said: what others have said since stays."""
        return {**about, SAID: {name: self._times[name] for name in about if name in self._times}}


def add_saying(said: dict[str, Any], news: Mapping[str, Any]) -> None:
    """Take up what another one has said of the same experiment, later."""
    times = {**said.get(SAID, {}), **news.get(SAID, {})}
    said |= {**news, SAID: times}


def _is_refusal(error: ServerError) -> bool:
    """Say whether an answer refuses what a request says, in the server's own words."""
    return error.code in {ErrorCode.INVALID, ErrorCode.TOO_LARGE} and error.status != 408
