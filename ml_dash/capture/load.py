"""The load of a machine and of this process: what a chart of ``system/…`` shows.

Each `read` returns groups of numbers, one metric each. Percentages of a process and of a disk are over the time since
the read before, so the first one has none. Within a container the machine's memory is its limit, where it has one: that
is what a training runs out of.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import psutil

Loads = dict[str, dict[str, float]]
_CGROUP_MEMORY = (
    ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.max"),
    ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_UNLIMITED = 1 << 60
_MIB = 1024 * 1024


class LoadReader:
    """Reads the load of the machine, this process and its graphics cards; of one thread."""

    def __init__(self, *, with_machine: bool = True) -> None:
        """Begin. Raises ImportError where psutil is not installed.

        Args:
            with_machine: False for all processes of a machine but one: they would all read the same.
        """
        import psutil

        self._psutil = psutil
        self._with_machine = with_machine
        self._process: psutil.Process = psutil.Process()
        self._cards = _Cards() if with_machine else None
        self._before: tuple[float, dict[str, float]] | None = None
        # the first answer of these is 0: they count from the call before
        psutil.cpu_percent(None)
        self._process.cpu_percent(None)

    def close(self) -> None:
        """Let go of the driver's library."""
        if self._cards is not None:
            self._cards.close()

    def read(self) -> Loads:
        """Return the load now: fields of numbers by the metric's name, without what cannot be read."""
        found: Loads = {"system/process": self._own()}
        if self._with_machine:
            found |= {"system/cpu": self._processors(), "system/memory": self._memory(), **self._traffic()}
        if self._cards is not None:
            found |= self._cards.read()
        return {name: fields for name, fields in found.items() if fields}

    def _own(self) -> dict[str, float]:
        with contextlib.suppress(self._psutil.Error, OSError), self._process.oneshot():
            return {
                "cpu_percent": self._process.cpu_percent(None),
                "rss_mib": self._process.memory_info().rss / _MIB,
                "threads": self._process.num_threads(),
            }
        return {}

    def _processors(self) -> dict[str, float]:
        with contextlib.suppress(self._psutil.Error, OSError):
            return {"percent": self._psutil.cpu_percent(None), "load_1m": self._psutil.getloadavg()[0]}
        return {}

    def _memory(self) -> dict[str, float]:
        with contextlib.suppress(self._psutil.Error, OSError):
            memory = self._psutil.virtual_memory()
            used, total = memory.total - memory.available, memory.total
            if (limited := _cgroup_memory()) is not None and limited[1] < total:
                used, total = limited
            return {"percent": 100 * used / total, "used_mib": used / _MIB}
        return {}

    def _traffic(self) -> Loads:
        """Return bytes a second since the last read, to and from disks and the network."""
        now: dict[str, float] = {}
        with contextlib.suppress(self._psutil.Error, OSError, RuntimeError):
            if (disk := self._psutil.disk_io_counters()) is not None:
                now |= {"disk.read": disk.read_bytes, "disk.written": disk.write_bytes}
            if (network := self._psutil.net_io_counters()) is not None:
                now |= {"network.received": network.bytes_recv, "network.sent": network.bytes_sent}
        before, self._before = self._before, (time.monotonic(), now)
        if before is None:
            return {}
        seconds = self._before[0] - before[0]
        found: Loads = {}
        for key, value in now.items():
            if key in before[1] and seconds > 0:
                name, _, direction = key.partition(".")
                rate = max(0.0, value - before[1][key]) / seconds / _MIB
                found.setdefault(f"system/{name}", {})[f"{direction}_mib_per_s"] = rate
        return found


class _Cards:
    """NVIDIA's cards, by the driver's library; none where it is not there."""

    def __init__(self) -> None:
        self._handles: list[Any] = []
        self._library: Any = None
        try:
            import pynvml

            pynvml.nvmlInit()
        except Exception:  # noqa: BLE001 - ImportError, or NVMLError of a machine without a card
            return
        self._library = pynvml
        with contextlib.suppress(Exception):
            self._handles = [
                pynvml.nvmlDeviceGetHandleByIndex(at) for at in range(pynvml.nvmlDeviceGetCount())
            ]

    def close(self) -> None:
        if self._library is not None:
            with contextlib.suppress(Exception):
                self._library.nvmlShutdown()

    def read(self) -> Loads:
        found: Loads = {}
        for number, handle in enumerate(self._handles):
            fields: dict[str, float] = {}
            # each by itself: cards without a fan, a power meter or a shared memory refuse that one question
            for name, ask in _QUESTIONS.items():
                with contextlib.suppress(Exception):
                    fields[name] = ask(self._library, handle)
            found[f"system/gpu{number}"] = fields
        return found


_QUESTIONS: dict[str, Callable[[Any, Any], float]] = {
    "percent": lambda nvml, handle: float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
    "memory_mib": lambda nvml, handle: nvml.nvmlDeviceGetMemoryInfo(handle).used / _MIB,
    "power_w": lambda nvml, handle: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
    "temperature_c": lambda nvml, handle: float(
        nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
    ),
}


def _cgroup_memory() -> tuple[int, int] | None:
    """Return bytes used and allowed of this container; None where there is no limit."""
    for current, limit in _CGROUP_MEMORY:
        with contextlib.suppress(OSError, ValueError):
            most = _number(limit)
            return None if most >= _UNLIMITED else (_number(current), most)
    return None


def _number(path: str) -> int:
    with open(path, encoding="ascii") as file:
        text = file.read().strip()
    return _UNLIMITED if text == "max" else int(text)
