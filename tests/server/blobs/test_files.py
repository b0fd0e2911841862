"""Files at the server: rows folded as they arrive, contents in parts, ranges, limits, and what is collected when."""

from __future__ import annotations

import itertools
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from ml_dash.protocol import OCTETS, PART_BYTES_MIN
from ml_dash.query.files import FileQuery, fold_files
from ml_dash.server.api.files import _disposition
from ml_dash.server.blobs.names import part_name
from ml_dash.server.runner import EmbeddedServer
from ml_dash.server.settings import ServerSettings
from ml_dash.server.store import Store
from tests.support.account_serving import Hands
from tests.support.examples import many
from tests.support.serving import NOON, TOKEN, Client, frame, objects
from tests.support.stored import stored
from tests.support.uploads import FILES, LARGE, Uploads, digest, rows, save


@pytest.fixture
def uploads(client: Client, experiment: str) -> Uploads:
    return Uploads(client, experiment)


# --- rows

_EVENTS = st.one_of(
    st.builds(
        save,
        st.sampled_from("abc"),
        st.sampled_from([b"1", b"2"]),
        filename=st.sampled_from(["x", "y"]),
        path=st.sampled_from(["/", "/m", "/m/n", "no slash"]),
        tags=st.lists(st.sampled_from("tu"), max_size=2),
        aliases=st.lists(st.sampled_from(["best", "v1"]), max_size=2),
    ),
    st.fixed_dictionaries(
        {
            "event": st.sampled_from(["alias", "unalias"]),
            "id": st.sampled_from("abc"),
            "aliases": st.one_of(st.lists(st.sampled_from(["best", "v1"]), max_size=2), st.just("no list")),
        }
    ),
    st.fixed_dictionaries(
        {"event": st.just("update"), "id": st.sampled_from("abc")},
        optional={
            "description": st.one_of(st.none(), st.text(max_size=3), st.integers(-(2**63), 2**64 - 1)),
            "tags": st.one_of(st.lists(st.sampled_from("tu"), max_size=2), st.just("no list")),
            "metadata": st.one_of(st.none(), st.dictionaries(st.sampled_from("k"), st.integers(0, 3))),
        },
    ),
    st.fixed_dictionaries({"event": st.just("delete"), "id": st.sampled_from("abc")}),
    st.fixed_dictionaries({"event": st.sampled_from(["save", "nonsense"]), "id": st.just("a")}),
)


