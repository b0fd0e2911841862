"""The dashboard's types, which are made of the OpenAPI document and committed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from ml_dash.server.api.contract import document

DASHBOARD = os.path.join(os.path.dirname(__file__), "..", "..", "..", "dashboard")


def test_the_dashboard_has_the_types_that_the_document_has_now() -> None:
    node = shutil.which("node")
    if node is None or not os.path.isdir(os.path.join(DASHBOARD, "node_modules", "openapi-typescript")):
        pytest.skip("this needs Node, and what `make dashboard` installs")
    checked = subprocess.run(
        [node, "types.mjs", "--check"],
        cwd=DASHBOARD,
        input=json.dumps(document()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
