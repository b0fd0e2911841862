"""Scalars taken apart thousands at a time, and written so: the same as one by one, whatever lies between them."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_dash import Experiment
from ml_dash.importers.importing import import_runs
from ml_dash.importers.report import RunReport
from ml_dash.importers.tensorboard import event_columns
from ml_dash.importers.tensorboard.crc32c import masked_crc, masked_crcs
from ml_dash.importers.tensorboard.event_columns import form_of
from ml_dash.importers.tensorboard.event_writer import EventWriter, packed
from ml_dash.importers.tensorboard.runs import TensorBoard
from tests.support.public_trees import problems


def bring_in(logs: Path, root: Path) -> RunReport:
    return next(iter(import_runs(TensorBoard(str(logs), "zoe/p"), str(root))))


def content(root: Path, prefix: str) -> dict[Any, Any]:
    exp = Experiment(prefix, dash_root=root)
    return {
        each["name"]: repr([row["data"] for row in exp.metrics(each["name"]).read(limit=100_000)["data"]])
        for each in exp.metrics.list()
    }


def record(event: bytes) -> bytes:
    size = struct.pack("<Q", len(event))
    return size + struct.pack("<I", masked_crc(size)) + event + struct.pack("<I", masked_crc(event))


def scalar(tag: bytes, step: int | None, value: float, time: float, kind: str = "simple") -> bytes:
    """An event in one of the forms that writers make."""
    from ml_dash.importers.tensorboard.event_writer import varint

    number = struct.pack("<f", value)
    plugin = packed(9, packed(1, packed(1, b"scalars")))
    bodies = {
        "simple": b"\x15" + number,
        "metadata": b"\x15" + number + plugin,
        "content": packed(8, b"\x08\x01" + packed(2, b"") + packed(4, number)) + plugin,
        "packed": packed(8, b"\x08\x01" + packed(2, b"") + packed(5, number)) + plugin,
        "single": packed(8, b"\x08\x01" + packed(2, b"") + b"\x2d" + number) + plugin,
    }
    event = b"\x09" + struct.pack("<d", time) + (b"" if step is None else b"\x10" + varint(step))
    return event + packed(5, packed(1, packed(1, tag) + bodies[kind]))


def mixed(seed: int) -> bytes:
    """Records of several tags and forms, with texts, damage and other events among them."""
    drawn = random.Random(seed)
    tags = [
        b"train/loss",
        b"train/accu",
        b"val/loss",
        b"loss",
        b"env/step",
        b"a" * 200 + b"/b",
        "ü/ß".encode(),
    ]
    kinds = {tag: drawn.choice(["simple", "metadata", "content", "packed", "single"]) for tag in tags}
    data = record(b"\x09" + struct.pack("<d", 1e9) + packed(3, b"brain.Event:2"))
    for at in range(700):
        tag = drawn.choice(tags)
        step = drawn.choice([at, at * 1_000, -at, None, 2**40 + at])
        value = drawn.choice([float("nan"), float("inf"), drawn.random(), -0.0, 1e-40])
        event = scalar(tag, step, value, 1.7e9 + at * drawn.random(), kinds[tag])
        chance = drawn.random()
        if chance < 0.01:
            damaged = bytearray(record(event))
            damaged[drawn.randrange(12, len(damaged))] ^= 1 << drawn.randrange(8)
            data += bytes(damaged)
        elif chance < 0.02:
            data += record(b"\x09" + struct.pack("<d", drawn.choice([float("nan"), 1e300])) + event[9:])
        elif chance < 0.03:
            data += record(event[:9] + packed(5, packed(1, packed(1, b"hist") + b"\x2a\x00")))
        else:
            data += record(event)
    return data


@pytest.mark.parametrize("seed", range(2))
def test_many_at_once_are_the_same_as_one_by_one(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values, steps and times, what is left out, and what an import in halves finds."""
    data = mixed(seed)
    logs = tmp_path / "logs"
    logs.mkdir()
    file = logs / "events.out.tfevents.1.a"
    file.write_bytes(data)
    whole = bring_in(logs, tmp_path / "whole")
    file.write_bytes(data[: len(data) // 2])
    bring_in(logs, tmp_path / "halves")
    file.write_bytes(data)
    bring_in(logs, tmp_path / "halves")
    monkeypatch.setattr(event_columns, "_FEW", 10**9)
    single = bring_in(logs, tmp_path / "single")
    assert content(tmp_path / "whole", "zoe/p/p") == content(tmp_path / "single", "zoe/p/p")
    assert content(tmp_path / "halves", "zoe/p/p") == content(tmp_path / "single", "zoe/p/p")
    assert (whole.rows, problems([whole])) == (single.rows, problems([single]))
    assert whole.rows > 600
    assert not bring_in(logs, tmp_path / "whole").has_news


@pytest.mark.parametrize("kind", ["simple", "metadata", "content", "packed", "single"])
def test_a_form_tells_where_the_numbers_are(kind: str) -> None:
    event = scalar(b"a/b", 300, 0.5, 1.0, kind)
    form = form_of(event)
    assert form is not None
    assert form.step == (10, 12)
    assert struct.unpack("<f", event[form.value : form.value + 4]) == (0.5,)
    assert (form.tag, form.plugin, form.is_tensor) == (
        "a/b",
        "" if kind == "simple" else "scalars",
        kind in {"content", "packed", "single"},
    )
    for cut in range(len(event)):
        assert form_of(event[:cut]) is None or form_of(event[:cut]) != form


def test_checksums_are_those_of_tfrecord_however_they_are_computed() -> None:
    """Of one piece, of a long one, and of many beside each other; the value for 1…9 is that of RFC 3720."""
    drawn = np.random.default_rng(0)
    assert masked_crc(b"123456789") == ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF
    for size in (0, 1, 2, 7, 50, 51):
        rows = drawn.integers(0, 256, (20, size), dtype=np.uint8)
        assert masked_crcs(rows).tolist() == [masked_crc(row.tobytes()) for row in rows]
    from ml_dash.importers.tensorboard import crc32c

    for size in (16_384, 16_385, 100_003):
        data = drawn.integers(0, 256, size, dtype=np.uint8).tobytes()
        assert crc32c._long(data) == crc32c._short(data)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Scalars at any steps, as floats of 32 bits; texts, images, sounds, histograms, parameters and the end."""
    steps = np.array([0, 1, 127, 128, 2**40, -1, -5, 3])
    values = np.array([0.5, np.nan, np.inf, 1e38, -0.0, 3.0, 1 / 3, 1e-3])
    times = 1_700_000_000_000_000_000 + np.arange(8) * 1_000_000
    out = io.BytesIO()
    writer = EventWriter(out, 1_700_000_000_000_000_000)
    writer.hparams(
        {"lr": 0.1, "name": "a", "on": True}, 1_700_000_000_000_000_000, 1_700_000_001_000_000_000, "FAILED"
    )
    writer.scalars("train/loss", times, steps, values)
    writer.text("notes", int(times[0]), 5, "a *text*")
    writer.image("val/img", int(times[0]), 6, b"\x89PNG...", 6, 4)
    writer.audio("val/sound", int(times[0]), 6, b"RIFF", {"sampleRate": 8000, "seconds": 0.5})
    writer.histogram("val/hist", int(times[0]), 6, [1.0, 2.0], [0.0, 1.0, 2.0])
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "events.out.tfevents.1.a").write_bytes(out.getvalue())
    report = bring_in(logs, tmp_path / "root")
    assert problems([report]) == ""
    exp = Experiment("zoe/p/p", dash_root=tmp_path / "root")
    rows = [row["data"] for row in exp.metrics("train").read()["data"]]
    assert [row["step"] for row in rows] == steps.tolist()
    assert repr([row["loss"] for row in rows]) == repr(values.astype(np.float32).astype(float).tolist())
    assert [row["message"] for row in exp.logs.read()["data"]] == ["a *text*"]
    assert exp.params.get() == {"lr": 0.1, "name": "a", "on": True}
    assert exp.status().status == "FAILED"
    image, sound, histogram = (row["data"] for row in exp.metrics("val").read()["data"])
    assert (image["img"]["_type"], image["img"]["width"], image["img"]["height"]) == ("image", 6, 4)
    assert exp.files(image["img"]["file"]).read_bytes() == b"\x89PNG..."
    assert (sound["sound"]["sampleRate"], sound["sound"]["seconds"]) == (8000, 0.5)
    assert exp.files(histogram["hist"]["file"]).read_text().count("2.0") == 2
