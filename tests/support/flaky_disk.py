"""A disk at one of whose operations power is cut."""

from __future__ import annotations

from collections.abc import Iterable

from ml_dash.journal.disk import RealDisk, SegmentFile


class PowerCutError(BaseException):
    """Nobody expects it, and nobody catches it."""


class _FlakyFile:
    def __init__(self, file: SegmentFile, disk: FlakyDisk) -> None:
        self._file, self._disk = file, disk

    def write(self, data: bytes) -> None:
        try:
            self._disk.count()
        except PowerCutError:
            self._file.write(data[: len(data) // 2])
            raise
        self._file.write(data)

    def sync(self) -> None:
        self._disk.count()
        self._file.sync()

    def close(self) -> None:
        self._file.close()


class FlakyDisk(RealDisk):
    """The machine's disk, until power is cut at one of its operations, in the middle of a write."""

    def __init__(self, operations: int) -> None:
        self.left = operations

    def count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise PowerCutError

    def create(self, path: str) -> SegmentFile:
        self.count()
        return _FlakyFile(super().create(path), self)

    def replace(self, path: str, data: bytes | Iterable[bytes], *, durable: bool = True) -> None:
        self.count()
        super().replace(path, data, durable=durable)

    def secure(self, path: str, root: str, *, rewrite: bool = False) -> None:
        self.count()
        super().secure(path, root, rewrite=rewrite)
