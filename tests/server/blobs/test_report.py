"""What an operator is told about a store and its database, of each kind."""

from __future__ import annotations

from pathlib import Path

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.server.blobs.names import part_name, rows_name
from ml_dash.server.blobs.report import StoreReport, bring_back_missing, check_store
from ml_dash.server.runner import EmbeddedServer
from ml_dash.server.settings import ServerSettings
from ml_dash.server.store import Store
from tests.server.blobs.databases import Databases
from tests.support.serving import TOKEN, Client, large_frame
from tests.support.stored import stored
from tests.support.uploads import LARGE, Uploads, digest, rows, save


def looked_at(store: Store, orphan_age: float = 3600.0) -> StoreReport:
    return check_store(store.database, store.objects, store.keeper, SYSTEM_CLOCK, orphan_age)


def test_a_report_tells_what_is_missing_and_of_what_it_is(where: str, databases: Databases) -> None:
    url = databases.new()
    with EmbeddedServer(data=Path("unused"), database=url, blobs=where, admin_token=TOKEN) as server:
        client = Client(server.url, TOKEN)
        experiment = client.create("alice/vision/run")
        client.stored(experiment, large_frame(1), rows(2, save("f", LARGE, filename="best.pt")))
        uploads = Uploads(client, experiment)
        uploads.put_all(LARGE)
        # of a file that no row names yet, and by an owner who has a file with the same contents
        assert uploads.put(b"not named yet").status == 200
        other = client.create("bob/vision/run")
        uploads = Uploads(client, other)
        uploads.put_all(LARGE)
        client.close()

    store = Store.open(ServerSettings(database=url, blobs=where))
    sound = looked_at(store)
    assert sound.is_sound
    names = stored(store.objects)
    assert (sound.named, sound.orphaned, sound.recent, sound.trashed) == (len(names), 0, 0, 0)

    store.objects.put("a stranger's", b"mine")
    orphan, unknown = part_name(), rows_name("exp_" + "z" * 20)
    store.objects.put(orphan, b"12345")
    store.objects.put(unknown, b"12")
    blob = store.blob_catalogue.find("alice", digest(LARGE))
    assert blob is not None
    lost, thrown = blob.parts[0].object, {name for name in names if name.startswith(experiment)}
    store.objects.delete([lost])
    for name in thrown:
        store.objects.move(name, f"trash/2026-01-31/{name}")

    report = looked_at(store)
    assert not report.is_sound
    assert (report.orphaned, report.recent, report.unknown, report.strangers) == (0, 2, 1, 1)
    assert report.examples == ["a stranger's"]
    assert {each.name: each.of.partition(",")[0] for each in report.missing} == {
        lost: "alice/vision/run: models/best.pt",
        **dict.fromkeys(thrown, "rows of alice/vision/run"),
    }
    old = looked_at(store, orphan_age=-60.0)
    assert (old.orphaned, old.orphaned_bytes, old.recent) == (2, 7, 0)
    # nothing was changed by looking
    assert stored(store.objects) == names - {lost} - thrown | {orphan, unknown}
    assert bring_back_missing(store.objects, report) == len(thrown)
    assert [each.name for each in looked_at(store).missing] == [lost]
    store.close()
