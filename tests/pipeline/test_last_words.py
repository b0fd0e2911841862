"""Lines that a run has not taken before it died: each once, whatever of them the journal has already."""

from __future__ import annotations

from pathlib import Path

from ml_dash import Experiment
from ml_dash.pipeline.last_words import append_lines
from ml_dash.series import Kind


def printed(root: Path) -> list[tuple[str, str, int]]:
    rows = Experiment("a/b/c", dash_root=root).logs.console()["data"]
    return [(row["stream"], row["text"], row["rank"]) for row in rows]


def test_what_the_journal_lacks_is_appended_once(tmp_path: Path) -> None:
    """Equal lines of one moment are as many as were printed; two tries give what one gives."""
    with Experiment("a/b/c", dash_root=tmp_path).run as exp:
        for text, time_ns in (("one", 1), ("same", 2), ("same", 2)):
            exp._session.opened().put_captured(Kind.CONSOLE, time_ns, {"stream": "stdout", "text": text})
    lines = [("stdout", 2, "same")] * 3 + [("stderr", 3, "Segmentation fault"), ("stdout", 3, "\udce9")]
    assert append_lines(exp.directory, 0, lines) == 3
    assert append_lines(exp.directory, 0, lines) == 0
    assert printed(tmp_path) == [
        ("stdout", "one", 0),
        ("stdout", "same", 0),
        ("stdout", "same", 0),
        ("stdout", "same", 0),
        ("stderr", "Segmentation fault", 0),
        ("stdout", "\udce9", 0),
    ]
    assert exp.view.run().status == "COMPLETED"


def test_those_of_another_rank_say_so(tmp_path: Path) -> None:
    with Experiment("a/b/c", dash_root=tmp_path).run as exp:
        exp.metrics("train").log(loss=0.5)
    assert append_lines(exp.directory, 3, [("stdout", 1, "from rank three")]) == 1
    assert printed(tmp_path) == [("stdout", "from rank three", 3)]
    assert append_lines(str(tmp_path / "nowhere"), 0, [("stdout", 1, "x")]) == 0
    assert not (tmp_path / "nowhere").exists()
