"""Answers that no server of ours gives: a client takes what makes sense of them, or raises an error of ours."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from ml_dash.client.api import Client
from ml_dash.client.blob_api import BlobClient
from ml_dash.client.http import AiohttpTransport
from ml_dash.client.transport import Answer
from ml_dash.client.view import RemoteView
from ml_dash.errors import MLDashError
from ml_dash.protocol import FRAMES
from ml_dash.server.runner import EmbeddedServer
from ml_dash.tokens.token import Token
from ml_dash.upload.sync import sync_experiment
from tests.fuzz.mutations import mutated
from tests.fuzz.seeds import seeds
from tests.support.changed_answers import Changed, Recorded, Recorder, spoiled
from tests.support.one_server import Call, call, calling
from tests.support.view_journals import ODD, PREFIX, TRAIN, something_of_everything

__all__ = ["call"]

NEW = "1" * 64


class Asker:
    """Asks all that a client can ask, of an experiment whose id is known; None looks it up."""

    def __init__(self, line: Any, call: Call, id_: str | None, known: str) -> None:
        self.call = call
        self.client = Client(line)
        self.view = RemoteView(self.client, call, lambda: id_, PREFIX)
        self.blobs = BlobClient(self.client, known)
        self.id = known


ASKED: dict[str, Callable[[Asker], object]] = {
    "rows": lambda by: by.view.read(ODD, 0, 10),
    "more rows": lambda by: by.view.read(TRAIN, 0, 30),
    "stats": lambda by: by.view.stats(ODD),
    "metrics": lambda by: by.view.metrics(),
    "arrays": lambda by: by.view.to_numpy(ODD),
    "logs": lambda by: by.view.logs(),
    "params": lambda by: by.view.params(),
    "run": lambda by: by.view.run(),
    "record": lambda by: by.view.record(),
    "prefixes": lambda by: by.view.prefixes(),
    "files": lambda by: by.view.files(),
    "file": lambda by: by.view.file("file_0"),
    "entries": lambda by: by.view.track("robot/pose", 0.0, 1e12),
    "by time": lambda by: by.view.find_by_time("robot/pose", 1.7e9 + 2.6),
    "introduction": lambda by: by.call(by.client.upsert("alice/vision/new")),
    "watermarks": lambda by: by.call(by.client.watermarks(by.id)),
    "lacking blobs": lambda by: by.call(by.blobs.which_missing({NEW: 5})),
    "missing blobs": lambda by: by.call(by.blobs.all_missing()),
    "upload": lambda by: by.call(by.blobs.begin(NEW, 5)),
}


class Known:
    """What a server has answered to each question, and the id of the experiment."""

    def __init__(self) -> None:
        self.answers: Recorded = {}
        self.id = ""


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    found, tmp_path = Known(), tmp_path_factory.mktemp("answers")
    with (
        EmbeddedServer(data=tmp_path / "server") as server,
        calling() as do,
    ):
        line = AiohttpTransport(server.url, lambda: Token(server.admin_token))
        do(sync_experiment(something_of_everything(tmp_path), Client(line), asyncio.to_thread))
        recorder = Recorder(line, found.answers)
        record = do(Client(recorder).find(PREFIX))
        assert record is not None
        found.id = record["id"]
        for ask in ASKED.values():
            ask(Asker(recorder, do, found.id, found.id))
    return found


def asked(what: str, known: Known, call: Call, change: Callable[[Answer], Answer], *, looks_up: bool) -> bool:
    """Ask with changed answers; say whether what came was taken."""
    line = Changed(known.answers, change)
    try:
        ASKED[what](Asker(line, call, None if looks_up else known.id, known.id))
    except MLDashError:
        return False
    return True


@pytest.mark.parametrize("what", ASKED)
def test_answers_that_are_right_are_taken(what: str, known: Known, call: Call) -> None:
    assert asked(what, known, call, lambda answer: answer, looks_up=True)


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", seeds())
def test_values_that_are_others_are_refused_by_an_error_of_ours(seed: int, known: Known, call: Call) -> None:
    """Gone, of another type, too large, too many, or beside those that belong there."""
    rng = random.Random(seed)
    for what in ASKED:
        for _ in range(10):
            asked(what, known, call, lambda answer: spoiled(rng, answer), looks_up=rng.random() < 0.2)


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", seeds())
def test_bytes_that_are_others_are_refused_by_an_error_of_ours(seed: int, known: Known, call: Call) -> None:
    rng = random.Random(seed)
    bodies = [answer.body for answer in known.answers.values()]

    def change(answer: Answer) -> Answer:
        kind = rng.choice(
            (answer.headers.get("content-type", FRAMES), "application/json", "text/html", FRAMES)
        )
        return Answer(
            rng.choice((answer.status, answer.status, 200, 204, 302, 400, 404, 410, 503)),
            {**answer.headers, "content-type": kind, "retry-after": rng.choice(("1", "-1", "9" * 400, "x"))},
            mutated(rng, answer.body, bodies),
        )

    for what in ASKED:
        for _ in range(5):
            asked(what, known, call, change, looks_up=rng.random() < 0.2)
