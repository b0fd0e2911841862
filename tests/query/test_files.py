"""What FILE rows amount to, in whatever order they come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from ml_dash.query.files import FILES, FileQuery, fold_files, full_name
from ml_dash.query.journal_view import JournalView
from ml_dash.query.patterns import is_pattern, pattern_matcher
from tests.support.view_journals import SECOND, Row, write_rows

CHECKSUM = "ab" * 32


def save(file_id: str, name: str = "models/a.pt", **fields: Any) -> dict[str, Any]:
    """The fields of a save row."""
    path, _, filename = f"/{name}".rpartition("/")
    return {
        "event": "save",
        "id": file_id,
        "path": path or "/",
        "filename": filename,
        "description": None,
        "tags": [],
        "bindrs": [],
        "contentType": "application/octet-stream",
        "sizeBytes": 3,
        "checksum": CHECKSUM,
        "metadata": None,
    } | fields


def names(rows: list[dict[str, Any]]) -> list[str]:
    """Full names of rows."""
    return [full_name(row) for row in rows]


_IDS = st.sampled_from(["f1", "f2", "f3", "f4"])
_SAVES = st.builds(
    lambda file_id, name, tags, more: save(file_id, name, tags=tags, checksum=file_id[1] * 64, **more),
    _IDS,
    st.sampled_from(["a", "m/a", "m/b"]),
    st.lists(st.sampled_from("xyz"), max_size=2),
    st.fixed_dictionaries({}, optional={"aliases": st.lists(st.sampled_from(["best", "v1"]), max_size=2)}),
)
_UPDATES = st.builds(
    lambda file_id, changes: {"event": "update", "id": file_id, **changes},
    _IDS,
    st.fixed_dictionaries(
        {},
        optional={
            "description": st.sampled_from([None, "", "d"]),
            "tags": st.lists(st.sampled_from("xyz"), max_size=2),
            "metadata": st.sampled_from([None, {}, {"k": 1}]),
        },
    ),
)
_ALIASES = st.builds(
    lambda event, file_id, aliases: {"event": event, "id": file_id, "aliases": aliases},
    st.sampled_from(["alias", "alias", "unalias"]),
    _IDS,
    st.lists(st.sampled_from(["best", "v1"]), min_size=1, max_size=2),
)
_DELETES = st.builds(lambda file_id: {"event": "delete", "id": file_id}, _IDS)


@st.composite
def histories(draw: st.DrawFn) -> list[Row]:
    """Rows of different times, at most one save an id."""
    rows = draw(st.lists(st.one_of(_SAVES, _UPDATES, _ALIASES, _DELETES), max_size=20))
    seen: set[str] = set()
    kept = []
    for row in rows:
        if row["event"] == "save" and row["id"] in seen:
            continue
        if row["event"] == "save":
            seen.add(row["id"])
        kept.append(row)
    return [(at * SECOND, row) for at, row in enumerate(kept)]


EVERYTHING = [
    FileQuery(alias=alias, versions=versions, deleted=deleted)
    for alias in (None, "best", "latest")
    for versions in (False, True)
    for deleted in (False, True)
]


@given(histories(), st.randoms(use_true_random=False))
def test_the_order_in_which_rows_come_does_not_matter(history: list[Row], random: Any) -> None:
    """Their times decide."""
    shuffled = history.copy()
    random.shuffle(shuffled)
    first, second = fold_files(history), fold_files(shuffled)
    for query in EVERYTHING:
        assert first.rows(query) == second.rows(query)


@given(history=histories(), data=st.data())
def test_the_split_of_rows_over_writers_and_looks_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, history: list[Row], data: st.DataObject
) -> None:
    """A reader that looks now and then has what one has that looks once."""
    directory = tmp_path_factory.mktemp("journal")
    view = JournalView(str(directory))
    writers: list[list[Row]] = [[], [], []]
    for row in history:
        writers[data.draw(st.integers(0, 2))].append(row)
    for number, rows in enumerate(writers):
        if rows:
            write_rows(directory, FILES, rows, f"w{2 - number}", per_frame=3)
            view.files()
    expected = fold_files(history)
    for query in EVERYTHING:
        assert view.files(query) == JournalView(str(directory)).files(query) == expected.rows(query)


def test_each_field_has_its_newest_value_and_those_that_were_not_given_stay() -> None:
    """An empty list is a value, too."""
    table = fold_files(
        [
            (1 * SECOND, save("f", description="one", tags=["a"], metadata={"epoch": 1})),
            (3 * SECOND, {"event": "update", "id": "f", "tags": []}),
            (2 * SECOND, {"event": "update", "id": "f", "tags": ["late"], "description": "two"}),
        ]
    )
    row = table.get("f")
    assert row is not None
    assert (row["description"], row["tags"], row["metadata"]) == ("two", [], {"epoch": 1})
    assert row["uploadedAt"] == "1970-01-01T00:00:01.000000Z"
    assert row["updatedAt"] == "1970-01-01T00:00:03.000000Z"
    assert row["deletedAt"] is None


def test_a_row_has_exactly_the_documented_fields() -> None:
    """In their order."""
    row = fold_files([(0, save("f"))]).get("f")
    assert row is not None
    assert list(row) == [
        "id", "path", "filename", "description", "tags", "bindrs", "contentType", "sizeBytes", "checksum",
        "metadata", "aliases", "uploadedAt", "updatedAt", "deletedAt",
    ]  # fmt: skip


def test_the_newest_version_is_listed_and_older_ones_are_there_by_id() -> None:
    """Of each name; when the newest is deleted, the older ones do not come back, and a new save shows it again."""
    rows: list[Row] = [(1, save("old")), (2, save("new")), (3, save("other", "models/b.pt"))]
    table = fold_files(rows)
    assert [row["id"] for row in table.rows()] == ["new", "other"]
    assert [row["id"] for row in table.rows(FileQuery(versions=True))] == ["new", "old", "other"]
    assert table.get("old") is not None

    rows.append((4, {"event": "delete", "id": "new"}))
    assert [row["id"] for row in fold_files(rows).rows()] == ["other"]
    assert [row["id"] for row in fold_files(rows).rows(FileQuery(deleted=True))] == ["new", "other"]

    rows.append((5, save("newer")))
    assert [row["id"] for row in fold_files(rows).rows()] == ["newer", "other"]


def test_the_first_delete_counts() -> None:
    """However often it is repeated."""
    rows: list[Row] = [(0, save("f")), (9 * SECOND, {"event": "delete", "id": "f"})]
    row = fold_files([*rows, (5 * SECOND, {"event": "delete", "id": "f"})]).get("f")
    assert row is not None
    assert row["deletedAt"] == "1970-01-01T00:00:05.000000Z"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"id": 5},
        {"checksum": "AB" * 32},
        {"checksum": "../../x"},
        {"sizeBytes": -1},
        {"sizeBytes": True},
        {"sizeBytes": 1.5},
        {"tags": "best"},
        {"tags": [1]},
        {"metadata": []},
        {"path": None},
        {"path": "models"},
        {"filename": ""},
        {"description": 3},
        {"event": "save!"},
    ],
)
def test_a_row_that_is_not_as_it_should_be_is_left_out(fields: dict[str, Any]) -> None:
    """It is no error, and hides nothing else."""
    wrong = save("g") | fields if fields else {}
    assert [row["id"] for row in fold_files([(1, save("f")), (2, wrong)]).rows()] == ["f"] or fields == {
        "id": 5
    }


def test_a_second_save_of_an_id_changes_nothing() -> None:
    """Nobody can make another file of one that was saved."""
    row = fold_files([(1, save("f")), (2, save("f", "x/y", sizeBytes=9))]).get("f")
    assert row is not None
    assert (full_name(row), row["sizeBytes"]) == ("models/a.pt", 3)


def test_what_is_done_with_a_row_does_not_change_what_is_read_next() -> None:
    """Rows are the caller's."""
    table = fold_files([(1, save("f", tags=["a"], metadata={"a": {"b": 1}}))])
    (row,) = table.rows()
    row["tags"].append("b")
    row["metadata"]["a"]["b"] = 2
    again = table.get("f")
    assert again is not None
    assert (again["tags"], again["metadata"]) == (["a"], {"a": {"b": 1}})


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (FileQuery(), ["a.pt", "models/a.pt", "models/deep/b.pt", "models2/a.pt"]),
        (FileQuery(path="models"), ["models/a.pt", "models/deep/b.pt"]),
        (FileQuery(path="/models/"), ["models/a.pt", "models/deep/b.pt"]),
        (FileQuery(path="mod"), []),
        (FileQuery(path="models/a.pt"), ["models/a.pt"]),
        (FileQuery(path="/"), ["a.pt", "models/a.pt", "models/deep/b.pt", "models2/a.pt"]),
        (FileQuery(pattern="a.*"), ["a.pt", "models/a.pt", "models2/a.pt"]),
        (FileQuery(pattern="models/*"), ["models/a.pt"]),
        (FileQuery(pattern="/models/**"), ["models/a.pt", "models/deep/b.pt"]),
        (FileQuery(pattern="models?/*"), ["models2/a.pt"]),
        (FileQuery(pattern="/*"), ["a.pt"]),
        (FileQuery(tags=("best", "other")), ["models/a.pt"]),
        (FileQuery(path="models2", tags=("best",)), []),
    ],
)
def test_files_are_chosen_by_path_pattern_and_tags(query: FileQuery, expected: list[str]) -> None:
    """Paths by segments, tags by any of them."""
    table = fold_files(
        [
            (1, save("1", "models/deep/b.pt")),
            (2, save("2", "models/a.pt", tags=["best", "x"])),
            (3, save("3", "models2/a.pt")),
            (4, save("4", "a.pt")),
        ]
    )
    # "/" sorts before letters, and the root's files come first
    assert names(table.rows(query)) == expected


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("*.pt", ["a.pt", "m/a.pt", ".pt"], ["a.pt/b"]),
        ("**/a", ["a", "m/a", "m/n/a"], ["ma"]),
        ("m/**/a", ["m/a", "m/n/o/a"], ["m"]),
        ("**", ["a", "m/a"], []),
        ("a[0-3].p?", ["a1.pt", "m/a3.px"], ["a4.pt", "a1.p/"]),
        ("[!a]b", ["cb"], ["ab"]),
        ("x[]]", ["x]"], ["x"]),
        ("x[", ["x["], ["x"]),
        ("[z-a]", [], ["z", "a", "-"]),
        ("a\n*", ["a\nb"], ["a"]),
        ("m/[!x]n", ["m/yn"], ["m//n"]),
    ],
)
def test_patterns_match_within_segments_and_across(
    pattern: str, matching: list[str], other: list[str]
) -> None:
    """As shells do it."""
    fits = pattern_matcher(pattern)
    assert [name for name in [*matching, *other] if fits(name)] == matching


