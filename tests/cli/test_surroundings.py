"""What `show` says of a run's surroundings, and that nothing in them can harm it."""

from __future__ import annotations

from typing import Any

import pytest

from ml_dash.cli.surroundings import surroundings_facts

WHOLE = {
    "command": ["python", "train.py", "--name", "two words"],
    "git": {
        "commit": "b47fb0af4a84f34ff41254ff231377d0c918e387",
        "branch": "main",
        "diff": "x" * 2048,
        "diffBytes": 2048,
        "untracked": ["a"],
        "untrackedCount": 1,
    },
    "cpu": {"model": "Some CPU", "count": 8, "usable": 4},
    "memory": 8 * 1024**3,
    "gpus": [{"name": "A100"}, {"name": "A100"}],
    "python": {"version": "3.12.1"},
    "packages": {"numpy": "1", "torch": "2"},
    "traceback": 'Traceback (most recent call last):\n  File "a.py", line 3, in <module>\nValueError: x\n',
}


def test_a_whole_one() -> None:
    assert dict(surroundings_facts(WHOLE)) == {
        "command": "python train.py --name 'two words'",
        "code": "b47fb0af4a main with changes (2.05 kB of diff) and 1 untracked file",
        "machine": "4 cores of Some CPU, 8.59 GB, 2 GPUs (A100)",
        "python": "3.12.1, 2 packages",
        "traceback": 'File "a.py", line 3, in <module>',
    }


def test_none() -> None:
    assert not any(text for _, text in surroundings_facts({}))


@pytest.mark.parametrize("key", list(WHOLE))
@pytest.mark.parametrize(
    "strange", [None, 3, "\x1b[31m", [], [[]], {}, {"commit": 3, "version": [], "usable": "x"}]
)
def test_whatever_others_have_written(key: str, strange: Any) -> None:
    assert len(list(surroundings_facts({**WHOLE, key: strange}))) == 5
