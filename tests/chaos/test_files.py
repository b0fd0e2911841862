"""Files on bad days: contents whole and in parts, through faults of the network and kills of both sides.

``CHAOS_FILES`` stories (24), of which each fourth has a file in parts; ``CHAOS_SEED`` tells only this one.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_dash import Experiment
from tests.chaos.faults import random_faults
from tests.chaos.proxy import ChaosProxy
from tests.chaos.servers import TOKEN, Host, host_of
from tests.chaos.uploading import Job, sync, until
from tests.chaos.warm import Nursery
from tests.support.elsewhere import Elsewhere
from tests.support.looking import Server

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("silence")]

_PAUSE = 0.05
_LARGE = 17 << 20
"""A content of three parts."""
_ONE = os.environ.get("CHAOS_SEED")
SEEDS = [int(_ONE)] if _ONE else range(int(os.environ.get("CHAOS_FILES", "24")))


@pytest.fixture(scope="module")
def seen() -> Iterator[Counter[str]]:
    """What happened in all stories: where nothing does, nothing is proven."""
    seen: Counter[str] = Counter()
    yield seen
    if seen["stories"] >= 20:
        assert min(seen[name] for name in ("servers ended", "clients killed", "parts")) >= 2, seen


@pytest.mark.sample(24)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_content_is_at_the_server_as_it_was_saved(
    seed: int, tmp_path: Path, template: Path, nursery: Nursery, seen: Counter[str]
) -> None:
    """Files and their rows, whatever was cut, damaged, doubled or lost on the way; and nothing is left to be sent."""
    rng = random.Random(seed)
    prefix = f"chaos/files{seed}/run"
    root = tmp_path / "root"
    host = host_of(seed, tmp_path, template, nursery)
    with Experiment(prefix, dash_root=root, echo=False).run as exp:
        saved = _save(exp, rng, large=seed % 4 == 0)
    with Elsewhere() as elsewhere:
        # a part takes a while to pass through a proxy written in Python
        patience = 2.0 if seed % 4 == 0 else 0.3
        faults = random_faults(rng, rng.randint(5, 20), patience=patience, origin=elsewhere.origin)
        with ChaosProxy(0, faults) as proxy:
            try:
                url = _bad_days(
                    rng,
                    proxy,
                    host,
                    nursery,
                    Job(str(exp.directory), prefix, proxy.url, TOKEN, patience),
                    seen,
                )
                proxy.calm()
                report = asyncio.run(sync(Job(str(exp.directory), prefix, proxy.url, TOKEN, 40.0)))
                assert report.left_behind is None, proxy.story()
                _check(Server(url, TOKEN), prefix, saved)
                again = asyncio.run(sync(Job(str(exp.directory), prefix, proxy.url, TOKEN, 40.0)))
                assert (again.sent_files, again.sent_rows, again.left_behind) == (0, 0, None)
                seen["parts"] += sum("/parts/" in incident.request for incident in proxy.incidents)
            finally:
                host.stop()
            assert not proxy.leaks
        assert not elsewhere.visits
    seen["stories"] += 1


def _save(exp: Experiment, rng: random.Random, *, large: bool) -> dict[str, str]:
    """Save files; return the checksum of each name's newest version."""
    saved = {}
    for number in range(rng.randint(3, 8)):
        name = f"d{rng.randint(0, 2)}/f{rng.randint(0, 4)}.bin"
        content = rng.randbytes(rng.choice((0, 1, 1000, 100_000)))
        saved[name] = exp.files.save_blob(content, to=name, metadata={"number": number})["checksum"]
        exp.metrics("train").log(step=number)
    if large:
        content = rng.randbytes(1 << 20) * (_LARGE >> 20)
        saved["large.bin"] = exp.files.save_blob(content, to="large.bin")["checksum"]
    return saved


def _bad_days(
    rng: random.Random, proxy: ChaosProxy, host: Host, nursery: Nursery, job: Job, seen: Counter[str]
) -> str:
    """Send, be killed and begin again, while the server does the same; return where it is in the end."""

    def start() -> str:
        url = host.start()
        proxy.target = int(url.rpartition(":")[2])
        return url

    url = start()
    client = nursery.sync(job)
    for _ in range(rng.randint(2, 6)):
        goal = len(proxy.incidents) + rng.randint(1, 6)
        until(lambda: len(proxy.incidents) >= goal, _PAUSE * rng.randint(1, 4))  # noqa: B023 - called at once
        match rng.choice(("client", "client", "server", "cable")):
            case "client":
                nursery.kill(client)
                client = nursery.sync(job)
                seen["clients killed"] += 1
            case "server":
                host.stop()
                url = start()
                seen["servers ended"] += 1
            case "cable":
                proxy.hang_up()
    nursery.kill(client)
    return url


def _check(server: Server, prefix: str, saved: dict[str, str]) -> None:
    there = f"/experiments/{server.experiment(prefix)['id']}"
    rows = {
        f"{row['path'].strip('/')}/{row['filename']}".lstrip("/"): row
        for row in server.get(f"{there}/files")["data"]
    }
    assert {name: row["checksum"] for name, row in rows.items()} == saved
    assert all(row["available"] for row in rows.values())
    for name, row in rows.items():
        status, content = server.request("GET", f"{there}/files/{row['id']}/content")
        assert status == 200
        assert hashlib.sha256(content).hexdigest() == saved[name]
