"""`DashWriter` of clu, in a training with JAX."""

from __future__ import annotations

from pathlib import Path

import pytest

import ml_dash
from tests.support.frameworks import TIMEOUT, needs, rows, snippet, status, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT)]


def test_a_training_writes_to_an_experiment(tmp_path: Path) -> None:
    needs("clu", "jax", "tensorflow")
    script = (
        snippet("clu")
        + """
import jax
import jax.numpy as jnp
from clu import metric_writers

loss = jax.value_and_grad(lambda w: jnp.sum((w - 1) ** 2))
w = jnp.zeros(3)
writer = metric_writers.MultiWriter([writer])
writer.write_hparams({"lr": 0.1})
for step in range(3):
    value, gradient = loss(w)
    w -= 0.1 * gradient
    writer.write_scalars(step, {"train/loss": value})
writer.write_histograms(2, {"weights": w}, num_buckets={"weights": 4})
writer.write_texts(2, {"note": "a text"})
writer.write_images(2, {"val/image": jnp.zeros((2, 4, 4, 3))})
writer.write_audios(2, {"val/sound": jnp.zeros((1, 16, 1))}, sample_rate=16)
writer.write_videos(2, {"val/video": jnp.zeros((4, 16, 16, 3), jnp.uint8)})
writer.flush()
writer.close()
"""
    )
    train(script, tmp_path, KERAS_BACKEND="tensorflow")
    prefix = "alice/vision/flax"
    losses = rows(tmp_path, prefix, "train")
    assert [row["step"] for row in losses] == [0, 1, 2]
    assert losses[2]["loss"] < losses[0]["loss"] == 3.0
    run = ml_dash.open(prefix, tmp_path / ".dash")
    assert run.params.get() == {"lr": pytest.approx(0.1)}
    weights, note = rows(tmp_path, prefix, None)
    assert run.files(weights["weights"]["file"]).exists()
    assert note["note"] == "a text"
    media = {
        name: value for row in rows(tmp_path, prefix, "val") for name, value in row.items() if name != "step"
    }
    assert [run.files(media[name]["file"]).exists() for name in ("image.0", "image.1", "sound", "video")] == [
        True
    ] * 4
    assert status(tmp_path, prefix) == "COMPLETED"
