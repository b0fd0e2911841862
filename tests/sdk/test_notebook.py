"""How a notebook shows an experiment and its parts, and what their `repr` is."""

from __future__ import annotations

import math
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.journal.frame import encode_segment_header, segment_name
from tests.support.journals import WRITER, later_version

VOID = {"br"}


class Page(HTMLParser):
    """What a browser makes of HTML: its tags, which have to be balanced, attributes, and the text of each cell."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())

    def values(self, name: str) -> list[str | None]:
        return [value for attribute, value in self.attributes if attribute == name]


def test_an_experiment_shows_where_it_is_its_parameters_and_its_metrics(exp: Experiment) -> None:
    exp.params.set(lr=0.1, model={"layers": 3})
    for step in range(300):
        exp.metrics("train").log(step=step, loss=1 / (step + 1))
    exp.metrics("eval").log(accuracy=0.5, note="text")
    page = Page(exp._repr_html_())
    assert page.texts[:2] == ["alice/proj/exp", "RUNNING"]
    assert any(text.startswith("ml-dash ui ") for text in page.texts)
    cells = " ".join(page.texts)
    assert "lr 0.1 model.layers 3" in cells
    assert "eval/accuracy 1 0.5 train/loss 300 0.00333333 " in cells
    assert "note" not in cells
    assert page.tags.count("svg") == 3
    line = page.values("points")[0]
    assert line is not None
    assert len(line.split()) == 200


def test_parts_show_what_is_theirs(exp: Experiment) -> None:
    assert "no parameters" in exp.params._repr_html_()
    assert "no rows" in exp.metrics._repr_html_()
    assert "no rows" in exp.metrics("train")._repr_html_()
    exp.params.set(lr=0.1)
    exp.metrics("train").log(loss=1)
    exp.metrics("eval").log(loss=2)
    exp.metrics.log(loss=3)
    assert Page(exp.params._repr_html_()).texts == ["parameter", "value", "lr", "0.1"]
    assert Page(exp.metrics("eval")._repr_html_()).texts[4:] == ["eval/loss", "1", "2"]
    assert Page(exp.metrics(None)._repr_html_()).texts[4:] == ["loss", "1", "3"]
    assert "train/loss" in exp.metrics._repr_html_()


def test_nothing_that_was_logged_is_more_than_text(root: str) -> None:
    """Names, values and prefixes from anywhere: no tag, attribute or control character of theirs comes through."""
    evil = '"><script>alert(1)</script><img src=x onerror="alert(1)">'
    with Experiment("alice/p/<script>x", dash_root=root, echo=False).run as exp:
        exp.params.set(**{evil: evil, "escape": "\x1b[2J\u202e"})
        exp.metrics(evil).log(**{evil: 1.0})
        html = exp._repr_html_()
    page = Page(html)
    assert set(page.tags) <= {
        "p", "b", "br", "code", "table", "thead", "tbody", "tr", "th", "td", "svg", "circle", "polyline",
    }  # fmt: skip
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in {"href", "src"}]
    assert evil in page.texts
    assert "\x1b" not in html
    assert "\u202e" not in html


@pytest.mark.parametrize(
    ("values", "lines", "points"),
    [
        ([1.0, math.nan, 2.0, 3.0, math.inf, 4.0, 5.0], 2, 1),
        ([math.nan, math.nan], 0, 0),
        ([-1.7e308, 1.7e308], 1, 0),
        ([5.0, 5.0], 1, 0),
    ],
)
def test_a_chart_has_gaps_where_there_is_no_number(
    values: list[float], lines: int, points: int, exp: Experiment
) -> None:
    for value in values:
        exp.metrics("train").log(loss=value)
    page = Page(exp.metrics._repr_html_())
    assert page.tags.count("polyline") == lines
    assert page.tags.count("circle") == points
    places = [
        float(number) for text in page.values("points") if text for number in text.replace(",", " ").split()
    ]
    assert all(0 <= place <= 160 for place in places)


def test_of_many_the_telling_ones_are_shown_and_the_rest_is_counted(exp: Experiment) -> None:
    exp.params.set(**{f"p{number}": "x" * 1000 for number in range(100)})
    for number in range(50):
        exp.metrics(f"layer{number}").log(norm_of_weights=1)
    exp.metrics("eval").log(accuracy=0.5)
    page = Page(exp._repr_html_())
    assert "and 70 more" in page.texts
    assert "and 39 more" in page.texts
    assert page.tags.count("svg") == 12
    assert "eval/accuracy" in page.texts
    assert max(map(len, page.texts)) <= 121


def test_what_cannot_be_read_is_shown_and_not_raised(root: str) -> None:
    exp = Experiment("a/b/c", dash_root=root)
    journal = Path(exp.directory, "journal")
    journal.mkdir(parents=True)
    (journal / segment_name(WRITER, 1)).write_bytes(later_version(encode_segment_header(WRITER, 1, 0, 1)))
    for part in (exp, exp.params, exp.metrics, exp.metrics("x")):
        assert "a/b/c cannot be shown:" in part._repr_html_()


def test_a_server_is_not_asked_for_what_lies_there_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before the run there is nothing here; while it goes on, its journal is."""
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("ML_DASH_TOKEN", "no-matter")
    monkeypatch.setenv("ML_DASH_EXIT_TIMEOUT", "0")
    exp = Experiment("alice/p/a b", dash_root=None, dash_url="http://127.0.0.1:9")
    page = Page(exp._repr_html_())
    assert page.texts[:2] == ["alice/p/a b", "not started"]
    assert page.values("href") == [exp.page] == ["http://127.0.0.1:9/experiments/alice/p/a%20b"]
    with exp.run:
        exp.metrics("train").log(loss=0.25)
        assert "0.25" in Page(exp._repr_html_()).texts
    shutil.rmtree(exp.directory)


def test_the_repr_of_a_part_is_how_it_is_written(root: str) -> None:
    exp = Experiment("a/b/c", dash_root=root)
    parts = {
        "exp.params": exp.params,
        "exp.logs": exp.logs,
        "exp.metrics": exp.metrics,
        "exp.metrics('train')": exp.metrics("train"),
        "exp.metrics(None)": exp.metrics(None),
        "exp.metrics.buffer": exp.metrics.buffer,
        "exp.metrics('train').buffer": exp.metrics("train").buffer,
        "exp.metrics('train').summary_cache": exp.metrics("train").summary_cache,
        "exp.tracks": exp.tracks,
        "exp.tracks('pose')": exp.tracks("pose"),
        "exp.files": exp.files,
        "exp.files('models')": exp.files("models"),
        "exp.files('models', file_id='7', tags=…)": exp.files("models", file_id="7", tags=["a"]),
    }
    assert {repr(part): f"<{name} of 'a/b/c'>" for name, part in parts.items()} == {
        f"<{name} of 'a/b/c'>": f"<{name} of 'a/b/c'>" for name in parts
    }
    assert repr(exp.run) == "<run of 'a/b/c': not started>"
    Path(exp.directory, "journal").mkdir(parents=True)  # there is something to be read
    assert repr(exp.tracks("pose").slice()) == "<TrackSlice of 0 entries>"
    assert repr(exp.view) == f"JournalView({str(Path(exp.directory, 'journal'))!r})"
