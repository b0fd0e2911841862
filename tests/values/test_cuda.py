"""Values on a real CUDA device, through torch; `tests/support/fake_tensors.py` stands in for one elsewhere."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment

torch: Any = pytest.importorskip("torch", reason="torch is not installed")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")

BUSY_CYCLES = 2_000_000_000
"""About a second of a device's time."""


def experiment(root: Path) -> Experiment:
    return Experiment("alice/p/cuda", dash_root=str(root), echo=False)


def test_a_call_does_not_wait_for_the_device(tmp_path: Path) -> None:
    """While a kernel runs for a second, calls return; the values are those behind it."""
    with experiment(tmp_path).run as exp:
        value = torch.zeros((), device="cuda")
        # a kernel is loaded when it is first run, and that waits for the device
        value += 1
        exp.metrics("warm").log(loss=value, norm=value * 2)
        value -= 1
        exp.flush()
        torch.cuda._sleep(BUSY_CYCLES)
        behind = torch.cuda.Event()
        behind.record()
        for step in range(100):
            value += 1
            exp.metrics("train").log(step=step, loss=value, norm=value * 2)
        assert not behind.query(), "the calls have waited for the device"
        exp.flush()
        assert behind.query()
    columns = exp.metrics("train").to_numpy()
    assert columns["loss"].tolist() == [float(step + 1) for step in range(100)]
    assert columns["norm"].tolist() == [2.0 * (step + 1) for step in range(100)]


def test_a_row_does_not_wait_for_what_is_queued_behind_it(tmp_path: Path) -> None:
    """A loop is ahead of its device: rows are written as the device comes to them."""
    with experiment(tmp_path).run as exp:
        value = torch.ones((), device="cuda")
        exp.metrics("train").log(loss=value, norms=[value, value + 1])
        exp.flush()
        exp.metrics("train").log(loss=value, norms=[value, value + 1])
        torch.cuda._sleep(BUSY_CYCLES)
        behind = torch.cuda.Event()
        behind.record()
        exp.flush()
        assert exp.metrics("train").read()["data"][1]["data"]["norms"] == [1.0, 2.0]
        assert not behind.query(), "the row has waited for what came after it"


def test_a_view_with_a_turned_sign_keeps_its_sign(tmp_path: Path) -> None:
    with experiment(tmp_path).run as exp:
        value = torch.tensor(1 + 2j, device="cuda").conj().imag
        assert value.is_neg()
        torch.cuda._sleep(BUSY_CYCLES // 10)
        exp.metrics("train").log(x=value)
    assert exp.metrics("train").stats()["lastValue"] == -2.0


def test_a_graph_is_captured_while_values_are_on_their_way(tmp_path: Path) -> None:
    """In torch's default mode, in which a question of another thread to the device would spoil the capture."""
    with experiment(tmp_path).run as exp:
        value, large = torch.ones((), device="cuda"), torch.zeros(20_000, device="cuda")
        for _ in range(5):
            graph = torch.cuda.CUDAGraph()
            static = torch.zeros((), device="cuda")
            side = torch.cuda.Stream()
            torch.cuda.synchronize()
            for _ in range(10):
                exp.metrics("train").log(loss=value, large=large)
            with torch.cuda.stream(side):
                graph.capture_begin()
                static += 1
                assert exp.flush().pending == 0  # the worker reads the values within the capture
                graph.capture_end()
            graph.replay()
            assert static.item() == 1
        assert exp.flush().pending == 0
    assert exp.metrics("train").to_numpy()["loss"].tolist() == [1.0] * 50


def test_a_call_never_synchronises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch itself tells, by a warning on the thread that waits for the device."""
    threads: list[int] = []
    monkeypatch.setattr(warnings, "showwarning", lambda *_, **__: threads.append(threading.get_ident()))
    with experiment(tmp_path).run as exp, warnings.catch_warnings():
        warnings.simplefilter("always")
        value = torch.ones((), device="cuda")
        torch.cuda.set_sync_debug_mode("warn")
        threads.clear()  # torch tells that this mode is new
        try:
            for _ in range(10):
                exp.metrics("train").log(loss=value, nested={"a": value})
            assert threading.get_ident() not in threads
            value.item()
            assert threading.get_ident() in threads, "torch would have told"
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert exp.flush().pending == 0
    assert exp.metrics("train").stats()["fields"]["nested.a"]["mean"] == 1.0


def test_values_of_another_stream_and_of_every_type_arrive(tmp_path: Path) -> None:
    with experiment(tmp_path).run as exp:
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            torch.cuda._sleep(BUSY_CYCLES // 10)
            for name in ("float16", "bfloat16", "float32", "float64", "int64", "bool"):
                exp.metrics(name).log(value=torch.ones((), dtype=getattr(torch, name), device="cuda"))
            learned = torch.tensor([3.0], device="cuda", requires_grad=True)
            exp.metrics("learned").log(value=(learned * 2).sum(), vector=torch.arange(3, device="cuda"))
            exp.metrics("odd").log(value=torch.tensor(float("nan"), device="cuda"))
    for name in ("float16", "bfloat16", "float32", "float64", "int64", "bool"):
        assert exp.metrics(name).stats()["lastValue"] == 1
    row = exp.metrics("learned").read()["data"][0]["data"]
    assert (row["value"], row["vector"]) == (6.0, [0, 1, 2])
    assert exp.metrics("odd").stats()["fields"]["value"]["nan"] == 1


def test_a_model_on_a_device_is_saved_as_it_was_at_the_call(tmp_path: Path) -> None:
    with experiment(tmp_path).run as exp:
        model = torch.nn.Linear(4, 2).cuda()
        before = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
        row = exp.files("models").save_torch(model.state_dict(), to="model.pt")
        with torch.no_grad():
            model.weight.zero_()
    path = exp.files(file_id=row["id"]).download(str(tmp_path / "model.pt"))
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    assert all(torch.equal(loaded[name], before[name]) for name in before)
