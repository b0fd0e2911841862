"""`wandb.watch`: now and then, histograms of a torch module's gradients and parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.integrations.frameworks import hook
from ml_dash.integrations.tracked import histogram_of

if TYPE_CHECKING:
    from ml_dash.sdk.experiment import Experiment

_KINDS = ("gradients", "parameters", "all")
_SAMPLE = 4096
"""Values of a tensor that are looked at, evenly spread: a histogram of more tells no more, and takes longer."""


class Watch:
    """Logs rows of ``gradients`` and ``parameters`` with a histogram for each parameter of a module.

    Args:
        experiment: where to.
        model: the module.
        kind: ``"gradients"``, ``"parameters"`` or ``"all"``.
        every: of how many backward passes one is looked at.

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
        self._model = model
        self._kind = kind
        self._passes = 0
        self._gradients: dict[str, Any] = {}
        named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        self._hooks = [parameter.register_hook(self._hook(name)) for name, parameter in named]
        # The last gradient of a backward pass is that of the first parameter: then the row is complete.
        self._hooks.append(model.register_forward_pre_hook(self._begin))

    def close(self) -> None:
        """Look at it no more."""
        self._log()
        for each in self._hooks:
            each.remove()
        self._hooks.clear()

    def _hook(self, name: str) -> Any:
        def look(gradient: Any) -> None:
            if self._is_due and self._kind != "parameters":
                self._gradients[name] = _sampled(gradient)

        return look

    @property
    def _is_due(self) -> bool:
        return self._passes % self._every == 1 or self._every == 1

    def _begin(self, model: Any, _arguments: Any) -> None:
        if not model.training:
            return
        self._log()
        self._passes += 1
        if self._is_due and self._kind != "gradients":
            self._write("parameters", {name: _sampled(each) for name, each in model.named_parameters()})

    def _log(self) -> None:
        gradients, self._gradients = self._gradients, {}
        if gradients:
            self._write("gradients", gradients)

    @hook
    def _write(self, metric: str, values: dict[str, Any]) -> None:
        if self._experiment.run.is_open:
            row = {name: histogram_of(each) for name, each in values.items()}
            self._experiment.metrics(metric).log({"step": self._passes - 1, **row})


def _sampled(tensor: Any) -> Any:
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, flat.numel() // _SAMPLE)][:_SAMPLE].clone()
