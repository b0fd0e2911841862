"""What client and server agree on: paths, media types, error codes and limits of the API, version 1.

The unit of upload is the journal's frame (``docs/journal-format.md``): the client sends the bytes that are in its
journal, the server checks their checksums, and answers with the *watermark*: the number up to which it has all frames
of that writer, in one transaction with their rows. Frames at or below it are acknowledged again and ignored. So any mix
of retries, replays, lost answers and restored backups ends in exactly the rows that were logged.
"""

from __future__ import annotations

from enum import Enum

API = "/api/v1"
"""What every path of this version begins with."""

FRAMES = "application/vnd.ml-dash.frames"
"""Media type of frames, back to back."""
MSGPACK = "application/msgpack"
JSON = "application/json"
OCTETS = "application/octet-stream"
"""Media type of blobs, and of parts of them."""
FORM = "application/x-www-form-urlencoded"
HTML = "text/html"

CLOCK_HEADER = "ML-Dash-Clock"
"""The sender's time, in nanoseconds since the epoch: how old the rows are that it sends, whatever its clock says."""

WRITERS_HEADER = "ML-Dash-Writers"
"""Writers of the journal that a client introduces, with commas between them: by these, and not by its name alone, the
server knows an experiment that was moved. Without it, the client is an older one, or has no journal."""
BEGUN_HEADER = "ML-Dash-Begun"
"""Those of them that have begun a run since the experiment of this name was deleted, if it was: what these log is of
the next one, what others log of the deleted one. Without it, the client is an older one, which cannot tell."""
WRITERS_TOLD_MAX = 60
"""How many of them it names: one that the server has is enough."""

BODY_HEADER = "ML-Dash-Body"
"""Says by its SHA-256 which body a request has that comes with none: one that was sent in pieces before."""
BODY_PIECE_BYTES_MAX = 8 << 20
"""Bytes of such a piece."""

CHECKSUM_PATTERN = "[0-9a-f]{64}"
"""What a blob's SHA-256 looks like."""
WRITER_PATTERN = "[A-Za-z0-9_-]{1,128}"
"""What a writer's id looks like."""

# what a BIGINT holds
INDEX_MAX = 2**63 - 1
"""The largest whole number: an index, a limit, a number of bytes."""
TEXT_MAX, SERIES_NAME_MAX, TOKEN_CHARACTERS_MAX = 4096, 1024, 512
"""Characters of a text (where nothing else is said), of the name of a series in a query, and of a token."""
DESCRIBED = ("readme", "tags", "bindrs", "metadata")
"""What is said of an experiment besides what it logs. Each that is not given stays as it is stored."""
SAID = "saidNs"
"""When each of these was said, by its name: nanoseconds since the epoch, by the sender's clock."""
README_MAX, TAGS_MAX, TAG_MAX = 1 << 20, 1000, 1024
"""Characters of a readme, and of a note; tags (and bindrs) of an experiment, and characters of each."""
METADATA_BYTES_MAX = 4 << 20
"""Bytes of an experiment's metadata, packed."""
ABOUT_BYTES_MAX = 17 << 20
"""Bytes of a request that describes an experiment: all of the above at their largest, each character of 4 bytes."""

FRAMES_BYTES_MAX = 64 << 20
"""Bytes of a request with frames, after decompression, that a server takes by default; answered by 413 beyond."""

PAGE_BYTES_MAX = 4 << 20
"""Bytes of the items in one answer of a list, unless the first of them alone has more; the next page has the rest."""
ANSWERED_FRAME_BYTES_MAX = 1 << 30
"""Bytes of a frame of an answer: a block as it is stored, of a server that takes more than the default, too."""

READ_DEFAULT, READ_LIMIT_MAX = 100, 10_000
"""Rows that one answer has at most: ``limit`` beyond is answered by 400; read on from ``endIndex + 1``."""

