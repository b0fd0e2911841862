"""`ml-dash sync`: what was written offline arrives, once, and what does not arrive stays where it is."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.journal.index import JournalIndex
from ml_dash.server.runner import EmbeddedServer
from ml_dash.tokens import Token, TokenStore
from tests.cli.commands.offline import ROWS, log_offline, server, steps_at
from tests.support.scripts import python
from tests.support.serving import TESTER
from tests.support.shell import invoke, succeed


def test_what_was_logged_offline_arrives_once(server: EmbeddedServer) -> None:
    """Completed or killed; a second sync sends nothing, and both say what they did."""
    log_offline(server.url, "alice/p/whole")
    log_offline(server.url, "alice/p/killed", end="os._exit(0)")
    server.start()

    first = invoke("sync")
    second = invoke("sync")

    assert (first.code, second.code) == (0, 0)
    for prefix in ("alice/p/whole", "alice/p/killed"):
        assert f"{prefix} -> {server.url}: {ROWS} events sent" in first.out
        assert f"{prefix} -> {server.url}: 0 events sent, {ROWS} events already there" in second.out
        assert steps_at(server, prefix) == list(range(ROWS))


__all__ = ["server"]  # the fixture


@pytest.mark.sample(20)
@pytest.mark.parametrize("local", [False, True], ids=["outbox and journal", "local mode"])
def test_what_a_killed_run_had_not_written_yet_is_sent_at_once(
    server: EmbeddedServer, *, local: bool
) -> None:
    """It waits in shared memory, and nobody has looked at the journal, which may not be there, since."""
    where = 'dash_root=".dash"' if local else f'dash_url="{server.url}", dash_root=".dash"'
    python(
        f"""
        import os, signal
        from ml_dash import Experiment
        exp = Experiment("alice/p/killed", {where}, echo=False).run.start()
        for step in range({ROWS}):
            exp.metrics("train").log(step=step)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        Path.cwd(),
        status=-signal.SIGKILL,
        ML_DASH_LINGER="3600",
    )
    server.start()
    told = invoke("sync", *(["--to", server.url] if local else []))
    assert (told.code, steps_at(server, "alice/p/killed")) == (0, list(range(ROWS))), told.err


