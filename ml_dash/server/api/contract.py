"""What can be asked of a server: every route, with its arguments, its body, and the statuses that an answer may have.

Routing, the checks of requests and the OpenAPI document are made of this, and of that the dashboard's types.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta

from ml_dash import shapes
from ml_dash.protocol import (
    ABOUT_BYTES_MAX,
    API,
    BLOBS_ASKED_MAX,
    BODY_HEADER,
    BODY_PIECE_BYTES_MAX,
    CHECKSUM_PATTERN,
    COLUMNS_ASKED_MAX,
    FILES_DEFAULT,
    FRAMES,
    GROUP_KEYS_MAX,
    HTML,
    INDEX_MAX,
    JSON,
    LISTED_DEFAULT,
    LISTED_MAX,
    OCTETS,
    PART_BYTES_MIN,
    PARTS_MAX,
    RANK_LINES_MAX,
    RANK_MAX,
    READ_DEFAULT,
    READ_LIMIT_MAX,
    SERIES_NAME_MAX,
    SESSION_COOKIE,
    TAGS_ASKED_MAX,
    TEXT_MAX,
    TEXTS_ASKED_MAX,
    VIEW_PATTERN,
    WAIT_MAX,
    WIDTH_DEFAULT,
    WIDTH_MAX,
    WRITER_PATTERN,
)
from ml_dash.query.logs import ALERT_LEVELS, LEVELS
from ml_dash.series import STREAMS, Kind
from ml_dash.server.accounts.grants import Scope
from ml_dash.server.http.access import BY_PAGE
from ml_dash.server.http.openapi import describe
from ml_dash.server.http.query_args import Query
from ml_dash.server.http.routing import Caller, Form, Route

EXPERIMENT = f"{API}/experiments/{{id}}"


def _text(description: str, most: int = TEXT_MAX, least: int = 0, **others: Any) -> Meta:
    return Meta(description=description, max_length=most, min_length=least, **others)


def _name(description: str) -> Meta:
    remedy = f"give 1 to {SERIES_NAME_MAX} characters, or leave it out for the unnamed metric"
    return _text(description, SERIES_NAME_MAX, 1, extra={"remedy": remedy})


def _whole(description: str, most: int = INDEX_MAX, least: int = 0) -> Meta:
    return Meta(description=description, ge=least, le=most)


def _reading(path: str, summary: str, answer: Any, query: type[Query] = Query) -> Route:
    return Route("GET", f"{EXPERIMENT}/{path}", summary, {200: answer}, scope=Scope.READ, query=query)


def _writing(method: str, path: str, summary: str, answer: Any, *failures: int, **more: Any) -> Route:
    path = f"{EXPERIMENT}/{path}"
    return Route(method, path, summary, {200: answer}, (*failures, 507), scope=Scope.WRITE, **more)


def _public(method: str, path: str, summary: str, answer: Any, *failures: int, **more: Any) -> Route:
    return Route(method, path, summary, {200: answer}, failures, caller=Caller.ANYBODY, **more)


def _admin(method: str, path: str, summary: str, answer: Any, *failures: int, **more: Any) -> Route:
    return Route(method, path, summary, {200: answer}, failures, caller=Caller.ADMIN, **more)


def _device(path: str, summary: str, answer: Any, form: type[Form]) -> Route:
    path = f"{API}/device/{path}"
    # errors as OAuth's libraries read them, and not as everywhere else (RFC 8628, section 3.5)
    return _public("POST", path, summary, answer, 429, 507, body=form, errors=shapes.OAuthError)


class Paths(Query):
    """The names in paths."""

    id: Annotated[str, Meta(pattern="^exp_[a-z0-9]{20}$")]
    writer: Annotated[str, Meta(pattern=f"^{WRITER_PATTERN}$")]
    tokenId: Annotated[str, Meta(min_length=1, max_length=64)]  # noqa: N815 - as it is in the path
    file: Annotated[str, Meta(min_length=1, max_length=256)]
    checksum: Annotated[str, Meta(pattern=f"^{CHECKSUM_PATTERN}$")]
    number: Annotated[int, Meta(ge=1, le=PARTS_MAX)]
    owner: Annotated[str, Meta(min_length=1, max_length=255)]
    project: Annotated[str, Meta(min_length=1, max_length=255)]
    view: Annotated[str, Meta(pattern=f"^{VIEW_PATTERN}$")]
    rule: Annotated[str, Meta(min_length=1, max_length=64)]


# --- the server


HEALTH = _public("GET", f"{API}/health", "Say that the server is there.", shapes.Health)
READY = _public("GET", f"{API}/ready", "Say whether the server can store.", shapes.Ready)
COUNTERS = _admin("GET", "/metrics", "Return counters for Prometheus.", "text/plain")
OPENAPI = Route("GET", f"{API}/openapi.json", "Return this document.", {200: JSON})


# --- tokens, sessions and logins


WHOAMI = Route("GET", f"{API}/whoami", "Say what the token may do.", {200: shapes.Whoami})
REVOKE_SELF = Route("DELETE", f"{API}/tokens/self", "Revoke the token used.", {200: shapes.Revoked}, (507,))


class ListTokens(Query):
    """Which tokens."""

    limit: Annotated[int, _whole("How many at most.", LISTED_MAX)] = LISTED_MAX
    cursor: Annotated[str, _text("The cursor of the page before.", 200)] | None = None


TOKENS = _admin("GET", f"{API}/tokens", "List the tokens, oldest first.", shapes.Tokens, query=ListTokens)
CREATE_TOKEN = Route(
    "POST",
    f"{API}/tokens",
    "Create a token, whose text is in this answer only.",
    {201: shapes.CreatedToken},
    (507,),
    caller=Caller.ADMIN,
    body=shapes.NewToken,
    body_bytes=256 << 10,
)
REVOKE_TOKEN = _admin("DELETE", f"{API}/tokens/{{tokenId}}", "Revoke a token.", shapes.Revoked, 404, 507)

_BY_PAGE = {
    "name": BY_PAGE,
    "in": "header",
    "required": True,
    "schema": {"type": "string", "enum": ["1"]},
    "description": "Any value: what counts is that a page of another origin cannot send it.",
}
SESSION = _public("GET", f"{API}/session", "Say who is signed in with this browser.", shapes.Session)
SIGN_IN = Route(
    "POST",
    f"{API}/session",
    "Sign in: exchange a token for a cookie, with which a browser may read what the token may, and change names, tags, "
    "notes, readmes and rules.",
    {200: shapes.Session},
    (401, 429, 507),
    caller=Caller.PAGE,
    body=shapes.NewSession,
    body_bytes=4096,
    headers=(_BY_PAGE,),
)
SIGN_OUT = Route(
    "DELETE",
    f"{API}/session",
    "Sign out.",
    {200: shapes.Session},
    (507,),
    caller=Caller.PAGE,
    headers=(_BY_PAGE,),
)


class AuthorizeForm(Form):
    """What a device begins a login with."""

    client_id: Annotated[str, Meta(max_length=100)]
    client_name: Annotated[str, Meta(max_length=255)] | None = None
    scope: Annotated[str, Meta(max_length=TEXT_MAX)] | None = None


class PollForm(Form):
    """What a device asks for its token with."""

    client_id: Annotated[str, Meta(max_length=100)]
    grant_type: Annotated[str, Meta(max_length=100)]
    device_code: Annotated[str, Meta(max_length=200)]


class DecisionForm(Form):
    """What a person decides on a login."""

    user_code: Annotated[str, Meta(max_length=64)]
    token: Annotated[str, Meta(max_length=TEXT_MAX)]
    decision: Literal["approve", "deny"]
    scope: Literal["read", "write"] | None = None
    owners: Annotated[str, Meta(max_length=TEXT_MAX)] | None = None
    lifetime: Literal["30", "90", "365", "never"] | None = None


class UserCode(Query):
    """Which login."""

    user_code: Annotated[str, _text("The code that the device shows.", 64)] | None = None


DEVICE_AUTHORIZE = _device(
    "authorize", "Begin a login (RFC 8628).", shapes.DeviceAuthorization, AuthorizeForm
)
DEVICE_TOKEN = _device("token", "Ask for the token of a login (RFC 8628).", shapes.DeviceToken, PollForm)
DEVICE_PAGE = _public("GET", "/device", "Show a person a login.", HTML, 404, 429, query=UserCode, errors=HTML)
DEVICE_DECIDE = Route(
    "POST",
    "/device",
    "Approve or deny a login.",
    {200: HTML},
    (403, 404, 409, 429, 507),
    caller=Caller.ANYBODY,
    body=DecisionForm,
    errors=HTML,
)


# --- experiments


_Status: TypeAlias = Literal["RUNNING", "COMPLETED", "FAILED", "CANCELLED", "STALE"]
_AsOf: TypeAlias = Annotated[
    str,
    _text(
        "The asOf of an earlier list: only what may have changed since, deleted ones included.",
        200,
        # for the document: what `ml-dash ui` hands out looks different, so each library checks its own
        extra_json_schema={"pattern": r"^[0-9]{1,19}\.[0-9]{1,19}$"},
    ),
]


class WhichExperiments(Query):
    """Which experiments."""

    prefix: Annotated[str, _text("The experiment of this prefix, and those below it.")] | None = None
    owner: Annotated[str, _text("Of this owner.")] | None = None
    project: Annotated[str, _text("Of a project of this name.")] | None = None
    folder: Annotated[str, _text("In this folder, and below it.")] | None = None
    tag: Annotated[str, _text("With this tag.")] | None = None
    status: Annotated[_Status, Meta(description="STALE is RUNNING without a heartbeat.")] | None = None
    search: Annotated[str, _text("Words in the prefix, a tag or the readme, in any case.", 1000)] | None = (
        None
    )
    text: Annotated[
        tuple[Annotated[str, Meta(max_length=1000)], ...],
        Meta(max_length=TEXTS_ASKED_MAX, description="As search, each with the blanks that are in it."),
    ] = ()
    filter: (
        Annotated[str, _text("What they are to be, such as `max(val/acc)>0.9 params.lr<0.01 tag:sweep`.")]
        | None
    ) = None


class ListExperiments(WhichExperiments):
    """Which experiments, in which order."""

    order: (
        Annotated[
            str, _text("By what they are sorted, such as `-max(val/acc)`; what has no value comes last.")
        ]
        | None
    ) = None
    columns: Annotated[
        tuple[Annotated[str, Meta(max_length=TEXT_MAX)], ...],
        Meta(
            max_length=COLUMNS_ASKED_MAX,
            description="Parameters and fields of metrics that are told with each, such as `params.lr` and "
            "`metrics.val/acc`; `params` or `metrics` for all of them; `readme` and "
            "`note`.",
        ),
    ] = ()
    limit: Annotated[int, _whole("How many at most.", LISTED_MAX)] = LISTED_DEFAULT
    cursor: Annotated[str, _text("The cursor of the page before.", 200)] | None = None
    changed_since: _AsOf | None = None
    wait: Annotated[
        float,
        Meta(
            description="How many seconds the answer may take where nothing has changed since; only with "
            "changed_since.",
            ge=0,
            le=WAIT_MAX,
            extra={"remedy": f"give a number of seconds, from 0 to {WAIT_MAX}"},
        ),
    ] = 0.0


class ListGroups(WhichExperiments):
    """Which experiments, and by what they are grouped."""

    by: Annotated[
        tuple[Annotated[str, Meta(max_length=TEXT_MAX)], ...],
        Meta(
            max_length=GROUP_KEYS_MAX,
            description="folder, tags, status, host, project, owner, name, or a parameter: params.lr.",
        ),
    ] = ()
    but: Annotated[
        tuple[Annotated[str, Meta(max_length=TEXT_MAX)], ...],
        Meta(
            max_length=GROUP_KEYS_MAX,
            description="By all parameters that differ, but for these: but=params.seed.",
        ),
    ] = ()
    columns: Annotated[
        tuple[Annotated[str, Meta(max_length=TEXT_MAX)], ...],
        Meta(
            max_length=COLUMNS_ASKED_MAX,
            description="Fields of metrics, such as val/acc, that are summed up.",
        ),
    ] = ()


class AskedImportance(WhichExperiments, kw_only=True):
    """Which experiments, and for what parameters are to matter."""

    metric: Annotated[str, _name("The metric's name; without it, the unnamed one.")] | None = None
    field: Annotated[
        str, _text("The field's name.", extra={"remedy": "give the name of a field of the metric"})
    ]
    value: Annotated[Literal["last", "min", "max", "mean"], Meta(description="Which value of it.")] = "last"


UPSERT = Route(
    "POST",
    f"{API}/experiments",
    "Create an experiment, or change what is said of it; what is left out or null stays.",
    {200: shapes.UpsertedExperiment, 201: shapes.UpsertedExperiment},
    (403, 404, 409, 410, 507),
    body=shapes.NewExperiment,
    body_bytes=ABOUT_BYTES_MAX,
)
EXPERIMENTS = Route(
    "GET",
    f"{API}/experiments",
    "List experiments of the owners that the token may read, newest first, without their readmes.",
    {200: shapes.Experiments},
    query=ListExperiments,
)
VALUES = Route(
    "POST",
    f"{API}/experiments/values",
    "Return parameters and last values of those of the experiments that exist; this changes nothing.",
    {200: shapes.Values},
    caller=Caller.READER,
    body=shapes.AskedValues,
    body_bytes=1 << 20,
)
LINES = Route(
    "POST",
    f"{API}/experiments/series",
    "Return the lines of several charts, of any experiments, as many as there is room for; this changes nothing.",
    {200: shapes.Lines},
    caller=Caller.READER,
    body=shapes.AskedPanels,
    body_bytes=1 << 20,
)
GROUPS = Route(
    "GET",
    f"{API}/groups",
    "Return experiments in groups, with the last, lowest, highest and mean values of metrics summed up.",
    {200: shapes.Groups},
    query=ListGroups,
)
IMPORTANCE = Route(
    "GET",
    f"{API}/importance",
    "Say how much parameters matter for a metric, by correlations and by a random forest.",
    {200: shapes.Importance},
    query=AskedImportance,
)
RECORD = Route("GET", EXPERIMENT, "Return an experiment.", {200: shapes.Experiment}, scope=Scope.READ)


# --- what people do with experiments


class DeleteHow(Query):
    """Which experiments are deleted."""

    unless_running: Annotated[bool, Meta(description="Answer by 409 where a run of it goes on.")] = False


class ListTrash(Query):
    """Which deleted experiments."""

    limit: Annotated[int, _whole("How many at most.", LISTED_MAX)] = LISTED_DEFAULT
    cursor: Annotated[str, _text("The cursor of the page before.", 200)] | None = None


class ListHistory(Query):
    """Which changes."""

    limit: Annotated[int, _whole("How many at most.", LISTED_MAX)] = LISTED_DEFAULT
    cursor: Annotated[str, _text("The cursor of the page before.", 200)] | None = None


DELETE = Route(
    "DELETE",
    EXPERIMENT,
    "Put an experiment into the trash: it can be restored, with all its rows, until they are removed for good.",
    {200: shapes.DeletedExperiment},
    (409, 507),
    caller=Caller.PERSON,
    scope=Scope.WRITE,
    query=DeleteHow,
)
RESTORE = _writing(
    "POST",
    "restore",
    "Take an experiment out of the trash, under its own name or another one.",
    shapes.Experiment,
    409,
    caller=Caller.PERSON,
    body=shapes.RestoreTo,
)
MOVE = _writing(
    "POST",
    "move",
    "Give an experiment another name, of the same owner; its runs go on in it, and by its former name their writers "
    "find it.",
    shapes.Experiment,
    409,
    caller=Caller.PERSON,
    body=shapes.MoveTo,
)
TAG = _writing(
    "POST",
    "tags",
    "Change the tags of an experiment.",
    shapes.Experiment,
    caller=Caller.PERSON,
    body=shapes.NewTags,
)
NOTE = _writing(
    "PUT",
    "note",
    "Write a note on an experiment.",
    shapes.Experiment,
    412,
    caller=Caller.PERSON,
    body=shapes.NewNote,
)
README = _writing(
    "PUT",
    "readme",
    "Change the readme of an experiment, until a run of it says another one.",
    shapes.Experiment,
    412,
    caller=Caller.PERSON,
    body=shapes.NewReadme,
)
STOP = _writing(
    "POST",
    "stop",
    "Ask the newest attempt of an experiment to stop, or take that back as long as it has not seen it. What its "
    "processes do about it is theirs: a run that does not look goes on.",
    shapes.Experiment,
    409,
    caller=Caller.PERSON,
    body=shapes.NewStop,
)
TRASH = Route(
    "GET",
    f"{API}/trash",
    "List what is in the trash of the owners that the token may read, what was deleted last first.",
    {200: shapes.Trash},
    query=ListTrash,
)
HISTORY = _reading(
    "history",
    "List who has deleted, restored, moved, tagged, annotated, described or stopped an experiment, the newest first.",
    shapes.History,
    ListHistory,
)


# --- bodies in pieces


class PieceOf(Query):
    """Where a piece lies in its body."""

    offset: Annotated[int, _whole("The place of its first byte in the body, from 0 on.")] = 0


PUT_BODY = Route(
    "PUT",
    f"{API}/bodies/{{checksum}}",
    "Keep a piece of the body, with this SHA-256, of a request that comes next: with an empty body, and the header "
    f"{BODY_HEADER} that names the same. For clients behind a proxy that takes small requests only.",
    {200: shapes.BodyPiece},
    (403, 507),
    query=PieceOf,
    body=OCTETS,
    body_text=f"At most {BODY_PIECE_BYTES_MAX} bytes. A piece may come again; all are kept for an hour, or until the "
    "request was answered by a success.",
)


# --- frames and rows


class WritersPage(Query):
    """Which writers."""

    limit: Annotated[int, _whole("How many at most.", READ_LIMIT_MAX)] = READ_LIMIT_MAX
    cursor: (
        Annotated[
            str,
            Meta(
                description="The cursor of the page before.",
                pattern=f"^{WRITER_PATTERN}$",
                extra={"remedy": "give the cursor of the page before"},
            ),
        ]
        | None
    ) = None


WRITERS = _reading(
    "writers", "Return how far the frames of each writer are stored.", shapes.Watermarks, WritersPage
)
POST_FRAMES = _writing(
    "POST",
    "writers/{writer}/frames",
    "Store frames, each exactly once; the answer means that they are on the disk.",
    shapes.Watermark,
    409,
    422,
    body=FRAMES,
    body_text="Frames of the journal's format, back to back, their numbers without a gap. Content-Encoding: identity "
    "or deflate (zlib). A header `ML-Dash-Clock` may tell the sender's time in nanoseconds since the epoch: by it the "
    "server knows how old the rows are, whatever the clocks say. Without it they are as new as the request.",
)


_Since: TypeAlias = Annotated[float, Meta(description="Only from this time on; seconds since the epoch.")]
_Until: TypeAlias = Annotated[float, Meta(description="Only up to this time; seconds since the epoch.")]
_MetricName: TypeAlias = Annotated[str, _name("The metric's name; without it, the unnamed one.")]


class MetricName(Query):
    """Which metric."""

    name: _MetricName | None = None


class _Page(Query):
    start_index: Annotated[int, _whole("The first row's index.")] = 0
    limit: Annotated[int, _whole("How many rows at most.", READ_LIMIT_MAX)] = READ_DEFAULT


_Attempt: TypeAlias = Annotated[
    str,
    _text(
        "The number of an attempt, or all. Without it, all rows but those that a later attempt has superseded.",
        20,
        1,
        pattern="^(all|[1-9][0-9]*)$",
        extra={"remedy": "give the number of an attempt, from 1 on, or all"},
    ),
]


_Rank: TypeAlias = Annotated[int, _whole("Only of this rank of a distributed training.", RANK_MAX)]
_X = "index, time, the name of a field, or another metric's as metric/field: its last value at the time of each row."


class RowsPage(_Page):
    """Which rows of a metric."""

    name: _MetricName | None = None
    attempt: _Attempt | None = None
    rank: _Rank | None = None
    x: Annotated[str, _text(f"What each row is placed by: {_X}", SERIES_NAME_MAX + TEXT_MAX, 1)] | None = None


_LEVELS = {"enum": [*LEVELS, "warning"]}


class LogsPage(_Page):
    """Which log rows."""

    level: Annotated[str, _text("In any case.", extra_json_schema=_LEVELS)] | None = None
    search: Annotated[str, _text("Only messages that contain this, in any case.")] | None = None
    since: _Since | None = None
    until: _Until | None = None


class ConsolePage(_Page):
    """Which printed lines."""

    stream: (
        Annotated[str, _text("`stdout` or `stderr`.", extra_json_schema={"enum": list(STREAMS)})] | None
    ) = None
    search: Annotated[str, _text("Only lines that contain this, in any case.")] | None = None
    since: _Since | None = None
    until: _Until | None = None


class AlertsPage(_Page):
    """Which alerts."""

    level: (
        Annotated[str, _text("In any case.", extra_json_schema={"enum": [*ALERT_LEVELS, "warn"]})] | None
    ) = None
    search: Annotated[str, _text("Only alerts with this in the title or the text, in any case.")] | None = (
        None
    )
    since: _Since | None = None
    until: _Until | None = None


class SeriesPage(Query):
    """Which metrics, or tracks."""

    start: Annotated[int, _whole("How many to leave out: those that are known already.")] = 0
    limit: Annotated[int, _whole("How many at most.", READ_LIMIT_MAX)] = READ_LIMIT_MAX


class MetricsPage(SeriesPage):
    """Which metrics."""

    rank: _Rank | None = None


class RanksPage(SeriesPage):
    """Which ranks of which metric."""

    name: _MetricName | None = None


class ParamsPage(Query):
    """Which parameters."""

    limit: Annotated[int, _whole("How many at most.", READ_LIMIT_MAX)] = READ_LIMIT_MAX
    cursor: Annotated[str, _text("The cursor of the page before.", 200)] | None = None


class StatsPage(MetricName):
    """Which metric, and which of its fields."""

    start: Annotated[int, _whole("How many fields to leave out: those that are known already.")] = 0
    limit: Annotated[int, _whole("How many fields at most.", READ_LIMIT_MAX)] = READ_LIMIT_MAX
    attempt: _Attempt | None = None
    rank: _Rank | None = None


class ShownPage(MetricName):
    """Which rows of a metric are shown."""

    start: Annotated[int, _whole("The first row's index.")] = 0
    limit: Annotated[int, _whole("How many ranges at most.", READ_LIMIT_MAX)] = READ_LIMIT_MAX
    attempt: _Attempt | None = None
    rank: _Rank | None = None
    by: Annotated[Literal["rank"], Meta(description="Ranges of one rank each, with their ranks.")] | None = (
        None
    )


class AttemptsPage(Query):
    """Which attempts."""

    start: Annotated[int, _whole("How many to leave out: the newest ones.")] = 0
    limit: Annotated[int, _whole("How many at most.", LISTED_MAX)] = LISTED_DEFAULT


class EnvironmentsPage(Query):
    """Which processes."""

    start: Annotated[int, _whole("How many to leave out: the newest ones.")] = 0
    limit: Annotated[int, _whole("How many at most.", LISTED_MAX)] = LISTED_DEFAULT


class Chart(MetricName, kw_only=True):
    """What to draw of a metric."""

    field: Annotated[
        str,
        _text(
            "The field's name, dotted for an item of a dict.",
            extra={"remedy": f"give the name of a field of the metric, of at most {TEXT_MAX} characters"},
        ),
    ]
    x: Annotated[str, _text(_X, SERIES_NAME_MAX + TEXT_MAX)] = "index"
    start: Annotated[float, Meta(description="The lowest x.")] | None = None
    stop: Annotated[float, Meta(description="The x up to which, exclusive.")] | None = None
    width: Annotated[int, _whole("In pixels.", WIDTH_MAX, 1)] = WIDTH_DEFAULT
    attempt: _Attempt | None = None
    rank: _Rank | None = None
    by: (
        Annotated[Literal["rank"], Meta(description=f"A line besides of each of {RANK_LINES_MAX} ranks.")]
        | None
    ) = None


class BlocksRange(Query):
    """Which rows of which series."""

    kind: Annotated[Kind, Meta(description="Its kind.")]
    name: Annotated[str, _name("Its name; without it, the unnamed one.")] | None = None
    start: Annotated[int, _whole("The first row's index.")] = 0
    stop: Annotated[int, _whole("The index after the last row's.")] | None = None


class TrackEntries(Query):
    """Which entries of which track."""

    topic: Annotated[
        str,
        _text("The track's name.", SERIES_NAME_MAX, 1, extra={"remedy": "give the name of a track"}),
    ]
    start: _Since | None = None
    end: _Until | None = None
    columns: Annotated[str, _text("Fields to keep, with commas between them.")] | None = None
    limit: Annotated[int, _whole("How many at most.", READ_LIMIT_MAX, 1)] = READ_LIMIT_MAX
    cursor: Annotated[str, _text("The cursor of the page before.", 200)] | None = None


PARAMS = _reading("params", "Return flat parameters.", shapes.Params, ParamsPage)
RUN = _reading("run", "Return the status of the run.", shapes.Run)
ATTEMPTS = _reading("attempts", "List the attempts, the newest first.", shapes.Attempts, AttemptsPage)
ENVIRONMENTS = _reading(
    "environments",
    "List what surrounded each process of the experiment, the newest first.",
    shapes.Environments,
    EnvironmentsPage,
)
LOGS = _reading("logs", "Return log rows.", shapes.Logs, LogsPage)
CONSOLE = _reading("console", "Return lines that the script printed.", shapes.Console, ConsolePage)
ALERTS = _reading("alerts", "Return alerts that the script has logged.", shapes.Alerts, AlertsPage)
METRICS = _reading("metrics", "List the metrics, in order of first appearance.", shapes.Metrics, MetricsPage)
ROWS = _reading("metrics/rows", "Return rows of a metric.", shapes.Rows, RowsPage)
STATS = _reading("metrics/stats", "Return statistics of a metric.", shapes.Stats, StatsPage)
SERIES = _reading(
    "metrics/series", "Return one field of a metric, in at most `width` buckets.", shapes.Series, Chart
)
SHOWN = _reading(
    "metrics/shown", "Return which rows of a metric are shown, as ranges.", shapes.Shown, ShownPage
)
RANKS = _reading(
    "metrics/ranks", "List which ranks have logged rows of a metric, and how many.", shapes.Ranks, RanksPage
)
BLOCKS = _reading(
    "blocks",
    "Return rows of a series in full, as frames that are numbered 1, 2, …; a cut stream has no proper end.",
    FRAMES,
    BlocksRange,
)
TRACKS = _reading("tracks", "List the tracks, in order of first appearance.", shapes.Tracks, SeriesPage)
ENTRIES = _reading("tracks/entries", "Return entries of a track, by time.", shapes.Entries, TrackEntries)


# --- files and blobs


class ListFiles(Query):
    """Which files."""

    path: Annotated[str, _text("Those at or below it, or the one of this full name.")] | None = None
    pattern: Annotated[str, _text("* and ? match within a segment, ** across segments.")] | None = None
    tag: Annotated[
        tuple[Annotated[str, Meta(max_length=TEXT_MAX)], ...],
        Meta(max_length=TAGS_ASKED_MAX, description="With any of these tags."),
    ] = ()
    alias: (
        Annotated[str, _text("Of each name the version that this alias means; latest: the newest.")] | None
    ) = None
    versions: Annotated[bool, Meta(description="Every version of each name.")] = False
    deleted: Annotated[bool, Meta(description="Deleted ones, too.")] = False
    limit: Annotated[int, _whole("How many at most.", READ_LIMIT_MAX)] = FILES_DEFAULT
    cursor: Annotated[str, _text("The cursor of the page before.", 16_384)] | None = None


class ListMissing(Query):
    """Which of the missing blobs."""

    limit: Annotated[int, _whole("How many at most.", BLOBS_ASKED_MAX)] = BLOBS_ASKED_MAX
    cursor: Annotated[shapes.Checksum, Meta(description="The cursor of the page before.")] | None = None


FILES = _reading(
    "files",
    "List files, by path and filename: of each name the newest version, unless it was deleted.",
    shapes.Files,
    ListFiles,
)
FILE = _reading("files/{file}", "Return one file: any version, deleted or not.", shapes.File)
CONTENT = Route(
    "GET",
    f"{EXPERIMENT}/files/{{file}}/content",
    "Return what the file holds, or a range of it; a cut stream ends before its length.",
    {200: OCTETS, 206: OCTETS},
    (409, 416),
    scope=Scope.READ,
)

_BLOB = "contents/{checksum}"
_DIGEST = {
    "name": "Content-Digest",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "pattern": "^sha-256=:[A-Za-z0-9+/]{43}=:$"},
    "description": "The SHA-256 of the part, as of RFC 9530.",
}
LACKING_BLOBS = _writing(
    "POST",
    "contents",
    "Say which of these blobs the server does not have; it keeps the others for a day from now on.",
    shapes.LackingBlobs,
    body=shapes.AskedBlobs,
)
MISSING_BLOBS = Route(
    "GET",
    f"{EXPERIMENT}/contents/missing",
    "List the blobs that files of the experiment name which are not deleted, and that the server does not have.",
    {200: shapes.MissingBlobs},
    scope=Scope.WRITE,
    query=ListMissing,
)
_PIECE = f"At most {PART_BYTES_MIN} bytes."
PUT_BLOB = _writing(
    "PUT", _BLOB, "Store a blob that is sent in one piece.", shapes.Blob, body=OCTETS, body_text=_PIECE
)
BEGIN_UPLOAD = _writing(
    "POST",
    f"{_BLOB}/upload",
    "Begin an upload in parts, or go on with it.",
    shapes.Upload,
    body=shapes.NewUpload,
)
PUT_PART = _writing(
    "PUT",
    f"{_BLOB}/parts/{{number}}",
    "Store a part.",
    shapes.Part,
    body=OCTETS,
    body_text="partBytes, but for the last part, which has the rest.",
    headers=(_DIGEST,),
)
COMPLETE_UPLOAD = _writing(
    "POST",
    f"{_BLOB}/complete",
    "Check the parts, and make them the blob; 503 says that this takes a while.",
    shapes.Blob,
    409,
    422,
)


# --- views


class WhoseView(Query):
    """Whose view."""

    mine: Annotated[bool, Meta(description="One's own; without it, that of all who read the project.")] = (
        False
    )


_VIEWS = f"{API}/owners/{{owner}}/projects/{{project}}/views"
_BASED_ON = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": '^("[^"]+"|\\*)$'},
    "description": "The ETag of the version that is saved over, or deleted, or * for whatever there is; without it the "
    "view is a new one.",
}
VIEWS = Route(
    "GET",
    _VIEWS,
    "List the views of a project, one's own first, without what they hold.",
    {200: shapes.Views},
    scope=Scope.READ,
)
VIEW = Route(
    "GET", f"{_VIEWS}/{{view}}", "Return a view.", {200: shapes.View}, scope=Scope.READ, query=WhoseView
)
SAVE_VIEW = Route(
    "PUT",
    f"{_VIEWS}/{{view}}",
    "Save a view: a new one, or over the version that is named; 412 tells what there is where that is another one.",
    {200: shapes.View},
    (412, 507),
    caller=Caller.PERSON,
    scope=Scope.READ,
    query=WhoseView,
    body=shapes.NewView,
    body_bytes=1 << 20,
    headers=(_BASED_ON,),
)
DELETE_VIEW = Route(
    "DELETE",
    f"{_VIEWS}/{{view}}",
    "Delete the version of a view that is named.",
    {200: shapes.DeletedView},
    (412, 507),
    caller=Caller.PERSON,
    scope=Scope.READ,
    query=WhoseView,
    headers=(_BASED_ON,),
)


# --- rules


class WhichRules(Query):
    """Whose rules."""

    owner: Annotated[str, _text("Of this owner.", 255, 1)] | None = None
    folder: (
        Annotated[
            str,
            _text("Of this folder's owner, without those whose patterns mean nothing in it.", TEXT_MAX, 1),
        ]
        | None
    ) = None


class WhichMetrics(Query):
    """Which metrics."""

    folder: Annotated[str, _text("An owner, and folders below it.", TEXT_MAX, 1)]
    search: Annotated[str, _text("A part of the name, in any case.", TEXT_MAX)] = ""
    limit: Annotated[int, _whole("How many at most.", 100, 1)] = 20


_RULES = f"{API}/rules"
RULES = Route(
    "GET",
    _RULES,
    "List the rules of the owners whose experiments the token may write, the oldest first.",
    {200: shapes.Rules},
    (403, 404),
    query=WhichRules,
)
RULE_METRICS = Route(
    "GET",
    f"{_RULES}/metrics",
    "Find metrics of a folder by a part of their names, those that begin so first.",
    {200: shapes.MetricNames},
    (403, 404),
    query=WhichMetrics,
)
CREATE_RULE = Route(
    "POST",
    _RULES,
    "Make a rule: what it waits for, and whom it tells.",
    {201: shapes.Rule},
    (403, 404, 507),
    caller=Caller.PERSON,
    body=shapes.NewRule,
    body_bytes=64 << 10,
)
CHANGE_RULE = Route(
    "PUT",
    f"{_RULES}/{{rule}}",
    "Change a rule; 412 tells what it is where it is of another version than the one that is named.",
    {200: shapes.Rule},
    (412, 507),
    caller=Caller.PERSON,
    scope=Scope.WRITE,
    body=shapes.ChangedRule,
    body_bytes=64 << 10,
    headers=(
        {
            "name": "If-Match",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "pattern": '^("[0-9]+"|\\*)$'},
            "description": "The version of the rule that is changed, in quotes; without it, or with *, whichever "
            "there is.",
        },
    ),
)
DELETE_RULE = Route(
    "DELETE",
    f"{_RULES}/{{rule}}",
    "Remove a rule; what it has not told yet is not told.",
    {200: shapes.DeletedRule},
    (403, 404, 507),
    caller=Caller.PERSON,
)
TEST_RULE = Route(
    "POST",
    f"{_RULES}/{{rule}}/test",
    "Send a message that says that it is a test, and say what became of it.",
    {200: shapes.TestedRule},
    (403, 404),
    caller=Caller.PERSON,
)


# --- owners


_LIMITS = f"{API}/owners/{{owner}}/limits"
OWNER_LIMITS = Route(
    "GET",
    _LIMITS,
    "Return what an owner has stored and may store, in bytes.",
    {200: shapes.OwnerLimits},
    scope=Scope.READ,
)
CHANGE_LIMITS = Route(
    "PUT",
    _LIMITS,
    "Change what an owner may store; null is no limit.",
    {200: shapes.OwnerLimits},
    (507,),
    caller=Caller.ADMIN,
    scope=Scope.ADMIN,
    body=shapes.NewLimits,
)

ROUTES = tuple(value for value in globals().values() if isinstance(value, Route))
"""All of them, in the order in which they stand here."""


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    described = describe(
        ROUTES,
        Paths,
        {
            "token": {"type": "http", "scheme": "bearer", "description": "A token, mld_…."},
            "session": {
                "type": "apiKey",
                "in": "cookie",
                "name": SESSION_COOKIE,
                "description": "A browser that is signed in: it may read, and change what pages offer. The name goes "
                "on with `_` and eight digits, which tell servers of one host apart, and begins with `__Host-` over "
                "https.",
            },
        },
    )
    # as JSON has it: a default may be a tuple
    plain: dict[str, Any] = json.loads(json.dumps(described))
    return plain
