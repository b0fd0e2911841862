"""Importing event files: of tensorboardX and of TensorBoard's own writer, which is how Keras writes."""

from __future__ import annotations

import json
import math
import random
import shutil
import struct
from pathlib import Path

import pytest

from ml_dash import Experiment, InvalidArgumentError
from ml_dash.importers.growing_file import GrowingFile
from ml_dash.importers.importing import import_runs
from ml_dash.importers.protobuf import NO_MESSAGE, BrokenError, number, parse, signed
from ml_dash.importers.report import RunReport
from ml_dash.importers.tensorboard.crc32c import masked_crc
from ml_dash.importers.tensorboard.event_file import read_records, tensor_values
from ml_dash.importers.tensorboard.runs import TensorBoard
from ml_dash.journal.disk import open_regular
from tests.support.project import PROJECT
from tests.support.public_trees import metric, problems

DATA = PROJECT / "tests" / "importers" / "data" / "tensorboard"
SGD = "zoe/vision/sgd/run-1"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    shutil.copytree(DATA, tmp_path / "logs")
    return tmp_path / "logs"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "imported"


@pytest.fixture
def events(logs: Path) -> Path:
    return next((logs / "sgd" / "run-1").glob("events*"))


def bring_in(logs: Path, root: Path, under: str | None = "zoe/vision") -> list[RunReport]:
    return list(import_runs(TensorBoard(str(logs), under), str(root)))


def test_scalars_become_rows_of_their_tags_with_their_steps_and_times(logs: Path, root: Path) -> None:
    """Values are those of the file, which keeps floats of 32 bits."""
    reports = bring_in(logs, root)
    assert [(each.prefix, each.events, each.params) for each in reports] == [
        ("zoe/vision/keras", 5, False),
        (SGD, 14, False),
        (f"{SGD}/hp", 1, True),
    ]
    rows = metric(root, "train", SGD)
    assert [(row["step"], row["_ts"]) for row in rows if "loss" in row] == [
        (step, 1_700_000_000.25 + step) for step in range(5)
    ]
    assert [row["loss"] for row in rows if "loss" in row] == [
        struct.unpack("<f", struct.pack("<f", 1 / (step + 1)))[0] for step in range(5)
    ]
    assert [row["acc"] for row in rows if "acc" in row] == [0.0, 0.25, 0.5, 0.75, 1.0]
    lr, odd = (row for row in metric(root, None, SGD) if "weights" not in row)
    assert (lr["step"], round(lr["lr"], 6)) == (3, 0.1)
    assert math.isnan(odd["odd"])
    assert [row.get("epoch_loss", row.get("epoch_count")) for row in metric(root, None, "zoe/vision/keras")] == [
        0.5, 0.25, 0.125, 7,
    ]  # fmt: skip


def test_texts_hyperparameters_and_histograms_come_too(logs: Path, root: Path) -> None:
    """A session of hparams says how it ended; others do not."""
    reports = bring_in(logs, root)
    exp, hp = Experiment(SGD, dash_root=root), Experiment(f"{SGD}/hp", dash_root=root)
    (message,) = exp.logs.read()["data"]
    assert (message["message"], message["metadata"]["step"]) == ("some *text*", 2)
    (words,) = Experiment("zoe/vision/keras", dash_root=root).logs.read()["data"]
    assert words["message"] == "a\né"
    assert hp.params.get() == {"lr": 0.1, "name": "sgd", "nesterov": True}
    assert (hp.status().status, exp.status().status) == ("COMPLETED", None)
    assert problems(reports) == ""
    (weights,) = [row["weights"] for row in metric(root, None, SGD) if "weights" in row]
    told = json.loads(exp.files(weights["file"]).read_bytes())
    assert (sum(told["counts"]), told["edges"][0]) == (weights["num"], weights["min"])


def test_importing_again_adds_what_is_new(logs: Path, root: Path, events: Path) -> None:
    """A record that is not whole yet is read when it is."""
    whole = events.read_bytes()
    events.write_bytes(whole[:1_000])
    first = bring_in(logs, root)
    assert "cut off, or still being written" in problems(first)
    events.write_bytes(whole)
    again = bring_in(logs, root)
    assert first[1].events + again[1].events == 14
    assert sum(report.events for report in bring_in(logs, root)) == 0
    assert len(metric(root, "train", SGD)) == 10
    # said once when it is found, and from then on as a number
    graph = b"\x09" + struct.pack("<d", 1_700_000_000.0) + b"\x22\x01g"
    size = struct.pack("<Q", len(graph))
    events.write_bytes(
        whole + size + struct.pack("<I", masked_crc(size)) + graph + struct.pack("<I", masked_crc(graph))
    )
    assert "a graph has no place here" in problems(bring_in(logs, root))
    assert "1 lines or values were left out before" in problems(bring_in(logs, root))


