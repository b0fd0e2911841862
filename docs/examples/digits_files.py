"""The demo's files: a checkpoint, a figure and a short video, saved with the run and downloaded from the server."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from docs.examples.digits_checks import check
from ml_dash import Experiment

FILES = ("checkpoints/last.npz", "plots/accuracy.png", "videos/first-layer.mp4")
"""What a run saves."""
_ENLARGED = 4


def picture_of(weights: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the first layer's weights as one picture, from 0 to 1: a square of 8×8 pixels for each of its units."""
    side = int(np.sqrt(weights.shape[1]))
    chosen = weights[:, : side * side] / (np.abs(weights).max() or 1.0) / 2 + 0.5
    squares = chosen.T.reshape(side, side, 8, 8).transpose(0, 2, 1, 3).reshape(side * 8, side * 8)
    return np.kron(squares, np.ones((_ENLARGED, _ENLARGED)))


def save_files(
    exp: Experiment, checkpoint: str, accuracies: Sequence[float], frames: Sequence[npt.NDArray[Any]]
) -> None:
    """Save what is to be kept of a training: this is what a script with ML-Dash looks like."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    exp.files("checkpoints").save(checkpoint, to="last.npz", description="The last epoch's", tags=["last"])
    figure, axes = plt.subplots(figsize=(6, 4))
    axes.plot(range(len(accuracies)), accuracies)
    axes.set(xlabel="epoch", ylabel="accuracy on unseen digits")
    exp.files("plots").save_fig(figure, to="accuracy.png", dpi=100)
    plt.close(figure)
    exp.files("videos").save_video(frames, to="first-layer.mp4", fps=5)


def check_files(here: Experiment, at_server: Experiment, directory: str) -> str:
    """Download the files from the server, hold them against what was saved, and say what was found."""
    told = []
    rows = {f"{row['path'].strip('/')}/{row['filename']}": row for row in here.files.list()}
    check(
        sorted(rows) == sorted(FILES),
        f"{', '.join(FILES)} should have been saved, and there are {sorted(rows)}",
    )
    check(at_server.files.list() == here.files.list(), "the server lists other files than the journal")
    for name, row in rows.items():
        path = at_server.files(name).download(os.path.join(directory, "downloaded", name))
        check_content(path, row)
        told.append(f"{name} ({row['sizeBytes']:,} bytes)")
    return f"{', '.join(told)}: downloaded from the server, each as it was saved"


def check_content(path: str, row: dict[str, Any]) -> None:
    """Check that a file holds what its row says."""
    data = Path(path).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    check(
        (len(data), found) == (row["sizeBytes"], row["checksum"]),
        f"{path} is not what was saved: {len(data)} bytes with the SHA-256 {found}",
    )
