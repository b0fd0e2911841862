"""Texts of a server, or of a root that somebody else has made, command no terminal: whichever command shows them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.errors import RemoteError
from ml_dash.series import Kind, Series
from tests.support.answering import answering, http
from tests.support.serving import TOKEN
from tests.support.shell import Finished, invoke
from tests.support.view_journals import SECOND, write_rows

ACTIVE = "\x1b]0;title\x07\x1b[2J\r\nsent\x9b31m\u202egnp.exe\u2066\u2028"
"""Sets the window's title, clears the screen, passes for another line, and turns the direction of the text."""
HARMFUL = set(ACTIVE) - set("]0;title[2Jsent31mgnp.exe\n")


def harmless(done: Finished) -> bool:
    lines = (done.out + done.err).splitlines()
    return not HARMFUL & set(done.out + done.err) and not any(line.startswith("sent") for line in lines)


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "404 Not Found", "500 Oh"])
@pytest.mark.parametrize("known", [True, False])
def test_what_a_server_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, known: bool
) -> None:
    """Be it in the words of an ML-Dash server or in others'."""
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    exp = Experiment("alice/p/exp", dash_root=str(tmp_path / "dash"), echo=False)
    with exp.run:
        exp.files.save_text("a", to="a.txt")
    error = {"code": ACTIVE, "message": ACTIVE}
    body = json.dumps({"error": error, "api": "v1"} if known else {"detail": ACTIVE}).encode()
    with answering(http(status, body, "Content-Type: application/json")) as (url, _):
        for command in (
            ("files", "alice/p/exp", "--url", url),
            ("download", "alice/p/exp", "--url", url),
            ("upload", "alice/p/exp", __file__, "--url", url),
            ("sync", tmp_path / "dash", "--to", url, "--patience", "0"),
            ("whoami", url),
            ("login", url, "--no-browser"),
            ("logout", url),
        ):
            done = invoke(*command)
            assert harmless(done), (command, done)
        there = Experiment("alice/p/exp", dash_root=None, dash_url=url, echo=False)
        with pytest.raises(RemoteError) as raised:
            there.files("a.txt").read_text()
        assert not set(str(raised.value)) & HARMFUL


def test_what_a_root_says(tmp_path: Path) -> None:
    exp = Experiment(
        "alice/p/exp",
        dash_root=str(tmp_path),
        echo=False,
        readme=ACTIVE,
        tags=[ACTIVE],
        metadata={ACTIVE: ACTIVE},
    )
    with exp.run:
        exp.params.set(**{ACTIVE: ACTIVE})
        exp.log(ACTIVE, level="info")
        exp.files.save_text("a", to="a.txt", description=ACTIVE, tags=[ACTIVE])
    for kind in (Kind.METRIC, Kind.TRACK):  # which no script can name so
        write_rows(
            Path(exp.directory, "journal"), Series(kind, ACTIVE), [(SECOND, {ACTIVE: ACTIVE})], f"w{kind}"
        )
    directory = tmp_path / "alice/p" / "".join(each for each in ACTIVE if each not in "/\0")
    Path(exp.directory).rename(directory)
    side = directory / "experiment.json"
    side.write_text(
        json.dumps({**json.loads(side.read_text()), "prefix": f"alice/p/{ACTIVE}", "url": ACTIVE})
    )
    (directory / f"{ACTIVE}.cursor").symlink_to("nowhere")
    for command in (
        ("ls", tmp_path),
        ("verify", tmp_path),
        ("verify", directory, "--repair", "--force"),
        ("show", directory),
        ("tail", directory),
        ("files", directory),
        ("download", directory, "-o", tmp_path / "down"),
        ("sync", tmp_path),
        ("sync", directory, "--to", "http://127.0.0.1:9", "--patience", "0"),
    ):
        done = invoke(*command)
        assert harmless(done), (command, done)
