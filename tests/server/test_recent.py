"""A cache in bounded memory."""

from __future__ import annotations

from ml_dash.server.recent import Recent


def test_what_was_set_longest_ago_is_forgotten() -> None:
    recent: Recent[str, int] = Recent(2)
    recent["a"], recent["b"] = 1, 2
    assert list(recent.items()) == [("a", 1), ("b", 2)]
    recent["c"] = 3
    assert list(recent.items()) == [("b", 2), ("c", 3)]


def test_what_is_set_again_counts_as_new_and_what_is_read_does_not() -> None:
    recent: Recent[str, int] = Recent(2)
    recent["a"], recent["b"] = 1, 2
    recent["a"] = 4
    assert recent["b"] == 2
    recent["c"] = 3
    assert dict(recent) == {"a": 4, "c": 3}
