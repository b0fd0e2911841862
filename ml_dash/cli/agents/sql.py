"""A question in SQL: runs become the tables of docs/export.md, in memory, and DuckDB answers.

The query is somebody else's: DuckDB reads no file and loads no extension for it, and is interrupted when it takes long.
"""

from __future__ import annotations

import os
import tempfile
import threading
from typing import Any

from ml_dash.cli.exporting.project import TABLES, Tables
from ml_dash.cli.exporting.whole import opened
from ml_dash.cli.place import open_place
from ml_dash.errors import InvalidArgumentError, MissingExtraError

RUNS_MOST = 500
SECONDS_MOST = 30.0
_MEMORY = "2GB"


def answer(query: str, filter: str, limit: int, root: str, url: str | None) -> dict[str, Any]:
    """Return the columns and rows of an answer, and how many runs were asked.

    Raises:
        InvalidArgumentError: The query is none, or several, or takes too long; or too many runs are meant.
        MissingExtraError: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtraError("SQL over runs", "duckdb and pyarrow", "sql") from error
    with open_place(root, url) as place:
        listed = list(place.place.find(filter, None, RUNS_MOST + 1))
    if len(listed) > RUNS_MOST:
        raise InvalidArgumentError(
            f"filter={filter!r} means over {RUNS_MOST} runs: ask for fewer, as by their prefix"
        )
    with tempfile.TemporaryDirectory() as directory, duckdb.connect(":memory:") as database:
        with Tables(directory) as tables:
            for each in listed:
                with opened(each, root, url) as (whole, _):
                    tables.add(whole)
        database.execute(f"SET memory_limit='{_MEMORY}'")
        for name in TABLES:
            path = os.path.join(directory, f"{name}.parquet").replace("'", "''")
            database.execute(f"CREATE TABLE {name} AS SELECT * FROM read_parquet('{path}')")  # noqa: S608 - names of ours
        # from here on the query of somebody else: no file, no extension, no way back
        database.execute("SET enable_external_access=false")
        database.execute("SET lock_configuration=true")
        timer = threading.Timer(SECONDS_MOST, database.interrupt)
        timer.start()
        try:
            if (count := len(database.extract_statements(query))) != 1:
                # of several, DuckDB would answer the last one alone
                raise InvalidArgumentError(
                    f"the query has {count} statements, and one is answered: ask for each by itself"
                )
            found = database.execute(query)
            columns = [column[0] for column in found.description or ()]
            rows = found.fetchmany(limit + 1)
        except duckdb.InterruptException as error:
            raise InvalidArgumentError(
                f"the query took over {SECONDS_MOST:g} s and was stopped: ask for less, as for fewer runs or rows"
            ) from error
        except duckdb.Error as error:
            raise InvalidArgumentError(f"the query cannot be answered: {str(error)[:1000]}") from error
        finally:
            timer.cancel()
    told = [[_plain(value) for value in row] for row in rows[:limit]]
    return {"columns": columns, "rows": told, "more": len(rows) > limit, "runs": len(listed)}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
