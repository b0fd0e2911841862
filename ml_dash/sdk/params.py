"""Parameters: `exp.params`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError, InvalidCallError
from ml_dash.sdk.guidance.calls import explained, shown
from ml_dash.sdk.parts import Part
from ml_dash.series import Kind
from ml_dash.storage.side_file import PARAMETERS_FILE, json_bytes
from ml_dash.values.config_fields import config_fields
from ml_dash.values.params import flatten_params, fold_params, unflatten_params

if TYPE_CHECKING:
    from ml_dash.sdk.session import Session


class ParametersBuilder(Part, written="exp.params"):
    """Sets and gets the experiment's parameters."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, "params")
        self._port = session.port(Kind.PARAMS, None)

    def _repr_html_(self) -> str:
        from ml_dash.sdk.notebook import params_html

        return params_html(self._session)

    def set(self, /, *configs: Any, **values: Any) -> ParametersBuilder:
        """Set parameters, merging them with those that are set already.

        Args:
            *configs: Dicts of parameters, or what has them as its fields: a Namespace, a dataclass, a DictConfig, a
                model of pydantic, a config class. Later ones win, and keyword arguments win over all of them.
            **values: Numbers, strings, lists; dicts, dataclasses and config classes (or instances of them) are
                flattened to dotted names. Setting ``model={"a": 5}`` replaces an older ``model.a.b``.

        Raises:
            InvalidParameterError: a value cannot be stored; nothing of this call is.
            InvalidCallError: what is given by position has no fields.
            NotStartedError: the run is not open.
        """
        sets = [flatten_params(_fields(config, configs)) for config in configs]
        flat = fold_params([*sets, flatten_params(values)])
        self._port.write(self._session.next_ns(), {"set": flat})
        self._session.post_snapshot(PARAMETERS_FILE, partial(_snapshot, self._session))
        return self

    log = set  # noqa: A003 - the public contract: `params.set`, and `params.log` as another name for it

    @explained("exp.params.get()['lr'] for one parameter, exp.params.get(flatten=False) for nested dicts")
    def get(self, flatten: bool = True) -> dict[str, Any]:
        """Return the parameters; sees everything set before.

        Args:
            flatten: True for dotted names, False for nested dicts.

        Raises:
            InvalidArgumentError: it is neither True nor False, as the name of a parameter.
        """
        given: Any = flatten
        if not isinstance(given, bool):
            key = shown(given) if isinstance(given, str) else "'lr'"
            raise InvalidArgumentError(
                f"flatten={shown(flatten)} is neither True nor False: write exp.params.get()[{key}] for one parameter"
            )
        flat = self._session.view.params()
        return flat if flatten else unflatten_params(flat)

    def _begin_anew(self) -> None:
        """Forget what earlier runs have set, for this run and all readers."""
        if self._session.written.params():
            self._port.write(self._session.next_ns(), {"set": {}, "clear": True})
            self._session.post_snapshot(PARAMETERS_FILE, partial(_snapshot, self._session))


def _fields(config: Any, configs: tuple[Any, ...]) -> Any:
    """Return what was given by position as what has parameters for fields."""
    # A text is its letters' sequence, and a class of Python's own: none of these says a name.
    if isinstance(config, (str, int, float)) or (fields := config_fields(config)) is None:
        if isinstance(config, str):
            value = shown(configs[1]) if len(configs) > 1 and config is configs[0] else "0.1"
            write = f"{config}={value}" if config.isidentifier() else f"{{{config!r:.100}: {value}}}"
        else:
            write = "lr=0.1"
        raise InvalidCallError(
            f"exp.params.set({', '.join(map(shown, configs))}) names no parameter for {shown(config)}: write "
            f"exp.params.set({write}), or pass a dict, a Namespace, a dataclass or a config class"
        )
    return fields


def _snapshot(session: Session) -> bytes:
    return json_bytes(session.written.params())
