"""Secrets on command lines, in URLs and in texts are masked, and what only looks like one by half is not."""

from __future__ import annotations

import pytest

from ml_dash.capture.masking import masked, masked_arguments


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["--token", "abc"], ["--token", "***"]),
        (["--hf-token=abc"], ["--hf-token=***"]),
        (["--api_key", "abc", "--lr", "0.1"], ["--api_key", "***", "--lr", "0.1"]),
        (["wandb.api_key=abc"], ["wandb.api_key=***"]),
        (["--db.password=a=b"], ["--db.password=***"]),
        (["AWS_SECRET_ACCESS_KEY=x"], ["AWS_SECRET_ACCESS_KEY=***"]),
        (["--password", "--verbose"], ["--password", "--verbose"]),
        (["--max-tokens", "512"], ["--max-tokens", "512"]),
        (["--max_new_tokens=512"], ["--max_new_tokens=512"]),
        (["--tokenizer=gpt2"], ["--tokenizer=gpt2"]),
        (["--pad_token_id=0"], ["--pad_token_id=0"]),
        (["data=https://bob:pw@host/x"], ["data=https://***@host/x"]),
        (["hf_" + "a" * 30], ["***"]),
    ],
)
def test_arguments(given: list[str], shown: list[str]) -> None:
    assert masked_arguments(given) == shown


@pytest.mark.parametrize(
    "secret",
    [
        "ghp_" + "a1" * 18,
        "mld_" + "a1" * 18,
        "sk-" + "a1" * 20,
        "AKIA" + "A1" * 8,
        "xoxb-" + "1234567890-abc",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc_def-123",
    ],
)
def test_what_looks_like_a_token_of_a_known_service(secret: str) -> None:
    assert masked(f"-key: {secret}\n+key: none\n") == "-key: ***\n+key: none\n"


@pytest.mark.parametrize(
    "text", ["b47fb0af4a84f34ff41254ff231377d0c918e387", "task-force-" + "a" * 30, "git@host:me/x.git"]
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked(text) == text
