"""What the system says of a limit."""

from __future__ import annotations

from typing import Any

resource: Any
try:
    import resource
except ImportError:  # Windows, which has no such limits
    resource = None


def soft_limit(name: str) -> int | None:
    """Return a limit of this process by its name in `resource`; None for none, or where there is no such limit."""
    which = getattr(resource, name, None)
    if which is None:
        return None
    soft: int = resource.getrlimit(which)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def largest_file() -> int | None:
    """Return how many bytes a file may have that this process writes; None where nothing limits that."""
    return soft_limit("RLIMIT_FSIZE")
