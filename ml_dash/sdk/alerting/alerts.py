"""Alerts: `exp.alert`, and `exp.alerts` to read them.

An alert is a row like any other: it is in the journal when the call returns, and a server tells people of it by its
rules. A loop that says the same a thousand times a minute says it once a minute: see `wait`.
"""

from __future__ import annotations

import math
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.notices import say
from ml_dash.query.logs import ALERT_LEVELS, alert_level
from ml_dash.sdk.guidance.calls import explained, shown
from ml_dash.sdk.guidance.guided import Guided
from ml_dash.sdk.parts import Part
from ml_dash.series import Kind
from ml_dash.values.pack import text_of

if TYPE_CHECKING:
    from ml_dash.sdk.session import Session

WAIT = 60.0
"""Seconds in which one title is logged once, where a call does not say."""
_EXAMPLE = "exp.alert('loss is NaN', 'step 1200', level='error')"
_TITLES = 1000
"""Of how many titles it is known when they were logged last: a loop may put a number into each."""


class AlertWriter:
    """Logs alerts, each title once in a while."""

    def __init__(self, session: Session) -> None:
        self._port = session.port(Kind.ALERT, None)
        self._echo = session.settings.echo
        # when a title was logged last, and how many were held back since. No lock: a signal handler may be in here as
        # well, and of two threads at the same moment one more row is logged at worst
        self._titles: dict[str, tuple[float, int]] = {}

    def write(self, title: Any, text: Any, level: Any, wait: Any) -> bool:
        """Log an alert; see `Alerting.alert`."""
        if not isinstance(title, str) or not title.strip():
            raise InvalidArgumentError(f"title={shown(title)} is no title: write {_EXAMPLE}")
        if not isinstance(level, str):
            raise InvalidArgumentError(f"level={shown(level)} is not one of {', '.join(ALERT_LEVELS)}")
        name, seconds = alert_level(level), _seconds(wait)
        said = text if type(text) is str else text_of(text)
        self._port.check()
        now = time.monotonic()
        last, held = self._titles.get(title, (-math.inf, 0))
        if now - last < seconds:
            self._titles[title] = (last, held + 1)
            return False
        # the row first: what is refused is not counted as logged
        self._port.write(time.time_ns(), {"title": title, "text": said, "level": name, "held": held})
        self._note(title, now)
        if self._echo:
            is_error = name == "error"
            stream = sys.stderr if is_error else sys.stdout
            say(f"[alert: {name}] {title}" + (f": {said}" if said else ""), stream, flush=is_error)
        return True

    def _note(self, title: str, now: float) -> None:
        self._titles.pop(title, None)
        self._titles[title] = (now, 0)
        while len(self._titles) > _TITLES:
            self._titles.pop(next(iter(self._titles), title), None)


class Alerting(Guided):
    """An experiment, and what it says that somebody should see."""

    alerts: AlertManager
    _alerts: AlertWriter

    @explained(_EXAMPLE)
    def alert(
        self, title: str, text: str = "", level: str = "info", *, wait: float | timedelta = WAIT
    ) -> bool:
        """Say something that somebody should see: a row, which a server tells people of by its rules.

        Args:
            title: what has happened, in a few words.
            text: more of it.
            level: info, warning (or warn) or error, in any case.
            wait: seconds in which the same title is logged only once, by this process; 0 logs each. The next one that
                is logged tells as ``held`` how many were held back.

        Returns:
            Whether it was logged, and not held back.

        Raises:
            InvalidArgumentError: the level is not known, or another argument makes no sense.
            NotStartedError: the run is not open.
        """
        return self._alerts.write(title, text, level, wait)


class AlertManager(Part, written="exp.alerts"):
    """Reads alerts back; `Experiment.alert` writes them."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, "alerts")

    @explained("exp.alerts.read(level='error', search='text', start_index=0, limit=100)")
    def read(
        self, level: str | None = None, search: str | None = None, start_index: int = 0, limit: int = 100
    ) -> dict[str, Any]:
        """Read alerts; sees everything logged before it.

        Args:
            level: only of this level.
            search: only with this text in the title or the text, in any case.
            start_index: position among all alerts at which to begin.
            limit: alerts to return at most.

        Returns:
            As `metrics.read`, with rows ``{"index", "timestamp", "level", "title", "text", "held"}``.
        """
        return self._session.view.alerts(level, search, start_index, limit)


def _seconds(wait: Any) -> float:
    if isinstance(wait, timedelta):
        return wait.total_seconds()
    if isinstance(wait, bool) or not isinstance(wait, (int, float)) or not wait >= 0:
        raise InvalidArgumentError(f"wait={shown(wait)} is not a number of seconds: give 0 or more")
    return float(wait)
