"""The bodies of the API, version 1: requests are checked against these, and the OpenAPI document is made of them.

Names of fields are those of JSON in camelCase. What a class is for, and what `Meta` describes, the document says too.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from ml_dash.protocol import (
    BLOBS_ASKED_MAX,
    CHECKSUM_PATTERN,
    INDEX_MAX,
    LINES_MAX,
    MEMBERS_MAX,
    PANELS_MAX,
    RANK_MAX,
    README_MAX,
    STOP_REASON_MAX,
    TAG_MAX,
    TAGS_MAX,
    TEXT_MAX,
    TOKEN_CHARACTERS_MAX,
    VALUES_EXPERIMENTS_MAX,
    VALUES_METRICS_MAX,
    WIDTH_DEFAULT,
    WIDTH_MAX,
    ErrorCode,
)

Count: TypeAlias = Annotated[int, Meta(ge=0)]
Rank: TypeAlias = Annotated[int, Meta(ge=0, le=RANK_MAX)]
Size: TypeAlias = Annotated[int, Meta(ge=0, le=INDEX_MAX)]
Time: TypeAlias = Annotated[str, Meta(description="ISO 8601, UTC, with microseconds and Z.")]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]
Checksum: TypeAlias = Annotated[
    str,
    Meta(
        # the lengths keep out a line feed at the end, before which $ matches as well
        pattern=f"^{CHECKSUM_PATTERN}$",
        min_length=64,
        max_length=64,
        description="A SHA-256 in 64 lower-case hexadecimal digits.",
        extra={"remedy": "give a SHA-256 in 64 lower-case hexadecimal digits"},
    ),
]
Tags: TypeAlias = Annotated[tuple[Annotated[str, Meta(max_length=TAG_MAX)], ...], Meta(max_length=TAGS_MAX)]
Limit: TypeAlias = Annotated[int, Meta(ge=0, lt=INDEX_MAX)]
Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=TEXT_MAX)]
ScopeWord: TypeAlias = Literal["read", "write", "admin"]
Anything: TypeAlias = Annotated[
    Any,
    Meta(
        description='Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, and '
        'what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves.'
    ),
]


class Request(Struct, rename="camel", forbid_unknown_fields=True):
    """The body of a request. A field that it does not have is a mistake, perhaps in writing."""


class SecretRequest(Request):
    """The body of a request about a secret: what is given under a wrong name may be one, and is not shown again."""


class Answer(Struct, rename="camel"):
    """The body of an answer. Later versions may add fields."""


# --- errors


class ErrorDetails(Answer):
    """What went wrong. Some codes come with further fields, such as `retryAfter`."""

    code: ErrorCode
    message: Annotated[str, Meta(description="A sentence for people; it names the value and the remedy.")]


class Error(Answer):
    """An answer that is an error."""

    error: ErrorDetails


# not camelCase: the RFCs give the names
class OAuthError(Struct):
    """An error of the device flow (RFC 8628)."""

    error: str
    error_description: str


# --- the server, tokens and sessions


class Health(Answer):
    """The server is there."""

    status: str
    server: str
    version: str
    api: list[str]


class Ready(Answer):
    """The server can store."""

    status: str


class Grant(Request):
    """What a token may do with the experiments of an owner."""

    owner: Annotated[Name, Meta(description="Whose experiments; * stands for all owners.")]
    scope: ScopeWord


class Whoami(Answer):
    """What a token may do."""

    token_id: str
    name: str
    admin: bool
    grants: list[Grant]
    created_at: Time
    expires_at: Time | None


class Token(Whoami):
    """A token, as admins see it."""

    created_by: str | None
    revoked_at: Time | None
    last_used_at: Time | None


class Tokens(Answer):
    """A page of tokens."""

    data: list[Token]
    has_more: bool
    cursor: str | None


class CreatedToken(Token):
    """A new token. Its text is in no later answer."""

    token: str


class Revoked(Answer):
    """A token that is not valid any more."""

    token_id: str
    revoked: bool


_LIFETIME = Meta(
    description="Seconds.",
    extra_json_schema={"exclusiveMinimum": 0},
    extra={"remedy": "give a number of seconds, or null"},
)


class NewToken(SecretRequest):
    """A token to create."""

    name: Annotated[Name, Meta(extra={"remedy": "give 1 to 255 printable characters"})]
    grants: tuple[Grant, ...] = ()
    admin: bool = False
    # that it is above 0, and below a limit, is checked where the limit is
    expires_in: Annotated[float, _LIFETIME] | None = None


class Session(Answer):
    """Who is signed in with a browser."""

    signed_in: bool
    mode: Literal["server", "local"]
    name: str | None
    version: str
    writes: Annotated[
        list[str],
        Meta(description="Owners whose experiments may be changed with it; * stands for all."),
    ]


class NewSession(SecretRequest):
    """The token with which a browser signs in."""

    token: Annotated[
        str,
        Meta(
            pattern=r"\S",
            # a longer one is answered as one that is unknown
            extra_json_schema={"minLength": 1, "maxLength": TOKEN_CHARACTERS_MAX},
            extra={"secret": True, "remedy": "send one object with a text of this name"},
        ),
    ]


class DeviceAuthorization(Struct):
    """A login that has begun (RFC 8628)."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: Annotated[int, Meta(ge=0, description="Seconds.")]
    interval: Annotated[int, Meta(ge=0, description="Seconds to wait between two polls.")]


