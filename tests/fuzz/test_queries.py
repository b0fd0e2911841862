"""Questions with arguments that nobody would think of: each is answered, and the same in both of its forms."""

from __future__ import annotations

import random
from urllib.parse import quote

import pytest

from tests.fuzz.asking import READING, answered, question
from tests.fuzz.grammar import any_frames
from tests.fuzz.mutations import mutated
from tests.fuzz.seeds import corpus, seeds
from tests.support.serving import Client, ServerProcess

KNOWN = corpus("queries")


@pytest.fixture(scope="module")
def filled(fuzzed: ServerProcess) -> str:
    """The id of an experiment that has rows of every kind, some of them of a rank."""
    client = fuzzed.client()
    experiment = client.create("fuzz/queries/run", tags=["t"], readme="words to find")
    client.stored(experiment, *any_frames(random.Random("queries"), 1, 20))
    client.stored(experiment, *any_frames(random.Random("ranks"), 1, 20), writer="w-r1")
    client.close()
    return experiment


@pytest.mark.sample(4)
@pytest.mark.fuzz
@pytest.mark.parametrize("seed", seeds())
def test_any_question_is_answered(seed: int, client: Client, filled: str) -> None:
    rng = random.Random(seed)
    for route in READING:
        for _ in range(4):
            answered(client, "GET", question(rng, route, filled), Accept="application/json")


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", seeds())
def test_any_bytes_in_a_question_are_answered(seed: int, client: Client, filled: str) -> None:
    """Percents that stand for nothing, halves of letters, and brackets where none belong."""
    rng = random.Random(seed)
    for route in READING:
        path, _, query = question(rng, route, filled).partition("?")
        raw = mutated(rng, query.encode("utf-8", "surrogatepass"), list(KNOWN.values()))
        text = quote(raw, safe="%&=+;,[]{}<>|\\^`'\"()~!*$:@/?")
        answered(client, "GET", f"{path}?{text}")


@pytest.mark.fuzz
@pytest.mark.parametrize("name", KNOWN)
def test_questions_that_found_something_find_nothing_more(name: str, client: Client, filled: str) -> None:
    for route in READING:
        path, _, _ = question(random.Random(0), route, filled).partition("?")
        answered(client, "GET", f"{path}?{quote(KNOWN[name], safe='%&=+')}")
