"""The metrics of a server, for Prometheus. Each server has a registry of its own."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

# finer at the low end: most answers take milliseconds
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_REQUESTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Telemetry:
    """The metrics of one server process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        counted = partial(Counter, registry=self._registry)
        gauge = partial(Gauge, registry=self._registry)
        self.requests = counted("mldash_requests", "Requests answered.", ["route", "method", "status"])
        self.seconds = Histogram(
            "mldash_request_seconds",
            "How long requests took, from their head to their answer.",
            ["route", "method"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.in_flight = gauge("mldash_requests_in_flight", "Requests that are being answered.")
        self.memory = gauge("mldash_request_memory_bytes", "Bytes of requests that are in memory.")
        self.sending = gauge("mldash_answer_memory_bytes", "Bytes of large answers that are in memory.")
        self.body_bytes = counted("mldash_ingest_bytes", "Bytes of frames received, after decompression.")
        self.rows = counted(
            "mldash_ingest_rows", "Events stored: rows of metrics, messages, signs of life, and so on."
        )
        self.frames = counted("mldash_ingest_frames", "Frames stored.")
        self.duplicates = counted("mldash_ingest_duplicate_frames", "Frames that were stored already.")
        self.commits = counted(
            "mldash_ingest_commits", "Transactions that stored frames, or new experiments."
        )
        self.shared = Histogram(
            "mldash_ingest_commit_requests",
            "Requests that share a transaction, when it begins.",
            buckets=_REQUESTS,
            registry=self._registry,
        )
        self.compacted = counted("mldash_compacted_rows", "Events merged into chunks.")
        self.orphans = counted(
            "mldash_removed_objects", "Objects moved into the trash, to which nothing referred."
        )
        self.held = gauge(
            "mldash_removal_held",
            "Whether nothing is removed from the object store until an operator says so.",
        )
        self.parts = counted(
            "mldash_content_parts", "Parts of contents of files stored, whole ones included."
        )
        self.blob_bytes = counted("mldash_content_received_bytes", "Bytes of contents of files received.")
        self.blob_bytes_sent = counted("mldash_content_sent_bytes", "Bytes of contents of files sent.")
        self.blobs_removed = counted(
            "mldash_removed_contents", "Contents removed that no file named any more, and uploads given up."
        )
        self.errors = counted(
            "mldash_internal_errors", "Requests that failed for a reason of the server's own."
        )

    def render(self) -> bytes:
        """Return all metrics as text, in Prometheus' format."""
        return generate_latest(self._registry)
