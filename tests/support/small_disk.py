"""A disk of half a megabyte, where this process may mount one."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.support.processes import DEADLINE, Finished, Scripts, finish


def can_mount() -> bool:
    """Whether a private file system can be mounted here."""
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


on_a_small_disk = pytest.mark.skipif(not can_mount(), reason="mounting file systems needs root")


def run_on_small_disk(
    scripts: Scripts, text: str, *, size: str = "512k", env: dict[str, str] | None = None
) -> Finished:
    """Run a script in whose working directory ``disk`` is a file system of its own."""
    (scripts.home / "disk").mkdir()
    mount = f'mount -t tmpfs -o size={size} tmpfs disk && exec "$@"'
    launcher = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    return finish(scripts.start(text, env=env or {}, launcher=launcher), deadline=DEADLINE)
