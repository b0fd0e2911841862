"""Ranks: processes of one training, which a launcher (torchrun, srun, mpirun, accelerate) starts together.

They come and end in any order, on one machine or on several. With ``resume="never"`` they begin one new experiment:
whichever comes first takes the name. The others tell it from an earlier training's by two marks: no run of their own
rank is in it yet, and nothing in it is older than their launcher. Clocks of machines may differ by the slack.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from ml_dash.processes import process_born
from ml_dash.protocol import RANK_MAX
from ml_dash.query.times import NANOSECONDS
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ml_dash.settings import Settings

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
"""Environment variables with the number of this process among those of one training: torchrun's, SLURM's, MPI's."""

_GLOBAL = tuple(name for name in RANKS if name != "LOCAL_RANK")
"""Those that tell apart the ranks of all machines; torchrun's comes first, for it may be started by srun."""
_SLACK_NS = 10 * NANOSECONDS
_LAUNCH_NS = 60 * NANOSECONDS
"""For how long ranks come after their launcher at most, where nobody can say when that began."""


class Start(NamedTuple):
    """A start of a run: when, and by which rank; None where it was started by itself."""

    time_ns: int
    rank: str | None


def own_rank(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the number of this process among the ranks of a training; None where no launcher has started it."""
    given = (environ.get(name, "").strip() for name in (*_GLOBAL, "LOCAL_RANK"))
    return next((str(int(number)) for number in given if number.isdecimal()), None)


def with_rank(settings: Settings) -> Settings:
    """Return settings with this process's rank: the one that was given, else what the launcher says."""
    if settings.rank is not None:
        return settings
    own = own_rank()
    number = None if own is None else int(own)
    return settings if number is None or number > RANK_MAX else settings._replace(rank=number)


def experiment_rank(experiment: Any) -> int | None:
    """The number of this process among those of its training; None where it is not part of one."""
    return with_rank(experiment._session.settings).rank  # noqa: SLF001 - no name of it: as for the summary


def is_one_training(rank: str, starts: Collection[Start]) -> bool:
    """Whether these starts are those of other ranks of the training that this process is part of."""
    ranks = {start.rank for start in starts}
    return bool(starts) and None not in ranks and rank not in ranks and is_recent(min(starts).time_ns)


def is_recent(time_ns: int) -> bool:
    """Whether this was not before the launcher of this process began."""
    began_ns = _began_ns(os.getppid())
    earliest_ns = time.time_ns() - _LAUNCH_NS if began_ns is None else began_ns
    return time_ns >= earliest_ns - _SLACK_NS


def _began_ns(pid: int) -> int | None:
    """Return when a process began; None where that cannot be told."""
    born = process_born(pid)
    if born is None or not hasattr(time, "CLOCK_BOOTTIME"):
        return None
    seconds = int(born.split()[0]) / os.sysconf("SC_CLK_TCK")
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME) + int(seconds * NANOSECONDS)