@pytest.mark.slow
def test_rows_are_counted_in_one_way_everywhere_and_so_are_events(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows are those of metrics. Whatever counts all that was logged says events, and counts the same ones."""
    monkeypatch.delenv("ML_DASH_QUIET")
    prefix = "alice/p/counted"
    # what a run captures of its surroundings is neither
    with Experiment(prefix, dash_root=".dash", capture=["environment", "packages"]).run as exp:
        exp.params.set(lr=0.1)
        exp.params.set(seed=1)
        for step in range(7):
            exp.metrics("train").log(step=step)
            exp.metrics("eval").log(step=step)
        exp.log("text", level="debug")
        exp.tracks("pose").append(x=1.0)
        exp.files("notes").save_text("text", to="note.txt")
        status = exp.status()
        flushed = exp.flush()
        assert status.logged == status.acknowledged + status.pending + sum(status.dropped.values())
    rows, events = 14, 19
    assert (status.logged, flushed.acknowledged) == (events, events)
    assert f"{prefix} COMPLETED after" in (said := capsys.readouterr().err)
    assert f": {rows} rows\n" in said

    (listed,) = json.loads(succeed("ls", "--json"))
    shown, (verified,) = (
        json.loads(succeed(*command, "--json")) for command in (("show", prefix), ("verify", prefix))
    )
    assert (listed["rows"], shown["rows"], verified["rows"]) == (rows, rows, rows)
    assert verified["events"] == events
    assert len(succeed("export", prefix).splitlines()) == rows + 1
    assert re.search(rf"journal +{rows} rows, ", text := succeed("show", prefix))
    assert re.search(r"pose +1 entry", text)

    server.start()
    assert f"{server.url}: {events} events sent, 1 file sent" in invoke("sync", "--to", server.url).out
    assert f"0 events sent, {events} events already there" in invoke("sync", "--to", server.url).out
    with Experiment(prefix, dash_url=server.url).run as again:
        assert again.data is not None
        assert again.data["rows"] == rows
    assert f"goes on with {prefix}: 1 earlier attempt, {rows} rows; " in capsys.readouterr().err


def test_what_cannot_be_sent_is_said_and_stays(server: EmbeddedServer) -> None:
    """Exit code 1; the next sync sends it."""
    log_offline(server.url, "alice/p/exp")

    failed = invoke("sync", "--patience", "0")

    assert failed.code == 1
    assert "alice/p/exp: not all of it was sent" in failed.err
    assert "refuses the connection" in failed.err
    server.start()
    assert invoke("sync", ".dash/alice").code == 0
    assert steps_at(server, "alice/p/exp") == list(range(ROWS))


@pytest.mark.slow
def test_the_outbox_is_empty_when_the_server_has_it_all(server: EmbeddedServer) -> None:
    """Remote mode keeps a journal only until then."""
    log_offline(server.url, "alice/p/remote", root=None)
    outbox = Path("config", "outbox")
    assert list(outbox.rglob("*.mldj"))
    server.start()

    sent = invoke("sync")

    assert sent.code == 0
    assert [path for path in outbox.rglob("*") if path.is_file()] == []
    assert steps_at(server, "alice/p/remote") == list(range(ROWS))


@pytest.mark.slow
def test_a_journal_is_indexed_once(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom it was meant for, what it is called and whose runs have ended, all come of one look at it."""
    log_offline(server.url, "alice/p/remote", root=None)
    for side_file in Path("config", "outbox").rglob("experiment.json"):
        side_file.unlink()
    server.start()
    opened: list[JournalIndex] = []
    refresh = JournalIndex.refresh

    def count(index: JournalIndex) -> None:
        opened.append(index)
        refresh(index)

    monkeypatch.setattr(JournalIndex, "refresh", count)
    sent = invoke("sync")
    monkeypatch.undo()

    assert sent.code == 0
    assert [path for path in Path("config", "outbox").rglob("*") if path.is_file()] == []
    assert len(opened) == 1


def test_what_lies_behind_a_damaged_frame_of_a_run_that_goes_on_is_told_and_sent_when_it_has_ended(
    server: EmbeddedServer,
) -> None:
    """Its writer may write that frame again; nobody must remove what was not sent."""
    experiment = Experiment("alice/p/open", dash_root=".dash", echo=False).run.start()
    for step in range(3):
        experiment.metrics("train").log(step=step, text="x" * 1000)
        experiment.flush()
    (segment,) = Path(experiment.directory, "journal").glob("*.mldj")
    raw = bytearray(segment.read_bytes())
    raw[raw.index(b"x" * 1000, raw.index(b"x" * 1000) + 1000) + 500] ^= 1
    segment.write_bytes(raw)
    server.start()

    held_up = invoke("sync", ".dash", "--to", server.url)
    assert held_up.code == 1
    assert "1 event sent" in held_up.out
    assert "lie behind a damaged frame that the run may write again, if it goes on" in held_up.err
    experiment.run.complete()

    sent = invoke("sync", ".dash", "--to", server.url)
    assert sent.code == 0
    assert "1 event sent, 1 event already there, 1 frame damaged on this disk" in sent.out
    assert steps_at(server, "alice/p/open") == [0, 2]


def test_a_run_of_local_mode_is_sent_where_it_is_told_to(server: EmbeddedServer) -> None:
    """Without --to it is passed over, and that is said."""
    log_offline(None, "alice/p/local")
    server.start()

    passed_over = invoke("sync")
    sent = invoke("sync", ".dash/alice/p/local", "--to", server.url)

    assert passed_over.code == 0
    assert "1 experiment in local mode skipped" in passed_over.err
    assert sent.code == 0
    assert steps_at(server, "alice/p/local") == list(range(ROWS))


@pytest.mark.slow
def test_a_journal_may_go_to_another_server_than_it_was_meant_for(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each server has its own cursor."""
    log_offline(server.url, "alice/p/exp")
    server.start()
    assert invoke("sync").code == 0

    with EmbeddedServer(data=tmp_path / "other") as other:
        monkeypatch.setenv("ML_DASH_TOKEN", other.admin_token)
        moved = invoke("sync", ".dash", "--to", other.url)
        assert moved.code == 0
        assert f"{ROWS} events sent" in moved.out
        assert steps_at(other, "alice/p/exp") == list(range(ROWS))


@pytest.mark.slow
def test_a_run_is_synced_while_it_goes_on(server: EmbeddedServer) -> None:
    """Its own uploader and `sync` may send the same frames: the server stores them once."""
    server.start()
    with Experiment("alice/p/live", dash_url=server.url, echo=False).run as exp:
        for step in range(ROWS):
            exp.metrics("train").log(step=step)
            if step % 100 == 0:
                assert invoke("sync").code == 0
        assert exp.flush().pending == 0
    assert steps_at(server, "alice/p/live") == list(range(ROWS))


@pytest.mark.slow
def test_an_experiment_that_was_deleted_comes_back_on_demand(server: EmbeddedServer) -> None:
    """Without --recreate it stays deleted, which is said with the remedy."""
    log_offline(server.url, "alice/p/exp")
    server.start()
    assert invoke("sync").code == 0
    assert server.store is not None
    remote = Experiment("alice/p/exp", dash_url=server.url, echo=False)
    with remote.run:
        remote.flush(60)  # a run of which the server has nothing would not be the one that is deleted
        server.store.verbs.delete(str(remote.id), TESTER, unless_running=False)
    refused = invoke("sync")
    back = invoke("sync", "--recreate")

    assert refused.code == 1
    assert "--recreate" in refused.err
    assert back.code == 0
    assert steps_at(server, "alice/p/exp") == list(range(ROWS))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nowhere",), "there is no directory 'nowhere'"),
        (("empty",), "there is no experiment in 'empty'"),
        (("--to", "ftp://dash.example.com"), "ftp://dash.example.com"),
        (("--to", "http://dash.example.com"), "use https://"),
    ],
)
def test_a_wrong_argument_is_named(arguments: tuple[str, ...], told: str, server: EmbeddedServer) -> None:
    """Exit code 2, and nothing is sent."""
    Path("empty").mkdir()
    refused = invoke("sync", *arguments)
    assert refused.code == 2
    assert told in refused.err


def test_there_may_be_nothing_to_send(server: EmbeddedServer) -> None:
    """No .dash and no outbox: that is no error."""
    finished = invoke("sync")
    assert finished.code == 0
    assert "nothing to send" in finished.err


def test_a_journal_says_no_address_to_which_the_token_of_the_environment_goes(
    server: EmbeddedServer,
) -> None:
    """A journal may come from anywhere; ML_DASH_TOKEN is for servers that the user has named."""
    from ml_dash.cli.remote import token_for_server

    assert token_for_server("https://elsewhere.example.com", named=False)() is None
    assert token_for_server("https://elsewhere.example.com", named=True)() is not None
    assert token_for_server(server.url, named=False)() is not None
    assert token_for_server(server.url, named=True)() is not None


@pytest.mark.slow
def test_a_journal_gets_no_token_for_a_port_of_this_machine(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has a login here can listen at a port, and send a journal that names it."""
    monkeypatch.delenv("ML_DASH_API_URL")
    log_offline(server.url, "alice/p/exp")
    server.start()

    refused = invoke("sync")

    assert refused.code == 1
    assert f"ML_DASH_TOKEN is not sent to {server.url}" in refused.err
    assert f"--to {server.url}, set ML_DASH_TOKEN_ORIGIN={server.url}" in refused.err
    monkeypatch.setenv("ML_DASH_TOKEN_ORIGIN", "https://elsewhere.example.com")
    assert invoke("sync", "--to", server.url).code == 1  # it is for that server alone
    monkeypatch.setenv("ML_DASH_TOKEN_ORIGIN", server.url)
    assert invoke("sync").code == 0
    assert steps_at(server, "alice/p/exp") == list(range(ROWS))


@pytest.mark.slow
def test_two_copies_of_a_journal_are_one_experiment(server: EmbeddedServer) -> None:
    """A laptop's and a cluster's copy of the same directory: the second sends nothing."""
    log_offline(server.url, "alice/p/exp")
    shutil.copytree(".dash", "copy")
    for cursor in Path("copy").rglob("*.cursor"):
        os.remove(cursor)
    server.start()

    assert invoke("sync").code == 0
    assert invoke("sync", "copy").code == 0
    assert steps_at(server, "alice/p/exp") == list(range(ROWS))


def test_rows_go_only_where_their_own_run_was_meant_to(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One prefix and root, and three runs: a local one, which goes with the next, and one for each of two servers."""
    with EmbeddedServer(data=tmp_path / "other", admin_token=server.admin_token) as other:
        server.start()
        TokenStore().put(other.url, Token(other.admin_token))
        for step, url in enumerate([None, other.url, server.url]):
            with Experiment("alice/p/exp", dash_url=url, echo=False).run as exp:
                exp.metrics("train").log(step=step)
        for cursor in Path(".dash").rglob("*.cursor"):
            os.remove(cursor)

        assert invoke("sync").code == 0

        assert steps_at(server, "alice/p/exp") == [2]
        assert steps_at(other, "alice/p/exp") == [0, 1]
        assert invoke("sync", "--to", server.url).code == 0
        assert sorted(steps_at(server, "alice/p/exp")) == [0, 1, 2]


@pytest.mark.slow
def test_rows_arrive_in_the_order_of_the_runs(server: EmbeddedServer) -> None:
    """Though each run has more than is sent at once: a server numbers rows as they come."""
    server.start()
    script = """
        from ml_dash import Experiment

        with Experiment("alice/p/exp", echo=False).run as exp:
            for step in range({first}, {first} + 9):
                exp.metrics("train").log(step=step)
                exp.metrics("large").log(text="x" * 1_000_000)
                exp.flush()
        """
    for first in (0, 9):
        python(script.format(first=first), Path.cwd())
    assert invoke("sync", "--to", server.url).code == 0
    assert steps_at(server, "alice/p/exp") == list(range(18))


@pytest.mark.slow
def test_a_forked_childs_rows_go_where_those_of_its_parent_go(server: EmbeddedServer) -> None:
    """A child begins no run, and so says nothing of where its rows belong."""
    log_offline(server.url, "alice/p/exp")
    python(
        f"""
        import os
        from ml_dash import Experiment

        with Experiment("alice/p/exp", dash_url={server.url!r}, echo=False).run as exp:
            if os.fork() == 0:
                exp.metrics("train").log(step={ROWS})
                exp.flush()
                os._exit(0)
            os.wait()
        """,
        Path.cwd(),
    )
    server.start()
    assert invoke("sync").code == 0
    assert steps_at(server, "alice/p/exp") == list(range(ROWS + 1))


@pytest.mark.slow
def test_nothing_is_told_to_be_sent_that_was_not(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server had before, or has refused, was not sent now."""
    log_offline(server.url, "alice/p/exp")
    server.start()
    assert invoke("sync").code == 0
    shutil.copytree(".dash", "copy")
    for cursor in Path("copy").rglob("*.cursor"):
        os.remove(cursor)

    assert f"0 events sent, {ROWS} events already there" in invoke("sync", "copy").out
    monkeypatch.setenv("ML_DASH_TOKEN", "mld_wrong")
    refused = invoke("sync")
    assert refused.code == 1
    assert f"0 events sent, {ROWS} events already there" in refused.out
    assert "valid" in refused.err


@pytest.mark.slow
def test_a_path_in_the_url_that_is_wrong_is_told_from_a_right_that_is_missing(server: EmbeddedServer) -> None:
    """No login would help."""
    log_offline(None, "alice/p/exp")
    server.start()
    refused = invoke("sync", ".dash", "--to", f"{server.url}/elsewhere")
    assert refused.code == 1
    assert "is the path in the URL right?" in refused.err
    assert "login" not in refused.err


@pytest.mark.slow
def test_a_directory_that_was_moved_or_copied_is_another_experiment(server: EmbeddedServer) -> None:
    """It goes under the name that it has now, which is told; what takes its old name is not mixed with it."""
    log_offline(server.url, "alice/p/lr01")
    shutil.copytree(".dash/alice/p/lr01", ".dash/alice/p/copy")
    log_offline(server.url, "alice/p/copy")
    os.rename(".dash/alice/p/lr01", ".dash/alice/p/baseline")
    log_offline(server.url, "alice/p/lr01")
    server.start()

    first, second = invoke("sync"), invoke("sync")

    assert (first.code, second.code) == (0, 0)
    assert "baseline was logged as alice/p/lr01, and is sent as alice/p/baseline" in first.err
    assert steps_at(server, "alice/p/lr01") == list(range(ROWS))
    assert steps_at(server, "alice/p/baseline") == list(range(ROWS))
    assert sorted(steps_at(server, "alice/p/copy")) == sorted([*range(ROWS)] * 2)
    assert f"alice/p/baseline -> {server.url}: 0 events sent, {ROWS} events already there" in second.out


@pytest.mark.slow
def test_what_was_sent_before_a_directory_was_moved_stays(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Under the old name; under the new one all of it is sent again, and no backup is suspected."""
    log_offline(server.url, "alice/p/lr01")
    server.start()
    assert invoke("sync").code == 0
    os.rename(".dash/alice/p/lr01", ".dash/alice/p/baseline")

    with Experiment("alice/p/next", dash_url=server.url, dash_root=".dash", echo=False).run as exp:
        exp.metrics("train").log(step=0)
    assert invoke("sync").code == 0

    assert steps_at(server, "alice/p/lr01") == list(range(ROWS))
    assert steps_at(server, "alice/p/baseline") == list(range(ROWS))
    assert "restored" not in caplog.text


@pytest.mark.slow
def test_an_experiment_is_sent_under_the_name_that_is_asked_for(server: EmbeddedServer) -> None:
    log_offline(server.url, "alice/p/lr01")
    os.rename(".dash/alice/p/lr01", "elsewhere")
    log_offline(server.url, "alice/p/lr01")
    server.start()

    both = invoke("sync", ".dash", "elsewhere")
    named = invoke("sync", "elsewhere", "--as", "alice/p/old")

    assert (both.code, named.code) == (1, 0)
    assert "elsewhere is called alice/p/lr01, as .dash/alice/p/lr01 is, and is not sent" in both.err
    assert steps_at(server, "alice/p/lr01") == list(range(ROWS))
    assert steps_at(server, "alice/p/old") == list(range(ROWS))
    refused = invoke("sync", ".dash", "elsewhere", "--as", "alice/p/x")
    assert refused.code == 2
    assert "2 are meant" in refused.err


@pytest.mark.sample(20)
@pytest.mark.parametrize(
    "damage",
    [lambda raw: b"\0" * len(raw), lambda raw: raw[: len(raw) // 2] + b"\0" * 99, lambda raw: raw[:-7]],
    ids=["all of it", "the rest", "its end"],
)
def test_what_of_a_journal_is_no_frame_is_told(
    server: EmbeddedServer, damage: Callable[[bytes], bytes]
) -> None:
    """Whoever removes it after that should know: nothing follows it, so that no frame is known to be missing."""
    log_offline(server.url, "alice/p/exp")
    (segment,) = Path(".dash/alice/p/exp/journal").glob("*.mldj")
    segment.write_bytes(damage(segment.read_bytes()))
    server.start()

    done = invoke("sync", "--to", server.url)

    assert re.search(r"[1-9][\d,]* bytes that are no frame \(see `ml-dash verify`\)", done.out)


@pytest.mark.slow
def test_a_server_out_of_reach_is_asked_once_for_all_and_told_of_at_once(server: EmbeddedServer) -> None:
    """Not once an experiment, each with all of the patience; and everything stays where it is."""
    for number in range(4):
        log_offline(server.url, f"alice/p/exp{number}")
    with socket.create_server(("127.0.0.1", int(server.url.rpartition(":")[2]))) as listening:
        asked: list[int] = []

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    listening.accept()[0].close()
                    asked.append(1)

        threading.Thread(target=hang_up, daemon=True).start()
        once = invoke("sync", "--patience", "0")
        assert len(asked) == 1
        patient = invoke("sync", "--patience", "2")
        listening.shutdown(socket.SHUT_RDWR)

    assert (once.code, patient.code) == (1, 1)
    for number in range(4):
        assert f"alice/p/exp{number}: not all of it was sent" in once.err
    assert "trying again" not in once.err
    assert len(re.findall(r"trying again for [12] s", patient.err)) == 1
    assert patient.err.index("trying again") < patient.err.index("not all of it")
    server.start()
    assert invoke("sync").code == 0
    assert steps_at(server, "alice/p/exp3") == list(range(ROWS))
