"""What `ml-dash login` and `logout` change of the servers that are trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_dash.tokens.token import TokenStoreError
from ml_dash.tokens.trusting import choose, forget
from ml_dash.trust import Trust, all_trusted

SERVER, OTHER = "https://lab.test:7007", "http://other.test"
DIGITS = "ab" + "0" * 62


def test_what_is_chosen_is_kept_beside_the_others_and_is_the_users_own(config: Path) -> None:
    choose(SERVER, Trust(DIGITS))
    choose(OTHER, Trust(plain=True))
    assert all_trusted() == {SERVER: Trust(DIGITS), OTHER: Trust(plain=True)}
    assert (config / "servers.json").stat().st_mode & 0o077 == 0
    assert forget(SERVER)
    assert all_trusted() == {OTHER: Trust(plain=True)}
    assert not forget(SERVER)


def test_to_forget_what_was_never_chosen_makes_no_file(config: Path) -> None:
    assert not forget(SERVER)
    assert not config.exists()


def test_a_file_that_makes_no_sense_is_put_aside(config: Path, caplog: pytest.LogCaptureFixture) -> None:
    config.mkdir(mode=0o700)
    (config / "servers.json").write_text("rubbish")
    choose(SERVER, Trust(DIGITS))
    assert all_trusted() == {SERVER: Trust(DIGITS)}
    assert (config / "servers.json.bad").read_text() == "rubbish"
    assert "servers.json.bad" in caplog.text


def test_a_directory_that_cannot_be_made_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "file" / "below"))
    with pytest.raises(TokenStoreError, match="below"):
        choose(SERVER, Trust(DIGITS))