@pytest.mark.sample(2)
@settings(max_examples=many(60), deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(
    events=st.lists(st.tuples(st.integers(0, 5), _EVENTS), max_size=12),
    cuts=st.sets(st.integers(0, 12)),
    query=st.builds(
        FileQuery,
        path=st.sampled_from([None, "/m", "m/x"]),
        pattern=st.sampled_from([None, "*", "m/**"]),
        tags=st.sampled_from([(), ("t",)]),
        alias=st.sampled_from([None, "best", "latest", "nobody's"]),
        versions=st.booleans(),
        deleted=st.booleans(),
    ),
)
def test_rows_are_folded_as_the_journals_are(
    shared_server: EmbeddedServer, events: list[tuple[int, dict[str, Any]]], cuts: set[int], query: FileQuery
) -> None:
    """Whatever comes, in whatever requests."""
    client = Client(shared_server.url, TOKEN)
    experiment = client.create("folding/project/run", recreate=True)
    client.ask("DELETE", f"/experiments/{experiment}")
    store = shared_server.store
    assert store is not None
    with store.database.write() as connection:
        for table in ("files", "blocks", "series", "frame_checks", "writers"):
            connection.exec_driver_sql(f"DELETE FROM {table} WHERE experiment_id = '{experiment}'")
    store.ingest.commits._tails.clear()
    client.create("folding/project/run", recreate=True)
    timed = [(NOON + offset, row) for offset, row in events]
    bounds = [0, *sorted(cut for cut in cuts if 0 < cut < len(timed)), len(timed)]
    for seq, (start, stop) in enumerate(itertools.pairwise(bounds), 1):
        if start < stop:
            client.stored(experiment, frame(seq, objects(FILES, timed[start:stop])))
        else:
            client.stored(experiment, frame(seq))
    client.close()
    view = store.view(experiment)
    found = [{k: v for k, v in row.items() if k != "available"} for row in view.files(query)]
    assert found == fold_files(timed).rows(query)
    for file_id in "abc":
        row = view.file(file_id)
        expected = fold_files(timed).get(file_id)
        assert (row and {k: v for k, v in row.items() if k != "available"}) == expected


def test_a_list_comes_in_pages(client: Client, experiment: str) -> None:
    files = [save(f"f{number:02}", path=f"/{number % 3}", filename=f"{number:02}") for number in range(20)]
    client.stored(experiment, rows(1, *files))
    found, cursor = [], None
    while True:
        asked = {"limit": 7, **({"cursor": cursor} if cursor else {})}
        page = client.get(f"/experiments/{experiment}/files", **asked)
        assert page["total"] == 20
        found += [row["id"] for row in page["data"]]
        cursor = page["cursor"]
        if not page["hasMore"]:
            break
    assert found == [row["id"] for row in sorted(files, key=lambda row: (row["path"], row["filename"]))]
    assert client.get(f"/experiments/{experiment}/files?path=%2F1%2F01")["total"] == 1


# --- contents


def test_a_content_is_sent_once_for_an_owner_and_not_shared_with_others(
    client: Client, experiment: str, uploads: Uploads, owner: str
) -> None:
    """Whoever knows the checksum of a stranger's content cannot have it by naming it."""
    assert uploads.lacking(digest(b"weights")) == [digest(b"weights")]
    assert uploads.put(b"weights").status == 200
    same_owner = client.create(f"{owner}/other/run")
    stranger = client.create(f"{owner}-not/project/run")
    assert Uploads(client, same_owner).lacking(digest(b"weights")) == []
    assert Uploads(client, stranger).lacking(digest(b"weights")) == [digest(b"weights")]
    for each in (same_owner, stranger):
        client.stored(each, rows(1, save("f")))
    assert client.ask("GET", f"/experiments/{same_owner}/files/f/content").body == b"weights"
    refused = client.ask("GET", f"/experiments/{stranger}/files/f/content")
    assert (refused.status, refused.error["code"]) == (409, "content_missing")
    assert client.get(f"/experiments/{stranger}/contents/missing")["data"] == [
        {"checksum": digest(b"weights"), "sizeBytes": 7}
    ]


def test_a_large_content_comes_in_parts_that_may_come_twice_and_in_any_order(
    client: Client, experiment: str, uploads: Uploads
) -> None:
    checksum = digest(LARGE)
    begun = uploads.post(f"/{checksum}/upload", {"sizeBytes": len(LARGE)}).body
    assert begun == {"complete": False, "partBytes": PART_BYTES_MIN, "parts": []}
    parts = [LARGE[start : start + PART_BYTES_MIN] for start in range(0, len(LARGE), PART_BYTES_MIN)]
    for number in (3, 1, 1):
        assert uploads.put_part(checksum, number, parts[number - 1]).body == {"part": number}
    early = uploads.post(f"/{checksum}/complete", {})
    assert (early.status, early.error["code"], early.error["parts"]) == (409, "parts_missing", [2])
    assert uploads.post(f"/{checksum}/upload", {"sizeBytes": len(LARGE)}).body["parts"] == [1, 3]
    assert uploads.put_part(checksum, 2, parts[1]).status == 200
    for _ in range(2):
        assert uploads.post(f"/{checksum}/complete", {}).body == {
            "checksum": checksum,
            "sizeBytes": len(LARGE),
        }
    assert uploads.lacking(checksum) == []
    client.stored(experiment, rows(1, save("big", LARGE)))
    assert client.ask("GET", f"/experiments/{experiment}/files/big/content").body == LARGE


def test_what_is_not_what_it_is_said_to_be_is_refused(uploads: Uploads) -> None:
    """Damaged on its way, of another length, with a wrong number, or another content altogether."""
    assert uploads.put(b"other", digest(b"weights")).error["code"] == "damaged"
    assert uploads.lacking(digest(b"weights")) == [digest(b"weights")]
    checksum = digest(LARGE)
    assert uploads.put_part(checksum, 1, b"x").status == 404
    uploads.post(f"/{checksum}/upload", {"sizeBytes": len(LARGE)})
    part = LARGE[:PART_BYTES_MIN]
    assert uploads.put_part(checksum, 1, part, of=b"else").error["code"] == "damaged"
    assert uploads.put_part(checksum, 1, part[:-1]).error["code"] == "damaged"
    assert uploads.put_part(checksum, 3, part).status == 413
    assert uploads.put_part(checksum, 4, b"x").status == 400
    for number, start in enumerate(range(0, len(LARGE), PART_BYTES_MIN), 1):
        assert (
            uploads.put_part(checksum, number, bytes(len(LARGE[start : start + PART_BYTES_MIN]))).status
            == 200
        )
    wrong = uploads.post(f"/{checksum}/complete", {})
    assert (wrong.status, wrong.error["code"]) == (422, "checksum_mismatch")
    assert uploads.post(f"/{checksum}/upload", {"sizeBytes": len(LARGE)}).body["parts"] == []
    uploads.put_all(LARGE)


@pytest.mark.sample(8)
@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=0-4", 206, slice(0, 5)),
        ("bytes=8388600-8388615", 206, slice(8388600, 8388616)),
        ("bytes=-10", 206, slice(len(LARGE) - 10, None)),
        (f"bytes={len(LARGE) - 3}-", 206, slice(len(LARGE) - 3, None)),
        (f"bytes={len(LARGE) - 3}-{len(LARGE) + 99}", 206, slice(len(LARGE) - 3, None)),
        ("bytes=0-1,5-6", 200, slice(None)),
        ("bytes=9-3", 200, slice(None)),
        ("lines=1-2", 200, slice(None)),
        (f"bytes={len(LARGE)}-", 416, None),
        ("bytes=-0", 416, None),
    ],
)
def test_a_range_is_read_from_the_parts_that_it_lies_in(
    client: Client, experiment: str, uploads: Uploads, asked: str, status: int, expected: slice | None
) -> None:
    uploads.put_all(LARGE)
    client.stored(experiment, rows(1, save("big", LARGE)))
    path = f"/experiments/{experiment}/files/big/content"
    answer = client.ask("GET", path, headers={"Range": asked})
    assert answer.status == status
    if expected is not None:
        assert answer.body == LARGE[expected]
    else:
        assert answer.headers["Content-Range"] == f"bytes */{len(LARGE)}"
    changed = client.ask("GET", path, headers={"Range": asked, "If-Range": '"another"'})
    assert (changed.status, len(changed.body)) == (200, len(LARGE))


