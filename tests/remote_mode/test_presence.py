"""Experiments at a server: opened for reading, missing, not to be seen; and what is known while it is away."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash import (
    Experiment,
    ExperimentMissingError,
    NotStartedError,
    RemoteError,
    ServerUnavailableError,
)
from ml_dash.server.runner import EmbeddedServer
from tests.support.processes import PREFIX
from tests.support.seen import Seen, until

pytestmark = pytest.mark.usefixtures("settings")

ABOUT: dict[str, Any] = {"readme": "why", "tags": ["a"], "bindrs": ["b"], "metadata": {"k": 1}}
LATER: dict[str, Any] = {"readme": "later", "tags": ["x", "y"], "bindrs": [], "metadata": {"k": 2}}
NOBODY = "http://127.0.0.1:9"  # nothing listens there


def log(server: EmbeddedServer, **about: Any) -> None:
    with Experiment(PREFIX, dash_url=server.url, dash_root=None, echo=False, **about) as exp:
        exp.metrics("train").log(step=1)


def new_token(seen: Seen, owner: str, scope: str) -> str:
    body = {"name": "laptop", "grants": [{"owner": owner, "scope": scope}]}
    status, answer = seen.api.request(
        "POST", "/tokens", json.dumps(body).encode(), Content_Type="application/json"
    )
    assert status in (200, 201), answer
    token: str = json.loads(answer)["token"]
    return token


def test_an_experiment_of_a_server_is_opened_for_reading(server: EmbeddedServer) -> None:
    log(server, tags=["keep"])
    exp = ml_dash.open(PREFIX, server.url)
    assert (exp.metrics("train").read()["total"], exp.tags, exp.exists()) == (1, ["keep"], True)
    assert ml_dash.open(PREFIX, True).exists()
    with pytest.raises(NotStartedError, match="opened for reading"):
        exp.run.start()


def test_a_name_that_a_server_does_not_have_is_not_opened(server: EmbeddedServer) -> None:
    log(server)
    with pytest.raises(ExperimentMissingError) as caught:
        ml_dash.open(PREFIX + "x", server.url)
    for part in (repr(PREFIX + "x"), server.url, f"did you mean {PREFIX}?", "its token may not see it"):
        assert part in str(caught.value)


def test_what_a_server_does_not_have_is_read_as_empty_and_told_once(server: EmbeddedServer) -> None:
    exp = Experiment("alice/p/nothing", dash_url=server.url, dash_root=None)
    assert not exp.exists()
    with pytest.warns(UserWarning, match=r"no experiment 'alice/p/nothing' at http"):
        assert exp.metrics("train").read()["total"] == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert exp.params.get() == {}
        assert exp.status().status is None


@pytest.mark.sample(2)
@pytest.mark.parametrize(("owner", "scope"), [("bob", "read"), ("alice", "write")])
def test_a_token_that_may_not_read_says_so(
    owner: str, scope: str, server: EmbeddedServer, seen: Seen, settings: pytest.MonkeyPatch
) -> None:
    log(server)
    settings.setenv("ML_DASH_TOKEN", new_token(seen, owner, scope))
    try:
        exp = ml_dash.open(PREFIX, server.url)
    except (ExperimentMissingError, RemoteError) as error:
        assert "token" in str(error)  # noqa: PT017 - which of the two it is, is for the server to say
    else:
        assert scope == "write"  # who may write may read
        assert exp.exists()


def test_a_token_that_is_none_says_so(server: EmbeddedServer, settings: pytest.MonkeyPatch) -> None:
    log(server)
    settings.setenv("ML_DASH_TOKEN", "mld_" + "x" * 43)
    for ask in (
        lambda: ml_dash.open(PREFIX, server.url),
        Experiment(PREFIX, dash_url=server.url, dash_root=None).exists,
    ):
        with pytest.raises(RemoteError, match="token"):
            ask()


def test_a_server_that_is_away_is_not_one_that_has_nothing() -> None:
    with pytest.raises(ServerUnavailableError):
        ml_dash.open(PREFIX, NOBODY)
    with pytest.raises(ServerUnavailableError):
        Experiment(PREFIX, dash_url=NOBODY, dash_root=None).exists()


# --- exp.data


@pytest.mark.sample(8)
@pytest.mark.parametrize("keeps", [True, False])
def test_the_record_is_there_from_the_start_on_and_whole_when_the_server_answers(
    server: EmbeddedServer, seen: Seen, tmp_path: Path, settings: pytest.MonkeyPatch, *, keeps: bool
) -> None:
    """A training goes on that asks for it, as the guide does, while the server is away."""
    settings.setenv("ML_DASH_START_TIMEOUT", "0")
    server.stop()
    root = tmp_path / "dash" if keeps else None
    exp: Any = Experiment(PREFIX, dash_url=server.url, dash_root=root, echo=False, **ABOUT)
    assert not exp.data
    with exp:
        known = exp.data
        assert (exp.id, known["id"], known["status"], known["prefix"]) == (None, None, "RUNNING", PREFIX)
        assert ABOUT.items() <= known.items()
        assert known["createdAt"] is None
        server.start()
        until(lambda: exp.flush(1).online and exp.id, "the server has answered")
        found = exp.data
        assert found["id"] == exp.id == seen.record["id"]
        assert set(seen.record) == set(known)
        assert set(known) <= set(found)
        with pytest.raises(ml_dash.ReadOnlyError, match=r"exp\.data is a copy"):
            found["status"] = "FAILED"
    assert exp.data["status"] == "COMPLETED"


def test_there_is_no_record_in_local_mode(root: str) -> None:
    with Experiment(PREFIX, dash_root=root, echo=False) as exp:
        assert exp.data is None
    assert exp.data is None


# --- updates


@pytest.mark.sample(2)
@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("given", [{}, ABOUT], ids=["nothing given", "all given"])
def test_an_update_reaches_the_server_while_the_run_goes_on(
    server: EmbeddedServer, seen: Seen, tmp_path: Path, given: dict[str, Any], *, keeps: bool
) -> None:
    root = tmp_path / "dash" if keeps else None
    with Experiment(PREFIX, dash_url=server.url, dash_root=root, echo=False, **given) as exp:
        for name, value in LATER.items():
            setattr(exp, name, value)
        until(lambda: LATER.items() <= seen.record.items(), "the server has the update")
        assert exp.data is not None
        assert LATER.items() <= exp.data.items()
        reader = Experiment(PREFIX, dash_url=server.url, dash_root=None)
        assert {name: getattr(reader, name) for name in LATER} == LATER
    assert LATER.items() <= seen.record.items()
    assert seen.values("step") == []


@pytest.mark.sample(2)
@pytest.mark.parametrize("keeps", [True, False])
def test_an_update_that_is_made_in_an_outage_is_told_when_the_server_is_back(
    server: EmbeddedServer, seen: Seen, tmp_path: Path, settings: pytest.MonkeyPatch, *, keeps: bool
) -> None:
    settings.setenv("ML_DASH_START_TIMEOUT", "0")
    server.stop()
    root = tmp_path / "dash" if keeps else None
    with Experiment(PREFIX, dash_url=server.url, dash_root=root, echo=False, **ABOUT) as exp:
        exp.tags = ["x"]
        exp.tags = ["x", "y"]
        exp.metrics("train").log(step=1)
        server.start()
        until(lambda: exp.flush(1).pending == 0, "everything is sent")
    assert {**ABOUT, "tags": ["x", "y"]}.items() <= seen.record.items()


def test_an_update_is_sent_by_sync_and_by_the_outbox(
    server: EmbeddedServer, seen: Seen, tmp_path: Path
) -> None:
    from tests.support.shell import invoke

    server.stop()
    with Experiment(PREFIX, dash_url=server.url, dash_root=tmp_path / "dash", echo=False, **ABOUT) as exp:
        exp.readme = "later"
    server.start()
    assert invoke("sync", str(tmp_path / "dash")).code == 0
    assert {**ABOUT, "readme": "later"}.items() <= seen.record.items()
