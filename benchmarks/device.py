"""What logging costs a training loop on a CUDA device, through torch.

    python benchmarks/device.py            # two minutes; without torch and a CUDA device it says so, and ends
    python benchmarks/device.py --quick    # fewer steps and rounds

A small network is trained, whose steps are as long as it takes to launch their kernels, and a large one, whose steps
are as long as the device works. The loops log the loss and the gradient's norm, both tensors on the device, and the
learning rate: to nothing; to us; to us as numbers, by `.item()`, which waits for the device; and to torch's own
SummaryWriter, where tensorboard is installed. Loops of a round take turns, and ratios are to the silent one of the same
round. Every row is held against what the loop has seen.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

# Run as a script: its neighbours, and the package that it measures, are found from the project's root.
if not __package__:
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from benchmarks.processes import save
from benchmarks.report import Table, mark, markdown, number, print_tables
from ml_dash import Experiment

Log = Callable[[int, Any, Any, float], object]

_SIZES = {"small": (256, 128), "large": (4096, 4096)}
"""Width of the network, and rows of a batch."""
_SILENT, _OURS, _READ, _WRITER = (
    "silent",
    "tensors to ml-dash",
    "ml-dash, by .item()",
    "torch's SummaryWriter",
)
_TARGET = 1.01
"""A loop that logs tensors takes so much longer than the silent one, at most, and never more than by `.item()`."""
_WARM_UP = 20


class _Training:
    """A network that learns to give back what it is given."""

    def __init__(self, torch: Any, size: str) -> None:
        torch.manual_seed(0)
        width, self.batch = _SIZES[size]
        layers = [torch.nn.Linear(width, width) for _ in range(3)]
        self.model = torch.nn.Sequential(
            layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2]
        ).cuda()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3)
        self.data = torch.randn(self.batch, width, device="cuda")
        self._loss = torch.nn.functional.mse_loss
        self._clip = torch.nn.utils.clip_grad_norm_

    def step(self) -> tuple[Any, Any]:
        """Return the loss and the norm of the gradient, which the device has still to work out."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(self.model(self.data), self.data)
        loss.backward()
        norm = self._clip(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.detach(), norm


def main() -> None:
    """Measure, and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a fifth of the steps, two rounds")
    options = parser.parse_args()
    if options.quick:
        options.steps, options.rounds = options.steps // 5, 2
    torch = _torch()
    results: dict[str, Any] = {
        "options": vars(options),
        "environment": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "device": torch.cuda.get_device_name(),
        },
    }
    for size in _SIZES:
        steps = options.steps if size == "small" else options.steps // 20
        results[size] = [
            {name: _loop(torch, size, name, steps) for name in _loops(round_)}
            for round_ in range(options.rounds)
        ]
    print(json.dumps(results))
    found = tables(results)
    save("device", results, markdown(found))
    print_tables(found)


def _torch() -> Any:
    """Return torch, where it has a device; else say that nothing is measured, and end."""
    if importlib.util.find_spec("torch") is None:
        sys.exit(
            "Nothing was measured: torch is not installed here. This benchmark needs torch and a CUDA device."
        )
    import torch

    if not torch.cuda.is_available():
        sys.exit("Nothing was measured: torch finds no CUDA device here, and this benchmark needs one.")
    return torch


def _loops(round_: int) -> Sequence[str]:
    names = [_SILENT, _OURS, _READ]
    if importlib.util.find_spec("tensorboard") is not None:
        names.append(_WRITER)
    first = round_ % len(names)
    return [*names[first:], *names[:first]]


def _loop(torch: Any, size: str, name: str, steps: int) -> dict[str, Any]:
    """Train, and return microseconds a step, and of the calls."""
    training = _Training(torch, size)
    with tempfile.TemporaryDirectory(prefix="ml-dash-bench-") as directory:
        log, end = _logger(name, directory)
        for _ in range(_WARM_UP):
            training.step()
        torch.cuda.synchronize()
        seen = []
        calls = []
        began = time.perf_counter()
        for step in range(steps):
            loss, norm = training.step()
            seen.append(loss)
            called = time.perf_counter()
            log(step, loss, norm, 1e-3)
            calls.append(time.perf_counter() - called)
        torch.cuda.synchronize()
        taken = time.perf_counter() - began
        end(torch.stack(seen).tolist())
    calls.sort()
    return {
        "step_us": taken / steps * 1e6,
        "call_p50_us": calls[len(calls) // 2] * 1e6,
        "call_p99_us": calls[len(calls) * 99 // 100] * 1e6,
    }


def _logger(name: str, directory: str) -> tuple[Log, Callable[[list[float]], None]]:
    """Return what logs, and what ends it and holds its rows against what was seen."""
    if name == _SILENT:
        return lambda *_: None, lambda _: None
    if name == _WRITER:
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(directory)

        def scalars(step: int, loss: Any, norm: Any, lr: float) -> None:
            for tag, value in (("loss", loss), ("norm", norm), ("lr", lr)):
                writer.add_scalar(tag, value, step)

        return scalars, lambda _: writer.close()

    exp = Experiment("bench/device/run", dash_root=directory, echo=False)
    exp.run.start()
    train = exp.metrics("train")

    def tensors(step: int, loss: Any, norm: Any, lr: float) -> None:
        train.log(step=step, loss=loss, norm=norm, lr=lr)

    def items(step: int, loss: Any, norm: Any, lr: float) -> None:
        train.log(step=step, loss=loss.item(), norm=norm.item(), lr=lr)

    def end(seen: list[float]) -> None:
        exp.run.complete()
        if train.to_numpy()["loss"].tolist() != seen:
            sys.exit("the journal does not have the losses that the loop has seen")

    return (tensors if name == _OURS else items), end


def tables(results: dict[str, Any]) -> list[Table]:
    """Return a table for each network."""
    return [_table(results, size) for size in _SIZES]


def _table(results: dict[str, Any], size: str) -> Table:
    width, batch = _SIZES[size]
    rounds: list[dict[str, Any]] = results[size]
    ratios = {
        name: median(round_[name]["step_us"] / round_[_SILENT]["step_us"] for round_ in rounds)
        for name in rounds[0]
    }
    return Table(
        f"A {size} network on {results['environment']['device']}: three layers of {width}, batches of {batch}",
        ["", "a step, µs", ": silent", "a call, p50 µs", "p99 µs", "target", ""],
        [
            [
                name,
                number(median(round_[name]["step_us"] for round_ in rounds), 0),
                number(ratios[name], 3),
                *(
                    number(median(round_[name][key] for round_ in rounds), 1)
                    for key in ("call_p50_us", "call_p99_us")
                ),
                *_judged(name, ratios),
            ]
            for name in sorted(rounds[0])
        ],
        f"The target is {_TARGET}, and no more than by .item().",
    )


def _judged(name: str, ratios: dict[str, float]) -> tuple[str, str]:
    if name != _OURS:
        return "–", ""
    most = min(_TARGET, ratios[_READ])
    return f"≤ {number(most, 3)}", mark(ratios[name] <= most)


if __name__ == "__main__":
    main()