class DeviceToken(Struct):
    """The token of a login (RFC 8628)."""

    access_token: str
    token_type: str
    scope: str
    expires_in: (
        Annotated[int, Meta(ge=0, description="Seconds; absent if the token does not expire.")] | UnsetType
    ) = UNSET


# --- experiments


class FieldSummary(Answer):
    """What is known of a metric's field. NaN is in no minimum, maximum, sum and mean; what there is none of is null."""

    count: Annotated[int, Meta(ge=0, description="Numbers, NaN included. A bool counts as 0 or 1.")]
    nan: Count
    first: Anything
    last: Annotated[Any, Meta(description="A number; or a text, of which this is the beginning.")]
    min: Anything
    max: Anything
    total: Anything
    mean: Anything
    first_step: Annotated[Any, Meta(description="What its row calls step, else the row's index.")]
    last_step: Anything
    min_step: Anything
    max_step: Anything


class BestOf(Answer):
    """Which value of a metric's field is the best; the name of the unnamed metric is null."""

    metric: str | None
    field: str
    value: Literal["min", "max", "last"]


class Stop(Answer):
    """A request to a run to stop."""

    at: Time
    by: Annotated[str | None, Meta(description="The name of the token, or of the user whose disk it is.")]
    reason: str | None
    seen_at: Annotated[
        Time | None, Meta(description="When a process of the run has seen it; null as long as none has.")
    ]


class AskedStop(Stop):
    """A request to a run to stop, as the run is told of it."""

    at_ns: Annotated[int, Meta(ge=0, description="When it was made, in nanoseconds since the epoch.")]
    attempts: Annotated[
        list[str], Meta(description="What start rows call the attempt that is meant: another one goes on.")
    ]


class ListedExperiment(Answer):
    """An experiment, as lists have it."""

    id: str
    prefix: str
    owner: str
    project: str
    folder: str
    name: str
    tags: list[str]
    bindrs: list[str]
    metadata: dict[str, Anything] | None
    status: str | None
    stale: bool
    created_at: Time
    updated_at: Time
    started_at: Time | None
    ended_at: Time | None
    last_activity: Time | None
    host: str | None
    error: str | None
    rows: Annotated[int, Meta(ge=0, description="Of its metrics.")]
    entries: Annotated[
        int,
        Meta(
            ge=0,
            description="Of all kinds: events (rows, messages, parameters, and so on), and signs of life.",
        ),
    ]
    attempts: Annotated[int, Meta(ge=0, description="How often a run of it was started.")]
    deleted_at: Time | None
    alerts: (
        Annotated[int, Meta(ge=0, description="How many its script has logged; older servers lack it.")]
        | UnsetType
    ) = UNSET
    stop: (
        Annotated[
            Stop | None,
            Meta(
                description="Who has asked its newest attempt to stop; null where nobody has; older servers lack it."
            ),
        ]
        | UnsetType
    ) = UNSET
    problem: (
        Annotated[str, Meta(description="What is wrong with its journal; only from a local root.")]
        | UnsetType
        | None
    ) = UNSET
    missing: (
        Annotated[
            list[str],
            Meta(description="Why rows are missing that a dead process has logged; only from a local root."),
        ]
        | UnsetType
    ) = UNSET
    params: (
        Annotated[dict[str, Anything], Meta(description="Those that were asked for as columns.")] | UnsetType
    ) = UNSET
    metrics: (
        Annotated[
            dict[str, dict[str, FieldSummary]],
            Meta(
                description="The fields that were asked for as columns, by the names of their metrics, of which the "
                "unnamed one's is empty."
            ),
        ]
        | UnsetType
    ) = UNSET
    best: (
        Annotated[
            list[BestOf], Meta(description="Which value was defined as the best, of the fields asked for.")
        ]
        | UnsetType
    ) = UNSET
    readme: (
        Annotated[str, Meta(description="Where it was asked for as a column, as the note is.")]
        | UnsetType
        | None
    ) = UNSET
    note: str | UnsetType | None = UNSET


