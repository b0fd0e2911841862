"""Runs to look at: a real training of digits, and one whose names and texts would be scripts if a page let them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from docs.examples.digits_files import picture_of
from docs.examples.digits_network import Config, Data, Network, learning_rate
from ml_dash import Experiment

__all__ = ["README", "SCRIPT", "hostile", "train", "training"]

README = """# Handwritten digits

A small network, **trained** on the digits that come with scikit-learn.

| part | share |
|---|---|
| training | 80 % |

- [scikit-learn](https://scikit-learn.org)
- `lr` decays

![the weights](./plots/weights.png) ![far away](https://example.org/x.png) ![](nothing.png)
"""
SCRIPT = "<img src=x onerror=\"window.hacked='yes'\"><script>window.hacked='yes'</script>"


def training(exp: Experiment, config: Config) -> Iterator[int]:
    """Train, log every step, and yield its number."""
    data = Data(config.seed)
    network = Network((64, *config.hidden, 10), config.seed)
    exp.params.set(training=config, data={"name": "digits", "train": len(data.labels)})
    step = 0
    for epoch in range(config.epochs):
        for images, labels in data.batches(epoch, config):
            rate = learning_rate(step, config)
            result, norm = network.step(images, labels, rate, config)
            exp.metrics("train").log(step=step, epoch=epoch, lr=rate, gradient_norm=norm, **result)
            yield step
            step += 1
        test = network.evaluate(data.test_images, data.test_labels)
        exp.metrics("eval").log(epoch=epoch, **test)
        exp.log("Epoch done", epoch=epoch, accuracy=round(test["accuracy"], 4))
    exp.files("configs").save_json({"epochs": config.epochs, "lr": config.learning_rate}, to="config.json")
    exp.files("notes").save_text("It learns.\n", to="note.txt")
    weights = picture_of(network.weights[0])
    exp.files("plots").save_image(weights, to="weights.png")
    exp.files("videos").save_video([weights, np.flip(weights, 0)], to="weights.mp4", fps=2)


def train(exp: Experiment, config: Config, steps: int | None = None) -> int:
    """Train to the end, or for so many steps; return how many these were."""
    done = 0
    for step in training(exp, config):
        done = step + 1
        if done == steps:
            break
    return done


def hostile(exp: Experiment) -> None:
    """Log what would run if any page took a text for HTML, and files that are not what they say."""
    exp.params.set(note=SCRIPT, nested={SCRIPT: 1})
    exp.log(SCRIPT, level="error", metadata={SCRIPT: SCRIPT})
    exp.log("Traceback:\n  of several\nlines")
    exp.metrics("nested").log(scores={"top1": 0.5, "more": {"top5": 0.9}})
    for step in range(20):
        exp.metrics(SCRIPT).log(**{"step": step, SCRIPT: float(step)})
    exp.files("evil").save_text(SCRIPT, to="page.html")
    exp.files("evil").save_blob(b"<script>window.hacked='yes'</script>", to="not-an-image.png")
    exp.files("evil").save_text(
        "<svg xmlns='http://www.w3.org/2000/svg' onload=\"window.hacked='yes'\"/>", to="drawing.svg"
    )
    exp.files("evil").save_text(SCRIPT, to="<b onclick=alert(1)>.txt")
    # the values of what is never a number, among numbers
    for value in (1.0, float("nan"), float("inf"), 2.0, float("-inf"), 3.0):
        exp.metrics("odd").log(value=value)
