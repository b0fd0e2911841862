"""Asynchronous code in remote mode: nothing that waits for the server blocks the event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.server.runner import EmbeddedServer
from tests.remote_mode.silent import silent_server
from tests.support.processes import PREFIX, Journal
from tests.support.seen import Seen, law, until

pytestmark = pytest.mark.usefixtures("settings")

TURNS = 20
"""Turns of the event loop that must go by while something waits for the server."""


class Ticking:
    """A task that counts how often it gets its turn, every 10 ms at best."""

    def __init__(self) -> None:
        self.turns = 0

    async def __aenter__(self) -> Ticking:  # noqa: PYI034 - typing has no Self before Python 3.11
        self._task = asyncio.create_task(self._tick())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _tick(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_the_loop_goes_on_while_a_start_waits_for_a_silent_server(
    settings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.setenv("ML_DASH_START_TIMEOUT", "2")
    settings.setenv("ML_DASH_FLUSH_TIMEOUT", "0.1")
    with silent_server() as url:
        exp = Experiment(PREFIX, dash_url=url, dash_root=tmp_path)
        async with Ticking() as ticking:
            await exp.run.__aenter__()
            assert ticking.turns > TURNS
        exp.metrics("train").log(step=0)
        await exp.run.__aexit__(None, None, None)
        law(exp)
    assert Journal(tmp_path).values("step") == [0]


@pytest.mark.slow
async def test_the_loop_goes_on_while_aflush_waits_for_a_silent_server(
    settings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.setenv("ML_DASH_START_TIMEOUT", "0")
    settings.setenv("ML_DASH_FLUSH_TIMEOUT", "0.1")
    with silent_server() as url:
        async with Experiment(PREFIX, dash_url=url, dash_root=tmp_path).run as exp:
            exp.metrics("train").log(step=0)
            async with Ticking() as ticking:
                result = await asyncio.wait_for(exp.aflush(timeout=2), 2 + 10)
                assert ticking.turns > TURNS
            assert (result.durable, result.pending) == (1, 1)
            law(exp)


@pytest.mark.slow
async def test_the_loop_goes_on_while_the_end_of_the_block_waits_for_a_silent_server(
    settings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.setenv("ML_DASH_START_TIMEOUT", "0")
    settings.setenv("ML_DASH_FLUSH_TIMEOUT", "2")
    with silent_server() as url:
        async with Ticking() as ticking:
            async with Experiment(PREFIX, dash_url=url, dash_root=tmp_path).run as exp:
                exp.metrics("train").log(step=0)
                before = ticking.turns
            assert ticking.turns > before + TURNS
    assert Journal(tmp_path).ends() == ["COMPLETED"]


@pytest.mark.slow
async def test_a_flush_that_is_cancelled_leaves_the_sending_alone(
    settings: pytest.MonkeyPatch, server: EmbeddedServer, seen: Seen, tmp_path: Path
) -> None:
    async with Experiment(PREFIX, dash_url=server.url, dash_root=tmp_path / "dash").run as exp:
        for step in range(1000):
            exp.metrics("train").log(step=step)
        flush = asyncio.create_task(exp.aflush())
        await asyncio.sleep(0)
        flush.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flush
        assert (await exp.aflush()).pending == 0
    assert seen.values("step") == list(range(1000))
    seen.equals(tmp_path / "dash")


@pytest.mark.slow
async def test_tasks_with_experiments_of_their_own_send_them_at_once(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    root = tmp_path / "dash"

    async def train(number: int) -> None:
        async with Experiment(f"alice/vision/net{number}", dash_url=server.url, dash_root=root).run as exp:
            for step in range(50):
                exp.metrics("train").log(step=step)
                await asyncio.sleep(0)
            assert (await exp.aflush()).pending == 0
            law(exp)

    await asyncio.gather(*[train(number) for number in range(10)])
    for number in range(10):
        seen = Seen(server, f"alice/vision/net{number}")
        assert seen.values("step") == list(range(50))
        assert seen.status == "COMPLETED"
        seen.equals(root)


async def test_a_decorated_coroutine_that_raises_is_a_failed_run_at_the_server(
    server: EmbeddedServer, seen: Seen, tmp_path: Path
) -> None:
    exp = Experiment(PREFIX, dash_url=server.url, dash_root=tmp_path / "dash")

    @exp.run
    async def train(experiment: Experiment) -> None:
        experiment.metrics("train").log(step=0)
        raise ValueError("diverged")

    with pytest.raises(ValueError, match="diverged"):
        await train()
    until(lambda: seen.status == "FAILED", "the failure at the server")
    assert seen.values("step") == [0]
    seen.equals(tmp_path / "dash")


async def test_a_start_that_is_cancelled_leaves_no_run_open(
    settings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nobody would ever end it: the block was not entered."""
    settings.setenv("ML_DASH_START_TIMEOUT", "1")
    settings.setenv("ML_DASH_FLUSH_TIMEOUT", "0.1")
    with silent_server() as url:
        exp = Experiment(PREFIX, dash_url=url, dash_root=tmp_path)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(exp.run.__aenter__(), 0.2)
        assert not exp.run.is_open
    assert Journal(tmp_path).ends() == ["CANCELLED"]
