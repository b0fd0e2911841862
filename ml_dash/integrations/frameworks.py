"""The frameworks: loaded when an adapter is first used, compared with what was tested, and never disturbed.

An adapter has to be an instance of a class of its framework's, which must not be loaded by the adapter's import. So
its written base, `base_of`, is a placeholder: the first instance is made of a class that derives from the
framework's, too.
"""

from __future__ import annotations

import functools
import importlib
import re
import sys
import types
from importlib import metadata
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from ml_dash.errors import (
    InvalidPrefixError,
    JournalWriteError,
    MissingExtraError,
    MLDashError,
    ResumeError,
    ServerUnavailableError,
)
from ml_dash.notices import is_news, logger, warn_user

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


class Framework(NamedTuple):
    """What is known of a framework."""

    distributions: tuple[str, ...]
    """Names under which it is installed; the first is the one to install."""
    oldest: str
    """The oldest version that the adapter was tested with."""
    newest: str
    """The newest one."""


FRAMEWORKS = {
    "accelerate": Framework(("accelerate",), "1.0", "1.15"),
    "clu": Framework(("clu",), "0.0.12", "0.0.12"),
    "hydra": Framework(("hydra-core",), "1.3", "1.3"),
    "keras": Framework(("keras",), "3.5", "3.15"),
    "lightgbm": Framework(("lightgbm",), "4.7", "4.7"),
    "lightning": Framework(("lightning", "pytorch-lightning", "lightning-fabric"), "2.4", "2.6"),
    "mlflow": Framework(("mlflow", "mlflow-skinny"), "3.17", "3.17"),
    "optuna": Framework(("optuna",), "3.6", "5.0"),
    "ray": Framework(("ray",), "2.60", "2.60"),
    "stable-baselines3": Framework(("stable-baselines3",), "2.9", "2.9"),
    "transformers": Framework(("transformers",), "4.57", "5.24"),
    "ultralytics": Framework(("ultralytics",), "8.4", "8.4"),
    "xgboost": Framework(("xgboost", "xgboost-cpu"), "3.2", "3.2"),
}
"""By their extras."""

_SAID: set[str] = set()
_REFUSALS = (InvalidPrefixError, JournalWriteError, ResumeError, ServerUnavailableError)
_REAL = "_dash_real"
_WRITTEN = "_dash_written"


def base_of(extra: str, *names: str) -> Any:
    """Return a class to derive an adapter from, whose instances are instances of a framework's class as well.

    Args:
        extra: the framework.
        *names: the class, as ``module:name``; of several the first that is there, those of loaded packages first.
    """

    class Base:
        def __new__(cls, *_args: Any, **_kwargs: Any) -> Any:
            real = real_class(cls)
            return super(Base, real).__new__(real)

        def __reduce_ex__(self, protocol: Any) -> Any:
            # By the class that is written in the module: the other one cannot be found by its name.
            reduced: Any = super().__reduce_ex__(max(2, protocol))
            _, (kind, *arguments), *rest = reduced
            return _anew, (getattr(kind, _WRITTEN, kind), *arguments), *rest

        @classmethod
        def _framework_base(cls) -> type:
            base: type = load_class(extra, cls.__name__, names)
            return base

    return Base


def _anew(written: type[Any], *arguments: Any) -> Any:
    """Make what a pickle or a copy fills."""
    return written.__new__(written, *arguments)


def real_class(written: type[Any]) -> type[Any]:
    """Return the class that the instances of an adapter have, derived from the framework's.

    Raises:
        MissingExtraError: the framework is not installed.
        MLDashError: it has no such class.
    """
    if _WRITTEN in written.__dict__:
        return written
    real: type[Any] | None = written.__dict__.get(_REAL)
    if real is not None:
        return real
    base = written._framework_base()  # noqa: SLF001 - of `Base`
    if issubclass(written, base):  # derived by a user from the class of an instance
        return written
    own = {
        "__doc__": written.__doc__,
        "__module__": written.__module__,
        "__qualname__": written.__qualname__,
        _WRITTEN: written,
    }
    real = types.new_class(written.__name__, (written, base), {}, lambda names: names.update(own))
    setattr(written, _REAL, real)
    return real


def load_class(extra: str, feature: str, names: tuple[str, ...]) -> Any:
    """Return the first class, as ``module:name``, that there is: those of packages that a script uses before others."""
    at_hand = sorted(names, key=lambda name: name.partition(":")[0].partition(".")[0] not in sys.modules)
    missing: ImportError | None = None
    for name in at_hand:
        module, _, attribute = name.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute, None)
        except ImportError as error:
            missing = missing or error
            continue
        if found is not None:
            check_version(extra)
            return found
    if installed_version(extra) is None:
        raise MissingExtraError(feature, FRAMEWORKS[extra].distributions[0], extra) from missing
    raise MLDashError(
        f"{feature} finds none of {', '.join(names)} in {extra} {installed_version(extra)}, and was tested with "
        f"{FRAMEWORKS[extra].newest}: install that version, or log by hand, with exp.metrics('train').log(loss=…)"
    ) from missing


def load_module(extra: str, feature: str, name: str) -> Any:
    """Return a module of a framework's.

    Raises:
        MissingExtraError: the framework is not installed.
    """
    try:
        found = importlib.import_module(name)
    except ImportError as error:
        if installed_version(extra) is not None:
            raise
        raise MissingExtraError(feature, FRAMEWORKS[extra].distributions[0], extra) from error
    check_version(extra)
    return found


def installed_version(extra: str) -> str | None:
    """Return the version of a framework that is installed; None where none is."""
    for distribution in FRAMEWORKS[extra].distributions:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def check_version(extra: str) -> None:
    """Warn, once, of a framework that is older than those tested, or by a major version newer."""
    framework, installed = FRAMEWORKS[extra], installed_version(extra)
    if installed is None or not is_news(extra, _SAID):
        return
    own, oldest, newest = _numbers(installed), _numbers(framework.oldest), _numbers(framework.newest)
    if own < oldest:
        how = "older"
    elif own[:1] > newest[:1]:
        how = "newer"
    else:
        return
    tested = framework.newest if oldest == newest else f"{framework.oldest} to {framework.newest}"
    warn_user(
        f"{extra} {installed} is {how} than what ML-Dash's adapter was tested with ({tested}): it is used all "
        "the same, and what it cannot log is told; look whether all is there",
        UserWarning,
    )


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found.group().split("."))) if found else ()


def hook(function: Callable[P, R]) -> Callable[P, R | None]:
    """Decorate what a framework calls during a training, which must not end by an error of an adapter's.

    The error is told by the logger ``ml_dash``, once for each kind. What refuses the start of a run is raised: the
    script has asked for it, as by ``resume="never"``.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return function(*args, **kwargs)
        except _REFUSALS:
            raise
        except Exception as error:  # noqa: BLE001 - whatever another version of a framework brings about
            if is_news(f"{function.__module__}.{function.__qualname__} {type(error).__name__}", _SAID):
                logger().warning(
                    "%s of %s could not be logged, and the training goes on: %s: %s",
                    function.__name__,
                    function.__module__.rpartition(".")[2],
                    type(error).__name__,
                    error,
                    exc_info=error,
                )
            return None

    return call
