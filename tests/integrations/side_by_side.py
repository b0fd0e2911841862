"""What a framework's own integration with wandb logs, beside what ours does: found out by runs, not by reading.

    python -m tests.integrations.side_by_side       # after `make integrations`; prints the tables

Each case is one tiny training, run twice: with wandb, offline, whose file is read back by wandb's own protobuf
messages, and with ML-Dash. All that the first has (series with their values, parameters, results, media, what was
printed, the load) is looked for in the second, by the names that the case's rules give. What has no counterpart has to
be in the case's list, with the reason. The tables are in docs/integrations.md; a test holds that they are what the runs
say.

wandb is no requirement of anything else, and lies in a directory of its own: frameworks that find it log to it unasked.
"""

from __future__ import annotations

import fnmatch
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ml_dash
from tests.support.frameworks import PYTHON, run
from tests.support.project import PROJECT

WANDB = PYTHON.parents[1] / "wandb"
"""Where `make integrations` puts wandb."""
OUTSIDE = ("_step", "_runtime", "_timestamp", "_wandb*")
"""Names of wandb's own bookkeeping."""
OUTSIDE_OF_RUNS = (
    *(
        "writer_id",
        "root",
        "program*",
        "*.used",
        "started_at",
        "config.yaml",
        "output.log",
        "wandb-*",
        "media/*",
    ),
)
"""Of the surroundings: its own names for this run, what is told elsewhere once more, and the script's name, of which
there is none here."""
_SURROUNDINGS = {
    "load": "system/*",
    "python": "python.version",
    "executable": "python.executable",
    "cpu_count": "cpu.count",
    "cpu_count_logical": "cpu.count",
    "cpu.model": "cpu.model",
    "memory.total": "memory",
    "requirements.txt": "packages.*",
    "git.remote_url": "git.remote",
    "email": "user",
    "gpu*": "gpus",
    "cuda*": "gpus",
}
"""What they are called here."""
_NOT_CAPTURED = {
    "disk*": "a question to a network disk may hang; what is read and written is in `system/disk`",
}
"""Why something of the surroundings is not here."""
_TIMES = ("*runtime*", "*per_second*", "*duration*")
"""Values that no two trainings have in common."""

_TRAINER = """
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

torch.manual_seed(0)
sizes = dict(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
model = BertForSequenceClassification(BertConfig(**sizes))
data = [{"input_ids": torch.randint(0, 50, (8,)), "labels": index % 2} for index in range(16)]
common = dict(
    max_steps=4, per_device_train_batch_size=4, logging_steps=1, eval_strategy="steps", eval_steps=2,
    disable_tqdm=True, save_strategy="no", use_cpu=True, run_name="first",
)
"""
_POLICY = """
class PolicyTrainer(Trainer):  # as the trainers of TRL: numbers and a table of completions of its own, at each log
    def log(self, logs, *args, **kwargs):
        step = self.state.global_step
        if "loss" in logs:
            logs |= {"rewards/mean": step / 10, "kl": step / 100, "completions/mean_length": 8.0}
        super().log(logs, *args, **kwargs)
        if "wandb" in self.args.report_to and "loss" in logs:
            import wandb

            if wandb.run is not None:
                wandb.log({"completions": wandb.Table(columns=["prompt", "reward"], data=[["2 + 2", step / 10]])})

"""


class Case(NamedTuple):
    """A training.

    Attributes:
        title: the framework.
        packages: that it needs.
        script: what both have in common.
        theirs: the lines with wandb.
        ours: the lines with ML-Dash.
        experiment: what ours logs to; with a ``*``, several, one a step of theirs.
        rules: from a name of theirs, as a pattern, to ours, as for `re.sub`; several for one name are tried in turn.
        reasons: why a name of theirs, as a pattern of `fnmatch`, has no counterpart.
    """

    title: str
    packages: tuple[str, ...]
    script: str
    theirs: str
    ours: str
    experiment: str
    rules: Sequence[tuple[str, str]] = ()
    reasons: Mapping[str, str] = {}


_OF_TRAINER = (
    (r"train/global_step", r"*/step"),
    (r"train/epoch", r"*/epoch"),
    (r"(?:train/)?train_(runtime|loss|samples_per_second|steps_per_second)", r"summary/\1"),
    (r"(?:train/)?total_flos", r"summary/total_flos"),
    (r"model/num_parameters", r"model.num_parameters"),
)

