"""What is known of a background thread that cannot be started: since when, whether that was said, when to try again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.limits.sparing import lack_for_thread
from ml_dash.notices import logger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ml_dash.pipeline.channel import Channel

_NEXT_TRY = 1.0  # seconds
_NEVER = float("-inf")
_REFUSED = "a limit on processes (`ulimit -u`, the pids limit of a container) or memory, or the interpreter forbids it"


class Solitude:
    """Whether this process has to do without the background thread."""

    def __init__(self) -> None:
        self._try_at = _NEVER

    @property
    def lasts(self) -> bool:
        """Whether a thread was refused just now, and is not to be tried yet."""
        return SYSTEM_CLOCK.monotonic() < self._try_at

    def begin(self, *, quietly: bool) -> None:
        """Note that a thread was refused, and say so the first time; `quietly` where the interpreter is ending."""
        if self._try_at == _NEVER and not quietly:
            logger().warning(
                "No background thread can be started: %s. It is tried again every second; until then the calls that "
                "log write to the disk themselves, and nothing is sent to a server: `ml-dash sync` does.",
                lack_for_thread() or _REFUSED,
            )
        self._try_at = SYSTEM_CLOCK.monotonic() + _NEXT_TRY

    def end(self, channels: Iterable[Channel]) -> None:
        """Note that there is a thread; say so where there was none."""
        if self._try_at > _NEVER:
            self._try_at = _NEVER
            for channel in channels:
                if channel.delivery is not None:
                    channel.delivery.take_hope()
            logger().warning("The background thread could be started: rows are written and sent by it again.")
