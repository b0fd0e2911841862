"""The same experiments, logged to a server and to a root on this disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from ml_dash import Experiment
from ml_dash.server.local import looker
from ml_dash.server.runner import EmbeddedServer
from tests.server.local.ui import PREFIX, ROWS, Ui, serving
from tests.support.serving import TOKEN


@pytest.fixture(autouse=True)
def lists_wait_for_journals(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is that the tests share: a list has what was logged before it."""
    monkeypatch.setattr(looker, "_LEFT_SECONDS", 60.0)


@pytest.fixture(scope="session")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, EmbeddedServer]]:
    """A root and a server that have the same experiment, and its files."""
    root = str(tmp_path_factory.mktemp("dash"))
    with (
        EmbeddedServer(data=tmp_path_factory.mktemp("server"), admin_token=TOKEN) as server,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patched.setenv("ML_DASH_TOKEN", TOKEN)
        exp = Experiment(
            PREFIX,
            dash_url=server.url,
            dash_root=root,
            readme="# Deep",
            tags=["a", "b"],
            bindrs=["c"],
            metadata={"seed": 7},
            echo=False,
        )
        with exp.run:
            exp.params.set(lr=0.1, model={"layers": 3}, names=["x"])
            for step in range(ROWS):
                exp.metrics("train").log(
                    step=step, loss=1 / (step + 1), odd=float("nan") if step % 7 == 0 else step
                )
            exp.metrics.log(epoch=1, train={"loss": 0.5}, eval={"loss": 0.7, "nested": {"a": 1}})
            exp.metrics.log(alone=3)
            for level in ("debug", "info", "warn", "error"):
                exp.log(f"a {level} message", level=level, n=1)
            for at in range(5):
                exp.tracks("pose").append(x=at, _ts=float(at))
            exp.files("models").save_text("first", to="a.txt", aliases=["best"])
            exp.files("models").save_text("second", to="a.txt", tags=["best"], metadata={"k": 1})
            exp.files("plots").save_blob(bytes(range(256)) * 5000, to="b.bin")
            exp.files("gone").save_text("x", to="c.txt")
            exp.files("gone/c.txt").delete()
        assert exp.status().pending == 0
        yield root, server


@pytest.fixture
async def ui(logged: tuple[str, EmbeddedServer]) -> AsyncIterator[Ui]:
    async with serving(logged[0]) as ui:
        yield ui
