"""What an experiment is called: `owner/project/path…/name`, parsed, checked and turned into a directory.

Everything from outside that becomes part of a path passes through here once. Refused are: empty, `.` and
`..` segments, a leading dot, control characters (Unicode category Cc, so NUL as well), backslashes, text that
is not valid Unicode (lone surrogates), segments over 255 bytes and prefixes over 1 024 bytes in UTF-8, and,
from the third segment on, the names of the files that an experiment keeps in its own directory.

Characters and names that only Windows cannot store (`: * ? " < > |`, `CON`, a trailing dot or space) name an
experiment as any other: one that was logged elsewhere is read at its server. Such a name is refused where it should
become a directory there. Two prefixes that differ only in case, or in how an accent is composed, are two experiments; a
file system that folds them (macOS and Windows by default) would put both into one directory, and the second is refused
when it starts, see `ml_dash.storage.folding`.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from ml_dash.errors import InvalidArgumentError, InvalidPrefixError
from ml_dash.paths import windows_fault
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_SEGMENT_BYTES = 255
MAX_PREFIX_BYTES = 1024
MAX_STEM_BYTES = 100
DEFAULT_PROJECT = "scratch"

# An experiment may lie below another one, so its name must not be that of the upper one's own files.
RESERVED_NAMES = frozenset({"journal", "files", "experiment.json", "parameters.json"})
FIRST_RESERVED_POSITION = 3

NOTEBOOK_LAUNCHERS = frozenset({"ipykernel_launcher", "colab_kernel_launcher"})
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def _has_control_character(segment: str) -> bool:
    return any(unicodedata.category(character) == "Cc" for character in segment)


def _starts_with_dot(segment: str) -> bool:
    return segment[0] == "."


# What a segment must not be, the problem in words, and what to do about it.
FAULTS: tuple[tuple[Callable[[str], bool], str, str], ...] = (
    (lambda segment: not segment, "is empty", "remove the doubled '/'"),
    (lambda segment: segment in {".", ".."}, "is a step in a path, not a name", "write the path without it"),
    (_starts_with_dot, "starts with a dot", "start it with another character"),
    (lambda segment: "\\" in segment, "contains a backslash", "separate segments with '/'"),
    (lambda segment: "/" in segment, "contains a slash", "replace it, for example by '-'"),
    (_has_control_character, "contains a control character", "remove it"),
)


class Identity(NamedTuple):
    """The four parts of an experiment's prefix, already checked.

    Attributes:
        owner: The first segment.
        project: The second segment.
        folder: The segments between project and name, joined by `/`; `""` if there are none.
        name: The last segment.
    """

    owner: str
    project: str
    folder: str
    name: str

    @property
    def segments(self) -> tuple[str, ...]:
        """All segments from owner to name; at least three."""
        folder = self.folder.split("/") if self.folder else ()
        return (self.owner, self.project, *folder, self.name)

    @property
    def prefix(self) -> str:
        """The full prefix; `parse_prefix` of it gives this identity again."""
        return "/".join(self.segments)

    def directory(self, root: str) -> str:
        """Return the experiment's directory, which is always below `root`.

        Raises:
            InvalidPrefixError: This system has no directory of such a name.
        """
        if os.name == "nt":
            check_windows(self.segments)
        # os.path.join would start anew at a segment such as "C:" on Windows, and so leave the root.
        return os.path.join(root, "") + os.sep.join(self.segments)


def check_windows(segments: Sequence[str]) -> None:
    """Raise `InvalidPrefixError` where Windows cannot store an experiment of such a name."""
    for segment in segments:
        if fault := windows_fault(segment):
            problem, remedy = fault
            raise InvalidPrefixError(
                f"prefix {_shown('/'.join(segments))!r}: segment {_shown(segment)!r} {problem}; {remedy}"
            )


def parse_prefix(
    prefix: str | None,
    *,
    user: Callable[[], str],
    now_ns: Callable[[], int],
    script: str | None = None,
) -> Identity:
    """Turn what the caller gave as `prefix` into an identity.

    `owner/project/path…/name` is taken as it is, `a/b` is short for `a/b/b`, and `a` for `<user>/scratch/a`.
    None takes the environment variable `ML_DASH_PREFIX`, or else makes up
    `<user>/scratch/<UTC time to the microsecond>-<script>`.

    Args:
        prefix: The prefix; slashes at its ends are ignored.
        user: Gives the owner where the prefix names none; called only then.
        now_ns: Gives the time in nanoseconds since the epoch; called only for a made-up name.
        script: What a made-up name ends with; None takes `script_stem()`.

    Raises:
        InvalidPrefixError: The prefix cannot name an experiment; the message shows segment and remedy.

    Example:
        >>> parse_prefix("alice/vision/resnet/run-1", user=current_user, now_ns=time.time_ns).folder
        'resnet'
    """
    source = "prefix"
    if prefix is None:
        prefix, source = os.environ.get("ML_DASH_PREFIX", ""), "prefix from ML_DASH_PREFIX"
        if not prefix:
            name = _generated_name(now_ns(), script_stem() if script is None else script)
            return _identity((user(), DEFAULT_PROJECT, name), "generated prefix")
    if not isinstance(prefix, str):
        raise InvalidPrefixError(
            f"prefix must be a str like 'owner/project/name' or None, not {type(prefix).__qualname__}: "
            f"{_shown(repr(prefix))}; convert it with str() first"
        )
    text = prefix.strip("/")
    if not text:
        raise InvalidPrefixError(
            f"{source} {prefix!r} names nothing; give 'owner/project/name', or None for a generated name"
        )
    return _identity(_expanded(text.split("/"), user), source)


def file_path(text: str, what: str) -> tuple[str, ...]:
    """Return the segments of a file's path within its experiment; slashes at its ends are ignored.

    A leading dot is allowed, and so is every name: contents lie elsewhere, under names of their own.

    Args:
        text: The path; `""` and `"/"` are the root, of no segments.
        what: What it is called in messages, as `to=`.

    Raises:
        InvalidArgumentError: It is no path that a file may have; the message shows segment and remedy.

    Example:
        >>> file_path("/models/best.pt", "path=")
        ('models', 'best.pt')
    """
    if not isinstance(text, str):
        raise InvalidArgumentError(
            f"{what}{_shown(repr(text))} is a {type(text).__qualname__}, not a str like 'models/best.pt'"
        )
    stripped = text.strip("/")
    if not stripped:
        return ()
    segments = tuple(stripped.split("/"))
    for segment in segments:
        fault = _path_fault(segment)
        if fault:
            problem, remedy = fault
            raise InvalidArgumentError(
                f"{what}{_shown(text)!r}: segment {_shown(segment)!r} {problem}; {remedy}"
            )
    size = len(stripped.encode())
    if size > MAX_PREFIX_BYTES:
        raise InvalidArgumentError(
            f"{what}{_shown(text)!r} is {size} bytes long in UTF-8; use at most {MAX_PREFIX_BYTES} bytes"
        )
    return segments


def current_user() -> str:
    """Return `ML_DASH_USER`, else the login name, made safe as a segment; `"user"` where there is neither."""
    name = os.environ.get("ML_DASH_USER") or _login_name()
    return made_safe(name, fallback="user", limit=MAX_SEGMENT_BYTES)


def script_path() -> str:
    """Return what the running script was called by; "" where nothing says so, as in a program that embeds Python."""
    try:
        return os.fsdecode(sys.argv[0])  # a launcher may have put a Path there
    except (AttributeError, IndexError, TypeError):
        return ""


def script_stem() -> str:
    """Return the running script's name without its extension, made safe as part of a segment.

    A notebook is `"notebook"`, a package run by `python -m` its own name, `python -c` and an interactive
    session `"python"`.
    """
    path = script_path()
    if path in {"", "-c", "-m", "-"}:
        return "python"
    stem = os.path.splitext(os.path.basename(path))[0]
    if stem == "__main__":
        stem = os.path.basename(os.path.dirname(path))
    if stem in NOTEBOOK_LAUNCHERS:
        return "notebook"
    return made_safe(stem, fallback="python", limit=MAX_STEM_BYTES)


def _expanded(segments: list[str], user: Callable[[], str]) -> tuple[str, ...]:
    if len(segments) == 1:
        return (user(), DEFAULT_PROJECT, segments[0])
    if len(segments) == 2:
        return (*segments, segments[1])
    return tuple(segments)


def _identity(segments: tuple[str, ...], source: str) -> Identity:
    for position, segment in enumerate(segments, 1):
        fault = _fault(segment, position)
        if fault:
            problem, remedy = fault
            raise InvalidPrefixError(
                f"{source} {_shown('/'.join(segments))!r}: segment {_shown(segment)!r} {problem}; {remedy}"
            )
    size = len("/".join(segments).encode())
    if size > MAX_PREFIX_BYTES:
        raise InvalidPrefixError(
            f"{source} {_shown('/'.join(segments))!r} is {size} bytes long in UTF-8, its last segment is "
            f"{_shown(segments[-1])!r}; use at most {MAX_PREFIX_BYTES} bytes"
        )
    owner, project, *folder, name = segments
    return Identity(owner, project, "/".join(folder), name)


def _fault(segment: str, position: int) -> tuple[str, str] | None:
    for applies, problem, remedy in FAULTS:
        if applies(segment):
            return problem, remedy
    if position >= FIRST_RESERVED_POSITION and segment in RESERVED_NAMES:
        return "is a name that an experiment needs for its own files", "choose another one"
    return _size_fault(segment)


def _path_fault(segment: str) -> tuple[str, str] | None:
    """Return what is wrong with a segment of a file's path, where a leading dot is fine, or None."""
    for applies, problem, remedy in FAULTS:
        if applies is not _starts_with_dot and applies(segment):
            return problem, remedy
    return _size_fault(segment)


