"""`wandb.watch`: now and then, histograms of a torch module's gradients and parameters.

Problem: a model has millions of numbers, on a device, and hundreds of tensors. What one look costs is bounded,
therefore: so many tensors, of each so many values, taken evenly, and nothing but that leaves the device. The histograms
are media of their row, so that counting and encoding are done on a thread of their own.

What still can fail: a parameter that gets no gradient in the pass that is looked at is missing in that row. Of a large
tensor the rare extremes may not be among the values that are taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.integrations.frameworks import hook
from ml_dash.integrations.tracked import as_array
from ml_dash.notices import logger
from ml_dash.sdk.media.tables import Histogram

if TYPE_CHECKING:
    from ml_dash.sdk.experiment import Experiment

_KINDS = ("gradients", "parameters", "all")
_VALUES = 4096
"""Of a tensor that are taken, evenly spread: a histogram of more tells no more, and takes longer."""
TENSORS = 100
"""That are looked at: rows of both kinds then fit into the backlog of media together, see `ml_dash.sdk.media.store`."""


class Watch:
    """Logs rows of ``gradients`` and ``parameters`` with a histogram for each parameter of a module.

    Args:
        experiment: where to.
        model: the module.
        kind: ``"gradients"``, ``"parameters"`` or ``"all"``.
        every: of how many passes one is looked at.

    Raises:
        InvalidArgumentError: an argument is not among these.
    """

    def __init__(self, experiment: Experiment, model: Any, kind: str, every: int) -> None:
        if kind not in _KINDS:
            raise InvalidArgumentError(f"log={kind!r} is not one of {', '.join(_KINDS)}")
        if not hasattr(model, "named_parameters"):
            raise InvalidArgumentError(f"watch() takes a module of torch, not a {type(model).__qualname__}")
        self._experiment = experiment
        self._every = max(1, int(every))
        self._kind = kind
        self._passes = 0
        self._gradients: dict[str, Any] = {}
        self._parameters = _chosen(
            [(name, each) for name, each in model.named_parameters() if each.requires_grad]
        )
        self._hooks = [each.register_hook(self._hook(name)) for name, each in self._parameters.items()]
        # A pass begins where the gradients of the one before are complete, however many times they were accumulated.
        self._hooks.append(model.register_forward_pre_hook(self._begin))

    def close(self) -> None:
        """Look at it no more."""
        self._log_gradients()
        for each in self._hooks:
            each.remove()
        self._hooks.clear()

    def _hook(self, name: str) -> Any:
        @hook
        def look(gradient: Any) -> None:
            if self._is_due and self._kind != "parameters":
                self._gradients[name] = _taken(gradient)

        return look

    @property
    def _is_due(self) -> bool:
        return self._passes % self._every == 1 or self._every == 1

    @hook
    def _begin(self, model: Any, _arguments: Any) -> None:
        if not model.training:
            return
        self._log_gradients()
        self._passes += 1
        if self._is_due and self._kind != "gradients":
            self._log("parameters", {name: _taken(each) for name, each in self._parameters.items()})

    def _log_gradients(self) -> None:
        gradients, self._gradients = self._gradients, {}
        self._log("gradients", gradients)

    @hook
    def _log(self, metric: str, values: dict[str, Any]) -> None:
        if values and self._experiment.run.is_open:
            row = {name: Histogram(as_array(each)) for name, each in values.items()}
            self._experiment.metrics(metric).log({"step": self._passes - 1, **row})


def _chosen(named: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return what is looked at, by name: of more than there is room for the largest, in the model's order."""
    largest = sorted(named, key=lambda each: -each[1].numel())[:TENSORS]
    names = {name for name, _ in largest}
    if len(named) > TENSORS:
        logger().warning(
            "watch() looks at the %d largest of %d parameters: of others log a histogram by hand, by "
            "experiment.metrics('gradients').log(layer=ml_dash.Histogram(layer.weight.grad))",
            TENSORS,
            len(named),
        )
    return {name: each for name, each in named if name in names}


def _taken(tensor: Any) -> Any:
    """Return a few values of a tensor, which nobody else will change, where it is."""
    values = tensor.detach()
    if getattr(values, "is_sparse", False):  # as the gradient of an embedding: what is not in it is zero
        values = values.coalesce().values()
    if values.is_complex():
        values = values.abs()
    flat = values.reshape(-1)
    return flat[:: -(-flat.numel() // _VALUES) or 1].clone()
