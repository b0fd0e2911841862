"""Where alerts go in tests: a webhook and a mail server on this machine, which answer as a test says."""

from __future__ import annotations

import hashlib
import hmac
import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

DEADLINE = 30.0


class Got(NamedTuple):
    """A request that came."""

    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def id(self) -> str:
        return self.headers["ml-dash-delivery"]

    def is_signed(self, secret: str) -> bool:
        """Check the signature as docs/alerts.md says."""
        signed = self.headers["ml-dash-timestamp"].encode() + b"." + self.raw
        expected = "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected, self.headers["ml-dash-signature"])


class _Server(ThreadingHTTPServer):
    # with the default of 5, some of many that connect at once wait for a second
    request_queue_size = 128


class Receiver:
    """A webhook. `answer` says what to answer to each request: a status, and headers."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.answer: Callable[[Got], tuple[int, dict[str, str]]] = lambda _: (204, {})
        self.released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                got = Got(self.path, {name.lower(): value for name, value in self.headers.items()}, raw)
                receiver.got.append(got)
                status, headers = receiver.answer(got)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook/of-alice"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def hang(self) -> None:
        """Answer nothing until the test is over."""

        def wait(_: Got) -> tuple[int, dict[str, str]]:
            self.released.wait(DEADLINE)
            return 204, {}

        self.answer = wait

    def wait_for(self, count: int) -> list[Got]:
        """Wait until so many requests have come."""
        end = time.monotonic() + DEADLINE
        while len(self.got) < count:
            assert time.monotonic() < end, f"{len(self.got)} requests came, and {count} should"
            time.sleep(0.005)
        return self.got

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


def receiving() -> closing[Receiver]:
    """Give a webhook that is gone at the end."""
    return closing(Receiver())


class MailBox:
    """A mail server, which takes everything that it is sent; see RFC 5321."""

    def __init__(self) -> None:  # noqa: C901 - the handler is in it
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.refuses = False
        box = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self._say("220 test")
                for line in self.rfile:
                    word, _, rest = line.decode().strip().partition(" ")
                    word = word.upper()
                    if word == "QUIT":
                        self._say("221 bye")
                        return
                    self._say(self._answer(word, rest))

            def _answer(self, word: str, rest: str) -> str:
                if word == "DATA":
                    self._say("354 go on")
                    box.take(b"".join(self._data()))
                if word == "RCPT":
                    if box.refuses:
                        return "550 nobody is called so"
                    box.recipients.append(rest)
                return "250 fine"

            def _data(self) -> Iterator[bytes]:
                for line in self.rfile:
                    if line == b".\r\n":
                        return
                    yield line[1:] if line.startswith(b"..") else line

            def _say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"smtp://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def take(self, data: bytes) -> None:
        self.mails.append(message_from_bytes(data, policy=policy.default))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def mail_box() -> closing[MailBox]:
    """Give a mail server that is gone at the end."""
    return closing(MailBox())
