"""Trainings of several processes with torch: DDP and FSDP over gloo, each rank its own writer."""

from __future__ import annotations

from pathlib import Path

import pytest

import ml_dash
from tests.support.frameworks import TIMEOUT, needs, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT)]

SCRIPT = """
import os, sys, torch
import torch.distributed as dist
from torch import nn
from ml_dash import Experiment

WRAP = {wrap!r}


def main():
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    if WRAP == "ddp":
        model = nn.parallel.DistributedDataParallel(model)
    else:
        from torch.distributed.fsdp import fully_shard
        from torch.distributed.device_mesh import init_device_mesh
        fully_shard(model, mesh=init_device_mesh("cpu", (dist.get_world_size(),)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Experiment("alice/vision/ddp", resume="never", echo=False).run as exp:
        torch.manual_seed(exp.rank)
        for step in range(5):
            loss = (model(torch.randn(8, 4)) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            exp.metrics("perf").log(step=step, own=loss)
            mean = loss.detach().clone()
            dist.all_reduce(mean)
            if exp.rank == 0:
                exp.metrics("train").log(step=step, loss=mean / dist.get_world_size())
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("wrap", ["ddp", "fsdp"])
def test_each_rank_logs_and_is_told_from_the_others(wrap: str, tmp_path: Path) -> None:
    needs("torch")
    (tmp_path / "training.py").write_text(SCRIPT.format(wrap=wrap))
    launcher = (
        "from torch.distributed.run import main\n"
        "main(['--standalone', '--nproc-per-node=2', '--local-addr=127.0.0.1', 'training.py'])\n"
    )
    train(launcher, tmp_path)
    exp = ml_dash.open("alice/vision/ddp", tmp_path / ".dash")
    perf, total = exp.metrics("perf"), exp.metrics("train")
    assert perf.ranks() == {0: 5, 1: 5}
    assert total.ranks() == {0: 5}
    own = [perf.to_numpy(rank=rank)["own"] for rank in range(2)]
    assert (own[0] != own[1]).all()  # each has batches of its own
    assert total.to_numpy()["loss"].tolist() == pytest.approx(((own[0] + own[1]) / 2).tolist(), rel=1e-5)
    assert exp.view.run().attempts == 1
