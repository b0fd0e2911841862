"""Frames that somebody made to hurt: the server answers, keeps what it acknowledged, and reads all it has stored."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from ml_dash.journal.blocks import block_rows
from ml_dash.journal.checked import known_blocks
from ml_dash.journal.frame import decode_meta, split_frame
from ml_dash.protocol import FRAMES
from ml_dash.series import Series
from tests.fuzz.asking import READING, answered, question
from tests.fuzz.grammar import any_frames, as_utf8, shown
from tests.fuzz.mutations import deflated, mutated, mutated_frames, sound_frames
from tests.fuzz.seeds import corpus, seeds
from tests.support.serving import Client

KNOWN = corpus("frames")
SAMPLES = [each for raw in KNOWN.values() for each in sound_frames(raw)]


class Sent:
    """What a server has acknowledged of an experiment, writer by writer."""

    def __init__(self, client: Client, experiment: str) -> None:
        self.client = client
        self.experiment = experiment
        self.accepted: dict[str, list[bytes]] = {}

    def send(self, writer: str, body: bytes, *, compressed: bool = False) -> None:
        """Send a body, and note which of its frames the server says that it has."""
        path = f"/api/v1/experiments/{self.experiment}/writers/{writer}/frames"
        extra = {"Content_Encoding": "deflate"} if compressed else {}
        raw = deflated(body) if compressed else body
        answer = answered(self.client, "POST", path, raw, Content_Type=FRAMES, **extra)
        assert answer.status in {200, 400, 409, 413, 422}, answer
        watermark = self.watermarks().get(writer, 0)
        known = self.accepted.setdefault(writer, [])
        for each in sound_frames(body):
            parts = split_frame(each)
            if parts is not None and len(known) < parts.header.seq <= watermark:
                assert parts.header.seq == len(known) + 1
                known.append(each)
        assert len(known) == watermark, "what is acknowledged was sent"
        assert answer.status != 200 or answer.body["watermark"] == watermark

    def watermarks(self) -> dict[str, int]:
        found: dict[str, int] = self.client.get(f"/experiments/{self.experiment}/writers")["watermarks"]
        return found

    def check(self) -> None:
        """Hold that all rows that were acknowledged are there, and no others."""
        accepted: dict[Series, Counter[str]] = {}
        for frames in self.accepted.values():
            for each in frames:
                parts = split_frame(each)
                assert parts is not None
                for block in blocks_of(each):
                    accepted.setdefault(block[0], Counter()).update(block[1])
        for series, rows in accepted.items():
            # no question can name the others: they are stored, and kept
            if series.name != "" and as_utf8(series.name or ""):
                stored = self.client.rows(self.experiment, series)
                assert Counter(map(shown, stored)) == rows, series


def blocks_of(frame: bytes) -> list[tuple[Series, list[str]]]:
    """The rows of a frame by series, as texts."""
    parts = split_frame(frame)
    assert parts is not None
    found = []
    for block in known_blocks(decode_meta(parts.meta), bytes(parts.data)):
        rows = zip(map(int, block.times), block_rows(block), strict=True)
        found.append((block.series, [shown(row) for row in rows]))
    return found


def told(client: Client, experiment: str, rng: random.Random) -> None:
    """Ask everything that can be asked of an experiment."""
    for route in READING:
        for _ in range(3):
            accept = rng.choice(("application/json", "application/msgpack"))
            answered(client, "GET", question(rng, route, experiment), Accept=accept)


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", seeds())
def test_whatever_frames_come_what_was_acknowledged_is_there_and_can_be_read(
    seed: int, client: Client
) -> None:
    rng = random.Random(seed)
    sent = Sent(client, client.create(f"fuzz/frames/n{seed}"))
    for _ in range(6):
        writer = rng.choice(("w1", "w2-r1"))
        first = len(sent.accepted.get(writer, [])) + 1
        # a part of it may have come before, or be from the future
        frames = any_frames(rng, max(first - rng.choice((0, 0, 0, 1)), 1), rng.randrange(1, 5))
        if rng.random() < 0.6:
            frames = mutated_frames(rng, [*frames, *rng.sample(SAMPLES, rng.randrange(2))])
        sent.send(writer, b"".join(frames), compressed=rng.random() < 0.3)
    sent.check()
    told(client, sent.experiment, rng)
    sent.check()


@pytest.mark.sample(3)
@pytest.mark.fuzz
@pytest.mark.parametrize("name", KNOWN)
def test_frames_that_found_something_find_nothing_more(name: str, client: Client) -> None:
    sent = Sent(client, client.create(f"fuzz/known/{name}"))
    sent.send("w", KNOWN[name])
    sent.check()
    told(client, sent.experiment, random.Random(0))


@pytest.mark.fuzz
def test_a_parameter_whose_keys_json_does_not_have_keeps_nobody_from_a_list(client: Client) -> None:
    """All lists of a project that are sorted by a parameter read it."""
    Sent(client, client.create("fuzz/keys/time")).send("w", KNOWN["param-key-time"])
    for asked in ("order=params.a", "filter=params.a%20%3D%20x", "columns=params.a"):
        answer = answered(client, "GET", f"/api/v1/experiments?prefix=fuzz/keys/&{asked}")
        assert answer.status == 200, answer
        assert len(answer.body["data"]) == ("filter" not in asked)


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", seeds())
def test_any_bytes_instead_of_frames_are_refused_in_order(seed: int, client: Client) -> None:
    """With a checksum that nobody has mended, compressed by nobody, and cut anywhere."""
    rng = random.Random(seed)
    sent = Sent(client, client.create(f"fuzz/bytes/n{seed}"))
    for _ in range(10):
        known = len(sent.accepted.get("w", []))
        raw = b"".join(any_frames(rng, known + 1, 2))
        if rng.random() < 0.5:
            sent.send("w", mutated(rng, raw, list(KNOWN.values())))
        else:
            path = f"/api/v1/experiments/{sent.experiment}/writers/v/frames"
            broken = mutated(rng, deflated(raw))
            encoding = rng.choice(("deflate", "identity", "gzip", "x" * 99))
            answered(client, "POST", path, broken, Content_Type=FRAMES, Content_Encoding=encoding)
    sent.check()