CASES = {
    "transformers": Case(
        "Hugging Face",
        ("transformers", "accelerate"),
        _TRAINER,
        'arguments = TrainingArguments("out", report_to="wandb", **common)\n'
        "Trainer(model, arguments, train_dataset=data, eval_dataset=data).train()\n",
        "from ml_dash.integrations.transformers import DashCallback\n"
        'arguments = TrainingArguments("out", report_to="none", **common)\n'
        'callbacks = [DashCallback("alice/vision/first")]\n'
        "Trainer(model, arguments, train_dataset=data, eval_dataset=data, callbacks=callbacks).train()\n",
        "alice/vision/first",
        _OF_TRAINER,
        {"report_to": "each has its own"},
    ),
    "trl": Case(
        "TRL-like",
        ("transformers", "accelerate"),
        _TRAINER + _POLICY,
        'arguments = TrainingArguments("out", report_to="wandb", **common)\n'
        "PolicyTrainer(model, arguments, train_dataset=data, eval_dataset=data).train()\n",
        'arguments = TrainingArguments("out", report_to="wandb", **common)\n'
        "PolicyTrainer(model, arguments, train_dataset=data, eval_dataset=data).train()\n",
        "alice/vision/first",
        (
            (r"train/global_step", r"*/step"),
            (r"train/epoch", r"*/epoch"),
            (r"(?:train/)?(train_\w+|total_flos)", r"summary.\1"),
        ),
    ),
    "lightning": Case(
        "Lightning",
        ("lightning",),
        """
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.demos.boring_classes import BoringModel

seed_everything(0)

class Model(BoringModel):
    def __init__(self, width=32, rate=0.1):
        super().__init__()
        self.save_hyperparameters()

    def training_step(self, batch, index):
        loss = super().training_step(batch, index)["loss"]
        self.log("train/loss", loss)
        self.log("train/index", float(index), on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch, index):
        self.log("val/loss", super().validation_step(batch, index)["x"])

common = dict(
    max_epochs=2, limit_train_batches=3, limit_val_batches=1, log_every_n_steps=1, accelerator="cpu",
    enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
)
""",
        "from lightning.pytorch.loggers import WandbLogger\n"
        'Trainer(logger=WandbLogger(name="first", project="vision", offline=True), **common).fit(Model())\n'
        "import wandb; wandb.finish()\n",
        "from ml_dash.integrations.lightning import DashLogger\n"
        'Trainer(logger=DashLogger("alice/vision/first"), **common).fit(Model())\n',
        "alice/vision/first",
        ((r"trainer/global_step", r"*/step"), (r"epoch", r"*/epoch")),
    ),
    "keras": Case(
        "Keras",
        ("keras",),
        """
import sys, types
import numpy as np
import keras

keras.utils.set_random_seed(0)
x, y = np.random.rand(32, 4).astype("float32"), np.random.rand(32, 1).astype("float32")
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="relu"), keras.layers.Dense(1)])
model.compile(optimizer="adam", loss="mse", metrics=["mae"])
common = dict(epochs=3, batch_size=8, validation_split=0.5, verbose=0)
""",
        # wandb's callback derives from `tensorflow.keras`, which is Keras 3 itself
        "class _None: pass\n"
        "tensorflow = types.ModuleType('tensorflow')\n"
        "tensorflow.keras, tensorflow.Variable, tensorflow.Tensor = keras, _None, _None\n"
        "sys.modules |= {'tensorflow': tensorflow, 'tensorflow.keras': keras}\n"
        "sys.modules['tensorflow.keras.callbacks'] = keras.callbacks\n"
        "import wandb\n"
        "from wandb.integration.keras import WandbMetricsLogger\n"
        'wandb.init(project="vision", name="first", config={"epochs": 3})\n'
        "model.fit(x, y, callbacks=[WandbMetricsLogger()], **common)\n"
        "wandb.finish()\n",
        "from ml_dash.integrations.keras import DashCallback\n"
        'model.fit(x, y, callbacks=[DashCallback("alice/vision/first")], **common)\n',
        "alice/vision/first",
        (
            (r"epoch/epoch", r"*/step"),
            (r"epoch/val_(\w+)", r"val/\1"),
            (r"epoch/(\w+)", r"train/\1"),
            (r"epochs", r"fit.epochs"),
        ),
    ),
    "optuna": Case(
        "Optuna",
        ("optuna", "optuna_integration"),
        """
import time
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)

def objective(trial):
    print("it is done", flush=True)
    time.sleep(0.3)  # in which the load is looked at
    return (trial.suggest_float("rate", 0, 1) - 0.5) ** 2 + trial.suggest_int("depth", 1, 3)

study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), study_name="sweep")
""",
        "import warnings; warnings.simplefilter('ignore')\n"
        "from optuna_integration.wandb import WeightsAndBiasesCallback\n"
        'callback = WeightsAndBiasesCallback(wandb_kwargs={"project": "vision"})\n'
        "study.optimize(objective, n_trials=4, callbacks=[callback])\n"
        "import wandb; wandb.finish()\n",
        "from ml_dash.integrations.optuna import DashCallback\n"
        'callback = DashCallback("alice/vision/sweep")\n'
        "study.optimize(callback.track(lambda trial, exp: objective(trial)), n_trials=4, callbacks=[callback])\n",
        "alice/vision/sweep/trial-*",
        ((r"value", r"objective/value"), (r"direction", r"optuna.directions")),
    ),
}