class Experiment(ListedExperiment, kw_only=True):
    """An experiment."""

    readme: str | None
    note: Annotated[
        str | None,
        Meta(description="What people have written of it, in Markdown; the readme is the run's own."),
    ]


class DeletedExperiment(Experiment, kw_only=True):
    """An experiment that was deleted, and can be restored."""

    purge_at: Annotated[
        Time | None, Meta(description="When its rows are removed for good; null for one whose rows stay.")
    ]


class Trashed(Answer):
    """A deleted experiment, in a list."""

    id: str
    prefix: str
    owner: str
    rows: Annotated[int, Meta(ge=0, description="Of its metrics.")]
    deleted_at: Time
    deleted_by: Annotated[
        str | None, Meta(description="The name of the token; null where nobody wrote it down.")
    ]
    purge_at: Annotated[
        Time | None, Meta(description="When its rows are removed for good; null for one whose rows stay.")
    ]


class Trash(Answer):
    """A page of deleted experiments."""

    data: list[Trashed]
    has_more: bool
    cursor: str | None


class RestoreTo(Request):
    """Under which name a deleted experiment comes back."""

    to: Annotated[str | None, Meta(description="In full; null for the name that it had.")] = None


class MoveTo(Request):
    """A new name for an experiment."""

    to: Annotated[str, Meta(description="In full, of the same owner: owner/project/path…/name.")]


class NewTags(Request):
    """Tags to change: first all are replaced, if `only` is given, then some are taken away, then some are added."""

    only: Tags | None = None
    remove: Tags = ()
    add: Tags = ()


_Before: TypeAlias = Annotated[
    str,
    Meta(
        max_length=README_MAX,
        description="What it was when somebody began to change it, empty for nothing: where it is something else by "
        "now, the answer is 412. Without it, whatever there is is replaced.",
    ),
]


class NewNote(Request):
    """A note; an empty text takes it away."""

    note: Annotated[str, Meta(max_length=README_MAX, description="In Markdown.")]
    before: _Before | None = None


class NewReadme(Request):
    """A readme; an empty text takes it away."""

    readme: Annotated[str, Meta(max_length=README_MAX, description="In Markdown.")]
    before: _Before | None = None


class NewStop(Request):
    """A request to a run to stop."""

    reason: Annotated[str, Meta(max_length=STOP_REASON_MAX, description="Why, for people.")] | None = None
    cancel: Annotated[
        bool, Meta(description="Whether the request is taken back, which no process of the run has seen yet.")
    ] = False


class Change(Answer):
    """What somebody has done with an experiment."""

    number: Annotated[int, Meta(ge=1)]
    at: Time
    action: Literal["delete", "restore", "move", "tag", "note", "readme", "stop"]
    who: Annotated[str, Meta(description="What the token was called that was used.")]
    token_id: str
    details: dict[str, Anything]


class History(Answer):
    """A page of what was done with an experiment, the newest first."""

    data: list[Change]
    has_more: bool
    cursor: str | None


class UpsertedExperiment(Experiment, kw_only=True):
    """An experiment that was created or changed."""

    stop: Annotated[
        AskedStop | None, Meta(description="Who has asked its newest attempt to stop; null where nobody has.")
    ]
    created: bool
    watermarks: dict[str, Count]
    watermarks_cursor: Annotated[
        str | None, Meta(description="With which to ask for the rest of them; null where these are all.")
    ]
    latest_ns: Annotated[
        int | None,
        Meta(
            description="The latest time of a row of its runs, parameters or files, in nanoseconds since the epoch. "
            "Of these the later one wins: who goes on with the experiment gives theirs later times, whatever its clock."
        ),
    ]


class Experiments(Answer):
    """A page of experiments."""

    data: list[ListedExperiment]
    total: Count
    has_more: bool
    cursor: str | None
    as_of: Annotated[str, Meta(description="With which to ask later for what has changed.")]
    pending: (
        Annotated[
            bool,
            Meta(
                description="Whether rows of an older version of the server are still being read, so that filter, "
                "order and columns may lack some of what is stored. Only with one of these."
            ),
        ]
        | UnsetType
    ) = UNSET


class Summed(Answer):
    """Numbers of several experiments together; std is that of a sample, and what there is none of is null."""

    count: Count
    mean: float | None
    std: float | None
    min: Annotated[float | None, Meta(description="As it was logged.")]
    max: float | None


class GroupColumn(Answer):
    """A field of a metric, summed up over the members of a group."""

    metric: str | None
    field: str
    last: Summed
    min: Summed
    max: Summed
    mean: Summed


class Group(Answer):
    """Experiments that have the same values."""

    key: dict[str, Anything]
    count: Count
    members: Annotated[
        list[str], Meta(description="Their ids, the newest first; of very many not all are told.")
    ]
    columns: list[GroupColumn]


