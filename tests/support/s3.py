"""An S3 server of the tests' own: SeaweedFS, in a directory of its own, with a bucket."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.support.serving import until

BUCKET = "mldash"


def binary() -> str | None:
    """Return the path of ``weed``; None where it is not installed."""
    beside = os.path.join(os.path.dirname(sys.executable), "weed")
    return beside if os.path.exists(beside) else shutil.which("weed")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


@contextmanager
def bucket() -> Iterator[dict[str, str]]:
    """Run a server, and give the environment in which ``s3://mldash`` is its bucket."""
    weed = binary()
    assert weed is not None
    directory = tempfile.mkdtemp(prefix="mldash-s3-")
    names = ("master", "volume", "filer", "s3")
    ports = dict(zip([*names, *(f"{name}.grpc" for name in names)], _free_ports(8), strict=True))
    options = [f"-{name}.port={ports[name]}" for name in names]
    options += [f"-{name}.port.grpc={ports[f'{name}.grpc']}" for name in names]
    quiet = ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=64", "-volume.max=8"]
    with open(os.path.join(directory, "log"), "wb") as log:
        process = subprocess.Popen(
            [weed, "server", f"-dir={directory}", "-ip=127.0.0.1", "-filer", "-s3", *options, *quiet],
            stdout=log,
            stderr=log,
            cwd=directory,
        )
    try:
        until(lambda: _made(ports["s3"]), "the S3 server has a bucket")
        yield {
            "AWS_ENDPOINT": f"http://127.0.0.1:{ports['s3']}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_SKIP_SIGNATURE": "true",
        }
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def _made(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("PUT", f"/{BUCKET}")
        return connection.getresponse().status in {200, 409}
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
