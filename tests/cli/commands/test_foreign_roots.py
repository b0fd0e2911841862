"""A root that somebody else has made: nothing in it leads a command out of it, holds it up, or is passed over silently.

Which of a user's own links still work is told here too.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.errors import MLDashError
from ml_dash.server.runner import EmbeddedServer
from ml_dash.upload.outbox import leftovers
from tests.cli.commands.offline import server
from tests.support.foreign_roots import (
    KINDS,
    OUTSIDE,
    PLACES,
    ROOT,
    WORDS,
    contents,
    experiment,
    lead_out,
    made,
    make,
)
from tests.support.shell import Finished, invoke

__all__ = ["experiment", "made", "server"]  # fixtures


def run_all(server_url: str | None = None) -> Iterator[tuple[str, Finished]]:
    """Run every command that opens a root."""
    own: list[str | Path] = ["--root", ROOT]
    yield "ls", invoke("ls", ROOT)
    for command in ("show", "tail", "export", "files", "verify"):
        yield command, invoke(command, "exp", *own)
    yield "download", invoke("download", "exp", "-o", "down", *own)
    yield "upload", invoke("upload", "exp", __file__, *own)
    yield "repair", invoke("verify", ROOT, "--repair", "--force")
    if server_url is not None:
        yield "sync", invoke("sync", ROOT, "--to", server_url, "--patience", "0")


@pytest.mark.sample(3)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_nothing_leads_out_of_a_root_holds_a_command_up_or_is_passed_over(
    experiment: Path, place: str, kind: str
) -> None:
    odd = PLACES[place](experiment)
    KINDS[kind](odd)
    before = contents(OUTSIDE)

    ended = dict(run_all("http://127.0.0.1:9"))  # nobody listens there

    assert contents(OUTSIDE) == before
    for command, done in ended.items():
        # What is a matter of blobs is told by those who read blobs.
        if not place.startswith("blob") or command in {"download", "verify", "repair"}:
            assert done.code in {1, 2} or (command, place) == ("upload", "segment"), (command, done)
            # A directory that is none is no experiment's.
            gone = place == "journal" and kind != "link" and command not in {"ls", "repair", "sync"}
            assert odd.name in done.err + done.out or gone, (command, done)
        assert WORDS not in done.out
    assert not Path("down/words.txt").exists() or not (place.startswith("blob") or place == "journal")
    if place in {"segment", "journal"}:
        assert "0.5" not in ended["show"].out + ended["tail"].out + ended["export"].out


def test_sync_sends_nothing_that_lies_outside_of_a_root(server: EmbeddedServer, made: Path) -> None:
    """The rest is sent; and a link in the place of what is written is replaced, not written through."""
    OUTSIDE.mkdir()
    server.start()

    def sent(place: str) -> Experiment:
        name = f"alice/p/a-{place.replace(' ', '-')}"
        lead_out(PLACES[place](Path(shutil.copytree(made / "alice/p/exp", ROOT / name))))
        before = contents(OUTSIDE)
        done = invoke("sync", ROOT / name, "--to", server.url, "--patience", "0")
        assert done.code == 1
        assert contents(OUTSIDE) == before
        return Experiment(name, dash_url=server.url, dash_root=None, echo=False)

    assert sent("segment").metrics("train").read()["total"] == 0
    assert not sent("journal").exists()
    for place in ("blob", "blobs of two digits", "blobs"):
        there = sent(place)
        assert there.metrics("train").read()["total"] == 1
        with pytest.raises(MLDashError, match="has not been uploaded"):
            there.files("words.txt").read_text()
    for place in ("side file", "cursor"):
        there = sent(place)
        assert there.metrics("train").read()["total"] == 1
        assert there.files("words.txt").read_text() == WORDS


def test_sync_removes_no_marker_of_what_is_to_be_sent_elsewhere(server: EmbeddedServer, made: Path) -> None:
    """Those behind a link are another experiment's, whose files would never be sent then."""
    OUTSIDE.mkdir()
    directory = Path(shutil.copytree(made / "alice/p/exp", ROOT / "alice/p/exp"))
    markers = directory / "files/unsent"
    markers.mkdir()
    content = PLACES["blob"](directory).name
    (markers / f"{content}.{PLACES['segment'](directory).name.rpartition('-')[0]}").touch()
    lead_out(markers)
    server.start()

    done = invoke("sync", ROOT, "--to", server.url, "--patience", "0")

    assert done.code == 1
    assert "unsent" in done.err
    assert [path.name.partition(".")[0] for path in OUTSIDE.glob("unsent/*")] == [content]
    verified = invoke("verify", ROOT)
    assert verified.code == 1
    assert "files/unsent" in verified.out


