"""`ml-dash verify`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.support.cli_experiments import damage_row, dead_pid, in_frames, make, segment, tear, written_by
from tests.support.scripts import python
from tests.support.shell import invoke, succeed


def test_a_sound_journal_is_said_to_be_so(root: Path) -> None:
    """With frames, rows, events and size of each segment."""
    title, header, line = succeed("verify", "first", "--root", root).splitlines()
    assert title == "alice/vision/first  sound"
    assert header.split() == ["segment", "frames", "rows", "events", "size"]
    path = segment(root / "alice/vision/first")
    name, frames, rows, events, size, unit, state = line.split()
    # besides the rows of metrics two messages, an entry of a track and a call of `params.set`
    assert (name, rows, events, state) == (path.name, "105", "109", "ok")
    assert int(frames) >= 1
    assert unit == "kB"
    assert float(size) == pytest.approx(path.stat().st_size / 1000, rel=0.01)


def test_damage_is_told_with_its_place_and_what_is_lost(root: Path, damaged: Path) -> None:
    """And ends with exit code 1."""
    code, out, err = invoke("verify", "damaged", "--root", root)
    assert (code, err) == (1, "")
    assert out.startswith("carol/p/damaged  damaged\n")
    assert segment(damaged).name in out
    assert "the frame's data is damaged; 1 event lost" in out
    assert "--repair" in out


def test_a_torn_tail_of_a_dead_process_is_told(root: Path, torn: Path) -> None:
    """It may have been a whole frame once, so it is not sound."""
    code, out, _ = invoke("verify", "torn", "--root", root)
    assert code == 1
    assert "torn tail" in out
    assert "are not a complete frame" in out


def test_the_tail_that_a_live_process_writes_is_sound(root: Path, torn: Path) -> None:
    """It is a frame in a moment."""
    written_by(torn, os.getpid())
    code, out, _ = invoke("verify", "torn", "--root", root)
    assert code == 0
    assert "sound" in out
    assert "being written" in out


def test_a_repair_keeps_the_original_and_all_that_is_good(root: Path, damaged: Path) -> None:
    """What is lost stays reported; a second repair has nothing to do."""
    original = segment(damaged).read_bytes()
    code, out, _ = invoke("verify", "damaged", "--root", root, "--repair")
    assert code == 1
    assert "repaired" in out
    kept = segment(damaged).with_name(segment(damaged).name + ".torn")
    assert str(kept) in out
    assert kept.read_bytes() == original
    code, out, _ = invoke("verify", "damaged", "--root", root, "--repair")
    assert code == 1
    assert "is missing" in out
    assert "--repair" not in invoke("verify", "damaged", "--root", root).out
    assert len(list((damaged / "journal").iterdir())) == 2
    rows = invoke("export", "damaged", "--root", root, "--metric", "train").out
    assert [line.split(",")[-1] for line in rows.splitlines()] == ["n", "1", "3"]


def test_a_torn_tail_that_was_cut_off_leaves_a_sound_journal(root: Path, torn: Path) -> None:
    """Nothing tells of it any more but the original beside it."""
    assert invoke("verify", "torn", "--root", root, "--repair").code == 1
    assert "sound" in succeed("verify", "torn", "--root", root)


def test_a_healthy_journal_is_not_touched_by_a_repair(root: Path) -> None:
    """Neither its content nor its time."""
    path = segment(root / "alice/vision/first")
    before = path.stat().st_mtime_ns, path.read_bytes()
    succeed("verify", "first", "--root", root, "--repair")
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before
    assert segment(root / "alice/vision/first") == path


def test_a_journal_that_is_being_written_is_not_repaired(root: Path, damaged: Path) -> None:
    """The process would go on writing to the original."""
    written_by(damaged, os.getpid())
    original = segment(damaged).read_bytes()
    code, out, _ = invoke("verify", "damaged", "--root", root, "--repair")
    assert code == 1
    assert "not repaired" in out
    assert "seems to be running" in out
    assert segment(damaged).read_bytes() == original
    assert "repaired " in invoke("verify", "damaged", "--root", root, "--repair", "--force").out
    assert segment(damaged).read_bytes() != original


@pytest.mark.skipif(sys.platform != "linux", reason="only there a process tells in which container it is")
def test_a_journal_that_is_being_written_in_another_container_is_not_repaired(tmp_path: Path) -> None:
    """Its process number is nobody's here, or somebody else's."""
    python(
        """
        import os
        os.environ["ML_DASH_CRASH_PROOF"] = "0"  # else its memory, which is of this machine, tells that it has died
        real = os.readlink
        os.readlink = lambda path, **options: "pid:[1]" if str(path).endswith("ns/pid") else real(path, **options)
        from ml_dash import Experiment

        exp = Experiment("a/p/run", echo=False).run.start()
        for step in range(9):
            exp.metrics("train").log(step=step)
            exp.flush()
        os._exit(0)
        """,
        tmp_path,
    )
    (path,) = tmp_path.glob(".dash/a/p/run/journal/*.mldj")
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2] + b"damage" + raw[len(raw) // 2 + 6 :])
    damaged = path.read_bytes()

    done = invoke("verify", "run", "--root", tmp_path / ".dash", "--repair")

    assert (done.code, path.read_bytes()) == (1, damaged)
    assert "seems to be running" in done.out
    # when it has been silent for long
    os.utime(path, (1, 1))
    assert "repaired " in invoke("verify", "run", "--root", tmp_path / ".dash", "--repair").out


@pytest.mark.skipif(sys.platform != "linux", reason="only there a process tells when it began")
@pytest.mark.parametrize("ours", [True, False])
def test_a_journal_is_not_taken_for_one_that_is_being_written_by_whoever_has_the_number_now(
    tmp_path: Path, ours: bool
) -> None:
    """The process that wrote it has ended, and its number was given to another one; or it goes on."""
    python(
        f"""
        import os
        os.environ["ML_DASH_CRASH_PROOF"] = "0"  # else its memory tells that it has died
        from ml_dash.sdk import run

        os.getpid = lambda: {os.getpid()}
        if not {ours}:
            run.process_born = lambda pid: "7 " + os.readlink("/proc/self/ns/time")
        from ml_dash import Experiment

        exp = Experiment("a/p/run", echo=False).run.start()
        for step in range(9):
            exp.metrics("train").log(step=step)
            exp.flush()
        os._exit(0)
        """,
        tmp_path,
    )
    (path,) = tmp_path.glob(".dash/a/p/run/journal/*.mldj")
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2] + b"damage" + raw[len(raw) // 2 + 6 :])

    done = invoke("verify", "run", "--root", tmp_path / ".dash", "--repair")

    assert ("repaired " in done.out, "seems to be running" in done.out) == (not ours, ours)


def test_all_experiments_under_a_directory_are_checked(root: Path, damaged: Path) -> None:
    """A root, or a part of one, by its path or as the beginning of a prefix."""
    for all_of_it in (invoke("verify", "--root", root), invoke("verify", root)):
        assert all_of_it.code == 1
        assert "alice/vision/first  sound" in all_of_it.out
        assert "carol/p/damaged  damaged" in all_of_it.out
    for part in (invoke("verify", root / "carol"), invoke("verify", "carol", "--root", root)):
        assert part.code == 1
        assert "p/damaged  damaged" in part.out
        assert "alice" not in part.out
    assert "sound" in succeed("verify", root / "alice")
    assert invoke("verify", "nothing", "--root", root).code == 2
    (root / "void").mkdir()
    assert "no experiments" in invoke("verify", root / "void").err


def test_an_experiment_without_rows_is_sound(root: Path) -> None:
    """There is nothing in it to be damaged."""
    assert succeed("verify", "empty", "--root", root) == "bob/nlp/empty  sound\n"


def test_a_journal_of_a_later_version_is_refused_and_left_alone(root: Path, newer: Path) -> None:
    """The others are checked all the same."""
    before = segment(newer).read_bytes()
    code, out, _ = invoke("verify", root, "--repair")
    assert code == 1
    assert "carol/p/newer  unreadable" in out
    assert "install a newer version" in out
    assert "alice/vision/first  sound" in out
    assert segment(newer).read_bytes() == before


def test_json_has_everything_for_programs(root: Path, damaged: Path) -> None:
    """A record for each experiment, with its segments and all damage."""
    records = {each["prefix"]: each for each in json.loads(invoke("verify", root, "--json").out)}
    assert len(records) == 6
    good = records["alice/vision/first"]
    assert good["ok"]
    assert (good["rows"], good["events"], good["damage"], good["repaired"]) == (105, 109, [], [])
    assert sum(each["rows"] for each in good["segments"]) == 105
    assert sum(each["events"] for each in good["segments"]) == 109
    bad = records["carol/p/damaged"]
    assert not bad["ok"]
    assert [each["events"] for each in bad["damage"]] == [1]
    (record,) = json.loads(invoke("verify", "damaged", "--root", root, "--json", "--repair").out)
    assert record["repaired"][0]["original"].endswith(".torn")


def test_damage_in_several_segments_is_told_of_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of a segment says whether it is bad."""
    monkeypatch.setenv("ML_DASH_SEGMENT_BYTES", "1")
    directory = make(tmp_path, "a/p/one", in_frames(*range(4)))
    paths = sorted((directory / "journal").glob("*.mldj"))
    assert len(paths) >= 5
    raw = bytearray(paths[2].read_bytes())
    raw[-1] ^= 1
    paths[2].write_bytes(raw)
    _, out, _ = invoke("verify", "one", "--root", tmp_path)
    states = {line.split()[0]: line.split()[-1] for line in out.splitlines() if ".mldj " in line}
    assert states == {path.name: "damaged" if path == paths[2] else "ok" for path in paths}


def test_a_journal_torn_and_damaged_is_repaired_in_one_go(tmp_path: Path) -> None:
    """Both in one file."""
    directory = make(tmp_path, "a/p/one", in_frames(*range(5)))
    damage_row(directory, 1)
    tear(directory)
    written_by(directory, dead_pid())
    _, out, _ = invoke("verify", "one", "--root", tmp_path, "--repair")
    assert "damaged, torn tail" in out
    assert out.count("repaired ") == 1
    assert "torn tail" not in invoke("verify", "one", "--root", tmp_path).out
