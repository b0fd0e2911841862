"""`DashHandler` of Python's `logging`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.integrations.logging import DashHandler


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger of nobody else's."""
    found = logging.getLogger("training")
    found.setLevel(logging.DEBUG)
    found.propagate = False
    yield found
    for handler in list(found.handlers):
        found.removeHandler(handler)
        handler.close()


def messages(exp: Experiment) -> list[dict[str, Any]]:
    return list(exp.logs.read()["data"])


def test_records_are_messages_with_their_levels_and_what_belongs_to_them(
    exp: Experiment, logger: logging.Logger
) -> None:
    logger.addHandler(DashHandler(exp))
    logger.debug("quiet")
    logger.info("epoch %d of %d", 1, 3, extra={"loss": 0.5})
    logger.warning("odd")
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logger.exception("broken")
    logger.critical("over")
    found = messages(exp)
    assert [(row["level"], row["message"]) for row in found] == [
        ("debug", "quiet"),
        ("info", "epoch 1 of 3"),
        ("warn", "odd"),
        ("error", "broken"),
        ("fatal", "over"),
    ]
    assert found[1]["metadata"]["loss"] == 0.5
    assert found[1]["metadata"]["logger"] == "training"
    assert "test_log_handler.py:" in found[1]["metadata"]["place"]
    assert found[3]["metadata"]["traceback"].endswith("ZeroDivisionError: division by zero\n")


def test_records_are_not_printed_again(
    root: str, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    with Experiment("a/b/c", dash_root=root, echo=True).run as exp:
        logger.addHandler(DashHandler(exp))
        logger.info("once")
        assert len(messages(exp)) == 1
    assert "once" not in capsys.readouterr().out


def test_a_level_leaves_out_what_is_below_it(exp: Experiment, logger: logging.Logger) -> None:
    logger.addHandler(DashHandler(exp, level="WARNING"))
    logger.info("no")
    logger.warning("yes")
    assert [row["message"] for row in messages(exp)] == ["yes"]


def test_what_is_said_while_a_record_is_logged_does_not_come_back(exp: Experiment) -> None:
    handler = DashHandler(exp)

    class Talkative:
        def __str__(self) -> str:
            handler.handle(
                logging.makeLogRecord({"name": "training", "levelno": logging.INFO, "msg": "looked at"})
            )
            return "talkative"

    handler.handle(
        logging.makeLogRecord(
            {"name": "training", "levelno": logging.INFO, "msg": "%s", "args": (Talkative(),)}
        )
    )
    assert [row["message"] for row in messages(exp)] == ["talkative"]


def test_records_of_our_own_and_of_a_run_that_is_not_open_are_passed_over(exp: Experiment, root: str) -> None:
    own = DashHandler(exp)
    own.handle(logging.makeLogRecord({"name": "ml_dash.upload", "msg": "no", "levelno": logging.ERROR}))
    assert messages(exp) == []
    other = Experiment("a/b/ended", dash_root=root, echo=False)
    DashHandler(other).handle(
        logging.makeLogRecord({"name": "training", "levelno": logging.INFO, "msg": "no"})
    )
    assert other.run.status is None


def test_a_record_that_cannot_be_told_is_told_by_logging(
    exp: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    DashHandler(exp).handle(
        logging.makeLogRecord(
            {"name": "training", "levelno": logging.INFO, "msg": "%d", "args": ("no number",)}
        )
    )
    assert "--- Logging error ---" in capsys.readouterr().err
    assert messages(exp) == []


def test_a_prefix_makes_an_experiment_that_ends_with_the_handler(root: str, logger: logging.Logger) -> None:
    handler = DashHandler("a/b/handled", dash_root=root, echo=False)
    logger.addHandler(handler)
    logger.info("x")
    handler.close()
    read = ml_dash.open("a/b/handled", root)
    assert read.view.attempts()[-1]["status"] == "COMPLETED"
    assert read.logs.read()["total"] == 1
