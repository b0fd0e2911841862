"""How a browser gets an address with a secret in it: by a file that only the user can read.

What stands on a command line can be read by all users of a machine, and an address that is given to a browser stands
there. So it is given the address of a file in a private directory, which leads on to the real one. The file is there
until the browser has come, for a minute at most.

Browsers that come as a snap see neither hidden directories nor ``/tmp``, but the rest of the home; those of flatpak are
given the file by the desktop. So the directory lies in the home, and has no dot; on macOS it lies among the user's own
temporary files. On Windows nobody else sees a command line; and a browser of Windows does not see the files of WSL.
"""

from __future__ import annotations

import html
import os
import shutil
import sys
import tempfile
import threading
import webbrowser
from pathlib import Path

_IS_PRIVATE = os.name == "nt" or "WSL_DISTRO_NAME" in os.environ
"""Whether a command line is nobody else's to read."""
_WAITED_SECONDS = 60.0
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={address}">
<title>ML-Dash</title>
<p><a href="{address}">{link}</a></p>
</html>
"""


class Doorway:
    """Opens the browser at one address, behind a link of this text; `close` when it has come, and in the end."""

    def __init__(self, address: str, link: str) -> None:
        self._address = address
        self._link = link
        self._over = threading.Event()
        # some browsers are waited for until they end
        self._thread = threading.Thread(target=self._open, name="ml-dash-browser", daemon=True)
        self._directory: str | None = None

    def open(self) -> None:
        """Begin to open it, on a thread; where there is no place for the file, the user opens it who reads it."""
        if not _IS_PRIVATE:
            self._directory = _private_directory()
        if _IS_PRIVATE or self._directory is not None:
            self._thread.start()

    def close(self) -> None:
        """Remove the file. Repeated calls do nothing."""
        self._over.set()
        directory, self._directory = self._directory, None
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)

    def _open(self) -> None:
        directory = self._directory
        where = self._address if directory is None else _written(directory, self._page())
        if where is not None and webbrowser.open(where):
            self._over.wait(_WAITED_SECONDS)
        self.close()

    def _page(self) -> str:
        return _PAGE.format(address=html.escape(self._address), link=html.escape(self._link))


def _private_directory() -> str | None:
    """Make a directory that nobody else can look into; None where none can be."""
    home = None if sys.platform == "darwin" else os.path.expanduser("~")
    for place in (home, None):
        try:
            return tempfile.mkdtemp(prefix="ml-dash-", dir=place)
        except OSError:
            continue  # there is no home, or it is full, or read-only
    return None


def _written(directory: str, page: str) -> str | None:
    """Write the page, and return its own address; None where that cannot be: the address is printed all the same."""
    path = Path(directory, "open.html")
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(page)
    except OSError:
        return None
    return path.as_uri()