@given(st.text(alphabet="ab/*?[]!-^.\\", max_size=12), st.text(alphabet="ab/.", max_size=8))
def test_any_text_is_a_pattern(pattern: str, name: str) -> None:
    """Without an error; and one without special characters matches itself."""
    pattern_matcher(pattern)(name)
    if name.strip("/") == name and name and "//" not in name:
        assert pattern_matcher(f"/{name}")(name)
        assert not is_pattern(name)


def reference(
    pattern: tuple[str, ...], items: tuple[str, ...], many: str, fits: Callable[[str, str], bool]
) -> bool:
    """Whether a pattern fits, by trying everything."""
    if not pattern:
        return not items
    if pattern[0] == many:
        return any(reference(pattern[1:], items[skip:], many, fits) for skip in range(len(items) + 1))
    return bool(items) and fits(pattern[0], items[0]) and reference(pattern[1:], items[1:], many, fits)


def fits_segment(pattern: str, segment: str) -> bool:
    return reference(tuple(pattern), tuple(segment), "*", lambda wanted, found: wanted in {"?", found})


@given(
    st.lists(st.one_of(st.just("**"), st.text("ab*?", min_size=1, max_size=5)), min_size=2, max_size=5),
    st.lists(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=5),
)
def test_patterns_mean_what_trying_everything_finds(pattern: list[str], name: list[str]) -> None:
    """Within segments and across; the trailing ``**`` means at least a filename."""
    wanted = (*pattern, "*") if pattern[-1] == "**" else tuple(pattern)
    expected = reference(wanted, tuple(name), "**", fits_segment)
    assert pattern_matcher("/".join(pattern))("/".join(name)) == expected


