"""The load of the machine, of this process and of graphics cards."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ml_dash.capture import load as module
from ml_dash.capture.environment import graphics_cards
from ml_dash.capture.load import LoadReader

psutil = pytest.importorskip("psutil")


class FakeLibrary(ModuleType):
    """Of two cards, of which the second refuses all questions but one."""

    NVML_TEMPERATURE_GPU = 0

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.opened = 0

    def nvmlInit(self) -> None:  # noqa: N802
        self.opened += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.opened -= 1

    def nvmlSystemGetDriverVersion(self) -> bytes:  # noqa: N802
        return b"550.1"

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, at: int) -> int:  # noqa: N802
        return at

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        return f"card {handle}"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(total=80 << 30, used=(handle + 1) << 30)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        if handle:
            raise RuntimeError("Not Supported")
        return SimpleNamespace(gpu=75)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        return int(self.nvmlDeviceGetUtilizationRates(handle).gpu * 4000)

    def nvmlDeviceGetTemperature(self, handle: int, _: int) -> int:  # noqa: N802
        return int(self.nvmlDeviceGetUtilizationRates(handle).gpu - 20)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    library = FakeLibrary()
    monkeypatch.setitem(sys.modules, "pynvml", library)
    return library


def test_the_machine_and_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    reader = LoadReader()
    first, second = reader.read(), reader.read()
    reader.close()
    assert set(first) == {"system/process", "system/cpu", "system/memory"}
    assert {"system/disk", "system/network"} & set(second)  # rates: over the time since the first
    assert 1 < second["system/process"]["rss_mib"] < 100_000
    assert 0 < second["system/memory"]["percent"] <= 100
    assert all(isinstance(value, (int, float)) for fields in second.values() for value in fields.values())


def test_all_processes_of_a_node_but_one_tell_of_themselves_alone(library: FakeLibrary) -> None:
    assert set(LoadReader(with_machine=False).read()) == {"system/process"}
    assert library.opened == 0


def test_cards_and_one_that_refuses_questions(library: FakeLibrary) -> None:
    reader = LoadReader()
    found = reader.read()
    assert found["system/gpu0"] == {
        "percent": 75.0, "memory_mib": 1024.0, "power_w": 300.0, "temperature_c": 55.0
    }  # fmt: skip
    assert found["system/gpu1"] == {"memory_mib": 2048.0}
    reader.close()
    assert library.opened == 0
    assert graphics_cards() == [
        {"name": f"card {at}", "memory": 80 << 30, "driver": "550.1"} for at in range(2)
    ]
    assert library.opened == 0


def test_a_library_without_a_driver(library: FakeLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise RuntimeError("NVML Shared Library Not Found")

    monkeypatch.setattr(library, "nvmlInit", refuse)
    assert graphics_cards() == []
    assert not any(name.startswith("system/gpu") for name in LoadReader().read())


def test_questions_that_this_machine_refuses_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Any:
        raise PermissionError("/proc")

    reader = LoadReader()
    for name in ("virtual_memory", "disk_io_counters"):
        monkeypatch.setattr(psutil, name, refuse)
    monkeypatch.setattr(reader._process, "num_threads", refuse)
    assert set(reader.read()) == {"system/cpu"}


@pytest.mark.parametrize(
    ("used", "most", "told"),
    [
        ("1000", "2000", (1000, 2000)),
        ("1000", "max", None),
        ("1000", str(2**63 - 4096), None),
        ("", "x", None),
    ],
)
def test_the_limit_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: str, most: str, told: tuple[int, int] | None
) -> None:
    (tmp_path / "current").write_text(f"{used}\n")
    (tmp_path / "max").write_text(f"{most}\n")
    monkeypatch.setattr(module, "_CGROUP_MEMORY", ((str(tmp_path / "current"), str(tmp_path / "max")),))
    assert module._cgroup_memory() == told
