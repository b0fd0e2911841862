"""What the package shows to the outside, and what importing it costs."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import types
from pathlib import Path

import pytest

import ml_dash
from ml_dash.slabs.place import QUEUE_DIR
from tests.support.scripts import python

HEAVY = [
    "aiohttp",
    "anyio",
    "cryptography",
    "numpy",
    "pandas",
    "pyarrow",
    "rich",
    "torch",
    "typer",
    "asyncio",
]

RUN_AT_IMPORT = {"ml_dash.__main__", "ml_dash.auto_start", "ml_dash.cli.__main__"}

MIGRATIONS = "ml_dash.server.db.migrations."
"""Scripts that alembic loads, each by its file."""
LATE = (
    *(
        "bz2",
        "dataclasses",
        "decimal",
        "difflib",
        "hashlib",
        "inspect",
        "ipaddress",
        "logging",
        "lzma",
        "mimetypes",
    ),
    *("msgspec", "platform", "secrets", "shutil", "subprocess", "tempfile", "tokenize", "traceback"),
    *("typing_extensions", "urllib.parse", "uuid"),
)
LATE_PARTS = (
    *(
        "ml_dash.journal.foreign_disk",
        "ml_dash.journal.frame_table",
        "ml_dash.journal.index",
        "ml_dash.journal.latest",
    ),
    *(
        "ml_dash.journal.reader",
        "ml_dash.journal.scan",
        "ml_dash.pipeline.delivery",
        "ml_dash.query.environments",
    ),
    *(
        "ml_dash.query.files",
        "ml_dash.query.listing.filters",
        "ml_dash.query.runs",
        "ml_dash.sdk.files.manager",
    ),
    *("ml_dash.sdk.listing", "ml_dash.sdk.media.store", "ml_dash.sdk.presence", "ml_dash.slabs.found"),
    *("ml_dash.storage.recovery", "ml_dash.storage.stopping", "ml_dash.upload"),
)
"""What `import ml_dash` is not to load: much of its time together, in every script, used or not."""

BACKGROUND = (
    *(
        "_hashlib",
        "anyio",
        "asyncio",
        "concurrent.futures",
        "dataclasses",
        "decimal",
        "inspect",
        "msgspec",
        "platform",
    ),
    *(
        "ssl",
        "subprocess",
        "uuid",
        "ml_dash.journal.index",
        "ml_dash.query.journal_view",
        "ml_dash.storage.stopping",
    ),
)
"""What every run needs, and no start waits for: the background thread imports it behind the start."""

ON_DEMAND = ("ml_dash.cli", "ml_dash.client.", "ml_dash.upload.", "ml_dash.server", "ml_dash.sdk.table")
"""What is loaded by whoever wants it, on the background thread or in a command, with all that it needs."""
ALWAYS = {"ml_dash.client.destination"}
"""What every script loads all the same."""

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(ml_dash.__path__, "ml_dash.")
    if module.name not in RUN_AT_IMPORT and not module.name.startswith(MIGRATIONS)
)


def public_names(module: types.ModuleType) -> list[str]:
    """Public names that are there, other than modules."""
    there = {name: getattr(module, name) for name in (*vars(module), *getattr(module, "_LATER", ()))}
    return sorted(
        name
        for name, value in there.items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    )


def test_all_names_are_sorted_and_are_the_public_ones() -> None:
    """Nothing public is missing from `__all__`, and nothing in it is missing."""
    assert ml_dash.__all__ == sorted(ml_dash.__all__)
    assert ml_dash.__all__ == public_names(ml_dash)


def test_the_public_names_are_these() -> None:
    """A name that is added or removed is a change that users notice."""
    assert set(ml_dash.__all__) == {
        "Audio",
        "Figure",
        "Histogram",
        "Image",
        "Mesh",
        "Points3D",
        "Table",
        "Text",
        "Video",
        "ChangedMeanwhileError",
        "ContentError",
        "Experiment",
        "ExperimentExistsError",
        "ExperimentMissingError",
        "ExperimentRunningError",
        "ExperimentStatus",
        "FileChangedError",
        "FileMissingError",
        "FileStoreError",
        "FlushResult",
        "InvalidArgumentError",
        "InvalidCallError",
        "InvalidFilterError",
        "InvalidParameterError",
        "InvalidPrefixError",
        "JournalDamageWarning",
        "JournalError",
        "JournalVersionError",
        "JournalWriteError",
        "LimitError",
        "MLDashError",
        "MissingExtraError",
        "NotStartedError",
        "ReadOnlyError",
        "RemoteError",
        "ResumeError",
        "ServerUnavailableError",
        "StopError",
        "UnknownNameError",
        "ValueWarning",
        "experiments",
        "ml_dash_experiment",
        "open",
    }


def test_there_is_a_version() -> None:
    """As numbers with dots."""
    assert all(part.isdecimal() for part in ml_dash.__version__.split("."))


def test_auto_start_exposes_dxp_only() -> None:
    """Seen without importing it, for that would start a run here."""
    path = Path(ml_dash.__path__[0], "auto_start.py")
    (names,) = [
        ast.literal_eval(node.value)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    assert names == ["dxp"]


@pytest.mark.parametrize("name", MODULES)
def test_each_module_says_what_it_is_for(name: str) -> None:
    """In its docstring; and it can be imported first."""
    assert importlib.import_module(name).__doc__


@pytest.mark.parametrize("name", ml_dash.__all__)
def test_each_public_name_is_documented(name: str) -> None:
    """Methods and properties too."""
    public = getattr(ml_dash, name)
    assert inspect.getdoc(public)
    if inspect.isclass(public) and not issubclass(public, Exception):
        for member, value in vars(public).items():
            if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                assert inspect.getdoc(value), f"{name}.{member}"


def test_the_import_stays_light(tmp_path: Path) -> None:
    """What takes its time, and no script needs before its run starts, is not imported: each of these was once."""
    printed = python(
        f"""
        import sys
        before = set(sys.modules)
        import ml_dash
        new = set(sys.modules) - before
        print(*sorted(new & {set(LATE)}))
        print(*sorted(name for name in new if name.startswith({LATE_PARTS})))
        print(sum(name.startswith("ml_dash") for name in new))
        """,
        tmp_path,
    )
    late, parts, count = printed.split("\n")[:3]
    assert (late, parts) == ("", "")
    assert int(count) <= 130


def test_named_tuples_of_what_every_script_imports_are_the_cheap_ones() -> None:
    """Those of `typing` were a sixth of the import; see `ml_dash.records`."""
    root = Path(ml_dash.__path__[0])
    dear = re.compile(r"^from typing import .*\bNamedTuple\b", re.MULTILINE)
    layers = "events", "journal", "pipeline", "sdk", "slabs", "values"
    paths = [*root.glob("*.py"), *(path for layer in layers for path in (root / layer).rglob("*.py"))]
    assert [path.name for path in paths if dear.search(path.read_text())] == []


def test_no_pattern_is_compiled_by_the_import(tmp_path: Path) -> None:
    """They were a twelfth of it: `re` keeps what it has compiled when it is first used."""
    printed = python(
        """
        import re
        import ctypes, json, msgpack, shlex, signal, typing, warnings  # which compile some
        compiled = []
        original = re._compiler.compile if hasattr(re, "_compiler") else None

        def noted(pattern, *rest):
            compiled.append(pattern)
            return original(pattern, *rest)

        if original is not None:
            re._compiler.compile = noted
        import ml_dash
        exp = ml_dash.Experiment("a/b/c", echo=False)
        print(compiled)
        """,
        tmp_path,
    )
    assert printed.strip() == "[]"


def test_what_the_background_thread_needs_is_imported_by_no_start(tmp_path: Path) -> None:
    """It takes several times as long as all that the start does itself."""
    queues = tmp_path / "queues"
    queues.mkdir()  # what others have left in theirs would be read first
    printed = python(
        f"""
        import sys, threading
        import ml_dash

        class Noting:
            found = []

            def find_spec(self, name, path=None, target=None):
                self.found.append((threading.current_thread() is threading.main_thread(), name))

        sys.meta_path.insert(0, Noting())
        exp = ml_dash.Experiment("a/b/c", metadata={{"a": 1}}, tags=["b"], echo=False)
        exp.run.start()
        for step in range(3):
            exp.metrics("train").log(step=step, loss=0.5, name="x", none=None)
        own = {{name for is_main, name in tuple(Noting.found) if is_main}}
        print(*sorted(own & {set(BACKGROUND)}))
        exp.run.complete()
        print(exp.metrics("train").read()["total"])
        """,
        tmp_path,
        **{QUEUE_DIR: str(queues)},  # type: ignore[arg-type]
    )
    assert printed.split("\n")[:2] == ["", "3"]


def test_what_is_imported_later_is_there_for_all_who_look(tmp_path: Path) -> None:
    """For completion, for ``from ml_dash import``, for pickles, and the same object each time."""
    printed = python(
        """
        import pickle
        import ml_dash

        print(set(ml_dash.__all__) <= set(dir(ml_dash)), "Table" in vars(ml_dash))
        from ml_dash import Histogram, experiments
        print(experiments is ml_dash.experiments, "experiments" in vars(ml_dash))
        print(pickle.loads(pickle.dumps(Histogram)) is ml_dash.Histogram is Histogram)
        exp = ml_dash.Experiment("a/b/c")
        print("files" in dir(exp), "files" in vars(exp), exp.files is exp.files)
        """,
        tmp_path,
    )
    assert printed.split("\n")[:4] == ["True False", "True True", "True", "True False True"]


def test_the_import_loads_nothing_heavy(tmp_path: Path) -> None:
    """Neither numpy nor anyio nor any other package that takes its time."""
    printed = python(
        f"""
        import sys
        import ml_dash

        exp = ml_dash.Experiment("a/b/c")
        exp.metrics("train"), exp.tracks("pose"), exp.params, exp.logs, exp.files("models"), exp.status(), exp.tags
        print(*[name for name in {HEAVY} if name in sys.modules])
        """,
        tmp_path,
    )
    assert printed.split() == []


def test_no_module_loads_anything_heavy_by_itself(tmp_path: Path) -> None:
    """But those that are only loaded on demand."""
    printed = python(
        f"""
        import importlib, sys

        for module in {[name for name in MODULES if name in ALWAYS or not name.startswith(ON_DEMAND)]}:
            importlib.import_module(module)
            loaded = [name for name in {HEAVY} if name in sys.modules]
            if loaded:
                print(module, "loads", *loaded)
                break
        """,
        tmp_path,
    )
    assert printed == ""


def test_the_calling_thread_never_loads_numpy_to_log(tmp_path: Path) -> None:
    """Logging plain values needs no numpy; the background thread loads it when there are many rows."""
    printed = python(
        """
        import sys
        from ml_dash import Experiment

        with Experiment("a/b/c", echo=False).run as exp:
            exp.params.set(lr=0.1)
            exp.log("x", epoch=1)
            for step in range(100):
                exp.metrics("train").log(step=step, loss=0.5)
            exp.metrics("train").buffer(loss=1)
            exp.metrics.buffer.log_summary("mean", "std", "p50")
            exp.flush()
        print("numpy" in sys.modules, exp.status().durable)
        """,
        tmp_path,
    )
    assert printed.split() == ["False", "103"]
