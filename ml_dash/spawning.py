"""Starting threads where there may be none: whoever gets none does the work itself.

Problem: a thread may be refused at any moment. By the machine, where a limit on processes (``ulimit -u``, the pids
limit of a container) or on memory is reached; by the interpreter, where it is a subinterpreter or is about to end.
These raise RuntimeError. Until Python 3.11 an interpreter that is freeing its modules refuses nothing: `Thread.start`
waits for ever for the first word of a thread that will never run. A `__del__` of the script's may call us just then.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def is_last_thread() -> bool:
    """Whether the interpreter is freeing its modules: no other thread runs any more, or is waited for with success."""
    return sys.is_finalizing()


def start_thread(work: Callable[..., object], name: str, *arguments: object) -> threading.Thread | None:
    """Start a daemon thread that does this; None where there can be none."""
    if is_last_thread():
        return None
    try:
        # Made here, too: a subinterpreter may refuse the making of a daemon.
        thread = threading.Thread(target=work, args=arguments, name=name, daemon=True)
        thread.start()
    except (RuntimeError, MemoryError):
        return None
    return thread