class Groups(Answer):
    """Groups, in the order of their keys."""

    data: list[Group]
    total: Annotated[int, Meta(ge=0, description="Experiments that are asked for.")]
    groups: Annotated[
        int, Meta(ge=0, description="How many groups there are: of very many not all are told.")
    ]
    is_part: Annotated[bool, Meta(description="More experiments are asked for than are put into groups.")]


class ParamImportance(Answer):
    """How much a parameter matters for a metric; null where nothing can be said."""

    param: str
    runs: Annotated[int, Meta(ge=0, description="Those that have both, for the correlations.")]
    correlation: Annotated[float | None, Meta(description="Pearson's, of numbers.")]
    rank_correlation: Annotated[float | None, Meta(description="Spearman's, of numbers.")]
    importance: Annotated[
        float | None,
        Meta(
            description="By how much a random forest predicts worse runs that it has not seen, where this parameter's "
            "values are shuffled: as a share of the metric's variance."
        ),
    ]
    importance_std: Annotated[float | None, Meta(description="Over several forests, and several times each.")]


class Forest(Answer):
    """How well a random forest predicts the metric of runs that it has not seen."""

    score: Annotated[float | None, Meta(description="The share of the variance that it explains (R²).")]
    why: Annotated[str | None, Meta(description="Why there is none, or why it means nothing.")]


class Importance(Answer):
    """How much parameters matter, those first that matter most."""

    data: list[ParamImportance]
    runs: Annotated[int, Meta(ge=0, description="How many have the metric.")]
    total: Annotated[int, Meta(ge=0, description="Experiments that are asked for.")]
    is_part: Annotated[bool, Meta(description="More experiments are asked for than are looked at.")]
    forest: Forest


_SAID = Annotated[int, Meta(ge=0, le=INDEX_MAX)]


class SaidTimes(Request):
    """When a description was said, in nanoseconds since the epoch, by the clock that `ML-Dash-Clock` gives."""

    readme: _SAID | None = None
    tags: _SAID | None = None
    bindrs: _SAID | None = None
    metadata: _SAID | None = None


class NewExperiment(Request):
    """An experiment to create, or what to change of it; what is left out or null stays."""

    # what is wrong with one is told best by the code that parses it
    prefix: Annotated[
        str,
        Meta(
            description="In full: owner/project/path…/name.",
            extra_json_schema={"minLength": 5, "maxLength": 1024},
        ),
    ]
    readme: Annotated[str, Meta(max_length=README_MAX)] | None = None
    tags: Tags | None = None
    bindrs: Tags | None = None
    metadata: (
        Annotated[dict[Any, Any], Meta(description="Integers of at most 64 bits, at most 64 levels deep.")]
        | None
    ) = None
    recreate: Annotated[bool, Meta(description="Bring it back, with its data, if it was deleted.")] = False
    anew: Annotated[
        bool, Meta(description="Begin a new one under its name, without its data, if it was deleted.")
    ] = False
    only_new: Annotated[
        bool,
        Meta(
            description="Answer by 409 where there is one, and it was not deleted: of several, one gets it."
        ),
    ] = False
    said_ns: (
        Annotated[
            SaidTimes,
            Meta(description="Of each, what was said later stays; what comes without a time is said now."),
        ]
        | None
    ) = None


# frozen: it is a key of what `server.api.values` keeps
class MetricField(Struct, rename="camel", frozen=True, forbid_unknown_fields=True):
    """A field of a metric; the name of the unnamed metric is null."""

    name: Text | None
    field: Text


class AskedValues(Request):
    """The experiments, and the fields of metrics, whose values are asked for."""

    ids: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=VALUES_EXPERIMENTS_MAX)]
    metrics: Annotated[tuple[MetricField, ...], Meta(max_length=VALUES_METRICS_MAX)] = ()


class MetricFields(Answer):
    """A metric and its fields."""

    name: str | None
    fields: list[str]


class ExperimentValues(Answer):
    """Parameters, metrics, and the last values of the fields that were asked for, in their order."""

    id: str
    params: dict[str, Anything]
    params_total: Annotated[int, Meta(ge=0, description="How many there are: of very many not all are told.")]
    metrics: list[MetricFields]
    metrics_total: Annotated[int, Meta(ge=0, description="As for the parameters.")]
    values: list[Anything]


class Values(Answer):
    """The values of several experiments, for tables: of a long text, list or dict its beginning, with … behind it."""

    data: list[ExperimentValues]
    rest: Annotated[list[str], Meta(description="Experiments that had no room here: ask again for these.")]


# --- frames and rows


class Watermark(Answer):
    """The number up to which the server has all frames of a writer."""

    watermark: Count
    stop: (
        Annotated[
            AskedStop,
            Meta(description="That the newest attempt is asked to stop; left out where nobody asks."),
        ]
        | UnsetType
    ) = UNSET


