"""What a text has in it for a terminal, and nobody sees: the escape sequences of ECMA-48."""

from __future__ import annotations

import re

ESCAPE = (
    r"(?:\x1b\[|\x9b)(?P<parameters>[0-?]*)[ -/]*(?P<last>[@-~]|$)"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*(?:[0-~]|$)"
)
"""A pattern: those with parameters (CSI) by `parameters` and their `last` character, texts for the terminal itself (its
title, the addresses of links) up to their end, and the short ones. One that was cut off ends with the text.
"""


def without_escapes(text: str) -> str:
    """Return a text as it is read: colours apart, as it was written."""
    return re.sub(ESCAPE, "", text) if "\x1b" in text else text
