"""A sweep over a small network that reads digits: python docs/examples/sweep.py ROOT [EPOCHS].

Two dozen real trainings with what a workspace is good for: parameters that differ, curves, images, histograms and
tables by step, what was printed, files, a run that failed and one that was resumed. The pictures in the docs show them.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[2]))

import ml_dash
from docs.examples.digits_files import picture_of
from docs.examples.digits_network import Array, Config, Data, Network, learning_rate, steps_per_epoch
from ml_dash import Experiment

FOLDER = "alice/digits/sweep"
EPOCHS = 10
CONFIGS = tuple(
    Config(EPOCHS, 32, hidden, rate, seed=seed)
    for rate, hidden, seed in itertools.product((0.3, 0.1, 0.03, 0.01), ((32,), (128,), (128, 64)), (1, 2))
)
DIVERGED, RESUMED = 4, 11
"""The numbers of the run that fails, and of the one that goes on after a pause."""
README = """# Digits

How fast may it learn, and how large must it be?

![The weights of the first layer](plots/weights.png)
"""


class Training:
    """One network in the middle of its training."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.data = Data(config.seed)
        self.network = Network((64, *config.hidden, 10), config.seed)

    def epochs(self, exp: Experiment, first: int, stop: int) -> None:
        """Learn for some epochs, and log each step of them."""
        for epoch in range(first, stop):
            for step, rate, (images, labels) in self._batches(epoch):
                scores, norm = self.network.step(images, labels, rate, self.config)
                exp.metrics("train").log(step=step, **scores, gradient_norm=norm, lr=rate)
            self._evaluate(exp, epoch)

    def _batches(self, epoch: int) -> Iterator[tuple[int, float, tuple[Array, np.ndarray]]]:
        for number, batch in enumerate(self.data.batches(epoch, self.config)):
            step = epoch * steps_per_epoch(self.config) + number
            yield step, learning_rate(step, self.config), batch

    def _evaluate(self, exp: Experiment, epoch: int) -> None:
        step = (epoch + 1) * steps_per_epoch(self.config) - 1
        guesses = self.network.forward(self.data.test_images)[-1]
        scores = self.network.evaluate(self.data.test_images, self.data.test_labels)
        exp.metrics("val").log(step=step, epoch=epoch, **scores)
        loss, accuracy = f"\x1b[33m{scores['loss']:.4f}\x1b[0m", f"\x1b[32m{scores['accuracy']:.4f}\x1b[0m"
        print(f"epoch {epoch + 1:2}: loss {loss} accuracy {accuracy}")
        if epoch % 3 == 0 or epoch == self.config.epochs - 1:
            self._show(exp, step, guesses)

    def _show(self, exp: Experiment, step: int, guesses: Array) -> None:
        """What is looked at rather than drawn: the first layer, how its weights are spread, and what was guessed."""
        found = guesses.argmax(axis=1)
        worst = np.argsort(guesses[np.arange(len(found)), self.data.test_labels])[:8]
        rows = [
            [int(each), int(self.data.test_labels[each]), int(found[each]), float(guesses[each].max())]
            for each in worst
        ]
        exp.metrics("samples").log(
            step=step,
            first_layer=ml_dash.Image(picture_of(self.network.weights[0][:, :16]), caption="sixteen units"),
            hardest=ml_dash.Image(pictures(self.data.test_images[worst]), caption="what it finds hardest"),
            weights=ml_dash.Histogram(self.network.weights[0]),
            guesses=ml_dash.Table(["image", "digit", "guess", "confidence"], rows),
        )


def pictures(images: Array) -> npt.NDArray[Any]:
    """Return images of 8×8 pixels beside one another, each pixel enlarged."""
    return np.kron(np.hstack(list(images.reshape(-1, 8, 8))), np.ones((6, 6)))


def run(number: int, root: str, epochs: int = EPOCHS) -> None:
    """Train one network of the sweep; one of them in two parts, the second of which goes on from a checkpoint."""
    config = CONFIGS[number]
    training = Training(config)
    for first, stop in [(0, epochs // 2), (epochs // 2, epochs)] if number == RESUMED else [(0, epochs)]:
        exp = Experiment(
            f"{FOLDER}/run-{number:02}", readme=README, dash_root=root, tags=["sweep"], echo=False
        )
        exp.run.start(resume_from=first * steps_per_epoch(config) or None)
        try:
            _train(exp, training, first, stop)
            if number == DIVERGED:
                raise FloatingPointError(f"the next loss is NaN: lr={config.learning_rate} is too much")
        except FloatingPointError as error:
            exp.run.fail(error)
        else:
            exp.run.complete()


def _train(exp: Experiment, training: Training, first: int, stop: int) -> None:
    config, weights = training.config, training.network.weights
    exp.params.set(
        lr=config.learning_rate,
        hidden=list(config.hidden),
        seed=config.seed,
        optimizer={"name": "sgd", "momentum": config.momentum, "weight_decay": config.weight_decay},
        batch_size=config.batch_size,
        data="digits",
    )
    exp.metrics.define("val/accuracy", best="max")
    exp.log("Training begins", epoch=first, parameters=sum(each.size for each in weights))
    training.epochs(exp, first, stop)
    exp.files("plots").save_image(picture_of(weights[0][:, :16]), to="weights.png")
    exp.files("models").save_json({"layers": [64, *config.hidden, 10], "epoch": stop}, to="model.json")


def sweep(root: str, numbers: Iterable[int] = range(len(CONFIGS)), epochs: int = EPOCHS) -> None:
    """Train them all, one after the other."""
    for number in numbers:
        run(number, root, epochs)


if __name__ == "__main__":
    os.environ.setdefault("ML_DASH_SYSTEM_INTERVAL", "0.2")
    sweep(
        sys.argv[1] if len(sys.argv) > 1 else ".dash",
        epochs=int(sys.argv[2]) if len(sys.argv) > 2 else EPOCHS,
    )
