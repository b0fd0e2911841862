"""A server of MLflow, asked by its REST API (https://mlflow.org/docs/latest/rest-api.html).

``MLFLOW_TRACKING_TOKEN``, or ``MLFLOW_TRACKING_USERNAME`` and ``MLFLOW_TRACKING_PASSWORD``, are sent along, as MLflow's
own client does it, and to that server alone: what it redirects to elsewhere is refused.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ml_dash.errors import MLDashError, ServerUnavailableError
from ml_dash.importers.mlflow.runs import MILLISECOND, MlflowRun, RunRecord
from ml_dash.importers.mlflow.values import Value, Values
from ml_dash.importers.saved_files import file_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from http.client import HTTPMessage
    from typing import IO

    from ml_dash.importers.report import RunReport
    from ml_dash.importers.source import Item, Part, Position, Store

_API = "/api/2.0/mlflow/"
_PAGE, _HISTORY_PAGE = 1000, 25_000
_PAGES_MOST = 100_000
_SECONDS = 60
_ANSWER_BYTES_MAX = 256 << 20


class _Redirects(HTTPRedirectHandler):
    """Follows redirects within the server alone: a token is for nobody else."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            raise URLError(f"it redirects to {urlsplit(newurl).netloc}, which is another server")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Server:
    """One server.

    Args:
        url: Its address, as ``MLFLOW_TRACKING_URI`` has it.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
        self._headers = {"Accept": "application/json", **_authorization(parts.username, parts.password)}
        self._opener = build_opener(_Redirects)

    def ask(self, path: str, query: Mapping[str, Any] | None = None, body: Any = None) -> dict[str, Any]:
        """Return the answer to a call.

        Raises:
            ServerUnavailableError: It does not answer, or with an error.
        """
        with self.open(_API + path, query, body) as answer:
            data = answer.read(_ANSWER_BYTES_MAX + 1)
        if len(data) > _ANSWER_BYTES_MAX:
            raise ServerUnavailableError(
                f"{self.url} answers {path} with more than {_ANSWER_BYTES_MAX:,} bytes"
            )
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ServerUnavailableError(f"{self.url} does not answer {path} as a server of MLflow does")
        return found

    def open(self, path: str, query: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        """Return the answer to a call as a file."""
        url = self.url + path + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers | ({} if body is None else {"Content-Type": "application/json"})
        try:
            return self._opener.open(Request(url, data, headers), timeout=_SECONDS)  # noqa: S310 - http or https, see `Mlflow`
        except HTTPError as error:
            with error:
                said = error.read(1000).decode("utf-8", "backslashreplace")
            raise ServerUnavailableError(
                f"{self.url} answers {path} with {error.code}: {said:.300}"
            ) from error
        except (OSError, ValueError) as error:
            raise ServerUnavailableError(f"{self.url} cannot be asked: {error}") from error

    def pages(
        self, path: str, field: str, body: Mapping[str, Any], *, posts: bool = True
    ) -> Iterator[list[Any]]:
        """Yield the lists of an answer that comes in pages."""
        token = None
        for _ in range(_PAGES_MOST):
            asked = {**body, **({"page_token": token} if token else {})}
            answer = self.ask(path, body=asked) if posts else self.ask(path, asked)
            yield answer.get(field) or []
            token = answer.get("next_page_token")
            if not token:
                return

    def runs(self) -> list[MlflowRun]:
        """Return all runs, but those that were deleted."""
        names = {
            str(each["experiment_id"]): str(each["name"])
            for page in self.pages("experiments/search", "experiments", {"max_results": _PAGE})
            for each in page
        }
        found = []
        for experiment, name in names.items():
            asked = {"experiment_ids": [experiment], "max_results": _PAGE, "order_by": ["start_time ASC"]}
            for page in self.pages("runs/search", "runs", asked):
                found += [MlflowRun(self._record(run, name), self._parts(run)) for run in page]
        return found

    def _record(self, run: Mapping[str, Any], experiment: str) -> RunRecord:
        info, data = run["info"], run.get("data", {})
        identity = info.get("run_id") or info["run_uuid"]
        return RunRecord(
            f"{self.url}/#/experiments/{info.get('experiment_id')}/runs/{identity}",
            identity,
            experiment,
            info.get("run_name"),
            info.get("status"),
            _whole(info.get("start_time")),
            _whole(info.get("end_time")),
            info.get("user_id"),
            info.get("artifact_uri"),
            params=_pairs(data.get("params")),
            tags=_pairs(data.get("tags")),
        )

    def _parts(self, run: Mapping[str, Any]) -> Callable[[RunRecord, RunReport], Iterator[Part]]:
        keys = sorted({str(each["key"]) for each in run.get("data", {}).get("metrics", [])})

        def parts(record: RunRecord, report: RunReport) -> Iterator[Part]:
            del report
            for key in keys:
                yield History(self, record, key)
            yield Artifacts(self, record)

        return parts


class History:
    """All values of one metric of a run.

    A position is how many were read, and a checksum of them: a server gives them by their times, so that new ones are
    mostly behind the old ones. Where one has come between them, the checksum tells.
    """

    def __init__(self, server: Server, record: RunRecord, key: str) -> None:
        self.name = f"metrics/{key}"
        self._server, self._record, self._key = server, record, key

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        del store
        known = position or {"rows": 0, "crc": 0}
        rows = crc = 0
        asked = {"run_id": self._record.run_id, "metric_key": self._key, "max_results": _HISTORY_PAGE}
        place = self._record.place
        try:
            for page in self._server.pages("metrics/get-history", "metrics", asked, posts=False):
                values = [_value(each) for each in page]
                skipped = min(len(values), known["rows"] - rows) if rows < known["rows"] else 0
                if skipped:
                    rows, crc = rows + skipped, Values(values[:skipped]).checksum(crc)
                if skipped and rows == known["rows"] and crc != known["crc"]:
                    report.note(
                        place,
                        f"{self._key}: values came between those that were imported: import it under another name "
                        "(--as)",
                    )
                    return
                if values[skipped:]:
                    new = Values(values[skipped:])
                    rows, crc = rows + len(values) - skipped, new.checksum(crc)
                    yield new.item({"rows": rows, "crc": crc}, place, report)
        except MLDashError as error:
            report.note(place, f"{self._key}: {error}")


class Artifacts:
    """The files of a run, as the server hands them out, but those of a name and a size that are here already."""

    name = "artifacts"

    def __init__(self, server: Server, record: RunRecord) -> None:
        self._server, self._record = server, record

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        del position
        here = {(_name_of(row), row["sizeBytes"]) for row in store.files.rows()}
        try:
            for path, size in self._listed(""):
                if (path, size) not in here:
                    yield from self._file(path, store, report)
        except MLDashError as error:
            report.note(self._record.place, f"artifacts: {error}")

    def _listed(self, above: str) -> Iterator[tuple[str, int | None]]:
        asked = {"run_id": self._record.run_id, **({"path": above} if above else {})}
        for page in self._server.pages("artifacts/list", "files", asked, posts=False):
            for each in page:
                path = str(each["path"])
                if each.get("is_dir"):
                    # only what is below it: a server that names a directory in itself would be walked for ever
                    if path.startswith(f"{above}/" if above else "") and path != above:
                        yield from self._listed(path)
                else:
                    yield path, _whole(each.get("file_size"))

    def _file(self, path: str, store: Store, report: RunReport) -> Iterator[Item]:
        asked = {"path": path, "run_uuid": self._record.run_id}
        try:
            with self._server.open("/get-artifact", asked) as answer:
                blob = store.staging.write(lambda file: shutil.copyfileobj(answer, file))
            yield from file_row(
                store, blob, path, (self._record.end_ms or self._record.start_ms or 0) * MILLISECOND
            )
        except (MLDashError, OSError) as error:
            report.note(self._record.place, f"the artifact {path!r} is left out: {error}")


def _name_of(row: Mapping[str, Any]) -> str:
    return f"{row['path'].strip('/')}/{row['filename']}".lstrip("/")


def _authorization(user: str | None, password: str | None) -> dict[str, str]:
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    user = user or os.environ.get("MLFLOW_TRACKING_USERNAME")
    password = password or os.environ.get("MLFLOW_TRACKING_PASSWORD")
    if user is None:
        return {}
    pair = base64.b64encode(f"{user}:{password or ''}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _pairs(several: Any) -> dict[str, str]:
    return {str(each["key"]): str(each.get("value", "")) for each in several or []}


def _value(each: Mapping[str, Any]) -> Value:
    """Return a value of a history: JSON has NaN and the infinities as texts, and whole numbers may be texts, too."""
    try:
        number: Any = float(each["value"])
    except (KeyError, TypeError, ValueError):
        number = None
    return str(each.get("key")), number, _whole(each.get("timestamp")), _whole(each.get("step", 0)), False