class Logged(NamedTuple):
    """What a training has logged.

    Attributes:
        series: values by name, in order; a medium is its kind.
        params: parameters by name, nested ones by names with dots.
        results: the last or only values that were set apart.
        beside: what came of its own: ``console``, ``load``, and the surroundings by their names.
    """

    series: dict[str, list[Any]]
    params: dict[str, Any]
    results: dict[str, Any]
    beside: dict[str, Any]


class Row(NamedTuple):
    """A name of theirs, and what it is here: None where it is not. `is_equal` is None of what no two runs share."""

    kind: str
    theirs: str
    ours: str | None
    is_equal: bool | None = True
    reason: str = ""


def compared(case: Case, directory: Path) -> list[Row]:
    """Run a case both ways, and look for all of theirs in ours."""
    for name, lines in (("theirs", case.theirs), ("ours", case.ours)):
        (directory / name).mkdir()
        _train(case, lines, directory / name, with_wandb=name == "theirs")
    theirs, ours = _of_wandb(directory / "theirs"), _of_ours(case, directory / "ours")
    return list(_rows(case, theirs, ours))


_REPOSITORY = """
import subprocess
for line in ("init -q .", "remote add origin https://example.com/vision.git", "commit -q --allow-empty -m first"):
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *line.split()], check=True)
"""


def _train(case: Case, lines: str, directory: Path, *, with_wandb: bool) -> None:
    """Run a script; ours has no wandb to be found, but the door where the case needs it."""
    door = ""
    if not with_wandb and "wandb" in lines:
        door = "import ml_dash.compat\nml_dash.compat.install('wandb')\n"
    environment = {
        "ML_DASH_CAPTURE": "1",
        "ML_DASH_SYSTEM_INTERVAL": "0.2",
        "ML_DASH_USER": "alice",
        "PYTHONPATH": os.pathsep.join([str(PROJECT), *([str(WANDB)] if with_wandb else [])]),
        "WANDB_ENTITY": "alice",
        "WANDB_MODE": "offline" if with_wandb else "",
        "WANDB_PROJECT": "vision",
        "WANDB_DIR": str(directory),
        "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",  # of both the same commit
        "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
    }
    # A second, so that the load is looked at by both.
    script = "".join(
        [
            _REPOSITORY,
            door,
            textwrap.dedent(case.script),
            lines,
            "print('it is done')\nimport time; time.sleep(1)\n",
        ]
    )
    finished = run(script, directory, **environment)
    if finished.returncode:
        raise RuntimeError(f"{case.title}: exit status {finished.returncode}\n{finished.stderr}")


_READ_WANDB = """
import json, pathlib, sys
from google.protobuf.json_format import MessageToDict
from wandb.proto import wandb_internal_pb2
from benchmarks.peers import level_db_records

for path in sorted(pathlib.Path(sys.argv[1]).rglob("run-*.wandb")):
    for data in level_db_records(path.read_bytes()[7:], 7):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        print(json.dumps(MessageToDict(record, preserving_proto_field_name=True)))
"""


def _of_wandb(directory: Path) -> Logged:
    found = Logged({}, {}, {}, {})
    for record in _wandb_records(directory):
        for kind, told in record.items():
            if kind == "history":
                for name, value in _flat(dict(_items(told.get("item", [])))).items():
                    found.series.setdefault(name, []).append(value)
            elif kind in {"run", "config"}:
                found.params.update(_flat(dict(_items(_updates(told, kind)))))
            elif kind == "summary":
                found.results.update(_flat(dict(_items(told.get("update", [])))))
            else:
                found.beside.update(_beside_of_wandb(kind, told))
    # of each series the last value is a result, too
    return found._replace(
        results={name: value for name, value in found.results.items() if name not in found.series}
    )


