"""Which inputs are tried: those of the corpus, and so many that are made of seeds.

==============  =======  =========================================================
variable        default  meaning
==============  =======  =========================================================
FUZZ_SEEDS      40       how many inputs each test makes; `make sweep` asks for more
FUZZ_FIRST      0        the first one's seed
==============  =======  =========================================================

A seed makes the same input in every run. What has found a fault is kept in the corpus, by a name that says what it is:
`tests/fuzz/corpus/FAMILY/NAME.bin`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CORPUS = Path(__file__).parent / "corpus"
FIRST = int(os.environ.get("FUZZ_FIRST", "0"))
SEEDS = int(os.environ.get("FUZZ_SEEDS", "40"))
_QUICK = 2
"""How many seeds of each test `make test` tries."""


def seeds(share: float = 1.0) -> list[object]:
    """Return the parameters of a test that is told by seeds; a share of the number is for tests that take long."""
    return [
        pytest.param(seed, marks=[] if seed < _QUICK else pytest.mark.slow, id=str(seed))
        for seed in range(FIRST, FIRST + max(1, round(SEEDS * share)))
    ]


def corpus(family: str) -> dict[str, bytes]:
    """Return the inputs of a family, by name."""
    return {path.stem: path.read_bytes() for path in sorted((CORPUS / family).glob("*.bin"))}
