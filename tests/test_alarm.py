"""A sleep ends with its time, or when any thread says so, be that a moment before it begins."""

from __future__ import annotations

import asyncio
import threading

from ml_dash.alarm import Alarm
from tests.support.virtual_time import run


def test_it_ends_with_its_time() -> None:
    async def tell() -> None:
        loop = asyncio.get_running_loop()
        assert not await Alarm().sleep(3600)
        assert 3600 <= loop.time() < 3601
        assert not await Alarm().sleep(0)

    run(tell())


def test_another_thread_ends_it_at_once() -> None:
    async def tell() -> None:
        alarm = Alarm()
        for _ in range(50):
            thread = threading.Thread(target=alarm.wake)
            asyncio.get_running_loop().call_soon(thread.start)
            assert await alarm.sleep(60)
            thread.join()

    asyncio.run(asyncio.wait_for(tell(), 50))


def test_who_was_woken_while_awake_does_not_sleep() -> None:
    async def tell() -> None:
        alarm = Alarm()
        alarm.wake()
        assert await alarm.sleep(60)
        assert not await alarm.sleep(60)
        assert 60 <= asyncio.get_running_loop().time() < 61

    run(tell())


def test_waking_is_harmless_when_the_loop_is_gone() -> None:
    alarm = Alarm()
    loop = asyncio.new_event_loop()
    task = loop.create_task(alarm.sleep(60))
    loop.run_until_complete(asyncio.sleep(0))
    sleeping = alarm._sleeping
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    loop.close()
    alarm._sleeping = sleeping

    alarm.wake()
