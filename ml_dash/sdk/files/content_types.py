"""What kind of content a file has, by its name: the same on every machine, whatever its own tables say."""

from __future__ import annotations

import mimetypes

OCTETS = "application/octet-stream"

_MORE = {
    ".md": "text/markdown",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".toml": "application/toml",
    ".jsonl": "application/jsonl",
    ".log": "text/plain",
    ".webp": "image/webp",
    ".npy": OCTETS,
    ".npz": OCTETS,
    ".parquet": "application/vnd.apache.parquet",
    ".pkl": OCTETS,
    ".pt": OCTETS,
    ".pth": OCTETS,
}
"""Extensions that Python's table lacks, or has in some versions only."""

_TYPES = mimetypes.MimeTypes(filenames=())
"""Python's own table: `mimetypes.guess_type` would take in those of the system."""


def content_type(filename: str) -> str:
    """Return the media type that a file's extension stands for; ``application/octet-stream`` where it says nothing.

    Example:
        >>> content_type("plot.png")
        'image/png'
    """
    dot = filename.rfind(".")
    extension = filename[dot:].lower() if dot > 0 else ""
    if extension in _MORE:
        return _MORE[extension]
    # an encoding such as gzip is what the bytes are: the type of what is inside would be wrong
    kind, encoding = _TYPES.guess_type(f"name{extension}", strict=True)
    return kind if kind and not encoding else OCTETS
