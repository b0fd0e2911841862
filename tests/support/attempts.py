"""Writers of several attempts of one experiment, of which later ones repeat what earlier ones have logged."""

from __future__ import annotations

from typing import Any

from tests.support.serving import NOON, SECOND, frame, numbers, run_row

A, B, C = (f"{NOON + at * SECOND:016x}-1f-{at:08x}" for at in (0, 100, 200))


def attempt(at: int, steps: range, end: str | None = "COMPLETED", **start: Any) -> list[bytes]:
    """The frames of a writer that starts, logs, and ends or is killed."""
    began = NOON + at * SECOND
    frames = [run_row(began, "start", status="RUNNING", **start), numbers(steps.start, len(steps))]
    if end is not None:
        frames.append(run_row(began + 50 * SECOND, "end", status=end))
    return [frame(seq, block) for seq, block in enumerate(frames, 1)]


RESUMED = {
    A: attempt(0, range(4), "FAILED"),
    B: attempt(100, range(2, 6), None, resume_from=2),
    C: attempt(200, range(4, 8), resume_from=4),
}
