"""Media values on their way to files: taken at the call, encoded on a thread of their own, from a bounded backlog.

A row with a media value is logged at once; in the value's place it has a dict with ``_type``, what is known of it, and
``file``, the name that its contents will have: ``media/val/sample/000012-k3f9.png``. The contents are a file of the
experiment like any other, with the step, the metric and the field in its metadata, stored once where several are equal.

Problem: to encode an image takes longer than a step. So that is done elsewhere, and what waits for it is bounded: by
count and by bytes. A value that comes when the backlog is full is dropped, and the row says so (``dropped``), for a
training is never to wait for its pictures. The end of a run waits for those that wait, but not for ever.

What still can fail: a run that is killed has rows whose files never came: their names are known, and lead nowhere. A
value that cannot be encoded after all (a full disk, a codec that refuses) is counted and told, and its row stays.
"""

from __future__ import annotations

import os
import secrets
import threading
from typing import TYPE_CHECKING, Any

from ml_dash.errors import NotStartedError, ValueWarning
from ml_dash.locks import MortalLock
from ml_dash.notices import is_news, logger, warn_user
from ml_dash.pipeline.threads import WorkThread
from ml_dash.sdk.files.details import Details
from ml_dash.sdk.media.pictures import Image
from ml_dash.sdk.media.places import media_place
from ml_dash.sdk.media.value import MediaValue

if TYPE_CHECKING:
    from ml_dash.sdk.files.names import Place
    from ml_dash.sdk.files.saving import FileSaver
    from ml_dash.sdk.session import Session

WAITING_MAX, WAITING_BYTES_MAX = 256, 256 * 1024 * 1024


class MediaStore:
    """Turns the media values of one experiment's rows into files."""

    _lock = MortalLock()

    def __init__(self, session: Session, saver: FileSaver) -> None:
        self._session = session
        self._saver = saver
        self._told: set[str] = set()
        self._begin()
        session.on_fork.append(self._begin)
        session.on_settle.append(self.settle)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._waiting = self._bytes = 0
        self._numbers: dict[tuple[str | None, str], int] = {}
        self._latest: threading.Event | None = None
        self.dropped = self.failed = 0

    def taken(self, metric: str | None, fields: dict[str, Any]) -> dict[str, Any]:
        """Return a row's fields with what is said of media values in their places; these are encoded later."""
        if not any(isinstance(value, MediaValue) for value in fields.values()):
            return fields
        self._saver.check()  # nothing is begun for a row that will be refused
        step = fields.get("step")
        return {
            name: self._take(metric, name, step, value) if isinstance(value, MediaValue) else value
            for name, value in fields.items()
        }

    def settle(self, seconds: float) -> None:
        """Wait for what is still to be encoded, at most so long, and say what is missing."""
        latest = self._latest
        if latest is not None:
            latest.wait(seconds)
        with self._lock:
            missing, self.dropped, self.failed = self.dropped + self._waiting, 0, 0
        if missing:
            warn_user(
                f"{missing:,} media values of {self._session.prefix!r} have no file: more were logged than can be "
                f"encoded meanwhile ({WAITING_MAX} may wait). Their rows say so; log them less often, or smaller",
                ValueWarning,
            )

    def _take(self, metric: str | None, field: str, step: Any, value: MediaValue) -> dict[str, Any]:
        about = value.about()
        if isinstance(value, Image) and value.masks:
            about["masks"] = {
                name: self._take(metric, f"{field}/{name}", step, mask) for name, mask in value.masks.items()
            }
        with self._lock:
            number = self._numbers[metric, field] = self._numbers.get((metric, field), -1) + 1
            has_room = self._waiting < WAITING_MAX and self._bytes + value.size <= WAITING_BYTES_MAX
            if has_room:
                self._waiting += 1
                self._bytes += value.size
            else:
                self.dropped += 1
        if not has_room:
            return {**about, "dropped": "backlog"}
        at = step if isinstance(step, int) else number
        place = media_place(metric, field, at, secrets.token_hex(4), value.extension)
        details = Details(metadata={"metric": metric, "field": field, "step": step, **about})
        self._begin_saving(place, details, value)
        return {**about, "file": place.name}

    def _begin_saving(self, place: Place, details: Details, value: MediaValue) -> None:
        # a file may change after the call
        staged = None if value.source is None else value.stage(self._saver.staging)

        def save() -> None:
            try:
                self._saver.save(place, details, lambda staging: staged or value.stage(staging))
            except NotStartedError:
                self._fail(place, "the run has ended")
            except Exception as error:  # noqa: BLE001 - told, and never the end of the thread
                self._fail(place, f"{type(error).__name__}: {error}")
            finally:
                with self._lock:
                    self._waiting -= 1
                    self._bytes -= value.size

        self._latest = _worker().begin(save)

    def _fail(self, place: Place, why: str) -> None:
        with self._lock:
            self.failed += 1
        # no warning: this is a thread of ours, in which the user's filters must not raise
        if is_news(why, self._told):
            logger().warning(
                "%s of %s could not be stored (said once): %s", place.name, self._session.prefix, why
            )


_WORKERS: dict[int, WorkThread] = {}
"""The thread that encodes, by the process: a forked child has none of its parent's."""


def _worker() -> WorkThread:
    pid = os.getpid()
    worker = _WORKERS.get(pid)
    if worker is None:
        _WORKERS.clear()
        worker = _WORKERS[pid] = WorkThread("ml-dash-media")
        worker.start()
    return worker
