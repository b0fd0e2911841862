"""A disk that says how much was read of it."""

from __future__ import annotations

from ml_dash.journal.disk import RealDisk


class CountingDisk(RealDisk):
    """Counts the bytes that are read."""

    def __init__(self) -> None:
        self.bytes_read = 0

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        data = super().read_at(path, offset, length)
        self.bytes_read += len(data)
        return data