LISTED_DEFAULT, LISTED_MAX, FILES_DEFAULT = 100, 1000, 1000
"""Experiments, and files, in a page; of files `READ_LIMIT_MAX` at most."""
WAIT_MAX = 30
"""Seconds for which a list that tells of changes waits for one."""
WIDTH_DEFAULT, WIDTH_MAX = 1000, 10_000
"""Pixels of a chart."""
PANELS_MAX, LINES_MAX, MEMBERS_MAX = 200, 2000, 10_000
"""Charts, lines of all of them together, and experiments in bands, that one question may name."""
RANK_MAX, RANK_LINES_MAX = 10**6 - 1, 64
"""The highest rank of a distributed training; and of how many ranks a chart has a line each."""
TAGS_ASKED_MAX, TEXTS_ASKED_MAX = 100, 32
"""Tags that one question for files may name, and texts that one for experiments may."""
VALUES_EXPERIMENTS_MAX, VALUES_METRICS_MAX = 200, 32
COLUMNS_ASKED_MAX = 100
"""Experiments, and fields of metrics, that one question for values may name."""
GROUPED_MAX, GROUPS_MAX, GROUP_KEYS_MAX = 10_000, 1000, 20
"""Experiments that are put into groups, groups that one answer has, and what they may be told apart by."""
IMPORTANCE_RUNS_MAX = 5000
"""Experiments of which it is told how much parameters matter."""
VIEW_PATTERN = "[a-z0-9][a-z0-9-]{0,63}"
"""What the id of a saved view looks like."""
VIEWS_MAX, VIEW_BYTES_MAX = 200, 256 << 10
"""Views of a project, and of each person in it; bytes of what one of them holds, as JSON."""
STOP_REASON_MAX = 1000
"""Characters of the reason for which a run is asked to stop."""
RULES_MAX = 100
"""Rules of an owner."""
BLOBS_ASKED_MAX = 1000
"""Blobs that one request may ask for."""

PART_BYTES_MIN = 8 << 20
PART_BYTES_MAX = 64 << 20
# how many parts S3 takes, too
PARTS_MAX = 10_000
"""A content of up to `PART_BYTES_MIN` bytes is sent in one request; a larger one in parts, see `part_bytes`."""
# a quarter of PARTS_MAX: the rest is room for blobs whose parts have their largest size already
_PARTS_WANTED = 2_500
SESSION_COOKIE = "ml_dash_session"
"""The name of the cookie by which a browser is signed in."""


class ErrorCode(str, Enum):
    """The ``code`` of an error's body ``{"error": {"code", "message", …}}``."""

    UNAUTHORIZED = "unauthorized"  # 401: no token, or one that is unknown, expired or revoked
    FORBIDDEN = "forbidden"  # 403: the token may see this, and not do that
    NO_ROUTE = "no_route"  # 404: there is no such path in the API
    NOT_FOUND = "not_found"  # 404: it is not there, or the token may not see it
    GONE = "gone"  # 410: the experiment was deleted
    EXISTS = "exists"  # 409: there is an experiment where a new one was asked for
    CHANGED = "changed"  # 412: {"current"}: it is another one than what the request is based on
    RUNNING = (
        "running"  # 409: a run of the experiment goes on, and only one that stands still was to be deleted
    )
    NOT_STOPPED = "not_stopped"  # 409: no run goes on that could be asked to stop; or it has seen that it is
    GAP = "gap"  # 409: {"expected"}: frames before these are missing
    FENCED = "fenced"  # 409: {"seq"}: another client writes other frames under this writer's id
    # or {"deleted"}: the writer wrote to the experiment that had the name before, and was deleted
    MALFORMED = "malformed"  # 422: {"seq", "watermark"}: a frame arrived whole, and its contents are none
    DAMAGED = "damaged"  # 400: {"watermark"}: a frame did not arrive as it was sent; send it again
    TOO_LARGE = "too_large"  # 413: {"limit"}, in bytes
    INVALID = "invalid"  # 400: an argument has a value that is not allowed
    BUSY = "busy"  # 503, with Retry-After
    DISK_FULL = "disk_full"  # 507: nothing of the request was stored
    INTERNAL = "internal"  # 500
    CONTENT_MISSING = "content_missing"  # 409: the file's content has not been uploaded (yet)
    CONTENT_LOST = "content_lost"  # 410: the file's content was here, and is not any more
    PARTS_MISSING = "parts_missing"  # 409: {"parts"}: the numbers, from 1 on, of parts still to be sent
    CHECKSUM_MISMATCH = "checksum_mismatch"  # 422: another content came; its parts are forgotten
    QUOTA_EXCEEDED = "quota_exceeded"  # 507: {"quota", "used"}, in bytes: the owner has no room left


def frames_path(experiment_id: str, writer: str) -> str:
    """Return the path to which a writer's frames are posted."""
    from urllib.parse import quote  # with what it imports, 2 ms of each script's start

    return f"{API}/experiments/{quote(experiment_id, safe='')}/writers/{quote(writer, safe='')}/frames"


def body_path(checksum: str) -> str:
    """Return the path to which the pieces of a body are sent."""
    return f"{API}/bodies/{checksum}"


def part_bytes(size: int) -> int:
    """Return how many bytes each part of a content of this size has, but for the last: whole MiB, 8 to 64 of them."""
    wanted = ((size // _PARTS_WANTED >> 20) + 1) << 20
    return min(PART_BYTES_MAX, max(PART_BYTES_MIN, wanted))
