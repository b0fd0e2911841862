"""Sets that others add to while somebody walks over them."""

from __future__ import annotations

import gc

from ml_dash.pipeline.threads import LivingSet


class Member:
    """Something that may go away."""


def test_what_is_added_in_the_middle_of_a_walk_does_not_end_it() -> None:
    """As a run does that begins in one thread, while the exit ends all runs in another."""
    members = [Member() for _ in range(3)]
    living = LivingSet(members)
    seen, late = set(), []
    for member in living:
        seen.add(member)
        late.append(Member())
        living.add(late[-1])
    assert seen == set(members)
    assert set(living) == {*members, *late}


def test_it_keeps_none_of_its_members() -> None:
    kept, gone = Member(), Member()
    living = LivingSet([kept, gone])
    assert len(list(living)) == 2
    del gone
    gc.collect()
    assert list(living) == [kept]
