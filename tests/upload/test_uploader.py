"""The uploader's answers to each kind of trouble, told one by one, on simulated time."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import tracemalloc
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ml_dash.client.api import Client
from ml_dash.journal.blocks import Block, Column
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.journal.frame import encode_frame, encode_segment_header, segment_name
from ml_dash.journal.writer import JournalWriter
from ml_dash.series import Kind, Series
from ml_dash.tokens.token import Token
from ml_dash.upload.task import Target
from ml_dash.upload.uploader import Uploader
from tests.support.faulty_line import FaultyLine, Weather
from tests.support.journals import LATER_WRITER, WRITER, MemoryDisk, numbers
from tests.support.serving import TRAIN, objects
from tests.support.virtual_time import VirtualClock, run
from tests.support.watermark_server import RefusalError, StoredWriter, WatermarkServer

_T = TypeVar("_T")

PREFIX = "alice/vision/resnet"
GOOD, BAD = Token("mld_" + "g" * 40), Token("mld_" + "b" * 40)


class UploaderBench:
    """One experiment, one server, and time to let pass."""

    def __init__(self, disk: Disk | None = None, directory: str = "exp") -> None:
        self.disk = disk or MemoryDisk()
        self.directory = directory
        self.server = WatermarkServer()
        self.token = GOOD
        self.line = FaultyLine(self.server, random.Random(1), lambda: self.token)
        self.writers = [WRITER]
        self.journal = JournalWriter(f"{directory}/journal", WRITER, disk=self.disk)
        self.asked_tokens = 0
        self.about: dict[str, Any] = {}

    def start(self) -> Uploader:
        clock = VirtualClock(asyncio.get_running_loop())
        client = Client(self.line, clock)
        self.uploader = Uploader(
            Target(self.directory, PREFIX, client, self.do, clock, random.Random(1), self.disk),
            lambda: self.writers,
            token=lambda: self.token,
            about=lambda: self.about,
            settled=lambda writer: (lambda: self.journal.durable_seq) if writer == WRITER else None,
        )
        self.task = asyncio.ensure_future(self.uploader.run())
        return self.uploader

    async def do(self, work: Callable[[], _T]) -> _T:
        await asyncio.sleep(0.001)
        return work()

    def write(self, *values: int) -> int:
        seq = self.journal.append([numbers(*values)])
        self.uploader.nudge()
        return seq

    async def end(self) -> None:
        self.uploader.stop()
        await asyncio.wait_for(self.task, 600)

    @property
    def stored(self) -> StoredWriter:
        return self.server.experiments[PREFIX].writers[WRITER]

    @property
    def values(self) -> list[int]:
        """What the server has."""
        return [row["n"] for _, row in self.stored.rows]

    def outage(self, kind: str) -> None:
        self.line.weather = Weather({kind: 1.0})

    def clear_up(self) -> None:
        self.line.weather = Weather({})


class Forgetful(WatermarkServer):
    """Counts frames, all of one length, and does not keep them."""

    def __init__(self, frame_bytes: int) -> None:
        super().__init__()
        self._frame_bytes = frame_bytes
        self._watermark = 0

    def _frames(self, id_: str, writer_id: str, body: bytes) -> int:
        self.largest = max(self.largest, len(body))
        self._watermark += len(body) // self._frame_bytes
        return self._watermark


class AsksForOthers(WatermarkServer):
    """Takes no frames while there is something in `expected`, and says each time which ones it wants before them."""

    def __init__(self) -> None:
        super().__init__()
        self.expected: Iterator[int] | None = None
        self.asked = 0

    def _frames(self, id_: str, writer_id: str, body: bytes) -> int:
        if self.expected is None:
            return super()._frames(id_, writer_id, body)
        self.asked += 1
        raise RefusalError(409, "gap", expected=next(self.expected))


def story(
    tell: Callable[[UploaderBench], Coroutine[Any, Any, None]], bench: UploaderBench | None = None
) -> UploaderBench:
    """Tell a story in virtual time."""
    told = bench or UploaderBench()

    async def whole() -> None:
        told.start()
        await tell(told)
        if not told.task.done():
            await told.end()
        await told.task

    run(whole())
    return told


def test_what_is_written_arrives_at_once_and_in_order() -> None:
    async def tell(bench: UploaderBench) -> None:
        for number in range(50):
            bench.write(number, number)
            await asyncio.sleep(0.5)
        await asyncio.sleep(1)
        state = bench.uploader.state
        assert (state.online, state.offline_since_ns, state.last_error) == (True, None, None)
        assert (state.acknowledged_seq, state.acknowledged_rows) == ({WRITER: 50}, {WRITER: 100})
        assert (state.pending_bytes, state.pending_frames) == (0, 0)
        assert state.experiment_id == bench.server.experiments[PREFIX].id

    assert story(tell).values == [number for number in range(50) for _ in range(2)]


def test_without_a_nudge_the_journal_is_looked_at_now_and_then() -> None:
    async def tell(bench: UploaderBench) -> None:
        await asyncio.sleep(1)
        bench.journal.append([numbers(1)])
        await asyncio.sleep(10)
        assert bench.values == [1]

    story(tell)


def test_rows_of_the_run_itself_do_not_count() -> None:
    async def tell(bench: UploaderBench) -> None:
        bench.journal.append([numbers(1, series=Series(Kind.RUN, None)), numbers(2)])
        bench.uploader.nudge()
        await asyncio.sleep(2)
        assert bench.uploader.state.acknowledged_rows == {WRITER: 1}

    story(tell)


def test_an_outage_is_told_once_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    async def tell(bench: UploaderBench) -> None:
        bench.write(1)
        await asyncio.sleep(2)
        bench.outage("refused")
        bench.write(2)
        await asyncio.sleep(8 * 3600)
        state = bench.uploader.state
        assert not state.online
        assert state.offline_since_ns
        assert state.pending_bytes > 0
        assert state.pending_frames == 1
        assert "refused" in (state.last_error or "")
        bench.clear_up()
        await asyncio.sleep(120)
        assert bench.uploader.state.online

    assert story(tell).values == [1, 2]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "refused" in messages[0]
    assert "stay in the journal" in messages[0]
    assert "again" in messages[1]


def test_the_start_waits_for_the_first_contact_good_or_bad() -> None:
    async def bad(bench: UploaderBench) -> None:
        bench.outage("refused")
        assert not bench.uploader.first_contact.is_set()
        await asyncio.sleep(2)
        assert bench.uploader.first_contact.is_set()
        assert not bench.uploader.state.online

    async def good(bench: UploaderBench) -> None:
        await asyncio.sleep(2)
        assert bench.uploader.first_contact.is_set()
        assert bench.uploader.state.online

    story(bad)
    story(good)


def test_a_token_that_is_not_good_pauses_and_another_resumes_within_seconds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def tell(bench: UploaderBench) -> None:
        bench.server.token, bench.token = GOOD.reveal(), BAD
        bench.write(1)
        await asyncio.sleep(300)
        assert not bench.uploader.state.online
        bench.token = GOOD
        await asyncio.sleep(2.5)
        assert bench.uploader.state.online

    assert story(tell).values == [1]
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 2
    assert "ml-dash login http://127.0.0.1:7007" in warnings[0]
    assert not any(token.reveal() in warning for token in (GOOD, BAD) for warning in warnings)


def test_a_token_that_is_granted_more_resumes_within_a_minute() -> None:
    async def tell(bench: UploaderBench) -> None:
        bench.server.token = BAD.reveal()
        bench.write(1)
        await asyncio.sleep(10)
        bench.server.token = GOOD.reveal()
        await asyncio.sleep(61)
        assert bench.uploader.state.online

    assert story(tell).values == [1]


def test_a_server_without_the_api_is_told_once_and_asked_rarely(caplog: pytest.LogCaptureFixture) -> None:
    async def tell(bench: UploaderBench) -> None:
        bench.outage("html")
        bench.write(1)
        await asyncio.sleep(3600)
        assert 55 <= bench.line.seen["html"] <= 65
        bench.clear_up()
        await asyncio.sleep(61)

    assert story(tell).values == [1]
    assert [("not an ML-Dash server" in record.getMessage()) for record in caplog.records] == [True, False]


def test_a_deleted_experiment_is_told_once_and_ends_the_upload(caplog: pytest.LogCaptureFixture) -> None:
    async def tell(bench: UploaderBench) -> None:
        bench.write(1)
        await asyncio.sleep(2)
        bench.server.experiments[PREFIX].deleted = True
        bench.write(2)
        await asyncio.sleep(10)
        assert bench.task.done()
        assert bench.uploader.state.stopped
        assert bench.uploader.wait_acknowledged(WRITER, 2).is_set()
        assert bench.uploader.begin_drain().wait(0)

    story(tell)
    (record,) = caplog.records
    assert "ml-dash sync --recreate exp" in record.getMessage()


def test_a_full_disk_at_the_server_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    async def tell(bench: UploaderBench) -> None:
        bench.server.full = True
        bench.write(1)
        await asyncio.sleep(3600)
        state = bench.uploader.state
        assert not state.online
        assert bench.line.seen == {}
        bench.server.full = False
        await asyncio.sleep(61)

    assert story(tell).values == [1]
    assert len(caplog.records) == 2


def test_the_wait_between_tries_grows_although_the_introduction_works() -> None:
    """Only what is stored is a success: else a full disk would be asked twice a second."""
    requests = 0

    async def tell(bench: UploaderBench) -> None:
        nonlocal requests
        bench.server.full = True

        def count() -> None:
            nonlocal requests
            requests += 1

        bench.server.on_request = count
        bench.write(1)
        await asyncio.sleep(3600)

    story(tell)
    assert requests < 400


def test_a_frame_that_is_malformed_is_set_aside_and_the_others_arrive(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def tell(bench: UploaderBench) -> None:
        bench.server.malformed = lambda _, seq: seq in {2, 4}
        for number in range(1, 6):
            bench.write(number, number)
        await asyncio.sleep(5)
        state = bench.uploader.state
        assert state.online
        assert (state.acknowledged_rows, state.rejected_rows) == ({WRITER: 6}, {WRITER: 4})
        assert isinstance(bench.disk, MemoryDisk)
        for seq in (2, 4):
            assert bench.disk.files[f"exp/rejected/{WRITER}-{seq}.frame"] == encode_frame(
                seq, [numbers(seq, seq)]
            )

    assert story(tell).values == [1, 1, 3, 3, 5, 5]
    assert len(caplog.records) == 1
    assert "rejected" in caplog.records[0].getMessage()


def test_a_limit_halves_batches_and_sets_aside_what_alone_is_too_large() -> None:
    async def tell(bench: UploaderBench) -> None:
        bench.server.limit = 1000
        for number in range(40):
            bench.write(*([number] * (200 if number == 20 else 1)))
        await asyncio.sleep(60)
        assert bench.uploader.state.rejected_rows == {WRITER: 200}

    bench = story(tell)
    assert bench.values == [number for number in range(40) if number != 20]


def test_a_server_restored_from_a_backup_gets_the_rest_again(caplog: pytest.LogCaptureFixture) -> None:
    async def tell(bench: UploaderBench) -> None:
        for number in range(10):
            bench.write(number)
        await asyncio.sleep(2)
        backup = bench.server.backup()
        for number in range(10, 20):
            bench.write(number)
        await asyncio.sleep(2)
        bench.server.restore(backup)
        bench.write(20)
        await asyncio.sleep(20)
        assert bench.uploader.state.acknowledged_rows == {WRITER: 21}

    assert story(tell).values == list(range(21))
    assert sum("backup" in record.getMessage() for record in caplog.records) == 1


def test_a_server_that_has_lost_the_experiment_gets_it_again() -> None:
    async def tell(bench: UploaderBench) -> None:
        for number in range(10):
            bench.write(number)
        await asyncio.sleep(2)
        bench.server.restore({})
        bench.write(10)
        await asyncio.sleep(60)

    assert story(tell).values == list(range(11))


@pytest.mark.parametrize("expected", [(10**9,), (1,), (1, 10**9), (2, 1), (3, 2, 1)])
def test_a_server_that_asks_for_frames_that_make_no_sense_is_told_of_and_not_asked_at_full_speed(
    expected: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is lost by it, and all of it is sent when the server makes sense again."""
    server = AsksForOthers()
    bench = UploaderBench()
    bench.server = server
    bench.line = FaultyLine(server, random.Random(1))

    async def tell(bench: UploaderBench) -> None:
        for number in range(5):
            bench.write(number)
        await asyncio.sleep(2)
        server.expected = itertools.cycle(expected)
        bench.write(5)
        await asyncio.sleep(600)
        assert 2 < server.asked < 60
        state = bench.uploader.state
        assert (state.online, state.pending_frames > 0) == (False, True)
        server.expected = None
        await asyncio.sleep(120)

    assert story(tell, bench).values == list(range(6))
    assert any("gap" in record.getMessage() for record in caplog.records)