class Watermarks(Answer):
    """A page of the watermarks of the writers."""

    watermarks: dict[str, Count]
    has_more: bool
    cursor: str | None


class Params(Answer):
    """A page of flat parameters."""

    params: dict[str, Anything]
    has_more: bool
    cursor: str | None


class Run(Answer):
    """The status of an experiment's run."""

    status: str | None
    started_at: Time | None
    ended_at: Time | None
    last_activity: Time | None
    host: str | None
    pid: int | None
    stale: Annotated[bool, Meta(description="It is marked as running, but sends no heartbeat.")]
    error: str | None
    writers: Count
    attempts: Count


class Attempt(Answer):
    """A start of a run, with those that went on beside it."""

    number: Annotated[int, Meta(ge=1, description="In order of time; one that comes late gets its place.")]
    status: str | None
    stale: Annotated[bool, Meta(description="It has not ended, as far as its rows tell, and does not go on.")]
    started_at: Time
    ended_at: Time | None
    host: str | None
    error: str | None
    resume_from: Annotated[
        float | None, Meta(description="The step from which on it supersedes the rows of earlier ones.")
    ]


class Attempts(Answer):
    """A page of attempts."""

    data: list[Attempt]
    total: Count


class Environment(Answer):
    """What surrounded a process of the experiment."""

    attempt: Annotated[
        int | None, Meta(description="The number of its attempt; null where its start is lost.")
    ]
    rank: int | None
    host: str | None
    pid: int | None
    created_at: Time
    environment: Annotated[
        dict[str, Anything],
        Meta(description="command, python, packages, git, cpu, gpus, … as far as they were captured."),
    ]


class Environments(Answer):
    """A page of environments."""

    data: list[Environment]
    total: Count


Superseded: TypeAlias = Annotated[
    int, Meta(ge=1, description="How many rows a later attempt has superseded; absent where there are none.")
]


class Shown(Answer):
    """A page of the rows of a metric that are shown: the index of a first one, and of the one behind the last."""

    ranges: list[tuple[Count, Count]]
    total: Count
    has_more: bool
    ranks: Annotated[list[Rank | None], Meta(description="Of each range, with by=rank.")] | UnsetType = UNSET
    superseded: Superseded | UnsetType = UNSET


class RankRows(Answer):
    """How many rows of a metric a rank has logged; null stands for processes without a rank."""

    rank: Rank | None
    count: Count


class Ranks(Answer):
    """A page of the ranks that have logged rows of a metric, in order; ask for more by how many are known."""

    data: list[RankRows]
    total: Count


class _RowsPage(Answer):
    start_index: Count
    end_index: Annotated[int, Meta(ge=-1, description="The last row's index; read on from the next.")]
    total: Count
    has_more: bool


class LogRow(Answer):
    """A log row."""

    index: Count
    timestamp: Time
    level: Anything
    message: Anything
    metadata: Anything


class Logs(_RowsPage):
    """A page of log rows."""

    data: list[LogRow]


class ConsoleRow(Answer):
    """A line that the script printed."""

    index: Count
    timestamp: Time
    stream: Anything
    text: Anything
    rank: Anything


class Console(_RowsPage):
    """A page of printed lines."""

    data: list[ConsoleRow]


class AlertRow(Answer):
    """An alert that a script has logged; `held` is how many of its title were held back before it."""

    index: Count
    timestamp: Time
    level: Anything
    title: Anything
    text: Anything
    held: Anything


class Alerts(_RowsPage):
    """A page of alerts."""

    data: list[AlertRow]


class Row(Answer):
    """A row of a metric."""

    index: Count
    data: dict[str, Anything]
    created_at: Time
    rank: Annotated[Rank, Meta(description="Of the process that has logged it.")] | UnsetType = UNSET
    x: (
        Annotated[Anything, Meta(description="What was asked for; null where there is none yet.")] | UnsetType
    ) = UNSET


class Rows(_RowsPage):
    """A page of rows of a metric."""

    data: list[Row]
    superseded: Superseded | UnsetType = UNSET


class Metric(Answer):
    """A metric."""

    name: str | None
    count: Count
    fields: list[str]
    first_data_at: Time
    last_data_at: Time


class Metrics(Answer):
    """A page of metrics, in order of first appearance; ask for more by how many are known."""

    data: list[Metric]
    total: Count


class FieldStats(Answer):
    """Statistics of a field; those of no numbers are null."""

    count: Count
    nan: Count
    min: Anything
    max: Anything
    mean: Anything
    last: Anything