@pytest.mark.parametrize(
    ("kind", "shown", "disposition"),
    [
        ("image/png", "image/png", "inline"),
        ("text/html", "text/html", "attachment"),
        ("image/svg+xml", "image/svg+xml", "attachment"),
        ("application/pdf", "application/pdf", "attachment"),
        ("application/json", "text/plain", "inline"),
        ("x\r\nSet-Cookie: a=b", OCTETS, "attachment"),
        ("nonsense", OCTETS, "attachment"),
    ],
)
def test_what_a_browser_would_run_is_saved_by_it_instead(
    client: Client, experiment: str, uploads: Uploads, kind: str, shown: str, disposition: str
) -> None:
    uploads.put(b"<script>")
    name = 'a"\r\nX: y/ö.html'
    client.stored(experiment, rows(1, save("f", b"<script>", contentType=kind, filename=name)))
    answer = client.ask("GET", f"/experiments/{experiment}/files/f/content")
    assert answer.headers.get_content_type() == shown
    assert answer.headers["Content-Disposition"].startswith(f"{disposition}; filename=")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Set-Cookie"] is None
    assert answer.headers["X"] is None
    assert "%C3%B6.html" in answer.headers["Content-Disposition"]


def test_a_deleted_file_has_no_content_and_says_since_when(
    client: Client, experiment: str, uploads: Uploads
) -> None:
    uploads.put(b"weights")
    client.stored(experiment, rows(1, save("f"), {"event": "delete", "id": "f"}))
    gone = client.ask("GET", f"/experiments/{experiment}/files/f/content")
    assert gone.status == 410
    assert gone.error["deletedAt"] == client.get(f"/experiments/{experiment}/files/f")["deletedAt"]
    assert client.ask("GET", f"/experiments/{experiment}/files/none/content").status == 404