@pytest.mark.parametrize(
    ("pattern", "name"),
    [("*a" * 120 + "*b", "a" * 255), ("*?" * 60 + "b", "a" * 255), ("**/a/" * 60 + "b", "a/" * 120 + "a")],
)
def test_no_pattern_takes_for_ever(pattern: str, name: str) -> None:
    """However many stars it has: a regular expression that tries everything would not end in a lifetime."""
    assert not pattern_matcher(pattern)(name)


def test_listing_many_files_reads_each_row_once(tmp_path: Path) -> None:
    """And looking again reads nothing: counted in bytes."""
    rows: list[Row] = [(at, save(f"f{at}", f"d/{at}")) for at in range(2000)]
    write_rows(tmp_path, FILES, rows, per_frame=50)
    view = JournalView(str(tmp_path))
    size = sum(path.stat().st_size for path in tmp_path.iterdir())

    assert len(view.files()) == 2000
    once = view.index.bytes_read
    assert once <= 2 * size  # headers for the index, and then the data

    for at in range(0, 2000, 10):
        assert view.file(f"f{at}") is not None
    assert view.index.bytes_read == once


def meant(rows: list[tuple[int, dict[str, Any]]], alias: str) -> list[str]:
    """The ids of the versions that an alias means."""
    return [row["id"] for row in fold_files(rows).rows(FileQuery(alias=alias))]