class Stats(Answer):
    """Statistics of a metric."""

    name: str | None
    count: Count
    total_data_points: Count
    first_value: Anything
    last_value: Anything
    first_data_at: Time | None
    last_data_at: Time | None
    fields: Annotated[
        dict[str, FieldStats], Meta(description="A page of them; ask for more by how many are known.")
    ]
    fields_total: Count
    superseded: Superseded | UnsetType = UNSET


class Buckets(Answer):
    """The points of a chart, a list for each column; a pixel in which nothing lies is left out."""

    x: list[float]
    x_min: list[float]
    x_max: list[float]
    count: list[Count]
    min: list[float | None]
    max: list[float | None]
    mean: list[float | None]
    first: list[float | None]
    last: list[float | None]
    nan: list[Count]
    pos_inf: list[Count]
    neg_inf: list[Count]


class RankLine(Answer):
    """What one rank has logged of a field, ready to be drawn."""

    rank: Rank
    points: Count
    resolution: Literal["rows", "buckets"]
    exact: bool
    buckets: Buckets


class Series(Answer):
    """One field of a metric, ready to be drawn."""

    field: str
    x: str
    start: float | None
    stop: float | None
    width: Count
    rows: Count
    points: Count
    resolution: Literal["rows", "buckets"]
    exact: bool
    buckets: Buckets
    superseded: Superseded | UnsetType = UNSET
    lines: (
        Annotated[
            list[RankLine],
            Meta(description="With by=rank: one for each of the first ranks, with fewer pixels."),
        ]
        | UnsetType
    ) = UNSET


_X = (
    "index, step, time, relative, the name of a field, or another metric's as metric/field: see the HTTP API's page on "
    "charts."
)


class Smoothing(Request):
    """How a line is smoothed, over all of its series: neither the range nor the width changes it."""

    kind: Literal["ema", "mean", "gaussian"]
    amount: Annotated[
        float,
        Meta(
            description="For ema a weight from 0 to below 1; for mean the width of the interval, and for gaussian the "
            "standard deviation, in units of x.",
            extra_json_schema={"minimum": 0},
        ),
    ]


ExperimentId: TypeAlias = Annotated[str, Meta(max_length=64)]


class AskedLine(Request):
    """A field of a metric, or an expression, of an experiment; or of several together, which is a band.

    The name of the unnamed metric is null.
    """

    experiment: ExperimentId | None = None
    experiments: (
        Annotated[list[ExperimentId], Meta(max_length=MEMBERS_MAX, description="The members of a band.")]
        | None
    ) = None
    metric: Text | None = None
    field: Text | None = None
    expression: (
        Annotated[str, Meta(max_length=1000, description="Such as `val/loss - train/loss`.")] | None
    ) = None
    attempt: Annotated[str, Meta(pattern="^(all|[1-9][0-9]{0,18})$")] | None = None
    rank: (
        Annotated[int, Meta(ge=0, le=RANK_MAX, description="Only of this rank of a distributed training.")]
        | None
    ) = None
    fill: Annotated[
        Literal["linear", "last"],
        Meta(
            description="What a member of a band has between two of its points: what lies between, or the first."
        ),
    ] = "linear"
    after: (
        Annotated[
            str, Meta(max_length=1000, description="The cursor of an earlier answer: only what is new since.")
        ]
        | None
    ) = None


class AskedPanel(Request):
    """A chart of several lines."""

    lines: Annotated[list[AskedLine], Meta(max_length=LINES_MAX)]
    x: Annotated[Text, Meta(description=_X)] = "step"
    start: Annotated[float, Meta(description="The lowest x.")] | None = None
    stop: Annotated[float, Meta(description="The x up to which, exclusive.")] | None = None
    width: Annotated[int, Meta(ge=1, le=WIDTH_MAX, description="Points of a line at most.")] = WIDTH_DEFAULT
    smooth: Smoothing | None = None


class AskedPanels(Request):
    """Charts, those first that are seen first."""

    panels: Annotated[list[AskedPanel], Meta(max_length=PANELS_MAX)]


class Column(Answer):
    """A number for each point."""

    type: Literal["float64", "float32", "uint32"]
    data: Annotated[
        Any,
        Meta(
            description="In msgpack the numbers as bytes, little-endian, and NaN where there is none; in JSON a list, "
            "and null where there is none."
        ),
    ]


class BandRuns(Answer):
    """How many experiments a band was asked for, and how many have points in it."""

    asked: Count
    drawn: Count


