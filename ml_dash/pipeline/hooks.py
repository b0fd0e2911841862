"""The moments at which a process is about to change or to end: a fork, another program, the exit, and SIGTERM.

**Fork.** A child has the memory of its parent and none of its threads. Locks may be held by threads that are not there,
and what the parent had queued would be written twice. So in the child everything begins anew, locks included, under
another writer's name. What still can fail: a child forked from a thread in the middle of our own C calls; no such case
is known.

**Shutdown.** ``threading._register_atexit`` runs before other threads are joined, in children that `multiprocessing`
forks too, which run no `atexit` handlers. `atexit` runs after that. See `ml_dash.pipeline.exit` for what is done when.

**Another program.** ``os.exec…`` ends a program with no word to anybody. So the two functions of `os` by which all the
others do it are wrapped. (An audit hook would be told as well, but also of everything else, and makes each `open` of
the script dearer, for ever.) What still can fail: whoever had a function of `os` by another name goes past this.

**SIGTERM.** See `ml_dash.pipeline.termination`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from ml_dash.forks import hook_forks
from ml_dash.pipeline.termination import Termination, after_fork, before_fork

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from ml_dash.pipeline.exit import Exit
    from ml_dash.pipeline.wakeup import Wakeup


_MAIN = frozenset({"<module>", "_run_module_as_main"})
"""The outermost function of a main program: of a script or a text, and of ``python -m``."""


class Hooks:
    """Has a process's end and its forks noticed, once `watch` and `install` were called."""

    def __init__(
        self,
        before: Callable[[], None],
        in_parent: Callable[[], None],
        in_child: Callable[[], None],
        end: Exit,
    ) -> None:
        self._before_fork, self._in_parent = before, in_parent
        self._begin_anew = in_child
        self._end = end
        self._watches = self._installed = False
        self.renews_children = False
        """Whether a forked child begins anew: from the first run on, there is something to forget."""
        self._termination = Termination(end)

    def watch(self) -> None:
        """Take SIGTERM, which only the main thread can, and have forks let it wait."""
        self._termination.take()
        if not self._watches and hasattr(os, "register_at_fork"):
            self._watches = True
            # Such hooks are freed when little of the interpreter is left: ours keep nothing alive till then.
            me = weakref.ref(self)
            os.register_at_fork(
                before=before_fork,
                after_in_parent=after_fork,
                after_in_child=lambda: None if (hooks := me()) and hooks.renews_children else after_fork(),
            )

    def install(self) -> bool:
        """Register what has not been; False where the interpreter is ending, and runs no new handler."""
        self.watch()
        is_new, self._installed = not self._installed, True
        try:
            if is_new:
                self._register()
        except RuntimeError:
            return False
        finally:
            self.wake_up()
        return True

    def wake_up(self) -> None:
        """Have SIGTERM save what is logged from now on: in a forked child, behind its first row."""
        self._termination.wake_up()

    @property
    def wakeup(self) -> Wakeup:
        """What wakes a main thread that has missed SIGTERM."""
        return self._termination.wakeup

    def _register(self) -> None:
        hook_forks()
        if hasattr(os, "register_at_fork"):
            begin_anew = weakref.WeakMethod(self._after_fork)

            def in_child() -> None:
                try:
                    (begin := begin_anew()) and begin()
                finally:
                    after_fork()  # a signal that came meanwhile finds a child that has forgotten its parent

            os.register_at_fork(
                before=self._before_fork, after_in_parent=self._in_parent, after_in_child=in_child
            )
            self.renews_children = True
        for name in ("execv", "execve"):
            function = getattr(os, name)
            wrapped = _behind(self._end.save, function)
            if function in os.supports_fd:
                os.supports_fd.add(wrapped)
            setattr(os, name, wrapped)
        atexit.register(self._at_exit)
        # Private, and there since 3.9; where it is not, `atexit` does.
        register: Any = getattr(threading, "_register_atexit", atexit.register)
        try:
            register(self._at_shutdown)
        except RuntimeError:  # the main thread has ended
            if not _is_waited_for():
                raise

    def _after_fork(self) -> None:
        self._termination.forked()
        self._begin_anew()

    def _at_shutdown(self) -> None:
        exit_code = _exit_code(sys._getframe())  # noqa: SLF001 - `inspect` costs too much for one name
        self._end.begin(None if exit_code is None else "FAILED" if exit_code else "COMPLETED")

    def _at_exit(self) -> None:
        failed = hasattr(sys, "last_type") and not hasattr(sys, "ps1")
        self._end.complete("FAILED" if failed else "COMPLETED")
        self._termination.conclude()
        _remember_interrupt()


def _is_waited_for() -> bool:
    """Whether the exit's handlers run when the calling thread has ended, and not before."""
    thread = threading.current_thread()
    processes = sys.modules.get("multiprocessing.process")
    # its children may end without them, however they were begun
    is_child = processes is not None and processes.parent_process() is not None
    return not (thread.daemon or thread is threading.main_thread() or is_child)


def _remember_interrupt() -> None:
    """Have the process die of SIGINT all the same, where a Ctrl-C that nobody caught has ended its script.

    CPython notes that a Ctrl-C came out of the main program, and forgets it with the next text that is run as code: as
    making a dataclass does, in a package that our thread was importing at that moment. A shell that runs a loop of
    scripts would then go on with the next one. There is no way to ask for the note; it is made by any text that raises.
    """
    last = getattr(sys, "last_traceback", None)
    # Not for one that a notebook, or a prompt, has shown long ago.
    ended = last is not None and last.tb_frame.f_code.co_name in _MAIN and not hasattr(sys, "ps1")
    if ended and sys.last_type is KeyboardInterrupt:
        with contextlib.suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")  # noqa: S102 - a text of ours


def _behind(first: Callable[[], None], function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def both(*args: Any, **kwargs: Any) -> Any:
        first()
        return function(*args, **kwargs)

    return both


def _exit_code(frame: FrameType | None) -> int | None:
    """Return the exit code of a child of `multiprocessing` that ends with this frame's stack; else None.

    A forked one runs no `atexit` handlers: this is its only moment for ending the runs that it opened. And whether
    its function raised, `multiprocessing` keeps to itself.
    """
    while frame is not None:
        if frame.f_code.co_name == "_bootstrap" and isinstance(code := frame.f_locals.get("exitcode"), int):
            return code
        frame = frame.f_back
    return None
