"""`DashLogger` of Lightning and Fabric, with a linear model."""

from __future__ import annotations

from pathlib import Path

import pytest

import ml_dash
from tests.support.frameworks import TIMEOUT, needs, rows, snippet, status, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT)]

PREFIX = "alice/vision/resnet"
PREPARED = """
import os
import torch
from {package} import LightningModule, Trainer as _Trainer
from {package}.callbacks import ModelCheckpoint

torch.manual_seed(0)
batches = torch.utils.data.DataLoader([torch.ones(4, 2) * number for number in range(3)], batch_size=None)
dies_at = int(os.environ.get("DIES_AT", -1))

class Model(LightningModule):
    def __init__(self, rate=0.01):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch, index):
        if self.global_step == dies_at:
            raise RuntimeError("out of memory")
        loss = self.layer(batch).pow(2).mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, index):
        self.log("val/loss", self.layer(batch).pow(2).mean())

    def test_step(self, batch, index):
        self.log("test/loss", self.layer(batch).pow(2).mean())

    def train_dataloader(self):
        return batches

    val_dataloader = test_dataloader = train_dataloader

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.rate)

def Trainer(**arguments):
    return _Trainer(
        accelerator="cpu", log_every_n_steps=1, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[ModelCheckpoint(every_n_train_steps=2, save_top_k=-1)], **arguments
    )

model = Model()
"""


@pytest.fixture(autouse=True)
def framework() -> None:
    needs("lightning")


@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_a_training_logs_what_the_module_logs(tmp_path: Path, package: str) -> None:
    """Also what `test` does behind it; and it works under the package's older name."""
    script = PREPARED.replace("{package}", package) + snippet("Lightning").replace(", batches", "")
    train(script + "trainer.test(model)\nprint(*trainer.logger.experiment.tags)", tmp_path)
    assert [row["step"] for row in rows(tmp_path, PREFIX, "train")] == [0, 1, 2, 3, 4, 5]
    assert [row["step"] for row in rows(tmp_path, PREFIX, "val")] == [2, 5]
    assert len(rows(tmp_path, PREFIX, "test")) == 1
    assert ml_dash.open(PREFIX, tmp_path / ".dash").params.get()["rate"] == 0.01
    assert status(tmp_path, PREFIX) == "COMPLETED"
    assert list(tmp_path.glob("alice/vision/resnet/checkpoints/*.ckpt"))


def test_a_training_that_dies_is_failed_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """The last checkpoint is behind 4 steps, of 5 that were logged: the fifth is superseded."""
    line = snippet("Lightning").replace(", batches", "")
    script = PREPARED.replace("{package}", "lightning.pytorch") + line.replace(
        'resnet")', 'resnet", checkpoints=True)'
    )
    caught = script.replace(
        "trainer.fit(model)", "try:\n    trainer.fit(model)\nexcept RuntimeError:\n    pass"
    )
    train(caught, tmp_path, DIES_AT="5")
    run = ml_dash.open(PREFIX, tmp_path / ".dash")
    assert run.view.attempts()[-1]["status"] == "FAILED"
    assert run.view.attempts()[-1]["error"] == "RuntimeError: out of memory"
    saved = run.files("checkpoints").list()
    assert [row["filename"] for row in saved] == ["epoch=0-step=2.ckpt", "epoch=1-step=4.ckpt"]
    again = script.replace(
        "fit(model", "fit(model, ckpt_path='alice/vision/resnet/checkpoints/epoch=1-step=4.ckpt'"
    )
    train(again, tmp_path)
    assert [row["step"] for row in rows(tmp_path, PREFIX, "train")] == [0, 1, 2, 3, 4, 5]
    assert [row["step"] for row in rows(tmp_path, PREFIX, "train", attempt=2)] == [4, 5]
    assert status(tmp_path, PREFIX) == "COMPLETED"


RESUMED = """
class Two(Model):  # two optimizers, whose steps both count as global ones
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, index):
        loss = super().training_step(batch, index)
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(loss, retain_graph=True)
            optimizer.step()

    def configure_optimizers(self):
        return [torch.optim.SGD(self.parameters(), lr=0.01) for _ in range(2)]

from ml_dash.integrations.lightning import DashLogger

kinds = {
    "step": (Model, dict(every_n_train_steps=4), {}),
    "epoch": (Model, {}, {}),  # as by default
    "validation": (Model, dict(save_on_train_epoch_end=False), {}),
    "accumulated": (Model, {}, dict(accumulate_grad_batches=2)),
    "within": (Model, dict(save_on_train_epoch_end=False), dict(accumulate_grad_batches=2, val_check_interval=1)),
    "two": (Two, {}, {}),
}
for kind, (make, saved, arguments) in kinds.items():
    for dies_at, path in ((10 if kind == "two" else 3 if arguments else 5, None), (-1, "found")):
        if path:
            path = sorted(map(str, pathlib.Path(kind).glob("*.ckpt")))[-1]
            done = torch.load(path, weights_only=False)["global_step"] // (2 if kind == "two" else 1)
            print(kind, done)
        trainer = _Trainer(
            accelerator="cpu", log_every_n_steps=1, enable_progress_bar=False, enable_model_summary=False,
            callbacks=[ModelCheckpoint(kind, save_top_k=-1, **saved)], max_epochs=3, **arguments,
            logger=DashLogger(f"alice/resumed/{kind}"),
        )
        try:
            trainer.fit(make(), ckpt_path=path)
            trainer.logger.experiment.run.complete()
        except RuntimeError:
            assert not path
"""


def test_a_training_goes_on_with_the_step_behind_its_checkpoint(tmp_path: Path) -> None:
    """Whenever that is saved: each step has one row, and those that the checkpoint has are the first attempt's."""
    script = "import pathlib\n" + PREPARED.replace("{package}", "lightning.pytorch") + RESUMED
    for line in train(script, tmp_path).splitlines():
        kind, done = line.split()[0], int(line.split()[1])
        steps = [row["step"] for row in rows(tmp_path, f"alice/resumed/{kind}", "train")]
        assert steps == list(range(len(steps))), kind
        again = [row["step"] for row in rows(tmp_path, f"alice/resumed/{kind}", "train", attempt=2)]
        assert (again[0], len(steps)) == (done, 6 if kind in ("accumulated", "within") else 9), kind


def test_of_several_processes_the_first_logs(tmp_path: Path) -> None:
    script = PREPARED.replace("{package}", "lightning.pytorch") + snippet("Lightning").replace(
        ", batches", ""
    )
    several = script.replace(
        "max_epochs=2", "max_epochs=2, devices=2, strategy='ddp_spawn', use_distributed_sampler=False"
    )
    (tmp_path / "script.py").write_text(
        several.replace("trainer = ", "if __name__ == '__main__':\n  trainer = ").replace(
            "\ntrainer.fit", "\n  trainer.fit"
        )
    )
    train("import subprocess, sys; sys.exit(subprocess.call([sys.executable, 'script.py']))", tmp_path)
    assert [row["step"] for row in rows(tmp_path, PREFIX, "train")] == [0, 1, 2, 3, 4, 5]
    assert status(tmp_path, PREFIX) == "COMPLETED"


def test_fabric(tmp_path: Path) -> None:
    train(
        "from lightning.fabric import Fabric\n"
        + snippet("Fabric")
        + "for step in range(3):\n    fabric.log_dict({'train/loss': 0.5, 'train/x': step}, step=step)\n",
        tmp_path,
    )
    assert rows(tmp_path, "alice/vision/fabric", "train") == [
        {"step": step, "loss": 0.5, "x": step} for step in range(3)
    ]