class Line(Answer):
    """A line, or why there is none."""

    panel: Annotated[int, Meta(ge=0, description="Of which of the panels that were asked for, from 0 on.")]
    line: Annotated[int, Meta(ge=0, description="Which of its lines, from 0 on.")]
    error: ErrorDetails | UnsetType = UNSET
    unchanged: (
        Annotated[bool, Meta(description="All is as it was by the cursor that was given.")] | UnsetType
    ) = UNSET
    cursor: Annotated[str, Meta(description="Give it as after to be told what is new.")] | UnsetType = UNSET
    x: (
        Annotated[str, Meta(description="index where steps were asked for, and rows have none.")] | UnsetType
    ) = UNSET
    points: Annotated[int, Meta(ge=0, description="Rows that have a value, in range.")] | UnsetType = UNSET
    resolution: Literal["rows", "buckets"] | UnsetType = UNSET
    exact: bool | UnsetType = UNSET
    cell: (
        Annotated[float, Meta(description="Over how much of x one point tells; a power of two.")] | UnsetType
    ) = UNSET
    first: (
        Annotated[
            int,
            Meta(ge=0, description="So many points of the answer before stay; columns begin behind them."),
        ]
        | UnsetType
    ) = UNSET
    columns: (
        Annotated[
            dict[str, Column],
            Meta(
                description="x, y, min, max, count, nan, posInf, negInf, smooth. Without min, max and count each point "
                "is one row; without nan, posInf or negInf there are none of these. Of a band x, y (the mean), std, "
                "min, max and count (of runs)."
            ),
        ]
        | UnsetType
    ) = UNSET
    superseded: Superseded | UnsetType = UNSET
    runs: BandRuns | UnsetType = UNSET


class Lines(Answer):
    """The lines of charts, as many as there was room and time for."""

    data: list[Line]
    rest: Annotated[
        list[tuple[Count, Count]], Meta(description="The others, by panel and line: ask again for these.")
    ]


class Track(Answer):
    """A track."""

    topic: str | None
    count: Count


class Tracks(Answer):
    """A page of tracks, in order of first appearance; ask for more by how many are known."""

    data: list[Track]
    total: Count


class Entries(Answer):
    """A page of entries of a track, by time."""

    entries: list[dict[str, Anything]]
    count: Annotated[int, Meta(ge=0, description="How many entries are in this page.")]
    has_more: bool
    cursor: Annotated[
        str | None,
        Meta(description="Where the page ends, also that of the last one; null where no entry is in it."),
    ]


# --- files


class File(Answer):
    """One version of a file."""

    id: str
    path: str
    filename: str
    description: str | None
    tags: list[str]
    bindrs: list[str]
    content_type: str
    size_bytes: Count
    checksum: Checksum
    metadata: dict[str, Anything] | None
    aliases: Annotated[list[str], Meta(description="Those that mean this version of its name.")]
    uploaded_at: Time
    updated_at: Time
    deleted_at: Time | None
    available: Annotated[bool, Meta(description="Whether the server has what the file holds.")]


class Files(Answer):
    """A page of files."""

    data: list[File]
    total: Count
    has_more: bool
    cursor: str | None


class Blob(Answer):
    """What a file holds."""

    checksum: Checksum
    size_bytes: Size


class AskedBlobs(Request):
    """Blobs that a client has."""

    contents: Annotated[list[Blob], Meta(max_length=BLOBS_ASKED_MAX)]


class LackingBlobs(Answer):
    """Those of them that the server does not have."""

    lacking: list[Checksum]


class MissingBlobs(Answer):
    """A page of the blobs that files name, and that the server does not have."""

    data: list[Blob]
    has_more: bool
    cursor: str | None


_NOT_EMPTY = {"remedy": "give a number of bytes above 0: an empty content is sent whole"}


class NewUpload(Request):
    """How large a blob is whose parts are about to be sent."""

    size_bytes: Annotated[int, Meta(ge=1, le=INDEX_MAX, extra=_NOT_EMPTY)]


class Upload(Answer):
    """An upload in parts: how large they are, and which are here."""

    complete: bool
    part_bytes: Count
    parts: list[Count]


class Part(Answer):
    """A part that is stored."""

    part: Count


class BodyPiece(Answer):
    """A piece of a body that is kept."""

    offset: Count
    size_bytes: Count


class SavedView(Answer):
    """A view that somebody has saved, in a list."""

    id: str
    name: str
    mine: Annotated[bool, Meta(description="Nobody else sees it.")]
    default: Annotated[
        bool, Meta(description="The project is shown so, unless one has a default of one's own.")
    ]
    format: Annotated[int, Meta(ge=1, description="Of which version of the pages it is.")]
    version: Annotated[str, Meta(description="Its ETag, without the quotes.")]
    updated_at: Time
    who: Annotated[str | None, Meta(description="What the token is called that it was saved with.")]


class View(SavedView, kw_only=True):
    """A view: what it holds means something to the pages alone."""

    state: dict[str, Anything]


class Views(Answer):
    """The views of a project."""

    data: list[SavedView]


class DeletedView(Answer):
    """A view that is gone."""

    deleted: bool