# --- a user's own layout


def test_a_root_may_be_a_link_or_lie_behind_one(experiment: Path) -> None:
    """As where ~/.dash leads to another disk: for scripts and commands alike."""
    os.rename(ROOT, "disk")
    ROOT.symlink_to("disk")
    make("alice/p/other")
    Path("above").symlink_to(".")
    for root in (ROOT, Path("above/root")):
        for done in (invoke("ls", root), invoke("show", "exp", "--root", root), invoke("verify", root)):
            assert (done.code, done.err) == (0, "")
        assert "alice/p/other" in invoke("ls", root).out
    assert invoke("download", "other", "-o", "down", "--root", ROOT).code == 0


def test_a_link_to_a_directory_in_the_same_root_is_followed(experiment: Path) -> None:
    (ROOT / "alice/latest").symlink_to("p/exp")
    (ROOT / "bob").symlink_to(experiment.parent.absolute())
    done = invoke("ls", ROOT)
    assert (done.code, done.err, done.out.count("COMPLETED")) == (0, "", 1)
    assert "0.5" in invoke("show", "alice/latest", "--root", ROOT).out


def test_a_project_on_another_disk_is_named_with_the_remedy_and_the_rest_goes_on(experiment: Path) -> None:
    """Which is to name that directory itself."""
    disk = Path("disk")
    make("bob/far/one", disk)
    (ROOT / "bob").symlink_to((disk / "bob").absolute())
    told = f"it leads out of '{ROOT}', to '{(disk / 'bob').resolve()}'"

    sync = ("sync", ROOT, "--to", "http://127.0.0.1:9", "--patience", "0")
    for done in (invoke("ls", ROOT), invoke("verify", ROOT), invoke(*sync)):
        assert done.code == 1
        assert f"{ROOT / 'bob'}" in done.err
        assert told in done.err
        assert "name that directory itself" in done.err
        assert "bob/far/one" not in done.out
    assert "alice/p/exp" in invoke("ls", ROOT).out
    for command in ("show", "tail", "export", "files", "verify"):
        done = invoke(command, "bob/far/one", "--root", ROOT)
        assert done.code == 2
        assert "leads out of" in done.err

    both = invoke("sync", ROOT, ROOT / "bob")
    assert both.code == 0
    assert "2 experiments in local mode" in both.err
    assert "leads out" not in both.err
    for at in (ROOT / "bob", disk / "bob"):
        assert "far/one" in invoke("ls", at).out
        assert invoke("verify", at).code == 0
        assert "0.5" in invoke("show", at / "far/one").out
    assert invoke("verify", ROOT / "bob/far/one").code == 0


def test_a_script_writes_and_reads_through_its_own_links(experiment: Path) -> None:
    """And sends by itself what earlier runs have left there."""
    for path in (ROOT / "bob", experiment / "files"):
        Path("disk", path.name).mkdir(parents=True, exist_ok=True)
    (ROOT / "bob").symlink_to(Path("disk/bob").absolute())
    directory = make("bob/far/one")
    lead_out(directory / "files")
    lead_out(directory / "journal")
    again = Experiment("bob/far/one", dash_root=str(ROOT), echo=False)
    with again.run:
        again.files.save_text("more", to="more.txt")
    assert again.metrics("train").read()["total"] == 1
    assert again.files("words.txt").read_text() == WORDS
    assert again.files("more.txt").read_text() == "more"
    assert list(leftovers([str(directory)], "http://127.0.0.1:9")) == []
