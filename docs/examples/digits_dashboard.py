"""The demo's last step: the dashboard over what was logged, asked as a browser asks it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import time
from typing import Any
from urllib.parse import urlsplit

from docs.examples.digits_checks import DemoError, check
from docs.examples.digits_processes import Children, last_line

__all__ = ["Dashboard"]

_START_LIMIT = 60.0
_POLL_SECONDS = 0.05


class Dashboard:
    """``ml-dash ui`` over a root.

    Args:
        children: Who ends it in any case.
        root: The directory with the experiments.
        directory: Where its output goes.
    """

    def __init__(self, children: Children, root: str, directory: str) -> None:
        self._output = os.path.join(directory, "ui.log")
        self._process = children.start(
            ["-m", "ml_dash.cli", "ui", root, "--port=0", "--no-browser"], {}, self._output
        )
        self._used = 0
        self._cookie = ""

    def address(self) -> str:
        """Return an address that no browser has opened yet: its token is good once."""
        deadline = time.monotonic() + _START_LIMIT
        while True:
            with contextlib.suppress(OSError), open(self._output, encoding="utf-8") as file:
                lines = [line for line in file if "#token=" in line]
                if len(lines) > self._used:
                    return lines[self._used].split()[-1]
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise DemoError(f"the dashboard does not start: {last_line(self._output)}")
            time.sleep(_POLL_SECONDS)

    def check(self, prefix: str, steps: int) -> str:
        """Look at the run as its page does, and say what is seen: all steps, whatever happened to the server."""
        status, headers, _ = self._ask("GET", "/")
        check(status in {200, 503}, f"the dashboard answers with status {status}")
        built = status == 200
        token = self.address().partition("#token=")[2]
        status, headers, _ = self._ask("POST", "/api/v1/session", {"token": token})
        check(status == 200, f"the dashboard's own token is answered with status {status}")
        self._used += 1
        self._cookie = headers["Set-Cookie"].partition(";")[0]
        record = self._ask("GET", f"/api/v1/experiments?prefix={prefix}")[2]["data"][0]
        chart = self._ask(
            "GET", f"/api/v1/experiments/{record['id']}/metrics/series?name=train&field=loss&x=step&width=400"
        )[2]
        seen = chart["buckets"]
        check(record["status"] == "COMPLETED", f"the dashboard says that the run is {record['status']}")
        check(seen["xMin"][0] == 0, f"the chart of the loss begins at step {seen['xMin'][0]}")
        check(seen["xMax"][-1] == steps - 1, f"the chart of the loss ends at step {seen['xMax'][-1]}")
        widest = max(after - before for before, after in zip(seen["xMax"], seen["xMin"][1:], strict=False))
        check(widest <= 1, f"the chart of the loss has a gap of {widest:.0f} steps")
        pages = "" if built else "; its pages are not built: that needs Node 20 or newer (`make dashboard`)"
        return f"its chart of {steps:,} steps has no gap: the outage is not to be seen{pages}"

    def wait(self) -> None:
        """Wait until somebody ends it, or it ends by itself."""
        with contextlib.suppress(KeyboardInterrupt):
            self._process.wait()

    def _ask(self, method: str, path: str, body: Any = None) -> tuple[int, http.client.HTTPMessage, Any]:
        connection = http.client.HTTPConnection(urlsplit(self.address()).netloc, timeout=30)
        headers = {"X-ML-Dash": "1", "Content-Type": "application/json", "Cookie": self._cookie}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            raw = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise DemoError(f"the dashboard does not answer: {error}") from error
        finally:
            connection.close()
        return answer.status, answer.headers, json.loads(raw) if path.startswith("/api") else None
