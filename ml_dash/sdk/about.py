"""What is said about an experiment besides what it logs: readme, tags, bindrs and metadata."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.log import warn_user
from ml_dash.protocol import DESCRIBED
from ml_dash.values.pack import fetched, plain, represent


class About:
    """What was given, and for what was not, what an earlier run stored; see `Experiment` for the arguments."""

    def __init__(
        self,
        directory: str,
        *,
        readme: str | None,
        tags: Iterable[str] | None,
        bindrs: Iterable[str] | None,
        metadata: dict[str, Any] | None,
        description: str | None,
    ) -> None:
        self.directory = directory
        if description is not None:
            warn_user("description= is a synonym of readme=: use readme=", FutureWarning)
            readme = description if readme is None else readme
        self._readme = checked_text("readme", readme)
        self._tags = checked_texts("tags", tags)
        self._bindrs = checked_texts("bindrs", bindrs)
        given = checked_mapping("metadata", metadata)
        # A copy, as it is now: the user may go on changing theirs.
        self._metadata = None if given is None else dict(given)
        self.is_fixed = False  # where it is, what other runs stored does not count

    @property
    def given(self) -> dict[str, Any]:
        """What was given, as the arguments of `Experiment` that mean it; None for what was not."""
        return {
            "readme": self._readme,
            "tags": self._tags,
            "bindrs": self._bindrs,
            "metadata": self._metadata,
        }

    def record(self) -> dict[str, Any]:
        """Return what was given as plain data, waiting for a device of which a value is.

        What was not given is left out, and stays as it is wherever this is stored: here and at a server, which may have
        more of it than this disk does.
        """
        return {
            name: fetched(plain(value, represent)) for name, value in self.given.items() if value is not None
        }

    def known(self) -> dict[str, Any]:
        """Return what was given, and for what was not, what is stored here, if anything is."""
        stored = {name: self.stored().get(name) for name in DESCRIBED}
        return {name: value for name, value in stored.items() if value is not None} | self.record()

    def stored(self) -> dict[str, Any]:
        """Return what an earlier run has stored here, and empty where that is nothing."""
        # Unreadable is the same as not there: what is said about a run must not stop it.
        import json

        if self.is_fixed:
            return {}
        try:
            with open(os.path.join(self.directory, "experiment.json"), "rb") as file:
                record = json.load(file)
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}


def checked_text(name: str, value: Any) -> str | None:
    """Return an argument that is a text, or None for one that was not given; refuse anything else."""
    if value is not None and not isinstance(value, str):
        raise InvalidArgumentError(f"{name}={value!r:.200} is not a string: pass {name}=str(…)")
    return value


def checked_texts(name: str, value: Any) -> list[str] | None:
    """Return an argument that is a list of texts, or None for one that was not given; refuse anything else."""
    if value is None:
        return None
    if isinstance(value, str):
        raise InvalidArgumentError(
            f"{name}={value!r:.200} is one string, not a list of strings: pass {name}=[{value!r:.200}]"
        )
    is_list = isinstance(value, Iterable) and not isinstance(value, (bytes, dict))
    texts: list[Any] = list(value) if is_list else [None]
    if not all(isinstance(item, str) for item in texts):
        raise InvalidArgumentError(f"{name}={value!r:.200} is not a list of strings: pass {name}=['…', '…']")
    return texts


def checked_mapping(name: str, value: Any) -> dict[str, Any] | None:
    """Return an argument that is a dict, or None for one that was not given; refuse anything else."""
    if value is not None and not isinstance(value, dict):
        raise InvalidArgumentError(f"{name}={value!r:.200} is not a dict: pass {name}={{'key': value}}")
    return value
