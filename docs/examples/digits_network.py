"""The model and the data of the demo: a small network in plain numpy. Nothing in here knows of ML-Dash."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

_DIGITS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "digits.npz")


@dataclass(frozen=True)
class Config:
    """What the training needs to know; `exp.params.set` takes it as it is."""

    epochs: int = 36
    batch_size: int = 16
    hidden: tuple[int, ...] = (512, 256)
    learning_rate: float = 0.08
    momentum: float = 0.9
    weight_decay: float = 1e-4
    noise: float = 0.1
    seed: int = 7


SHORT = Config(epochs=18)


class Data:
    """The 1,797 digits of 8 x 8 pixels in ``digits.npz``, four fifths of them to learn from.

    They are the test set of E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, 1998, UCI Machine
    Learning Repository, https://doi.org/10.24432/C50P49, licensed under CC BY 4.0; here as bytes.
    """

    def __init__(self, seed: int) -> None:
        with np.load(_DIGITS) as digits:
            pixels, digit = digits["images"], digits["labels"].astype(np.int64)
        order = np.random.default_rng(seed).permutation(len(digit))
        images, labels = pixels[order] / 16.0, digit[order]
        split = len(labels) * 4 // 5
        self.images: Array = images[:split]
        self.labels: npt.NDArray[np.int64] = labels[:split]
        self.test_images: Array = images[split:]
        self.test_labels: npt.NDArray[np.int64] = labels[split:]

    def batches(self, epoch: int, config: Config) -> Iterator[tuple[Array, npt.NDArray[np.int64]]]:
        """Yield an epoch's batches; their order and their noise are those of the epoch, whoever runs it."""
        random = np.random.default_rng((config.seed, epoch))
        order = random.permutation(len(self.labels))
        for start in range(0, steps_per_epoch(config) * config.batch_size, config.batch_size):
            chosen = order[start : start + config.batch_size]
            images = self.images[chosen]
            yield images + config.noise * random.standard_normal(images.shape), self.labels[chosen]


class Network:
    """A multi-layer perceptron with ReLU and softmax, trained by gradient descent with momentum."""

    def __init__(self, sizes: tuple[int, ...], seed: int) -> None:
        random = np.random.default_rng(seed)
        self.weights: list[Array] = []
        for inputs, outputs in itertools.pairwise(sizes):
            self.weights.append(random.standard_normal((inputs, outputs)) * np.sqrt(2 / inputs))
            self.weights.append(np.zeros(outputs))
        self.velocity = [np.zeros_like(weight) for weight in self.weights]

    def forward(self, images: Array) -> list[Array]:
        """Return the input of each layer, and last the probabilities of the ten digits."""
        layers = [images]
        for weight, bias in zip(self.weights[::2], self.weights[1::2], strict=True):
            layers.append(np.maximum(layers[-1] @ weight + bias, 0))
        logits = layers[-2] @ self.weights[-2] + self.weights[-1]
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        layers[-1] = exponents / exponents.sum(axis=1, keepdims=True)
        return layers

    def evaluate(self, images: Array, labels: npt.NDArray[np.int64]) -> dict[str, float]:
        """Return the loss and the accuracy."""
        return scores(self.forward(images)[-1], labels)

    def step(
        self, images: Array, labels: npt.NDArray[np.int64], rate: float, config: Config
    ) -> tuple[dict[str, float], float]:
        """Learn from one batch; return its scores and the norm of the gradient."""
        layers = self.forward(images)
        gradients = self._gradients(layers, labels)
        for index, gradient in enumerate(gradients):
            push = rate * (gradient + config.weight_decay * self.weights[index])
            self.velocity[index] = config.momentum * self.velocity[index] - push
            self.weights[index] = self.weights[index] + self.velocity[index]
        norm = np.sqrt(sum(np.vdot(gradient, gradient) for gradient in gradients))
        return scores(layers[-1], labels), float(norm)

    def _gradients(self, layers: list[Array], labels: npt.NDArray[np.int64]) -> list[Array]:
        delta = layers[-1].copy()
        delta[np.arange(len(labels)), labels] -= 1
        delta /= len(labels)
        gradients: list[Array] = []
        for layer in range(len(layers) - 2, -1, -1):
            gradients[:0] = [layers[layer].T @ delta, delta.sum(axis=0)]
            delta = (delta @ self.weights[2 * layer].T) * (layers[layer] > 0)
        return gradients

    def save(self, path: str, epoch: int) -> None:
        """Write a checkpoint, in one piece or not at all."""
        arrays = {f"weight{i}": weight for i, weight in enumerate(self.weights)}
        arrays |= {f"velocity{i}": velocity for i, velocity in enumerate(self.velocity)}
        with open(f"{path}.new", "wb") as file:
            np.savez(file, epoch=epoch, **arrays)  # type: ignore[arg-type] # its stubs take `**arrays` for an option
        os.replace(f"{path}.new", path)

    def load(self, path: str) -> int:
        """Take over a checkpoint and return the number of epochs that it has behind it."""
        with np.load(path) as arrays:
            self.weights = [arrays[f"weight{i}"] for i in range(len(self.weights))]
            self.velocity = [arrays[f"velocity{i}"] for i in range(len(self.velocity))]
            return int(arrays["epoch"])


def scores(probabilities: Array, labels: npt.NDArray[np.int64]) -> dict[str, float]:
    """Return the cross-entropy and the share of labels that are hit."""
    hits = probabilities.argmax(axis=1) == labels
    of_label = probabilities[np.arange(len(labels)), labels]
    return {"loss": float(-np.log(of_label + 1e-12).mean()), "accuracy": float(hits.mean())}


def steps_per_epoch(config: Config) -> int:
    """Return how many whole batches an epoch has."""
    return (1797 * 4 // 5) // config.batch_size


def learning_rate(step: int, config: Config) -> float:
    """Return the rate of a step: it follows half a cosine down to nothing."""
    done = step / (config.epochs * steps_per_epoch(config))
    return config.learning_rate * (1 + float(np.cos(np.pi * done))) / 2