def test_an_alias_means_the_version_that_it_was_given_to_last() -> None:
    one = (1 * SECOND, save("one", aliases=["best"]))
    two = (2 * SECOND, save("two", aliases=["best", "v2"]))
    back = (3 * SECOND, {"event": "alias", "id": "one", "aliases": ["best"]})
    gone = (4 * SECOND, {"event": "unalias", "id": "one", "aliases": ["best"]})
    assert meant([one], "best") == ["one"]
    assert meant([one, two], "best") == meant([two, one], "best") == ["two"]
    assert meant([one, two, back], "best") == meant([back, two, one], "best") == ["one"]
    assert meant([one, two, back], "v2") == ["two"]
    assert meant([one, two, back, gone], "best") == [], "it does not go back to whoever had it before"
    (newest,) = fold_files([one, two, back]).rows()
    assert (newest["id"], newest["aliases"]) == ("two", ["v2"])
    older = fold_files([one, two, back]).get("one")
    assert older is not None
    assert older["aliases"] == ["best"]


def test_the_alias_of_a_version_that_was_deleted_means_nothing() -> None:
    rows = [
        (1 * SECOND, save("one", aliases=["best"])),
        (2 * SECOND, save("two")),
        (3 * SECOND, save("three", "m/other", aliases=["best"])),
        (4 * SECOND, {"event": "delete", "id": "one"}),
    ]
    assert meant(rows, "best") == ["three"], "of each name it is another one"
    assert meant(rows, "latest") == ["three", "two"]


@pytest.mark.parametrize(
    "wrong", ["best", [], [""], [" best"], ["b\n"], ["latest"], ["x" * 65], [7], None, {"best": 1}]
)
def test_aliases_that_are_none_change_nothing(wrong: Any) -> None:
    row = fold_files(
        [(SECOND, save("f", aliases=wrong)), (2 * SECOND, {"event": "alias", "id": "f", "aliases": wrong})]
    )
    assert [each["aliases"] for each in row.rows()] == [[]]


def test_a_version_has_so_many_aliases_at_once() -> None:
    given = [(at * SECOND, {"event": "alias", "id": "f", "aliases": [f"a{at}"]}) for at in range(2, 200)]
    (row,) = fold_files([(SECOND, save("f")), *given]).rows()
    assert len(row["aliases"]) == 100
    assert "a199" in row["aliases"]