@pytest.mark.parametrize(
    ("at", "told", "rows"),
    [(-1, "a record is damaged", 14), (3, "a record's length is damaged, so that nothing behind it", 0)],
)
def test_damage_is_named_and_hides_nothing_but_itself(
    logs: Path, root: Path, events: Path, at: int, told: str, rows: int
) -> None:
    """Behind a damaged length nobody knows where the next record begins."""
    raw = bytearray(events.read_bytes())
    (size,) = struct.unpack_from("<Q", raw)
    raw[12 + size + at if at < 0 else at] ^= 0x40
    events.write_bytes(raw)
    report = bring_in(logs, root)[1]
    assert told in problems([report])
    assert report.events == rows


def test_a_name_of_a_run_is_its_place(logs: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the user and the directory, unless another place is given; two directories of one name are two runs."""
    monkeypatch.setenv("ML_DASH_USER", "carol")
    assert [each.prefix for each in bring_in(logs / "sgd", root, None)] == [
        "carol/sgd/run-1",
        "carol/sgd/run-1/hp",
    ]
    with pytest.raises(InvalidArgumentError, match="there is no event file in"):
        bring_in(root / "nothing", root)


def test_a_tag_that_would_hide_the_step_is_a_metric_of_its_own(root: Path, tmp_path: Path) -> None:
    """As `env/step` is in reinforcement learning."""
    value = b"\x0a\x08env/step\x15" + struct.pack("<f", 5.0)
    summary = b"\x0a" + bytes([len(value)]) + value
    event = b"\x09" + struct.pack("<d", 1_700_000_000.0) + b"\x10\x07\x2a" + bytes([len(summary)]) + summary
    size = struct.pack("<Q", len(event))
    record = size + struct.pack("<I", masked_crc(size)) + event + struct.pack("<I", masked_crc(event))
    (tmp_path / "rl").mkdir()
    (tmp_path / "rl" / "events.out.tfevents.1.a").write_bytes(record)
    bring_in(tmp_path / "rl", root)
    assert metric(root, "env/step", "zoe/vision/vision") == [
        {"step": 7, "value": 5.0, "_ts": 1_700_000_000.0}
    ]


def test_no_bytes_of_a_record_end_the_import(logs: Path, root: Path, events: Path) -> None:
    """Each record of the file with a byte changed, and its checksum made right: named, or read as what it says."""
    with GrowingFile(str(events), open_regular, None) as file:
        whole = [record.data for record in read_records(file) if record.data]
    drawn = random.Random(7)
    mutated = b""
    for record in whole * 20:
        data = bytearray(record)
        for _ in range(drawn.choice([1, 1, 2, 5])):
            data[drawn.randrange(len(data))] = drawn.randrange(256)
        size = struct.pack("<Q", len(data))
        mutated += (
            size + struct.pack("<I", masked_crc(size)) + data + struct.pack("<I", masked_crc(bytes(data)))
        )
    events.write_bytes(mutated)
    report = bring_in(logs, root)[1]
    assert report.refused is None
    assert report.events > len(whole)
    assert NO_MESSAGE in problems([report])


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05ab", b"\x0b", b"\xff" * 20, b"\x09\x00"])
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(BrokenError):
        number(parse(data).get(1, [b""])[0], "d")


def test_numbers_are_read_as_protocol_buffers_store_them() -> None:
    """The checksum is that of TFRecord; negative numbers take ten bytes."""
    assert masked_crc(b"123456789") == ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert signed(parse(b"\x10" + b"\xff" * 9 + b"\x01")[2][0]) == -1
    assert tensor_values(b"\x08\x03\x3a\x02\x05\x06") == [5, 6]
    assert tensor_values(b"\x08\x09\x50\x07") == [7]
    with pytest.raises(BrokenError, match="a tensor of type 4"):
        tensor_values(b"\x08\x04")
