"""Settings that hold for every test."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from ml_dash import Experiment
from ml_dash.slabs.found import FoundSlab, discard, find_slabs
from tests.support.examples import QUICK

FEWER = {"postgresql": ("sqlite", 4), "server": ("root", 2), "remote": ("local", 2)}
"""Of cases of a module in this place, where they are the same in that one, every so many are part of `make test`."""

# A deadline would be a timed assert, and the machines that run these tests are shared.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.register_profile(QUICK, deadline=None, max_examples=25)
hypothesis.settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """Make up few examples in `make test`, and let Ctrl-C work in what tests start, however they were started.

    A shell starts what runs in its background with SIGINT ignored. That is inherited by every process below it, and
    Python then installs no handler of its own: a test that sends SIGINT would wait for nothing.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # before any module of tests is imported: their decorators ask for the profile
    if config.getoption("markexpr") == "not slow":
        hypothesis.settings.load_profile(QUICK)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the slabs of processes that tests have killed: of this run, and of others whose directories are gone.

    Not in a worker: others may be in the middle of a test that has killed a process.
    """
    if hasattr(config, "workerinput"):
        return
    factory: pytest.TempPathFactory = config._tmp_path_factory  # type: ignore[attr-defined]
    ours = os.path.realpath(factory.getbasetemp())
    temporary = os.path.realpath(os.environ.get("PYTEST_DEBUG_TEMPROOT") or tempfile.gettempdir())
    for path in find_slabs():
        with contextlib.suppress(OSError, ValueError):
            slab = FoundSlab(path)
            slab.close()
            directory = os.path.realpath(slab.directory)
            is_test = directory.startswith(os.path.join(temporary, "pytest-"))
            if directory.startswith(ours + os.sep) or (is_test and not os.path.exists(directory)):
                discard(path)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep what is collected out of the sight of the garbage collector: thousands of tests are a million objects.

    It would go through them all again whenever it looks for old garbage, and so would a run that does when it ends:
    half a second each time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what `make test` leaves to `make test-all` of tests that have many cases.

    Of what runs in several places it takes all in the cheaper one, see `FEWER`. The choice depends on nothing but the
    order of the cases: all workers of a run must make the same one.
    """
    cases: Counter[str] = Counter()
    ours = "{}.{}".format(*sys.version_info[:2])
    places = {(_test_of(item), value) for item in items for value in _case_of(item)}
    for item in items:
        test = _test_of(item)
        if sample := item.get_closest_marker("sample"):
            if cases[test] % sample.args[0]:
                item.add_marker(pytest.mark.slow)
            cases[test] += 1
        for value in sorted(FEWER.keys() & _case_of(item)):
            cheaper, every = FEWER[value]
            if (test, cheaper) in places and "slow" not in item.keywords:
                of_module = f"{item.nodeid.partition('::')[0]} {value}"
                if cases[of_module] % every:
                    item.add_marker(pytest.mark.slow)
                cases[of_module] += 1
        if item.get_closest_marker("interpreters") and ours not in item.name:
            item.add_marker(pytest.mark.slow)


def _test_of(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def _case_of(item: pytest.Item) -> set[str]:
    """Return those parameters of a case that are texts, without what follows a comma."""
    case = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return {value.partition(",")[0] for value in case.values() if isinstance(value, str)}


# Before fixtures of wider scopes than a test's, too: what a run captures by itself has tests of its own.
os.environ["ML_DASH_CAPTURE"] = "0"


@pytest.fixture(autouse=True, scope="session")
def no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Summaries of roots that cannot be written lie in the user's cache: no test is to find, or leave, any there."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may use ML-Dash: their environment must not decide what a test sees."""
    for name in tuple(os.environ):
        if name.startswith("ML_DASH_"):
            monkeypatch.delenv(name)
    # As most users have it: what is printed to a file waits, and may come to nothing at the exit.
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    # What a run says of itself has tests of its own; elsewhere standard error is empty, or has what the test is about.
    monkeypatch.setenv("ML_DASH_QUIET", "1")
    monkeypatch.setenv("ML_DASH_CAPTURE", "0")


@pytest.fixture(autouse=True)
def no_warnings_that_nobody_expects() -> Iterator[None]:
    """Fail where ML-Dash warns: it raises no warning in its callers, though here all of them are errors."""
    told: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    logger, listener = logging.getLogger("ml_dash.warnings"), Listener()
    logger.addHandler(listener)
    yield
    logger.removeHandler(listener)
    assert not told


@pytest.fixture(autouse=True, scope="session")
def servers_are_quick_and_alone() -> Iterator[None]:
    """Let servers in this process begin with a copy of a migrated database, wait for no disk, and share no port."""
    with pytest.MonkeyPatch.context() as patch:
        # where nothing has imported it, nothing here opens a database, or listens
        if "ml_dash.server.db.database" in sys.modules:
            from tests.support.migrated import hasten

            hasten(patch)
        if "ml_dash.server.runner" in sys.modules:
            from tests.support.ports import give_each_once

            give_each_once(patch)
        yield


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A directory for journals."""
    return str(tmp_path / "dash")


@pytest.fixture
def exp(root: str) -> Iterator[Experiment]:
    """An experiment that is open, and quiet. At its end every row must be accounted for."""
    with Experiment("alice/proj/exp", dash_root=root, echo=False).run as experiment:
        yield experiment
    status = experiment.status()
    assert status.logged == status.acknowledged + status.pending + sum(status.dropped.values())