@pytest.mark.parametrize("kind", ["out of reach", "missing", "shorter"])
def test_a_content_is_to_be_asked_for_again_unless_it_is_lost(
    kind: str, client: Client, server: EmbeddedServer, experiment: str, uploads: Uploads, owner: str
) -> None:
    """An object that is out of reach may be back in a second; one that was lost is not, and is named."""
    data = os.urandom(100)
    uploads.put(data)
    client.stored(experiment, rows(1, save("f", data)))
    assert server.store is not None
    content = server.store.blob_catalogue.find(owner, digest(data))
    assert content is not None
    name = content.parts[0].object
    server.store.objects.delete([name])
    path = Path(server.store.objects.where) / name
    if kind == "shorter":
        path.write_bytes(data[:50])
    elif kind == "out of reach":
        path.mkdir()
    refused = client.ask("GET", f"/experiments/{experiment}/files/f/content")
    if kind == "out of reach":
        assert (refused.status, refused.error["code"]) == (503, "busy")
    else:
        assert (refused.status, refused.error["code"]) == (410, "content_lost")
        assert name in refused.error["message"]
        assert "Retry-After" not in refused.headers


# --- limits and the collector


def test_an_owner_cannot_store_more_than_its_quota(client: Client, uploads: Uploads, owner: str) -> None:
    """Uploads that are announced count; files that are too large are refused at once."""
    changed = client.ask(
        "PUT",
        f"/owners/{owner}/limits",
        json.dumps({"quotaBytes": len(LARGE) + 10, "fileBytes": len(LARGE)}).encode(),
        headers={"Content-Type": "application/json"},
    )
    assert changed.body == {
        "owner": owner,
        "usedBytes": 0,
        "quotaBytes": len(LARGE) + 10,
        "fileBytes": len(LARGE),
    }
    uploads.post(f"/{digest(LARGE)}/upload", {"sizeBytes": len(LARGE)})
    refused = uploads.put(b"eleven bytes")
    assert (refused.status, refused.error["code"], refused.error["used"]) == (
        507,
        "quota_exceeded",
        len(LARGE),
    )
    assert uploads.put(b"ten bytes!").status == 200
    assert uploads.put(b"ten bytes!").status == 200
    too_large = uploads.post(f"/{'0' * 64}/upload", {"sizeBytes": len(LARGE) + 1})
    assert (too_large.status, too_large.error["limit"]) == (413, len(LARGE))
    assert client.get(f"/owners/{owner}/limits")["usedBytes"] == len(LARGE) + 10


@pytest.fixture
def aging(tmp_path: Path) -> Any:
    """A store whose time can be turned on."""
    clock = Hands()
    store = Store.open(ServerSettings(data=str(tmp_path / "aging")), clock)
    yield store, clock
    store.close()


DAY = 86_400.0


@pytest.mark.slow
@settings(max_examples=many(40), deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["upload", "save", "delete", "lease", "wait", "collect"]),
            st.integers(0, 2),
            st.sampled_from(["one", "two"]),
        ),
        max_size=25,
    )
)
def test_what_is_named_is_never_collected(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, str]]
) -> None:
    """Held against a model: what files name that are not deleted, or not for long, or what was asked for, stays."""
    clock = Hands()
    store = Store.open(ServerSettings(data=str(tmp_path_factory.mktemp("collect"))), clock)
    try:
        _collect_story(store, clock, steps)
    finally:
        store.close()


