"""What logging costs a training loop on a CUDA device, through torch.

    python benchmarks/device.py            # a minute and a half; needs torch and a CUDA device
    python benchmarks/device.py --quick    # fewer steps and rounds

A small network is trained, whose steps are as long as it takes to launch their kernels, and a large one, whose steps
are as long as the device works. The loops log the loss and the gradient's norm, both tensors on the device, and the
learning rate: to nothing; to us; to us as numbers, by `.item()`, which waits for the device; and to torch's own
SummaryWriter, where tensorboard is installed. Loops of a round follow one another; the first of them is the baseline
of the others. Every row is held against what the loop has seen.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

# Run as a script: its neighbours, and the package that it measures, are found from the project's root.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

import torch  # noqa: E402

from benchmarks.processes import save  # noqa: E402
from benchmarks.report import Figure, Table, figures, markdown, print_tables  # noqa: E402
from ml_dash import Experiment  # noqa: E402

Log = Callable[[int, torch.Tensor, torch.Tensor, float], object]

_SIZES = {"small": (256, 128), "large": (4096, 4096)}
"""Width of the network, and rows of a batch."""
_LOOPS = ("silent", "ml-dash", "ml-dash, by .item()", "SummaryWriter")
_WARM_UP = 20


class _Training:
    """A network that learns to give back what it is given."""

    def __init__(self, size: str) -> None:
        torch.manual_seed(0)
        width, self.batch = _SIZES[size]
        layers = [torch.nn.Linear(width, width) for _ in range(3)]
        self.model = torch.nn.Sequential(
            layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2]
        ).cuda()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3)
        self.data = torch.randn(self.batch, width, device="cuda")

    def step(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss and the norm of the gradient, which the device has still to work out."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.mse_loss(self.model(self.data), self.data)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
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
    if not torch.cuda.is_available():
        sys.exit("this benchmark needs a CUDA device")
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
        results[size] = [{name: _loop(size, name, steps) for name in _LOOPS} for _ in range(options.rounds)]
    print(json.dumps(results))
    tables = [_table(results, size) for size in _SIZES]
    save("device", results, markdown(tables))
    print_tables(tables)


def _loop(size: str, name: str, steps: int) -> dict[str, Any]:
    """Train, and return microseconds a step, and of the calls."""
    training = _Training(size)
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
    if name == "silent":
        return lambda *_: None, lambda _: None
    if name == "SummaryWriter":
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(directory)

        def scalars(step: int, loss: torch.Tensor, norm: torch.Tensor, lr: float) -> None:
            for tag, value in (("loss", loss), ("norm", norm), ("lr", lr)):
                writer.add_scalar(tag, value, step)

        return scalars, lambda _: writer.close()

    exp = Experiment("bench/device/run", dash_root=directory, echo=False)
    exp.run.start()
    train = exp.metrics("train")

    def tensors(step: int, loss: torch.Tensor, norm: torch.Tensor, lr: float) -> None:
        train.log(step=step, loss=loss, norm=norm, lr=lr)

    def items(step: int, loss: torch.Tensor, norm: torch.Tensor, lr: float) -> None:
        train.log(step=step, loss=loss.item(), norm=norm.item(), lr=lr)

    def end(seen: list[float]) -> None:
        exp.run.complete()
        if train.to_numpy()["loss"].tolist() != seen:
            sys.exit("the journal does not have the losses that the loop has seen")

    return (tensors if name == "ml-dash" else items), end


def _table(results: dict[str, Any], size: str) -> Table:
    width, batch = _SIZES[size]
    silent = [round_["silent"]["step_us"] for round_ in results[size]]
    shown = [
        Figure(
            f"{name}: a step, µs", [round_[name]["step_us"] for round_ in results[size]], 0, baseline=silent
        )
        for name in _LOOPS[1:]
    ]
    shown += [
        Figure(f"{name}: a call, {percentile}, µs", [round_[name][key] for round_ in results[size]], 1)
        for name in _LOOPS[1:]
        for percentile, key in (("p50", "call_p50_us"), ("p99", "call_p99_us"))
    ]
    title = (
        f"A {size} network on {results['environment']['device']}: three layers of {width}, batches of {batch}"
    )
    return figures(title, "silent", shown)


if __name__ == "__main__":
    main()