def _beside_of_wandb(kind: str, told: Any) -> dict[str, Any]:
    """Return what a record of wandb's says that no script has logged."""
    if kind == "stats":
        return {"load": True}
    if kind in {"output", "output_raw"}:
        return {"console": True}
    if kind == "environment":
        return _flat(told)
    return {each["path"]: True for each in told["files"]} if kind == "files" else {}


def _wandb_records(directory: Path) -> Iterator[dict[str, Any]]:
    printed = subprocess.run(
        [PYTHON, "-c", _READ_WANDB, directory],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(WANDB), str(PROJECT)])},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    yield from map(json.loads, printed.splitlines())


def _updates(told: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    config = told.get("config", {}) if kind == "run" else told
    updates: list[dict[str, Any]] = config.get("update", [])
    return updates


def _items(items: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield names and values of what wandb has written as JSON, without its own bookkeeping."""
    found: dict[str, Any] = {}
    for item in items:
        *above, name = item.get("nested_key") or [item["key"]]
        place = found
        for each in above:
            place = place.setdefault(each, {})
        place[name] = json.loads(item["value_json"])
    yield from ((name, value) for name, value in found.items() if not _is_of(name, OUTSIDE))


def _of_ours(case: Case, directory: Path) -> Logged:
    found = Logged({}, {}, {}, {})
    root = directory / ".dash"
    for prefix in sorted(
        (each.prefix for each in ml_dash.experiments(root) if fnmatch.fnmatch(each.prefix, case.experiment)),
        key=lambda prefix: [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", prefix)],
    ):
        exp = ml_dash.open(prefix, root)
        for metric in exp.metrics.list():
            name = metric["name"]
            if str(name).startswith("system/"):
                found.beside[str(name)] = True
                continue
            for row in exp.metrics(name).read(limit=10_000)["data"]:
                for field, value in row["data"].items():
                    if field != "_ts":
                        place = field if name is None else f"{name}/{field}"
                        found.series.setdefault(place, []).append(_medium(value))
        for name, value in exp.params.get().items():
            found.params[name] = value
            found.series.setdefault(name, []).append(value)  # of several trials, one each
        printed = (row["text"] for row in exp.logs.console(limit=10_000)["data"])
        found.beside["console"] = "\n".join([found.beside.get("console", ""), *printed])
        found.beside.update(_flat(exp.environment))
    return found


def _medium(value: Any) -> Any:
    """Return the kind of a medium, and any other value as it is."""
    kind = value.get("_type") if isinstance(value, dict) else None
    return value if kind is None else str(kind).removesuffix("-file")


def _flat(values: Any, above: str = "") -> dict[str, Any]:
    """Return nested values by names with dots; of a medium its kind."""
    if not isinstance(values, dict) or (above and not values) or "_type" in values:
        return {above: _medium(values)}
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{above}.{name}" if above else str(name))
    return flat


def _is_of(name: str, patterns: Sequence[str] | Mapping[str, str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _rows(case: Case, theirs: Logged, ours: Logged) -> Iterator[Row]:
    """Look for each name of theirs where it can be in ours."""
    params = {name: [value] for name, value in ours.params.items()}
    for name, values in sorted(theirs.series.items()):
        yield _row(case, "series", name, values, ours.series)
    for name, value in sorted(theirs.params.items()):
        yield _row(case, "parameters", name, [value], params)
    for name, value in sorted(theirs.results.items()):
        yield _row(case, "results", name, [_medium(value)], {**ours.series, **params})
    for name in sorted(theirs.beside):
        if not _is_of(name, OUTSIDE_OF_RUNS):
            yield _beside(name, theirs.beside, ours.beside)


def _beside(name: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Row:
    """Return what is here of what comes of its own: the console, the load, the surroundings."""
    place = next((ours for each, ours in _SURROUNDINGS.items() if fnmatch.fnmatchcase(name, each)), name)
    found = next((each for each in sorted(ours) if fnmatch.fnmatchcase(each, place)), None)
    if found is None:
        reason = next(
            (why for pattern, why in _NOT_CAPTURED.items() if fnmatch.fnmatchcase(name, pattern)), ""
        )
        return Row("beside", name, None, reason=reason)
    if name == "console":
        return Row("beside", name, "exp.logs.console()", "it is done" in ours[found])
    if name in {"load", "requirements.txt"} or place == "gpus":
        return Row("beside", name, place, None)
    given, own = str(theirs[name]), str(ours[found])
    return Row("beside", name, f"exp.environment: {place}", given in own or own in given)


def _row(case: Case, kind: str, name: str, values: Sequence[Any], places: Mapping[str, Sequence[Any]]) -> Row:
    reason = next((why for pattern, why in case.reasons.items() if fnmatch.fnmatchcase(name, pattern)), "")
    best = Row(kind, name, None, reason=reason)
    for place in _places(case, name):
        found = [value for each, some in places.items() if fnmatch.fnmatchcase(each, place) for value in some]
        if not found:
            continue
        is_equal = (
            None if any(fnmatch.fnmatchcase(name, each) for each in _TIMES) else _has_all(found, values)
        )
        if is_equal is not False:
            return Row(kind, name, place, is_equal)
        best = best._replace(ours=best.ours or place, is_equal=False)
    return best


def _places(case: Case, name: str) -> Iterator[str]:
    """Yield the names that a name of theirs may have in ours, the likely ones first; a ``*`` is any metric."""
    for pattern, replacement in case.rules:
        if found := re.fullmatch(pattern, name):
            yield found.expand(replacement)
    yield name
    yield f"model.{name}"


def _has_all(found: Sequence[Any], wanted: Sequence[Any]) -> bool:
    """Whether all values are there, each as often."""
    left = list(found)
    for value in wanted:
        at = next((at for at, other in enumerate(left) if _is_same(value, other)), None)
        if at is None:
            return False
        del left[at]
    return True


def _is_same(first: Any, second: Any) -> bool:
    numbers = [
        each for each in (first, second) if isinstance(each, (int, float)) and not isinstance(each, bool)
    ]
    if len(numbers) == 2:
        return math.isclose(*numbers, rel_tol=1e-6, abs_tol=1e-12)
    return first == second or str(first) == str(second) or [first] == second


def lacking(rows: Sequence[Row]) -> list[Row]:
    """Return what ours has not, or with other values, and no reason is given for."""
    return [row for row in rows if (row.ours is None or row.is_equal is False) and not row.reason]


def table(case: Case, rows: Sequence[Row]) -> list[str]:
    """Return a table in Markdown: names of theirs, what they are here, and how the values compare."""
    lines = [f"| {case.title}: wandb's integration | ML-Dash | values |", "|---|---|---|"]
    by_place: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        if row.kind == "beside":
            continue
        if row.kind == "parameters" and row.ours is not None:
            above = row.ours.removesuffix(row.theirs)
            place = f"parameters, `{above}…`" if above and row.ours.endswith(row.theirs) else "parameters"
            place += f": {row.reason}" if row.is_equal is False else ""
            by_place.setdefault(("", place, _VALUES[row.is_equal]), []).append(row.theirs)
        else:
            place = f"`{row.ours}`" if row.ours else f"not: {row.reason}"
            by_place.setdefault((f"`{row.theirs}`", place, _how(row)), [])
    for (name, place, how), names in by_place.items():
        lines.append(f"| {name or _counted(names)} | {place} | {how} |")
    return lines


def surroundings(rows: Sequence[Row]) -> list[str]:
    """Return a table in Markdown of what comes of its own."""
    lines = ["| wandb, of its own | ML-Dash | values |", "|---|---|---|"]
    for row in rows:
        if row.kind == "beside":
            place = f"`{row.ours}`" if row.ours else f"not: {row.reason}"
            lines.append(f"| `{row.theirs}` | {place} | {_how(row)} |")
    return lines


def _how(row: Row) -> str:
    return _VALUES[row.is_equal] if row.ours else "–"


_VALUES = {True: "equal", False: "differ", None: "there"}


def _counted(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:3])
    return shown if len(names) <= 3 else f"{len(names)} of the configuration: {shown}, …"


def main() -> None:
    """Run all cases, and print their tables."""
    for case in CASES.values():
        with tempfile.TemporaryDirectory() as directory:
            rows = compared(case, Path(directory))
        print("\n".join([*table(case, rows), "", *surroundings(rows)]), end="\n\n")
        for row in lacking(rows):
            print(f"MISSING {row}", file=sys.stderr)


if __name__ == "__main__":
    main()
