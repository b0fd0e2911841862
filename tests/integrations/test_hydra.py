"""`DashCallback` of Hydra."""

from __future__ import annotations

from pathlib import Path

import pytest

import ml_dash
from tests.support.frameworks import TIMEOUT, needs, rows, snippet, status, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT)]

SCRIPT = """
import hydra

@hydra.main(version_base=None, config_path=".", config_name="config")
def main(config):
{body}
    if config.lr < 0:
        raise ValueError("no such rate")

main()
"""
CONFIG = """
lr: 0.1
model: {size: 3, name: "${hydra:job.name}"}
hydra:
  callbacks:
    ml_dash:
      _target_: ml_dash.integrations.hydra.DashCallback
      experiment: alice/vision/job
"""


@pytest.fixture
def call(tmp_path: Path) -> str:
    needs("hydra")
    (tmp_path / "config.yaml").write_text(CONFIG)
    body = "".join(f"    {line}\n" for line in snippet("Hydra").splitlines())
    (tmp_path / "job.py").write_text(SCRIPT.format(body=body))
    return "import subprocess, sys\nsys.exit(subprocess.call([sys.executable, 'job.py', *{}]))"


def test_a_job_is_a_run_and_one_that_raises_has_failed(call: str, tmp_path: Path) -> None:
    train(call.format(["lr=0.5"]), tmp_path)
    run = ml_dash.open("alice/vision/job", tmp_path / ".dash")
    params = run.params.get()
    assert (params["lr"], params["model.size"], params["model.name"]) == (0.5, 3, "job")
    assert params["hydra.overrides"] == ["lr=0.5"]
    assert rows(tmp_path, "alice/vision/job", "train") == [{"step": 0, "loss": 0.5}]
    assert status(tmp_path, "alice/vision/job") == "COMPLETED"
    train(call.format(["lr=-1"]), tmp_path, status=1)
    newest = ml_dash.open("alice/vision/job", tmp_path / ".dash").view.attempts()[-1]
    assert (newest["status"], newest["error"]) == ("FAILED", "ValueError: no such rate")


def test_each_job_of_a_multirun_is_an_experiment(call: str, tmp_path: Path) -> None:
    train(call.format(["-m", "lr=0.25,0.5"]), tmp_path)
    for number, rate in enumerate((0.25, 0.5)):
        assert rows(tmp_path, f"alice/vision/job/{number}", "train") == [{"step": 0, "loss": rate}]
        assert status(tmp_path, f"alice/vision/job/{number}") == "COMPLETED"
