"""Names of runs and experiments of MLflow's, and back."""

from __future__ import annotations

import re

import pytest

from ml_dash import InvalidArgumentError
from ml_dash.compat.mlflow_names import (
    Place,
    artifact_uri,
    experiment_id,
    experiment_name,
    name_of,
    place_of,
    prefix_in,
    prefix_of,
    run_id,
)
from ml_dash.importers.mlflow.names import folder_of


@pytest.mark.parametrize(
    ("uri", "url", "root"),
    [
        ("mldash://", None, ".dash"),
        ("mldash:///data/runs", None, "/data/runs"),
        ("mldash://127.0.0.1:7007", "http://127.0.0.1:7007", ".dash"),
        ("mldash://localhost:7007/", "http://localhost:7007", ".dash"),
        ("mldash://dash.example.com", "https://dash.example.com", ".dash"),
    ],
)
def test_a_uri_is_a_place(uri: str, url: str | None, root: str) -> None:
    assert place_of(uri) == Place(url, root)


def test_another_scheme_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="'file:///x' is not a URI of ML-Dash: write mldash://"):
        place_of("file:///x")


@pytest.mark.parametrize("prefix", ["alice/vision/first", "a/b/ä ö/名前", "a/b/" + "x" * 150])
def test_a_runs_id_is_its_prefix(prefix: str) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9][\w\-]{0,255}", run_id(prefix))
    assert prefix_of(run_id(prefix)) == prefix


def test_an_id_of_somebody_elses_is_told() -> None:
    with pytest.raises(InvalidArgumentError, match="is not the id of a run in ML-Dash"):
        prefix_of("0123456789abcdef0123456789abcdef")


@pytest.mark.parametrize("name", ["Default", "vision", "/Users/me/My Experiment", "e-x", "", "ä"])
def test_an_experiments_id_is_its_name(name: str) -> None:
    assert experiment_name(experiment_id(name)) == name


def test_a_folder_is_the_users_own_unless_the_name_has_an_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_USER", "alice")
    assert folder_of("vision") == "alice/vision"
    assert folder_of("/team/vision {x}") == "team/vision (x)"
    assert name_of("alice/vision/first") == "vision"
    assert name_of("team/vision/first") == "team/vision"


@pytest.mark.parametrize(
    "place", [Place(None, "/data/runs"), Place("https://dash.example.com", "/data/runs")]
)
def test_a_uri_of_artifacts_says_where_and_whose(place: Place) -> None:
    uri = artifact_uri(place, "a/b/c d")
    assert place_of(uri) == place
    assert prefix_in(uri) == "a/b/c d"