def _collect_story(  # noqa: C901 - one branch a kind of step
    store: Store, clock: Hands, steps: list[tuple[str, int, str]]
) -> None:
    from ml_dash.identity import Identity
    from ml_dash.server.catalogue.records import Introduction
    from ml_dash.server.ingest.file_rows import store_files

    grace = store.settings.file_grace
    contents = [b"zero", b"one", b"two"]
    experiments = {
        name: store.experiments.upsert(Introduction(Identity("alice", "project", "", name)))["id"]
        for name in ("one", "two")
    }
    named: dict[tuple[int, str], float | None] = {}
    touched: dict[int, float] = {}
    now, number = 0.0, 0
    for step, which, name in steps:
        data = contents[which]
        if step == "upload":
            store.transfers._store_whole("alice", digest(data), data)
            touched[which] = now
        elif step == "save":
            number += 1
            row = save(f"{which}-{number}", data)
            with store.database.write() as connection:
                store_files(connection, {experiments[name]: [(clock.time_ns(), row)]}, clock.time_ns())
            named[which, row["id"]] = None
            touched[which] = now
        elif step == "delete":
            for (content, file_id), deleted in list(named.items()):
                if content == which and deleted is None:
                    row = {"event": "delete", "id": file_id}
                    for experiment in experiments.values():
                        with store.database.write() as connection:
                            store_files(connection, {experiment: [(clock.time_ns(), row)]}, clock.time_ns())
                    named[content, file_id] = now
        elif step == "lease":
            if not store.blob_catalogue.missing("alice", [digest(data)]):
                touched[which] = now
        elif step == "wait":
            seconds = DAY * (which * 15 + 0.6)
            clock.turn(seconds)
            now += seconds
        else:
            before = {at for at in range(3) if not _is_gone(store, contents[at])}
            store.blob_collector.collect()
            for at in before:
                is_named = any(
                    content == at and (deleted is None or now - deleted < grace)
                    for (content, _), deleted in named.items()
                )
                stays = is_named or now - touched[at] < DAY
                assert _is_gone(store, contents[at]) == (not stays)


def _is_gone(store: Store, data: bytes) -> bool:
    content = store.blob_catalogue.find("alice", digest(data))
    if content is None:
        return True
    assert store.objects.get(content.parts[0].object, 0, 100) == data
    return False


def test_objects_of_contents_are_no_orphans_and_those_of_none_are(aging: tuple[Store, Hands]) -> None:
    """The collector of objects knows both kinds."""
    store, _ = aging
    store.transfers._store_whole("alice", digest(b"kept"), b"kept")
    stray = part_name()
    store.objects.put(stray, b"left by a crash")
    content = store.blob_catalogue.find("alice", digest(b"kept"))
    assert content is not None
    assert stray in stored(store.objects)
    object.__setattr__(store.settings, "orphan_age", -60.0)
    assert store.orphan_collector.collect() == 1
    assert store.objects.get(content.parts[0].object, 0, 4) == b"kept"


def test_a_part_that_comes_twice_at_once_is_stored_once(
    server: EmbeddedServer, client: Client, experiment: str, uploads: Uploads
) -> None:
    """As after a time-out, when the first request is still on its way."""
    checksum = digest(LARGE)
    length = uploads.post(f"/{checksum}/upload", {"sizeBytes": len(LARGE)}).body["partBytes"]

    def send(_: int) -> int:
        own = Client(server.url, TOKEN)
        try:
            return Uploads(own, experiment).put_part(checksum, 1, LARGE[:length]).status
        finally:
            own.close()

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(send, range(4))) == [200] * 4
    assert uploads.post(f"/{checksum}/upload", {"sizeBytes": len(LARGE)}).body["parts"] == [1]
    uploads.put_all(LARGE)
    client.stored(experiment, rows(1, save("big", LARGE)))
    assert client.ask("GET", f"/experiments/{experiment}/files/big/content").body == LARGE


def test_uploads_at_once_do_not_go_beyond_a_quota(
    server: EmbeddedServer, client: Client, experiment: str, owner: str
) -> None:
    """Twenty contents of a kilobyte, and room for seven."""
    body = json.dumps({"quotaBytes": 7 * 1024, "fileBytes": None}).encode()
    client.ask("PUT", f"/owners/{owner}/limits", body, headers={"Content-Type": "application/json"})

    def send(number: int) -> int:
        own = Client(server.url, TOKEN)
        try:
            return Uploads(own, experiment).put(bytes([number]) * 1024).status
        finally:
            own.close()

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(send, range(20)))
    assert sorted(statuses) == [200] * 7 + [507] * 13
    assert client.get(f"/owners/{owner}/limits")["usedBytes"] == 7 * 1024


@pytest.mark.parametrize(
    "name", ["é" * 255, "a" * 5000, "\N{PILE OF POO}" * 500, "%41" * 900, "\ud800" * 700]
)
def test_a_long_name_is_cut_between_characters(name: str) -> None:
    """A header with half of a character in it is none that a browser could read."""
    exact = _disposition(name, "inline").rpartition("UTF-8''")[2]
    assert len(exact) <= 2000
    assert name.encode("utf-8", "replace").decode().startswith(unquote(exact, errors="strict"))
