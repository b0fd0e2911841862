"""Files saved by several threads and processes of one experiment."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from ml_dash import Experiment
from tests.support.scripts import python


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_and_its_parent_both_save_files(tmp_path: Path) -> None:
    """Each file is listed once, with the content that its own process gave it."""
    python(
        """
        import os
        from ml_dash import Experiment

        exp = Experiment("alice/vision/fork", dash_root=".dash")
        with exp.run:
            exp.files.save_text("before", to="before.txt")
            child = os.fork()
            if child == 0:
                exp.files.save_text("child", to="child.txt")
                exp.flush()
                os._exit(0)
            exp.files.save_text("parent", to="parent.txt")
            assert os.waitpid(child, 0)[1] == 0
        """,
        tmp_path,
    )
    exp = Experiment("alice/vision/fork", dash_root=tmp_path / ".dash")
    names = [row["filename"] for row in exp.files.list()]
    assert names == ["before.txt", "child.txt", "parent.txt"]
    for name in names:
        assert exp.files(name).read_text() == name.removesuffix(".txt")


def test_threads_that_save_equal_and_other_contents_at_once_lose_none(tmp_path: Path) -> None:
    """Sixteen of them; the law holds, and every content is whole."""
    exp = Experiment("alice/vision/threads", dash_root=tmp_path)

    def save(thread: int) -> None:
        for number in range(20):
            exp.files(f"own-{thread}").save_text(f"{thread}-{number}", to=f"{number}.txt")
            exp.files("shared").save_text(f"the same {number}", to=f"{number}.txt")

    with exp.run:
        threads = [threading.Thread(target=save, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        exp.flush()
        status = exp.status()
        assert status.logged == 16 * 40
        assert status.logged == status.acknowledged + status.pending + sum(status.dropped.values())

    assert len(exp.files.list()) == 16 * 20 + 20
    for row in exp.files.list():
        text = exp.files(file_id=row["id"]).read_text()
        own = f"{row['path'].removeprefix('/own-')}-{row['filename'].removesuffix('.txt')}"
        assert text in {own, f"the same {row['filename'].removesuffix('.txt')}"}


@pytest.mark.slow
def test_the_auto_started_experiment_saves_files(tmp_path: Path) -> None:
    """The reference's example."""
    printed = python(
        """
        from ml_dash.auto_start import dxp

        open("model.pt", "wb").write(b"weights")
        dxp.files("models").save("model.pt")
        print(dxp.files("models").list()[0]["filename"])
        """,
        tmp_path,
    )
    assert printed.split() == ["model.pt"]
