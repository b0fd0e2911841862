"""The answer to a shell that asks what may follow."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence


def answer(arguments: Sequence[str]) -> int:
    """Print what may stand at the cursor, each on a line; nothing where that cannot be told.

    Args:
        arguments: The number of the word at the cursor, and all words.
    """
    try:
        from ml_dash.cli.completing.words import candidates

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = candidates(int(arguments[0]), arguments[1:])
    except Exception:  # noqa: BLE001 - whatever it is would be shown in the middle of what is typed
        return 0
    for each in found:
        # what would be two lines, or two columns, cannot be typed so
        if each.word.isprintable():
            sys.stdout.write(f"{each.word}\t{' '.join(each.help.split())}".rstrip() + "\n")
    return 0
