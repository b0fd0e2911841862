"""The results of `hot_path` as one picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.contenders import BARE, BASELINE, CONTENDERS, OURS
from benchmarks.measure import PERCENTILES
from benchmarks.report import SCENARIOS
from benchmarks.summary import METRICS, SLOWDOWN_TARGET, ratios, slowdown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_bars", "plot_hot_path"]

_COLOURS = {
    "nothing": "#bbbbbb",
    BASELINE: "#777777",
    "simplequeue": "#c99a2e",
    "msgpack": "#a0522d",
    OURS: "#1f6feb",
    BARE: "#0b3d91",
    "ml-dash-cold": "#79b8ff",
}
_RATIO_TARGET = 0.65


def plot_bars(panels: dict[str, dict[str, float]], own: str, path: str) -> None:
    """Draw a panel of horizontal bars for each title, on a logarithmic scale, ours in its colour.

    Args:
        panels: names and values, by titles.
        own: the name of ours.
        path: of the picture.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "ml-dash", "font.size": 9})
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, len(panels), figsize=(4.6 * len(panels), 3.2), squeeze=False, layout="constrained"
    )
    for axis, (title, values) in zip(axes[0], panels.items(), strict=True):
        names = [name for name, value in values.items() if value > 0][::-1]
        bars = axis.barh(
            names,
            [values[name] for name in names],
            color=[_COLOURS[OURS] if name == own else _COLOURS[BASELINE] for name in names],
        )
        axis.bar_label(bars, [f"{values[name]:.3g}" for name in names], padding=3)
        axis.set_xscale("log")
        axis.margins(x=0.2)
        axis.set_title(title)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)
    plt.close(figure)


def plot_hot_path(results: dict[str, Any], path: str) -> None:
    """Draw what was measured: the latencies, the rates relative to the deque, and the paced loop.

    Args:
        results: as in the JSON file.
        path: of the picture; the ending says the format.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "ml-dash", "font.size": 9})
    import matplotlib.pyplot as plt

    parts: list[tuple[str, Callable[[dict[str, Any], Axes], None]]] = [
        ("latency", _latencies),
        ("rate", _rates),
        ("paced", _slowdowns),
    ]
    drawn = [draw for section, draw in parts if results.get(section)]
    if not drawn:
        return
    figure, axes = plt.subplots(
        1, len(drawn), figsize=(4.6 * len(drawn), 3.8), squeeze=False, layout="constrained"
    )
    for axis, draw in zip(axes[0], drawn, strict=True):
        draw(results, axis)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)
    plt.close(figure)


def _latencies(results: dict[str, Any], axis: Axes) -> None:
    """Percentiles on a scale of nines: what only a call in ten thousand meets is as wide as the median."""
    steps = results["options"]["steps"]
    nines = [-math.log10(max(1 - percent / 100, 1 / steps)) for percent in PERCENTILES]
    for name, found in results["latency"].items():
        curve = [median(values) for values in zip(*(round_["us"] for round_ in found), strict=True)]
        axis.plot(nines, curve, marker=".", color=_COLOURS[name], label=CONTENDERS[name].title)
    axis.set_yscale("log")
    axis.set_xticks(nines[2:], ["50", "90", "99", "99.9", "99.99", "max"][: len(nines) - 2])
    axis.set_xlabel("percentile of calls")
    axis.set_title("A call in a tight loop, µs", loc="left")
    axis.legend(frameon=False, fontsize=7)


def _rates(results: dict[str, Any], axis: Axes) -> None:
    metrics = [metric for metric in METRICS if metric.title.startswith("calls/s")]
    names = [name for name in CONTENDERS if name != "nothing"]
    for place, name in enumerate(names):
        for offset, metric in zip((0.2, -0.2), metrics, strict=True):
            value = median(ratios(results, name, metric))
            axis.barh(-place + offset, value, 0.36, color=_COLOURS[name], alpha=1 if offset < 0 else 0.55)
            axis.text(value, -place + offset, f" {value:.2f}", va="center", fontsize=7)
    axis.axvline(_RATIO_TARGET, color="#d1242f", linestyle="--", linewidth=1)
    axis.text(_RATIO_TARGET, 0.55, "target, until closed", color="#d1242f", fontsize=7, ha="center")
    axis.set_yticks(
        [-place for place in range(len(names))],
        [name.replace("-cold", ", cold").replace("-bare", ", no capture") for name in names],
    )
    axis.set_title("Calls/s relative to the deque: loop (pale), until closed", loc="left")


def _slowdowns(results: dict[str, Any], axis: Axes) -> None:
    runs = results["paced"]
    for place, run in enumerate(runs):
        found = slowdown(run)
        axis.plot([found.low, found.high], [-place, -place], color=_COLOURS[run["contender"]], linewidth=2)
        axis.plot(found.ratio, -place, "o", color=_COLOURS[run["contender"]])
    axis.axvline(1, color="#bbbbbb", linewidth=1)
    axis.axvline(SLOWDOWN_TARGET, color="#d1242f", linestyle="--", linewidth=1)
    labels = [f"{run['contender']}\n{SCENARIOS[run['scenario']]}" for run in runs]
    axis.set_yticks([-place for place in range(len(runs))], labels)
    axis.set_ylim(-len(runs) + 0.5, 0.5)
    axis.set_title("1 ms of numpy a step: slowdown, 95 % interval", loc="left")
