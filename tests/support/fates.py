"""What becomes of bytes that were not durable when the power was cut."""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["FATES", "Spans"]

PAGE = 64
"""Bytes that a disk writes at once. Real pages are larger, and so are real frames."""

Spans = list[tuple[int, int]]
"""Ranges of a file's bytes, ascending."""


def keep(rng: random.Random, spans: Spans) -> Spans:
    """Everything had been written back by luck."""
    return []


def lose_all(rng: random.Random, spans: Spans) -> Spans:
    """Nothing had been written back yet."""
    return spans


def cut(rng: random.Random, spans: Spans) -> Spans:
    """Keep a prefix, torn at any byte."""
    end = rng.randrange(spans[0][0], spans[-1][1] + 1)
    return [(max(start, end), stop) for start, stop in spans if stop > end]


def lose_some(rng: random.Random, spans: Spans) -> Spans:
    """Each write by itself is kept, lost, or torn; later ones may be kept where earlier ones are lost."""
    lost = []
    for start, stop in spans:
        end = rng.choice((start, stop, rng.randrange(start, stop + 1)))
        if end < stop:
            lost.append((end, stop))
    return lost


def lose_pages(rng: random.Random, spans: Spans) -> Spans:
    """Each page by itself is kept or lost, whatever frames are on it."""
    return [
        (page, min(page + PAGE, stop))
        for start, stop in spans
        for page in range(start, stop, PAGE)
        if rng.random() < 0.5
    ]


FATES: tuple[Callable[[random.Random, Spans], Spans], ...] = (
    keep,
    cut,
    cut,
    lose_some,
    lose_pages,
    lose_all,
)
"""Each is given the ranges that are not durable, and returns those that are lost."""
