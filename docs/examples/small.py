"""Train on handwritten digits, with all that ML-Dash needs: python docs/examples/small.py RATE PREFIX ROOT."""

import sys
from pathlib import Path

import numpy as np

from ml_dash import Experiment

rate, prefix, root = [*sys.argv[1:], *["0.5", "demo/small/first", ".dash"][len(sys.argv) - 1 :]]
digits = np.load(Path(__file__).with_name("digits.npz"))
images, labels = digits["images"] / 16, np.eye(10)[digits["labels"]]
weights = np.zeros((64, 10))

with Experiment(prefix, dash_root=root).run as exp:
    exp.params.set(rate=float(rate), batch_size=64)
    for step in range(1000):
        chosen = np.random.default_rng(step).integers(0, 1400, 64)
        guesses = np.exp(images[chosen] @ weights)
        guesses /= guesses.sum(axis=1, keepdims=True)
        weights -= float(rate) / 64 * images[chosen].T @ (guesses - labels[chosen])
        exp.metrics("train").log(step=step, loss=-np.log((guesses * labels[chosen]).sum(axis=1)).mean())
        if step % 50 == 49:
            hits = (images[1400:] @ weights).argmax(axis=1) == labels[1400:].argmax(axis=1)
            exp.metrics("test").log(step=step, accuracy=hits.mean())
