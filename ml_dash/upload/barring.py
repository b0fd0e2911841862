"""Writers of which a server takes nothing more: their experiment was deleted, and another one has its name.

What they log is of the deleted one, and stays in the journal, until they begin another run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.storage.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from ml_dash.client.transport import ServerError
    from ml_dash.upload.introduction import Introduction, Say
    from ml_dash.upload.ledger import WriterLedger
    from ml_dash.upload.task import Target


class Barring:
    """Stops such writers, and lets them go on. For one task.

    Args:
        target: The experiment, and the server.
        introduction: By which the server is told who has begun a run.
        say: Tells people of trouble.
        begun: Gives the writers that have begun a run of which the server does not know yet.
    """

    def __init__(
        self, target: Target, introduction: Introduction, say: Say, begun: Callable[[], Collection[str]]
    ) -> None:
        self._target = target
        self._introduction = introduction
        self._say = say
        self._begun = begun
        self._told: set[str] = set()
        self._barred: set[str] = set()

    async def settle(self, writer: str, ledger: WriterLedger, error: ServerError) -> None:
        """Stop a writer that was refused, unless its journal has the start of a run behind what the server has."""
        target = self._target
        known = {writer: error.number("watermark") or 0}
        if writer not in self._told:
            self._told.add(writer)
            manifest = Manifest(target.directory, target.clock, target.disk)
            if writer in await target.run_blocking(lambda: manifest.began_behind(known)):
                await self._introduction.let_in([writer])
                return
        reason = (
            f"{target.url} has another experiment of this name since the one was deleted that this run had: "
            f"nothing more of it is sent, and all of it stays in the journal ({error.message})"
        )
        ledger.stop(reason)
        self._barred.add(writer)
        self._say("barred", f"{target.prefix}: {reason}")

    def begun(self) -> Collection[str]:
        """Return those that were stopped and have begun a run, of which the server is to be told."""
        return self._barred.intersection(self._begun())

    def resume(self, begun: Collection[str], ledgers: Mapping[str, WriterLedger]) -> None:
        """Let these go on: the server was told."""
        for writer in begun:
            ledgers[writer].stopped = None
        self._barred.difference_update(begun)
