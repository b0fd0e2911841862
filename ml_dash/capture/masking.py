"""Secrets in what is captured: masked before it leaves this process, for a journal is shared with a whole team.

A secret is told in two ways: by what it is called (``--token=…``, ``WANDB_API_KEY``, ``https://name:password@host``),
and by what it looks like (the prefixes under which well-known services give out tokens). A long random text is not
taken for one by its looks alone: commit ids, checksums and names of runs look the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "***"

_NAME = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secrets?|tokens?|credentials?|auth(?:orization)?"
    r"|(?:api|access|private)[-_]?keys?)"
)
_SECRET_NAME = re.compile(rf"(?:^|[-_.]){_NAME}(?:$|[-_.])", re.IGNORECASE)
# tokenizer and token counts are what language models are trained with
_HARMLESS_NAME = re.compile(
    r"(?:num|max|min|n|per|total|new|batch|special|pad|eos|bos|unk|mask)[-_.]?tokens?|tokens?[-_.]?(?:per|ids?|count)",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(r"^(?P<name>-{0,2}[\w.-]+)(?P<sign>[=:])(?P<value>.+)$", re.DOTALL)
_IN_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/@\s]+@", re.IGNORECASE)
_LOOKS = re.compile(
    r"""(?<![A-Za-z0-9])(?:
        hf_[A-Za-z0-9]{20,} | mld_[A-Za-z0-9_-]{16,} | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_\w{20,}
        | glpat-[\w-]{16,} | sk-[A-Za-z0-9_-]{20,} | xox[abprs]-[\w-]{10,} | AKIA[0-9A-Z]{16} | AIza[\w-]{30,}
        | npm_[A-Za-z0-9]{20,} | pypi-[\w-]{30,} | ya29\.[\w-]{20,} | eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]+
    )""",
    re.VERBOSE,
)


def is_secret_name(name: str) -> bool:
    """Say whether what is called so is to be hidden."""
    return bool(_SECRET_NAME.search(name)) and not _HARMLESS_NAME.search(name)


def masked(text: str) -> str:
    """Return a text without the secrets that are told by their looks, and without a user and password in a URL."""
    return _LOOKS.sub(MASK, _IN_URL.sub(rf"\g<scheme>{MASK}@", text))


def masked_arguments(arguments: Iterable[str]) -> list[str]:
    """Return a command line without secrets, be they ``--token=x``, ``--token x`` or ``api_key=x``."""
    found: list[str] = []
    hides_next = False
    for argument in arguments:
        assigned = _ASSIGNED.match(argument)
        if hides_next and not argument.startswith("--"):
            found.append(MASK)
        elif assigned and is_secret_name(assigned["name"]):
            found.append(f"{assigned['name']}{assigned['sign']}{MASK}")
        else:
            found.append(masked(argument))
        hides_next = argument.startswith("-") and not assigned and is_secret_name(argument)
    return found
