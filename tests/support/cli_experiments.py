"""Experiments to look at: logged by the library itself, and then perhaps damaged."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

from ml_dash import Experiment
from ml_dash.journal.blocks import block_rows
from ml_dash.journal.frame import (
    MAGIC,
    SEGMENT_HEADER,
    decode_segment_header,
    encode_segment_header,
    segment_name,
)
from ml_dash.journal.index import JournalIndex
from ml_dash.series import Kind, Series
from tests.support.shell import environment

TRAIN = Series(Kind.METRIC, "train")

Script = Callable[[Experiment], object]


def make(root: Path, prefix: str, script: Script | None = None, **arguments: object) -> Path:
    """Run a script in an experiment, and return the experiment's directory."""
    experiment = Experiment(prefix, dash_root=root, echo=False, **arguments)  # type: ignore[arg-type]
    with experiment.run:
        if script:
            script(experiment)
    return Path(experiment.directory)


def training(exp: Experiment, steps: int = 100) -> None:
    """What a small training run logs."""
    exp.params.set(lr=0.001, model={"arch": "resnet50", "layers": 50})
    exp.log("training begins", gpu=3)
    for step in range(steps):
        exp.metrics("train").log(step=step, loss=math.exp(-step / 20), acc=1 - math.exp(-step / 20))
    for epoch in range(5):
        exp.metrics("eval").log(epoch=epoch, loss=1 / (epoch + 1), best=epoch == 4)
    exp.tracks("pose").append(x=1.0, y=2.0, _ts=10.0)
    exp.log("done", level="warn")


def in_frames(*numbers: int) -> Script:
    """A script that logs these numbers, each in a frame of its own."""

    def script(exp: Experiment) -> None:
        for number in numbers:
            exp.metrics("train").log(n=number)
            exp.flush()

    return script


def killed(root: Path, prefix: str) -> Path:
    """An experiment whose process died without a word, after it logged one row and one message."""
    code = (
        "import os; from ml_dash import Experiment;"
        f"exp = Experiment({prefix!r}, dash_root={str(root)!r}, echo=False).run.start();"
        "exp.metrics('train').log(n=1); exp.log('hello'); exp.flush(); os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), check=False)
    assert done.returncode == 9
    return root / prefix


def segment(directory: Path) -> Path:
    """The first segment file of an experiment: whoever recovers a killed run's rows adds another one."""
    return min((directory / "journal").glob("*.mldj"))


def damage_row(directory: Path, number: int) -> None:
    """Flip a bit in the data of the frame that begins with this number, as of `in_frames`."""
    index = JournalIndex(str(directory / "journal"))
    index.refresh()
    (catalogue,) = index.catalogues.values()
    for at, _ in catalogue.entered_since(0):
        for block in index.read_frame(catalogue, at):
            if block.series == TRAIN and block_rows(block)[0]["n"] == number:
                place = catalogue.place(at)
                path = segment(directory)
                raw = bytearray(path.read_bytes())
                raw[place.offset + place.length - 1] ^= 1
                path.write_bytes(raw)
                return
    raise AssertionError(f"no frame begins with {number}")


def tear(directory: Path, lost: int = 3) -> None:
    """Cut bytes off the end, as a power cut does."""
    path = segment(directory)
    os.truncate(path, path.stat().st_size - lost)


def make_newer(directory: Path) -> None:
    """Have a later version's header, with the right checksum."""
    path = segment(directory)
    raw = path.read_bytes()
    _, version, length, _ = SEGMENT_HEADER.unpack_from(raw)
    head = SEGMENT_HEADER.pack(MAGIC, version + 1, length, 0)[:8]
    payload = raw[SEGMENT_HEADER.size : length]
    crc = zlib.crc32(payload, zlib.crc32(head))
    path.write_bytes(head + crc.to_bytes(4, "little") + raw[SEGMENT_HEADER.size :])


def written_by(directory: Path, pid: int) -> None:
    """Have the journal written by another process: one that lives, or one that does not."""
    path = segment(directory)
    raw = path.read_bytes()
    header = decode_segment_header(raw, str(path))
    assert header
    born, _, rest = header.writer.split("-")
    writer = f"{born}-{pid:x}-{rest}"
    path.unlink()
    path.with_name(segment_name(writer, header.segment)).write_bytes(
        encode_segment_header(writer, header.segment, header.created_ns, header.first_seq)
        + raw[header.length :]
    )


def dead_pid() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def log_ranks(root: Path, prefix: str = "a/p/ddp") -> None:
    """Have two ranks log five steps each; the loss is the rank."""
    for rank in range(2):

        def steps(exp: Experiment) -> None:
            for step in range(5):
                exp.metrics("train").log(step=step, loss=float(exp.rank or 0))
            exp.log("hello")

        make(root, prefix, steps, rank=rank)
