"""The command with something on its standard input, and in a process that one can talk with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import aiohttp
from typer.testing import CliRunner

from ml_dash.cli.app import app
from ml_dash.client.login import Authorization
from tests.support.shell import COMMAND, Finished, environment


def invoke(*arguments: str | Path, stdin: str = "") -> Finished:
    """Run the command in this process."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Finished(result.exit_code, result.stdout, result.stderr)


def start(*arguments: str, **env: str) -> subprocess.Popen[str]:
    """Start the command in a process of its own, with pipes; whoever starts it reads them."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(PYTHONUNBUFFERED="1", **env),
        text=True,
    )


async def decide(url: str, authorization: Authorization, token: str, decision: str = "approve") -> None:
    form = {
        "user_code": authorization.user_code,
        "token": token,
        "decision": decision,
        "scope": "write",
        "lifetime": "30",
    }
    async with aiohttp.ClientSession() as session, session.post(f"{url}/device", data=form) as response:
        assert response.status == 200, await response.text()
