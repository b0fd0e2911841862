"""Defaults and limits of arguments: what routes check is what the OpenAPI document says."""

from __future__ import annotations

__all__ = [
    "FILES_DEFAULT",
    "LISTED_DEFAULT",
    "LISTED_MAX",
    "READ_DEFAULT",
    "TAGS_MAX",
    "VALUES_EXPERIMENTS_MAX",
    "VALUES_METRICS_MAX",
    "WIDTH_DEFAULT",
    "WRITER_PATTERN",
]

LISTED_DEFAULT, LISTED_MAX = 100, 1000
"""Experiments in a page."""
READ_DEFAULT = 100
"""Rows in a page."""
WIDTH_DEFAULT = 1000
"""Pixels of a chart."""
WRITER_PATTERN = "[A-Za-z0-9_-]{1,128}"
"""What a writer's id looks like."""
FILES_DEFAULT = 1000
"""Files in a page."""
TAGS_MAX = 100
"""Tags that one question for files may name."""
VALUES_EXPERIMENTS_MAX, VALUES_METRICS_MAX = 200, 32
"""Experiments, and fields of metrics, that one question for values may name."""