class NewView(Request):
    """A view to save."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    format: Annotated[int, Meta(ge=1, le=1_000_000, description="Of which version of the pages it is.")]
    state: dict[str, Any]
    default: bool = False


# --- rules


When: TypeAlias = Literal["failed", "silent", "above", "below", "nonfinite", "alert"]
AlertLevel: TypeAlias = Literal["info", "warning", "error"]
_Minutes: TypeAlias = Annotated[float, Meta(ge=1, le=525_600)]


class Destination(SecretRequest):
    """Whom a rule tells. Neither the URL nor the secret is shown again."""

    kind: Literal["webhook", "slack", "mail"]
    url: (
        Annotated[str, Meta(min_length=1, max_length=2000, description="Of a webhook, or of Slack.")] | None
    ) = None
    address: Annotated[str, Meta(min_length=3, max_length=254, description="Of mail.")] | None = None
    secret: (
        Annotated[
            str, Meta(min_length=8, max_length=200, description="What messages to a webhook are signed with.")
        ]
        | None
    ) = None


# shown in no error: it has secrets
_To: TypeAlias = Annotated[
    Destination,
    Meta(
        extra={
            "secret": True,
            "remedy": 'give {"kind": "webhook" | "slack", "url": "https://…"} or {"kind": "mail", "address": '
            '"me@example.org"}; a secret has 8 to 200 characters, and is for webhooks',
        }
    ),
]


class RuleTerms(SecretRequest, kw_only=True):
    """What a rule waits for."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    when: When
    filter: Annotated[str, Meta(max_length=TEXT_MAX, description="Which of the owner's experiments.")] = ""
    metric: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=TEXT_MAX,
                description="A field of a metric, as `val/loss`: for above and below; for nonfinite, null is any.",
            ),
        ]
        | None
    ) = None
    bound: Annotated[float, Meta(description="For above and below.")] | None = None
    minutes: Annotated[_Minutes, Meta(description="For silent.")] | None = None
    level: Annotated[AlertLevel, Meta(description="For alert: the least level; info without it.")] | None = (
        None
    )
    rearm_minutes: (
        Annotated[
            _Minutes,
            Meta(
                description="For above, below and nonfinite: after how long it may fire again in one attempt; null is "
                "never."
            ),
        ]
        | None
    ) = None


class NewRule(RuleTerms, kw_only=True):
    """A rule to make."""

    owner: Name
    to: _To


class ChangedRule(RuleTerms, kw_only=True):
    """What a rule is to be from now on, all of it; without `to`, whom it tells stays."""

    to: _To | None = None


class ShownDestination(Answer):
    """Whom a rule tells, without its secrets."""

    kind: Literal["webhook", "slack", "mail"]
    shown: Annotated[str, Meta(description="The address of mail; of a URL, the server.")]
    signed: Annotated[bool, Meta(description="Whether messages are signed.")]


class Rule(Answer):
    """A rule."""

    id: str
    owner: str
    name: str
    filter: str
    when: When
    metric: str | None
    bound: float | None
    minutes: float | None
    level: AlertLevel | None
    rearm_minutes: float | None
    to: ShownDestination
    created_at: Time
    who: Annotated[str, Meta(description="What the token is called that it was made with.")]
    version: Annotated[int, Meta(ge=1, description="How often it was made and changed.")]
    changed_at: Time | None
    changed_by: Annotated[
        str | None, Meta(description="What the token is called that it was changed with last.")
    ]
    fired: Annotated[
        int, Meta(ge=0, description="How often, in the last month, since it waits for what it waits for.")
    ]
    last_fired_at: Annotated[Time | None, Meta(description="When a message was made last.")]
    last_delivered_at: Annotated[Time | None, Meta(description="When a message was taken last.")]
    problem: Annotated[
        str | None, Meta(description="Why the last message was not taken, or the filter not understood.")
    ]


class Rules(Answer):
    """Rules, the oldest first."""

    data: list[Rule]


class MetricNames(Answer):
    """Metrics by their names."""

    data: Annotated[list[str], Meta(description="As rules and filters write them: `val/loss`.")]
    has_more: Annotated[bool, Meta(description="Whether there may be more.")]


class DeletedRule(Answer):
    """A rule that is gone."""

    deleted: bool


class TestedRule(Answer):
    """What became of a message that says that it is a test."""

    delivered: bool
    problem: str | None


class OwnerLimits(Answer):
    """What an owner has stored and may store, in bytes; null is no limit."""

    owner: str
    used_bytes: Count
    quota_bytes: Count | None
    file_bytes: Count | None


class NewLimits(Request):
    """What to change of an owner's limits, in bytes; null is no limit."""

    quota_bytes: Limit | UnsetType | None = UNSET
    file_bytes: Limit | UnsetType | None = UNSET
