"""What is said of an experiment, at its server: each run changes what it gives, and takes nothing else away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, InvalidArgumentError, ServerUnavailableError
from ml_dash.protocol import ABOUT_BYTES_MAX, METADATA_BYTES_MAX, README_MAX, TAG_MAX, TAGS_MAX
from ml_dash.server.runner import EmbeddedServer
from tests.support.processes import PREFIX, Scripts
from tests.support.seen import Seen
from tests.support.shell import invoke

pytestmark = pytest.mark.usefixtures("settings")

ABOUT: dict[str, Any] = {"readme": "why", "tags": ["keep"], "bindrs": ["b"], "metadata": {"k": 1}}


def said(seen: Seen) -> dict[str, Any]:
    """What the server has of it."""
    return {name: seen.record[name] for name in ABOUT}


@pytest.fixture(params=["remote-only", "another root", "the same root"])
def roots(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path | None, Path | None]:
    """The roots of two runs."""
    found: dict[str, tuple[Path | None, Path | None]] = {
        "remote-only": (None, None),
        "another root": (tmp_path / "here", tmp_path / "there"),
        "the same root": (tmp_path / "here", tmp_path / "here"),
    }
    return found[request.param]


def run(server: EmbeddedServer, root: Path | None, **about: Any) -> None:
    """A run from its beginning to its end."""
    with Experiment(PREFIX, dash_url=server.url, dash_root=root, echo=False, **about).run as exp:
        exp.metrics("train").log(step=1)


@pytest.mark.sample(3)
def test_what_a_run_does_not_give_stays(
    server: EmbeddedServer, seen: Seen, roots: tuple[Path | None, Path | None]
) -> None:
    run(server, roots[0], **ABOUT)
    run(server, roots[1])
    assert said(seen) == ABOUT
    run(server, roots[1], tags=["other"])
    assert said(seen) == {**ABOUT, "tags": ["other"]}


@pytest.mark.sample(3)
def test_what_a_run_gives_as_empty_is_taken_away(
    server: EmbeddedServer, seen: Seen, roots: tuple[Path | None, Path | None]
) -> None:
    run(server, roots[0], **ABOUT)
    run(server, roots[1], tags=[], metadata={})
    assert said(seen) == {**ABOUT, "tags": [], "metadata": {}}


@pytest.mark.slow
@pytest.mark.parametrize("with_side_file", [True, False])
def test_what_a_journal_said_earlier_does_not_replace_what_was_said_since(
    server: EmbeddedServer, seen: Seen, tmp_path: Path, *, with_side_file: bool
) -> None:
    """The times are those of the sayings, and not those at which they come: of each, the later one stays."""
    server.stop()
    run(server, tmp_path / "offline", **ABOUT)
    server.start()
    run(server, tmp_path / "online", readme="newer", tags=["newer"])
    server.stop()
    run(server, tmp_path / "offline", tags=["newest"])
    server.start()
    if not with_side_file:
        (tmp_path / "offline" / PREFIX / "experiment.json").unlink()
    assert invoke("sync", str(tmp_path / "offline")).code == 0
    assert said(seen) == {**ABOUT, "readme": "newer", "tags": ["newest"]}


@pytest.mark.slow
@pytest.mark.parametrize("with_side_file", [True, False])
def test_an_offline_journal_that_gives_nothing_takes_nothing_away(
    server: EmbeddedServer, seen: Seen, tmp_path: Path, *, with_side_file: bool
) -> None:
    run(server, tmp_path / "online", **ABOUT)
    server.stop()
    run(server, tmp_path / "offline", bindrs=["later"])
    run(server, tmp_path / "offline")
    if not with_side_file:
        (tmp_path / "offline" / PREFIX / "experiment.json").unlink()
    server.start()
    assert invoke("sync", str(tmp_path / "offline")).code == 0
    assert said(seen) == {**ABOUT, "bindrs": ["later"]}


@pytest.mark.slow
def test_a_sync_that_has_nothing_to_send_says_nothing_again(
    server: EmbeddedServer, seen: Seen, scripts: Scripts, home: Path, tmp_path: Path
) -> None:
    """What the journal says is older than what another machine has said since."""
    finished = scripts.run(
        f"""
        from ml_dash import Experiment, ServerUnavailableError

        with Experiment({PREFIX!r}, dash_url=True, echo=False, **{ABOUT!r}).run as exp:
            exp.metrics("train").log(step=1)
        """
    )
    assert finished.returncode == 0, finished.stderr
    run(server, tmp_path / "there", tags=["newer"])
    assert invoke("sync", str(home)).code == 0
    assert said(seen) == {**ABOUT, "tags": ["newer"]}


@pytest.mark.slow
def test_a_server_that_has_lost_an_experiment_is_told_all_of_it_by_sync(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    run(server, tmp_path / "here", **ABOUT)
    server.stop()
    with EmbeddedServer(data=tmp_path / "new", admin_token=server.admin_token) as another:
        assert invoke("sync", "--to", another.url, str(tmp_path / "here")).code == 0
        assert said(Seen(another)) == ABOUT


@pytest.mark.sample(2)
@pytest.mark.parametrize("keeps", [True, False])
def test_what_each_run_of_a_process_says_is_there_when_it_has_ended(
    server: EmbeddedServer, seen: Seen, tmp_path: Path, *, keeps: bool
) -> None:
    """Its rows may be on their way already when it is said."""
    root = tmp_path / "dash" if keeps else None
    for number in range(8):
        run(server, root, readme=f"number {number}")
        assert seen.record["readme"] == f"number {number}"


def test_what_another_object_says_during_a_run_is_the_same_here_and_at_the_server(
    server: EmbeddedServer, seen: Seen, tmp_path: Path
) -> None:
    """The later word counts, though the run of who gave the earlier one ends last."""
    with Experiment(PREFIX, dash_url=server.url, dash_root=tmp_path, echo=False, **ABOUT).run:
        run(server, tmp_path, tags=["later"])

    found = Experiment(PREFIX, dash_url=server.url, dash_root=tmp_path)
    assert {name: getattr(found, name) for name in ABOUT} == said(seen) == {**ABOUT, "tags": ["later"]}


@pytest.mark.slow
def test_what_an_earlier_object_said_in_an_outage_is_told_with_what_a_later_one_says(
    server: EmbeddedServer, seen: Seen, tmp_path: Path
) -> None:
    server.stop()
    run(server, tmp_path / "here", readme="why")
    exp = Experiment(PREFIX, tags=["keep"], dash_url=server.url, dash_root=tmp_path / "here", echo=False)
    with exp.run:
        server.start()
        exp.run.start()
        while not exp.status().online:
            exp.flush(0.1)
    assert (seen.record["readme"], seen.record["tags"]) == ("why", ["keep"])


def test_a_handle_that_was_not_started_has_what_the_server_has(server: EmbeddedServer) -> None:
    """As reads do; a run that goes on is not made to wait for an answer again."""
    run(server, None, **ABOUT)
    reader = Experiment(PREFIX, dash_url=server.url, dash_root=None, echo=False)
    assert {name: getattr(reader, name) for name in ABOUT} == ABOUT
    status = reader.status()
    assert (status.status, status.online, status.logged) == ("COMPLETED", True, 0)
    with Experiment(PREFIX, dash_url=server.url, dash_root=None, echo=False, tags=["new"]).run as exp:
        assert {name: getattr(exp, name) for name in ABOUT} == {**ABOUT, "tags": ["new"]}
        exp.metrics("train").log(step=2)
        exp.flush(30)
        assert reader.status().status == "RUNNING"
        assert reader.tags == ["new"]
    assert reader.status().status == "COMPLETED"
    given = Experiment(PREFIX, dash_url=server.url, dash_root=None, tags=["mine"])
    assert (given.tags, given.readme) == (["mine"], "why")


def test_a_handle_of_what_no_server_has_is_empty(server: EmbeddedServer) -> None:
    reader = Experiment("alice/p/nothing", dash_url=server.url, dash_root=None)
    assert (reader.readme, reader.tags, reader.bindrs, reader.metadata) == (None, [], [], {})
    assert (reader.status().status, reader.status().online) == (None, True)


def test_a_handle_whose_server_is_away_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be an answer raises, as reads do; how things stand does not, and says why it is not known."""
    monkeypatch.setenv("ML_DASH_START_TIMEOUT", "0")
    nobody = "http://127.0.0.1:9"  # nothing listens there
    reader = Experiment(PREFIX, dash_url=nobody, dash_root=None, readme="given", echo=False)
    assert reader.readme == "given"
    with pytest.raises(ServerUnavailableError):
        _ = reader.tags
    status = reader.status()
    assert (status.status, status.online) == (None, False)
    assert status.last_error is not None
    with reader.run:
        assert reader.tags == []  # a run goes on without its server


