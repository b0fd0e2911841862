"""Parameters: `exp.params`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ml_dash.sdk.parts import Part
from ml_dash.series import Kind
from ml_dash.storage.side_file import PARAMETERS_FILE
from ml_dash.values.params import flatten_params, unflatten_params

if TYPE_CHECKING:
    from ml_dash.sdk.session import Session


class ParametersBuilder(Part):
    """Sets and gets the experiment's parameters."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, "params")
        self._port = session.port(Kind.PARAMS, None)

    def _repr_html_(self) -> str:
        from ml_dash.sdk.notebook import params_html

        return params_html(self._session)

    def set(self, /, **values: Any) -> ParametersBuilder:
        """Set parameters, merging them with those that are set already.

        Args:
            **values: Numbers, strings, lists; dicts, dataclasses and config classes (or instances of them) are
                flattened to dotted names. Setting ``model={"a": 5}`` replaces an older ``model.a.b``.

        Raises:
            InvalidParameterError: a value cannot be stored; nothing of this call is.
            NotStartedError: the run is not open.
        """
        self._port.write(self._session.next_ns(), {"set": flatten_params(values)})
        self._session.post_snapshot(PARAMETERS_FILE, partial(_snapshot, self._session))
        return self

    log = set  # noqa: A003 - the public contract: `params.set`, and `params.log` as another name for it

    def get(self, flatten: bool = True) -> dict[str, Any]:
        """Return the parameters; sees everything set before.

        Args:
            flatten: True for dotted names, False for nested dicts.
        """
        flat = self._session.view.params()
        return flat if flatten else unflatten_params(flat)

    def _begin_anew(self) -> None:
        """Forget what earlier runs have set, for this run and all readers."""
        if self._session.written.params():
            self._port.write(self._session.next_ns(), {"set": {}, "clear": True})
            self._session.post_snapshot(PARAMETERS_FILE, partial(_snapshot, self._session))


def _snapshot(session: Session) -> bytes:
    import json

    return json.dumps(session.written.params(), indent=2, default=str).encode()
