"""The check for known faults: nobody takes a question that was not answered for one that was."""

from __future__ import annotations

import json

import pytest

from tools.audit import Answer, advisories, status_of, told, vulnerabilities, withdrawn

# as pip-audit writes it where the index answers 404, beside "No known vulnerabilities found" and status 0
SILENT = json.dumps(
    {
        "dependencies": [
            {"name": "aiohttp", "skip_reason": "Dependency not found on PyPI: aiohttp (3.13.0)"},
            {"name": "ml-dash", "skip_reason": "distribution marked as editable"},
        ],
        "fixes": [],
    }
)
CHECKED = {"name": "numpy", "version": "2.0", "vulns": []}
FAULTY = {
    "name": "aiohttp",
    "version": "3.9.1",
    "vulns": [{"id": "PYSEC-2024-24", "fix_versions": ["3.9.2"], "aliases": [], "description": "…"}],
}


def of(*packages: object) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


@pytest.mark.parametrize("output", [SILENT, "", "[]", "Traceback …"])
def test_where_no_database_answers_nothing_counts_as_checked(output: str) -> None:
    answer = vulnerabilities(output, "ConnectionError: no such host")
    assert (answer.checked, answer.faults, len(answer.unknown)) == (0, (), 1)
    assert told("question", answer)[0].startswith("NOT CHECKED")
    assert (status_of([answer], offline=False), status_of([answer], offline=True)) == (2, 0)


def test_a_known_fault_is_told_with_its_remedy_and_is_never_forgiven() -> None:
    answer = vulnerabilities(of(CHECKED, FAULTY))
    assert answer == Answer(2, ("aiohttp 3.9.1: PYSEC-2024-24, mended in 3.9.2",))
    assert told("question", answer)[0].startswith("FAULTY")
    assert status_of([Answer(0, unknown=("x",)), answer], offline=True) == 1


def test_what_was_passed_over_among_others_is_named() -> None:
    answer = vulnerabilities(of(CHECKED, {"name": "local", "skip_reason": "local is not known"}))
    assert answer == Answer(1, (), ("local is not known",))
    assert told("question", answer)[0].startswith("ok")
    assert "  not checked: local is not known" in told("question", answer)
    assert status_of([answer], offline=False) == 2


def test_all_checked_and_nothing_found_is_well() -> None:
    assert status_of([vulnerabilities(of(CHECKED))], offline=False) == 0


def test_a_withdrawn_release_is_a_fault() -> None:
    report = json.dumps(
        {"install": [{"metadata": {"name": "attrs"}}, {"metadata": {"name": "Typing_Extensions"}}]}
    )
    errors = (
        "WARNING: The candidate selected for download or install is a yanked version: 'attrs' candidate "
        "(version 21.1.0 at https://index/attrs-21.1.0-py2.py3-none-any.whl)\nReason for being yanked: broken"
    )
    installed = ["attrs==21.1.0", "typing-extensions==4.1", "mine==1.0"]
    answer = withdrawn(installed, report, errors)
    assert answer == Answer(2, ("attrs 21.1.0: withdrawn by its authors",), ("the index does not have mine",))
    assert withdrawn(installed, "", "no index").unknown == ("the index could not be asked: no index",)


def test_npm_is_believed_where_it_has_an_answer() -> None:
    refused = json.dumps({"message": "405 Method Not Allowed - POST https://x", "statusCode": 405})
    found = {"vulnerabilities": {"vite": {"severity": "high"}}, "metadata": {"dependencies": {"total": 90}}}
    assert advisories(json.dumps(found)) == Answer(90, ("vite: high",))
    for output in (refused, ""):
        assert (advisories(output).checked, len(advisories(output).unknown)) == (0, 1)