def test_a_restored_server_is_noticed_though_nothing_is_written_any_more() -> None:
    async def tell(bench: UploaderBench) -> None:
        bench.write(1)
        await asyncio.sleep(2)
        bench.server.restore({})
        await asyncio.sleep(700)

    assert story(tell).values == [1]


def test_frames_that_are_gone_from_both_sides_are_told_and_do_not_block(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def tell(bench: UploaderBench) -> None:
        for number in range(10):
            bench.write(number)
        bench.journal.close()
        await asyncio.sleep(2)
        bench.server.restore({})
        assert isinstance(bench.disk, MemoryDisk)
        del bench.disk.files[f"exp/journal/{segment_name(WRITER, 1)}"]
        for number in range(10, 12):
            bench.write(number)
        bench.journal.sync()
        await asyncio.sleep(60)
        assert bench.uploader.state.lost_frames == 10

    bench = story(tell)
    assert bench.values == [10, 11]
    assert bench.stored.empty == set(range(1, 11))
    assert any("10 frames" in record.getMessage() for record in caplog.records)


def test_another_client_under_the_same_name_stops_this_writer_alone(caplog: pytest.LogCaptureFixture) -> None:
    """As after a virtual machine was copied while it ran."""

    async def tell(bench: UploaderBench) -> None:
        for number in range(5):
            bench.write(number)
        await asyncio.sleep(2)
        copied = UploaderBench()
        copied.server, copied.line = bench.server, bench.line
        copied.writers = [WRITER, LATER_WRITER]
        copied.start()
        other = JournalWriter("exp/journal", LATER_WRITER, disk=copied.disk)
        for number in range(100, 103):
            copied.write(number)
            other.append([numbers(number)])
        await asyncio.sleep(60)
        assert copied.uploader.state.online
        assert "two clients" in (copied.uploader.state.last_error or "")
        assert copied.uploader.wait_acknowledged(WRITER, 3).is_set()
        assert bench.server.experiments[PREFIX].writers[LATER_WRITER].watermark == 3
        await copied.end()

    assert story(tell).values == list(range(5))
    assert len(caplog.records) == 1


def test_what_a_sync_has_sent_meanwhile_moves_the_cursor() -> None:
    async def tell(bench: UploaderBench) -> None:
        bench.outage("refused")
        for number in range(10):
            bench.write(number)
        bench.journal.sync()
        await asyncio.sleep(100)
        helper = UploaderBench(bench.disk)
        helper.server, helper.journal = bench.server, bench.journal
        helper.line = FaultyLine(bench.server, random.Random(2))
        helper.start()
        await asyncio.sleep(5)
        await helper.end()
        bench.clear_up()
        await asyncio.sleep(61)
        assert bench.uploader.state.acknowledged_rows == {WRITER: 10}

    assert story(tell).values == list(range(10))


def test_a_successor_goes_on_from_the_cursor_and_reads_nothing_again() -> None:
    async def tell(bench: UploaderBench) -> None:
        for number in range(10):
            bench.write(number)
        await asyncio.sleep(2)
        await bench.end()
        assert isinstance(bench.disk, MemoryDisk)
        bench.disk.reads.clear()
        bench.start()
        bench.write(10)
        await asyncio.sleep(2)
        assert bench.uploader.state.acknowledged_rows == {WRITER: 11}

    assert story(tell).values == list(range(11))


def test_a_flush_waits_for_the_acknowledgement_and_not_in_an_outage() -> None:
    async def tell(bench: UploaderBench) -> None:
        await asyncio.sleep(2)
        seq = bench.write(1)
        wait = bench.uploader.wait_acknowledged(WRITER, seq)
        assert not wait.is_set()
        await asyncio.sleep(1)
        assert wait.is_set()
        assert bench.uploader.state.acknowledged_seq == {WRITER: seq}
        assert bench.uploader.wait_acknowledged(WRITER, seq).is_set()

        bench.outage("timeout")
        seq = bench.write(2)
        wait = bench.uploader.wait_acknowledged(WRITER, seq)
        await asyncio.sleep(10)
        assert not wait.is_set()
        await asyncio.sleep(100)
        assert wait.is_set()
        assert bench.uploader.state.acknowledged_seq == {WRITER: seq - 1}
        assert bench.uploader.wait_acknowledged(WRITER, seq).is_set()
        bench.clear_up()

    story(tell)


def test_a_drain_ends_when_all_is_sent_and_at_the_first_failure_where_there_was_no_server() -> None:
    async def tell(bench: UploaderBench) -> None:
        await asyncio.sleep(2)
        for number in range(100):
            bench.write(number)
        drained = bench.uploader.begin_drain()
        assert not drained.is_set()
        await asyncio.sleep(5)
        assert drained.is_set()
        assert bench.uploader.state.acknowledged_seq == {WRITER: 100}

        bench.outage("refused")
        bench.write(100)
        drained = bench.uploader.begin_drain()
        await asyncio.sleep(20)
        assert not drained.is_set(), (
            "it was there a moment ago, and may come back within the time that is left"
        )
        bench.clear_up()
        await asyncio.sleep(3)
        assert drained.is_set()

        bench.outage("refused")
        bench.write(101)
        await asyncio.sleep(600)
        drained = bench.uploader.begin_drain()
        await asyncio.sleep(2)
        assert drained.is_set()
        assert not bench.uploader.state.online

    story(tell)


def test_those_who_wait_are_let_go_when_the_task_is_cancelled() -> None:
    async def tell(bench: UploaderBench) -> None:
        bench.outage("timeout")
        waits = [bench.uploader.wait_acknowledged(WRITER, 1), bench.uploader.begin_drain()]
        await asyncio.sleep(1)
        bench.task.cancel()
        await asyncio.wait([bench.task])
        assert all(wait.is_set() for wait in waits)
        assert bench.uploader.first_contact.is_set()
        bench.task = asyncio.ensure_future(asyncio.sleep(0))

    story(tell)


def test_a_disk_that_cannot_be_read_is_told_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async def tell(bench: UploaderBench) -> None:
        bench.write(1)
        await asyncio.sleep(2)
        assert isinstance(bench.disk, MemoryDisk)
        bench.disk.broken = OSError(5, "Input/output error")
        bench.write(2)
        await asyncio.sleep(300)
        assert "cannot be read" in (bench.uploader.state.last_error or "")
        bench.disk.broken = None
        await asyncio.sleep(61)

    assert story(tell).values == [1, 2]
    assert len(caplog.records) == 2


def test_a_defect_is_logged_and_does_not_end_the_upload(caplog: pytest.LogCaptureFixture) -> None:
    async def tell(bench: UploaderBench) -> None:
        def broken() -> None:
            raise ZeroDivisionError("a defect")

        bench.server.on_request = broken
        bench.write(1)
        await asyncio.sleep(30)
        bench.server.on_request = lambda: None
        await asyncio.sleep(61)

    assert story(tell).values == [1]
    assert any(record.levelno == logging.ERROR and record.exc_info for record in caplog.records)


@pytest.mark.slow
def test_a_backlog_of_any_length_costs_a_few_batches_of_memory(tmp_path: Path) -> None:
    """200 MB on a real disk: no request is larger than 4 MiB, and three of these are in memory at most."""
    journal = tmp_path / "journal"
    journal.mkdir()
    block = Block(Series(Kind.METRIC, "train"), range(8192), [Column("x", "i", None, range(8192))])
    seq = 0
    for number in range(1, 5):
        with (journal / segment_name(WRITER, number)).open("wb") as file:
            file.write(encode_segment_header(WRITER, number, 0, seq + 1))
            for _ in range(380):
                seq += 1
                file.write(encode_frame(seq, [block]))
    bench = UploaderBench(REAL_DISK, str(tmp_path))
    bench.server = forgetful = Forgetful(len(encode_frame(1, [block])))
    bench.line = FaultyLine(forgetful, random.Random(1), remembered=0)

    async def tell(bench: UploaderBench) -> None:
        tracemalloc.start()
        await asyncio.sleep(600)
        assert bench.uploader.state.acknowledged_rows == {WRITER: seq * 8192}
        await bench.end()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert forgetful.largest <= 4 << 20
        assert peak < 24 << 20

    story(tell, bench)


def test_what_is_said_is_there_before_anybody_who_waits_is_let_go() -> None:
    """Though the frames that are waited for are on their way when it is said."""

    async def tell(bench: UploaderBench) -> None:
        for number in range(20):
            seq = bench.write(number)
            await asyncio.sleep(0.002)  # the round that sends it has begun
            bench.about = {"readme": f"number {number}"}
            bench.uploader.introduce()
            done = bench.uploader.wait_acknowledged(WRITER, seq)
            while not done.is_set():  # noqa: ASYNC110 - an event of threads
                await asyncio.sleep(0.001)
            assert bench.server.experiments[PREFIX].about == bench.about

    story(tell)


def test_what_was_said_is_not_said_again_with_each_connection() -> None:
    """Somebody else may have said something newer since; only a server that has lost it is told again."""

    async def tell(bench: UploaderBench) -> None:
        bench.about = {"readme": "why", "tags": ["a"], "metadata": {"nan": 1.5}}
        bench.write(1)
        await asyncio.sleep(2)
        experiment = bench.server.experiments[PREFIX]
        assert experiment.about == bench.about
        experiment.about["tags"] = ["newer"]
        bench.outage("refused")
        bench.write(2)
        await asyncio.sleep(60)
        bench.clear_up()
        await asyncio.sleep(120)
        assert bench.values == [1, 2]
        assert experiment.about["tags"] == ["newer"]
        bench.server.experiments.clear()
        bench.write(3)
        await asyncio.sleep(120)
        assert bench.server.experiments[PREFIX].about == bench.about

    story(tell)


def test_a_restored_server_is_told_again_what_is_said_of_the_experiment() -> None:
    async def tell(bench: UploaderBench) -> None:
        bench.about = {"readme": "first"}
        bench.write(1)
        await asyncio.sleep(2)
        backup = bench.server.backup()
        bench.about = {"readme": "second"}
        bench.uploader.introduce()
        bench.write(2)
        await asyncio.sleep(2)
        bench.server.restore(backup)
        bench.write(3)
        await asyncio.sleep(120)
        assert bench.values == [1, 2, 3]
        assert bench.server.experiments[PREFIX].about == {"readme": "second"}

    story(tell)


def noise(size: int) -> str:
    """A text that nothing compresses."""
    return random.Random(size).randbytes(size // 2).hex()


@pytest.mark.parametrize("takes_pieces", [True, False])
def test_a_limit_of_a_proxy_sets_nothing_aside(
    *, takes_pieces: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes in smaller requests, and a frame alone in pieces; where the server knows none, it is waited for."""

    async def tell(bench: UploaderBench) -> None:
        bench.server.takes_pieces = takes_pieces
        bench.line.body_limit = 100_000
        for number in range(40):
            text = noise(400_000 if number == 20 else 4_000)
            bench.journal.append([objects(TRAIN, [(number, {"n": number, "text": text})])])
        bench.uploader.nudge()
        await asyncio.sleep(1800)
        state = bench.uploader.state
        assert sum(state.rejected_rows.values()) == 0
        if takes_pieces:
            assert (state.last_error, state.pending_bytes) == (None, 0)
        else:
            assert bench.values == list(range(20))
            assert "client_max_body_size" in (state.last_error or "")
            bench.line.body_limit = None
            await asyncio.sleep(600)
        assert bench.values == list(range(40))
        assert not bench.stored.empty

    story(tell)
    told = [record.getMessage() for record in caplog.records if "client_max_body_size" in record.getMessage()]
    assert len(told) == (0 if takes_pieces else 1)


def test_a_frame_that_a_line_never_lets_through_whole_goes_in_pieces() -> None:
    async def tell(bench: UploaderBench) -> None:
        bench.line.cut_beyond = 200_000
        bench.journal.append([objects(TRAIN, [(1, {"n": 1, "text": noise(900_000)})])])
        bench.uploader.nudge()
        await asyncio.sleep(1800)
        assert bench.values == [1]

    story(tell)
