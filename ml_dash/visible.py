"""Text that may come from anywhere, made safe for whoever shows it."""

from __future__ import annotations

import re

# What does something to a terminal instead of being seen: control characters, line and paragraph separators,
# marks that turn the direction of the text, and halves of surrogate pairs, which cannot be written at all.
# A text here and elsewhere: compiling the patterns that a script may never need took a twelfth of `import ml_dash`.
_ACTIVE = "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"


def visible(text: str) -> str:
    r"""Return `text` with everything escaped that a terminal would obey, such as ``\x1b``."""
    if text.isprintable():  # as nearly all are; none of these is
        return text
    return re.sub(_ACTIVE, lambda match: match[0].encode("unicode_escape").decode(), text)