def _size_fault(segment: str) -> tuple[str, str] | None:
    try:
        size = len(segment.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode (it holds a lone surrogate)", "decode the name with its right encoding"
    if size > MAX_SEGMENT_BYTES:
        return f"is {size} bytes long in UTF-8", f"use at most {MAX_SEGMENT_BYTES} bytes a segment"
    return None


def _generated_name(time_ns: int, script: str) -> str:
    """Return a name that two runs of one script, even within a second, do not share."""
    return f"{utc_time(time_ns)}-{time_ns // 1000 % 1_000_000:06}-{script}"


def utc_time(time_ns: int) -> str:
    """Return a time as part of a name, to the second."""
    return f"{EPOCH + timedelta(seconds=time_ns // 1_000_000_000):%Y%m%d-%H%M%S}"


def _login_name() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # no pwd module, or (in a container) no entry for the user id
        return ""


def made_safe(text: str, *, fallback: str, limit: int) -> str:
    """Return `text` with everything replaced or cut off that a segment may not have; at most `limit` bytes."""
    cleaned = "".join(
        "-" if character in "/\\" or unicodedata.category(character) in {"Cc", "Cs"} else character
        for character in text
    )
    cut = cleaned.strip().lstrip(".").encode()[:limit]
    return cut.decode(errors="ignore") or fallback


def _shown(text: str, limit: int = 80) -> str:
    """Return `text`, cut in the middle where it would make a message unreadable."""
    return text if len(text) <= limit else f"{text[: limit // 2]}…{text[-limit // 4 :]}"
