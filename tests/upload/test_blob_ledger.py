"""What is known of contents on their way: each save is counted until the server has its content."""

from __future__ import annotations

from ml_dash.upload.blob_ledger import BlobLedger

ONE, TWO = "1" * 64, "2" * 64


def test_saves_of_one_content_are_pending_until_it_is_there() -> None:
    account = BlobLedger()
    account.offer(ONE, 10)
    account.offer(ONE, 10)
    account.offer(TWO, 5)
    assert (account.pending_saves, account.pending_files, account.pending_bytes) == (3, 2, 15)
    account.confirm(ONE)
    assert (account.pending_saves, account.pending_files, account.pending_bytes) == (1, 1, 5)
    account.damage(TWO)
    assert (account.pending_saves, account.damaged_saves) == (0, 1)


def test_a_save_that_did_not_come_about_is_taken_back_and_no_other() -> None:
    account = BlobLedger()
    account.offer(ONE, 10)
    account.offer(ONE, 10)
    account.withdraw(ONE)
    assert (account.pending_saves, account.pending_bytes) == (1, 10)
    account.withdraw(ONE)
    assert (account.pending_saves, account.pending_files, account.pending_bytes) == (0, 0, 0)


def test_who_waits_is_let_go_when_all_is_there_or_there_is_no_hope() -> None:
    account = BlobLedger()
    assert account.wait().is_set()
    account.offer(ONE, 10)
    waiting = account.wait()
    assert not waiting.is_set()
    account.withdraw(ONE)
    assert waiting.is_set()
    account.offer(ONE, 10)
    waiting = account.wait()
    account.hopeless()
    assert waiting.is_set()
    assert account.wait().is_set()
    account.hopeless(is_so=False)
    assert not account.wait().is_set()


def test_blobs_are_pending_while_it_is_in_doubt_what_the_server_has() -> None:
    ledger = BlobLedger()
    for checksum in ("a", "a", "b"):
        ledger.offer(checksum, 10)
    ledger.confirm("a")
    ledger.confirm("b")
    assert ledger.wait().is_set()
    ledger.doubt()
    assert ledger.pending_saves == 3
    waiting = ledger.wait()
    assert not waiting.is_set()
    ledger.forget("a", 10, 2)
    assert ledger.pending_saves == 3
    ledger.trust()
    assert (ledger.pending_saves, ledger.pending_files, ledger.pending_bytes) == (2, 1, 10)
    assert not waiting.is_set()
    ledger.confirm("a")
    assert waiting.is_set()
    assert ledger.pending_saves == 0


def test_who_has_sent_nothing_doubts_nothing() -> None:
    ledger = BlobLedger()
    ledger.doubt()
    assert ledger.wait().is_set()