LARGEST: dict[str, Any] = {
    "readme": "é" * README_MAX,
    "tags": [f"{number:04}" * (TAG_MAX // 4) for number in range(TAGS_MAX)],
    "bindrs": [f"{number:04}" * (TAG_MAX // 4) for number in range(TAGS_MAX)],
    "metadata": {"text": "x" * (METADATA_BYTES_MAX - 100)},
}
"""All that is allowed, at once."""


@pytest.mark.slow
def test_the_largest_that_is_allowed_arrives(server: EmbeddedServer, seen: Seen, tmp_path: Path) -> None:
    run(server, tmp_path / "here", **LARGEST)
    assert said(seen) == LARGEST
    assert seen.values("step") == [1]


@pytest.mark.sample(5)
@pytest.mark.parametrize("dash_url", [True, None])
@pytest.mark.parametrize(
    ("about", "limit"),
    [
        ({"readme": "x" * (README_MAX + 1)}, "1,048,576"),
        ({"tags": ["x" * (TAG_MAX + 1)]}, "1,024"),
        ({"bindrs": ["x" * (TAG_MAX + 1)]}, "1,024"),
        ({"tags": ["x"] * (TAGS_MAX + 1)}, "1,000"),
        ({"bindrs": ["x"] * (TAGS_MAX + 1)}, "1,000"),
        ({"metadata": {"x": "y" * METADATA_BYTES_MAX}}, "4,194,304"),
    ],
)
def test_what_no_server_would_take_is_refused_where_it_stands(
    about: dict[str, Any], limit: str, dash_url: bool | None, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{next(iter(about))}.*{limit}"):
        Experiment(PREFIX, dash_url=dash_url, dash_root=tmp_path / "dash", **about)


@pytest.mark.slow
@pytest.mark.parametrize("keeps", [True, False])
def test_what_a_server_does_not_take_of_a_description_keeps_back_no_row(
    server: EmbeddedServer,
    seen: Seen,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    *,
    keeps: bool,
) -> None:
    """As where the server is of a version with lower limits."""
    monkeypatch.setattr("ml_dash.sdk.about.METADATA_BYTES_MAX", 2 * ABOUT_BYTES_MAX)
    metadata = {"values": "x" * ABOUT_BYTES_MAX}
    root = tmp_path / "dash" if keeps else None
    exp = Experiment(PREFIX, dash_url=server.url, dash_root=root, echo=False, readme="why", metadata=metadata)
    with exp.run:
        exp.metrics("train").log(step=1)
    assert seen.values("step") == [1]
    assert seen.status == "COMPLETED"
    assert (seen.record["readme"], seen.record["metadata"]) == ("why", None)
    assert len([record for record in caplog.records if "does not take the metadata" in record.message]) == 1
