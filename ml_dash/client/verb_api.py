"""The calls that change experiments at a server: delete, restore, move, tag, write notes, ask their runs to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from ml_dash.client.answers import checked
from ml_dash.client.api import experiment_path
from ml_dash.client.paging import Pages
from ml_dash.client.transport import ServerError
from ml_dash.errors import (
    NEWER,
    ChangedMeanwhileError,
    ExperimentExistsError,
    ExperimentMissingError,
    ExperimentRunningError,
    MLDashError,
    RemoteError,
    StopError,
)
from ml_dash.journal.objects import to_msgpack
from ml_dash.protocol import API, MSGPACK, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_dash.client.api import Client


Text: TypeAlias = Literal["note", "readme"]
_MEANINGS: dict[str, type[MLDashError]] = {
    ErrorCode.EXISTS: ExperimentExistsError,
    ErrorCode.CHANGED: ChangedMeanwhileError,
    ErrorCode.NOT_STOPPED: StopError,
    ErrorCode.RUNNING: ExperimentRunningError,
}


class StopAsked(msgspec.Struct, rename="camel"):
    """What is believed of a request to stop."""

    at: str
    by: str | None = None
    reason: str | None = None
    seen_at: str | None = None


class Changed(msgspec.Struct, rename="camel"):
    """What is believed of an experiment that was changed; the rest of it is for people."""

    id: str
    prefix: str
    tags: list[str] = []
    note: str | None = None
    purge_at: str | None = None
    deleted_at: str | None = None
    stop: StopAsked | None = None


class Binned(msgspec.Struct, rename="camel"):
    """What is believed of an experiment in the trash."""

    id: str
    prefix: str
    deleted_at: str
    purge_at: str | None = None
    deleted_by: str | None = None


class _Trash(msgspec.Struct):
    data: list[Binned]


class VerbApi:
    """Changes experiments at one server."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def url(self) -> str:
        """The server's URL."""
        return self._client.url

    async def delete(self, prefix: str, *, unless_running: bool) -> Changed:
        """Put an experiment into the trash."""
        record = await self._record(prefix)
        path = experiment_path(record["id"])
        asked = {"unless_running": "true"} if unless_running else None
        try:
            answer = await self._client.delete(path, asked)
        except ServerError as error:
            # a server of an older version does not know the word, and keeps what was deleted for ever
            if error.code != ErrorCode.INVALID or not unless_running:
                raise self._meaning(error, prefix) from error
            if record.get("status") == "RUNNING" and not record.get("stale"):
                raise ExperimentRunningError(
                    f"a run of {prefix!r} goes on at {self.url}: end it first"
                ) from None
            answer = await self._asked(prefix, self._client.delete(path))
        return self._changed(answer)

    async def restore(self, experiment_id: str, prefix: str, to: str | None) -> Changed:
        """Take an experiment out of the trash."""
        path = experiment_path(experiment_id, "restore")
        given = {} if to is None else {"to": to}
        return self._changed(await self._asked(to or prefix, self._client.post(path, given)))

    async def move(self, prefix: str, to: str) -> Changed:
        """Give an experiment another name."""
        path = experiment_path((await self._record(prefix))["id"], "move")
        return self._changed(await self._asked(prefix, self._client.post(path, {"to": to})))

    async def tag(
        self, prefix: str, add: Sequence[str], remove: Sequence[str], only: Sequence[str] | None
    ) -> Changed:
        """Change an experiment's tags."""
        path = experiment_path((await self._record(prefix))["id"], "tags")
        given: dict[str, Any] = {"add": list(add), "remove": list(remove)}
        if only is not None:
            given["only"] = list(only)
        return self._changed(await self._asked(prefix, self._client.post(path, given)))

    async def write(self, prefix: str, what: Text, text: str, before: str | None) -> Changed:
        """Replace the note on an experiment, or its readme; with `before` only where it is still that."""
        path = experiment_path((await self._record(prefix))["id"], what)
        try:
            given = {what: text} if before is None else {what: text, "before": before}
            answer = await self._client.put_value(path, to_msgpack(given), MSGPACK)
        except ServerError as error:
            if before is None or error.code != ErrorCode.INVALID or "before" not in error.message:
                raise self._meaning(error, prefix) from error
            # a server of an older version knows no `before`: what it has is looked at first, as far as that goes
            now = await self.read(prefix, what) or ""
            if now not in {before, text}:
                raise ChangedMeanwhileError(
                    f"the {what} of {prefix!r} was changed meanwhile: read it again, and put both together"
                ) from None
            put = self._client.put_value(path, to_msgpack({what: text}), MSGPACK)
            answer = await self._asked(prefix, put)
        return self._changed(answer)

    async def stop(self, prefix: str, reason: str | None, *, cancel: bool = False) -> Changed:
        """Ask a run to stop, or take that back."""
        path = experiment_path((await self._record(prefix))["id"], "stop")
        given = {"cancel": True} if cancel else {"reason": reason}
        return self._changed(await self._asked(prefix, self._client.post(path, given)))

    async def read(self, prefix: str, what: Text) -> str | None:
        """Return the note on an experiment, or its readme."""
        record = await self._client.record(prefix)
        if record is None:
            raise self._missing(prefix)
        text = record.get(what)
        return text if isinstance(text, str) else None

    async def trash(self) -> list[Binned]:
        """Return what is in the trash, what was deleted last first."""
        found: list[Binned] = []
        pages = Pages(self.url)
        while not pages.over:
            query = {"cursor": pages.cursor} if pages.cursor else None
            answer = await self._asked("", self._client.get(f"{API}/trash", query))
            page = msgspec.convert(checked(self.url, answer, _Trash), _Trash).data
            found += page
            pages.follow(answer, [each.id for each in page])
        return found

    # --- what they have in common

    async def _record(self, prefix: str) -> Mapping[str, Any]:
        record = await self._client.find(prefix)
        if record is None:
            raise self._missing(prefix)
        return record

    async def _asked(self, prefix: str, answer: Any) -> Any:
        try:
            return await answer
        except ServerError as error:
            raise self._meaning(error, prefix) from error

    def _changed(self, answer: Any) -> Changed:
        return msgspec.convert(checked(self.url, answer, Changed), Changed)

    def _missing(self, prefix: str) -> ExperimentMissingError:
        return ExperimentMissingError(
            f"there is no experiment {prefix!r} at {self.url}, or its token may not see it"
        )

    def _meaning(self, error: ServerError, prefix: str) -> Exception:
        kind = _MEANINGS.get(error.code or "")
        if kind is not None:
            return kind(error.message)
        match error.code:
            case ErrorCode.NOT_FOUND | ErrorCode.GONE if prefix and "removed for good" not in error.message:
                return self._missing(prefix)
        if error.code == ErrorCode.NO_ROUTE or error.status == 405:
            return RemoteError(
                f"{self.url} has a version of ML-Dash that cannot do this yet: there, {NEWER}. Nothing was changed"
            )
        return error
