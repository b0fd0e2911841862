"""What people write who come from another tracker, or from memory: each is told what to write, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

import ml_dash
from ml_dash import (
    Experiment,
    ExperimentMissingError,
    InvalidArgumentError,
    InvalidCallError,
    InvalidParameterError,
    InvalidPrefixError,
    MLDashError,
    NotStartedError,
    ReadOnlyError,
    UnknownNameError,
    ValueWarning,
    ml_dash_experiment,
)
from tests.support.fake_tensors import FakeTensor


class Mistake(NamedTuple):
    """A call, its error, and what the message has: the value, and the remedy."""

    call: Callable[[Any], object]
    error: type[MLDashError]
    parts: tuple[str, ...]


def wrong(call: Callable[[Any], object], error: type[MLDashError], *parts: str) -> Mistake:
    return Mistake(call, error, parts)


def put(target: Any, name: str, value: object) -> None:
    setattr(target, name, value)


def put_item(target: Any, key: object, value: object) -> None:
    target[key] = value


LOSS = "exp.metrics('train').log(loss=0.5, step=3)"

# without their types: a type checker says as well that these calls are wrong
package: Any = ml_dash
make: Any = Experiment
decorate: Any = ml_dash_experiment

MISTAKES: dict[str, Mistake] = {
    # --- attributes that nobody would read
    "exp.lr = 0.1": wrong(
        lambda exp: put(exp, "lr", 0.1), UnknownNameError, "exp.lr = 0.1", "exp.params.set(lr=0.1)"
    ),
    "exp.params.lr = 0.1": wrong(
        lambda exp: put(exp.params, "lr", 0.1), UnknownNameError, "params.lr = 0.1", "exp.params.set(lr=0.1)"
    ),
    "exp.config = {…}": wrong(
        lambda exp: put(exp, "config", {"lr": 0.1}), UnknownNameError, "exp.config", "exp.params.set(lr=0.1)"
    ),
    "exp.step = 3": wrong(lambda exp: put(exp, "step", 3), UnknownNameError, "exp.step = 3", "step=3"),
    "exp.tag = […]": wrong(lambda exp: put(exp, "tag", ["a"]), ReadOnlyError, "exp.tag", "exp.tags ="),
    "exp.note = …": wrong(lambda exp: put(exp, "note", "x"), ReadOnlyError, "exp.note", "exp.note('text')"),
    "exp.readmee = …": wrong(
        lambda exp: put(exp, "readmee", "x"),
        UnknownNameError,
        "exp.readmee = 'x'",
        "did you mean exp.readme?",
    ),
    "exp.description = …": wrong(
        lambda exp: put(exp, "description", "x"), UnknownNameError, "exp.description", "exp.readme = "
    ),
    "exp.metrics.train = …": wrong(
        lambda exp: put(exp.metrics, "train", 3),
        UnknownNameError,
        "metrics.train = 3",
        "exp.metrics('train')",
    ),
    "exp.metrics(…).loss = 0.5": wrong(
        lambda exp: put(exp.metrics("train"), "loss", 0.5), UnknownNameError, "loss = 0.5", ".log(loss=0.5)"
    ),
    "exp.metrics(…).buffer.loss = 0.5": wrong(
        lambda exp: put(exp.metrics("train").buffer, "loss", 0.5), UnknownNameError, "buffer.loss = 0.5"
    ),
    "exp.logs.level = …": wrong(
        lambda exp: put(exp.logs, "level", "warn"), UnknownNameError, "logs.level = 'warn'"
    ),
    "exp.run.name = …": wrong(lambda exp: put(exp.run, "name", "x"), UnknownNameError, "exp.run.name = 'x'"),
    "exp.files.path = …": wrong(
        lambda exp: put(exp.files, "path", "x"), UnknownNameError, "exp.files.path = 'x'"
    ),
    "exp.tracks.pose = …": wrong(
        lambda exp: put(exp.tracks, "pose", 1), UnknownNameError, "exp.tracks.pose = 1", "exp.tracks('pose')"
    ),
    # --- what cannot be set
    "exp.name = …": wrong(lambda exp: put(exp, "name", "x"), ReadOnlyError, "exp.name = 'x'", "Experiment"),
    "exp.prefix = …": wrong(lambda exp: put(exp, "prefix", "a/b/c"), ReadOnlyError, "exp.prefix = 'a/b/c'"),
    "exp.id = …": wrong(lambda exp: put(exp, "id", "x"), ReadOnlyError, "exp.id = 'x'", "server"),
    "exp.url = …": wrong(lambda exp: put(exp, "url", "x"), ReadOnlyError, "exp.url = 'x'", "dash_url="),
    "exp.directory = …": wrong(
        lambda exp: put(exp, "directory", "x"), ReadOnlyError, "directory", "dash_root="
    ),
    "exp.params = {…}": wrong(
        lambda exp: put(exp, "params", {"lr": 1}), ReadOnlyError, "params", "exp.params.set("
    ),
    "exp.metrics = {…}": wrong(lambda exp: put(exp, "metrics", {"loss": 1}), ReadOnlyError, "metrics", LOSS),
    "exp.log = print": wrong(lambda exp: put(exp, "log", print), ReadOnlyError, "exp.log", "exp.log('text')"),
    "exp.run.status = …": wrong(
        lambda exp: put(exp.run, "status", "FAILED"), ReadOnlyError, "status = 'FAILED'", "exp.run.fail()"
    ),
    "del exp.tags": wrong(lambda exp: delattr(exp, "tags"), ReadOnlyError, "exp.tags"),
    "exp.tags = None": wrong(
        lambda exp: put(exp, "tags", None), InvalidArgumentError, "None", "exp.tags = []"
    ),
    "exp.readme = None": wrong(
        lambda exp: put(exp, "readme", None), InvalidArgumentError, "None", "exp.readme = ''"
    ),
    "exp.metadata = None": wrong(
        lambda exp: put(exp, "metadata", None), InvalidArgumentError, "exp.metadata = {}"
    ),
    "exp.tags = 'a'": wrong(
        lambda exp: put(exp, "tags", "a"), InvalidArgumentError, "tags='a'", "tags=['a']"
    ),
    "exp.readme = 3": wrong(
        lambda exp: put(exp, "readme", 3), InvalidArgumentError, "readme=3", "readme=str(…)"
    ),
    "exp.bindrs = [3]": wrong(
        lambda exp: put(exp, "bindrs", [3]), InvalidArgumentError, "[3]", "bindrs=['…', '…']"
    ),
    "exp.metadata = 3": wrong(
        lambda exp: put(exp, "metadata", 3), InvalidArgumentError, "metadata=3", "'key': value"
    ),
    # --- copies
    "exp.tags.append": wrong(
        lambda exp: exp.tags.append("x"), ReadOnlyError, "copy", "exp.tags = [*exp.tags, 'new']"
    ),
    "exp.tags[0] = …": wrong(
        lambda exp: put_item(exp.tags, 0, "x"), ReadOnlyError, "exp.tags = [*exp.tags, 'new']"
    ),
    "exp.bindrs.extend": wrong(
        lambda exp: exp.bindrs.extend(["x"]), ReadOnlyError, "exp.bindrs = [*exp.bindrs, 'new']"
    ),
    "exp.metadata[…] = …": wrong(
        lambda exp: put_item(exp.metadata, "gpu", 1),
        ReadOnlyError,
        "exp.metadata = {**exp.metadata, 'key': value}",
    ),
    "exp.metadata.update": wrong(
        lambda exp: exp.metadata.update(a=1), ReadOnlyError, "exp.metadata = {**exp.metadata"
    ),
    "exp.metadata[…][…] = …": wrong(
        lambda exp: put_item(exp.metadata["deep"], "a", 1), ReadOnlyError, "exp.metadata = {**exp.metadata"
    ),
    # --- wandb
    "exp.config.update": wrong(
        lambda exp: exp.config.update(lr=1), UnknownNameError, "'config'", "exp.params.set(lr=0.1)"
    ),
    "exp.summary['acc'] = 0.9": wrong(
        lambda exp: exp.summary.update(acc=0.9), ReadOnlyError, "made of what was logged", "log(acc=0.9)"
    ),
    "exp.finish()": wrong(lambda exp: exp.finish(), UnknownNameError, "'finish'", "exp.run.complete()"),
    "exp.watch(model)": wrong(lambda exp: exp.watch(None), UnknownNameError, "'watch'", "str(model)"),
    "exp.log_artifact": wrong(
        lambda exp: exp.log_artifact("m.pt"),
        UnknownNameError,
        "'log_artifact'",
        "exp.files('models').save('model.pt')",
    ),
    "exp.define_metric": wrong(
        lambda exp: exp.define_metric("loss"), UnknownNameError, "'define_metric'", "first row"
    ),
    "exp.notify": wrong(lambda exp: exp.notify("x"), UnknownNameError, "'notify'", "exp.alert('title'"),
    "exp.alerts.add": wrong(lambda exp: exp.alerts.add("x"), UnknownNameError, "'add'", "exp.alert('title'"),
    "exp.notes": wrong(lambda exp: exp.notes, UnknownNameError, "'notes'", "exp.readme = 'text'"),
    "exp.log({…})": wrong(
        lambda exp: exp.log({"loss": 0.5}), InvalidArgumentError, "{'loss': 0.5}", "exp.metrics('train').log("
    ),
    "exp.log({…}, step=3)": wrong(
        lambda exp: exp.log({"loss": 0.5}, step=3),
        InvalidArgumentError,
        "{'loss': 0.5}",
        "exp.metrics('train').log(",
    ),
    "exp.log.info('text')": wrong(
        lambda exp: exp.log.info("x"), InvalidCallError, "exp.log.info(…)", "exp.logs.info('text')"
    ),
    "exp.log.warning('text')": wrong(
        lambda exp: exp.log.warning("x"), InvalidCallError, "exp.log.warning(…)", "exp.logs.warn('text')"
    ),
    "exp.log(loss=0.5)": wrong(
        lambda exp: exp.log(loss=0.5), InvalidCallError, "message", "exp.metrics('train').log(loss=0.5)"
    ),
    "ml_dash.init": wrong(
        lambda _: package.init(project="x"), UnknownNameError, "'init'", "with Experiment("
    ),
    "ml_dash.log({…})": wrong(lambda _: package.log({"a": 1}), UnknownNameError, "'log'", LOSS),
    "ml_dash.wandb": wrong(lambda _: package.wandb, UnknownNameError, "'wandb'", "coming-from-wandb.md"),
    "ml_dash.log_metric": wrong(lambda _: package.log_metric("a", 1), UnknownNameError, "'log_metric'", LOSS),
    "ml_dash.Experment": wrong(
        lambda _: package.Experment, UnknownNameError, "'Experment'", "did you mean ml_dash.Experiment?"
    ),
    "Experiment(project=…)": wrong(
        lambda _: make(project="x"), InvalidCallError, "'project'", "Experiment('owner/project/name')"
    ),
    "Experiment(name=…)": wrong(lambda _: make(name="x"), InvalidCallError, "'name'", "owner/project/name"),
    "Experiment(config=…)": wrong(
        lambda _: make("a/b/c", config={}), InvalidCallError, "'config'", "exp.params.set(config)"
    ),
    "Experiment(notes=…)": wrong(lambda _: make("a/b/c", notes="x"), InvalidCallError, "'notes'", "readme="),
    "Experiment(mode=…)": wrong(
        lambda _: make("a/b", mode="offline"), InvalidCallError, "'mode'", "dash_url=None"
    ),
    "Experiment(dir=…)": wrong(lambda _: make("a/b", dir="runs"), InvalidCallError, "'dir'", "dash_root="),
    "Experiment(token=…)": wrong(
        lambda _: make("a/b", token="x"), InvalidCallError, "'token'", "ML_DASH_TOKEN"
    ),
    "Experiment(tagss=…)": wrong(
        lambda _: make("a/b", tagss=[]), InvalidCallError, "'tagss'", "did you mean tags=?"
    ),
    "Experiment(a, b)": wrong(
        lambda _: make("a", "b"),
        InvalidCallError,
        "takes at most 1 positional argument but 2 were given",
        "Experiment('owner/project/name'",
    ),
    "Experiment({…})": wrong(lambda _: make({"lr": 1}), InvalidPrefixError, "{'lr': 1}"),
    # --- mlflow
    "exp.log_metric": wrong(lambda exp: exp.log_metric("loss", 0.5), UnknownNameError, "'log_metric'", LOSS),
    "exp.log_params": wrong(
        lambda exp: exp.log_params({}), UnknownNameError, "'log_params'", "exp.params.set("
    ),
    "exp.set_tag": wrong(
        lambda exp: exp.set_tag("a", "b"), UnknownNameError, "'set_tag'", "exp.tags = [*exp.tags, 'new']"
    ),
    "exp.end_run": wrong(lambda exp: exp.end_run(), UnknownNameError, "'end_run'", "exp.run.complete()"),
    "exp.log_figure": wrong(
        lambda exp: exp.log_figure(1), UnknownNameError, "'log_figure'", "ml_dash.Figure("
    ),
    # --- tensorboard
    "exp.add_scalar": wrong(
        lambda exp: exp.add_scalar("loss", 0.5, 3), UnknownNameError, "'add_scalar'", LOSS
    ),
    "exp.add_image": wrong(
        lambda exp: exp.add_image("x", 1), UnknownNameError, "'add_image'", "ml_dash.Image("
    ),
    "exp.add_histogram": wrong(
        lambda exp: exp.add_histogram("w", [1]), UnknownNameError, "'add_histogram'", "ml_dash.Histogram("
    ),
    "exp.close()": wrong(lambda exp: exp.close(), UnknownNameError, "'close'", "exp.run.complete()"),
    # --- neptune, comet, aim
    "exp['lr'] = 0.1": wrong(
        lambda exp: put_item(exp, "lr", 0.1), InvalidCallError, "exp['lr']", "exp.params.set("
    ),
    "exp['loss']": wrong(
        lambda exp: exp["loss"], InvalidCallError, "exp['loss']", "exp.metrics('train').log("
    ),
    "exp.track": wrong(lambda exp: exp.track(0.5, name="loss"), UnknownNameError, "'track'", LOSS),
    # --- guesses
    "exp.start()": wrong(lambda exp: exp.start(), UnknownNameError, "'start'", "exp.run.start()"),
    "exp.complete()": wrong(lambda exp: exp.complete(), UnknownNameError, "'complete'", "exp.run.complete()"),
    "exp.fail()": wrong(lambda exp: exp.fail(), UnknownNameError, "'fail'", "exp.run.fail("),
    "exp.info": wrong(lambda exp: exp.info("x"), UnknownNameError, "'info'", "exp.logs.info('text')"),
    "exp.warning": wrong(
        lambda exp: exp.warning("x"), UnknownNameError, "'warning'", "exp.logs.warn('text')"
    ),
    "exp.Metrics": wrong(lambda exp: exp.Metrics("x"), UnknownNameError, "'Metrics'", "write exp.metrics"),
    "exp.metric": wrong(lambda exp: exp.metric("x"), UnknownNameError, "'metric'", "write exp.metrics"),
    "exp.run.compleet()": wrong(
        lambda exp: exp.run.compleet(), UnknownNameError, "'compleet'", "did you mean exp.run.complete?"
    ),
    "exp.files.lsit()": wrong(
        lambda exp: exp.files.lsit(), UnknownNameError, "'lsit'", "did you mean exp.files.list?"
    ),
    "exp.param": wrong(lambda exp: exp.param.set(a=1), UnknownNameError, "'param'", "exp.params.set("),
    "exp.file": wrong(lambda exp: exp.file("x"), UnknownNameError, "'file'", "exp.files("),
    "exp.run.zzz": wrong(lambda exp: exp.run.zzz, UnknownNameError, "'zzz'", "there are", "complete"),
    "exp.run.end()": wrong(lambda exp: exp.run.end(), UnknownNameError, "'end'", "exp.run.complete()"),
    "exp.run.finish()": wrong(
        lambda exp: exp.run.finish(), UnknownNameError, "'finish'", "exp.run.complete()"
    ),
    "exp.run.log": wrong(
        lambda exp: exp.run.log({"a": 1}), UnknownNameError, "'log'", "exp.metrics('train').log("
    ),
    "exp.run.config": wrong(lambda exp: exp.run.config, UnknownNameError, "'config'", "exp.params.set("),
    "exp.run()": wrong(lambda exp: exp.run(), InvalidCallError, "'function'", "with exp.run:"),
    "exp.run.start(name)": wrong(
        lambda exp: exp.run.start("x"),
        InvalidCallError,
        "exp.run.start() takes no positional arguments but 1 was given",
    ),
    "exp.run.complete('x')": wrong(
        lambda exp: exp.run.complete("x"), InvalidCallError, "1 was given: write exp.run.complete()"
    ),
    "@ml_dash_experiment": wrong(
        lambda _: decorate(lambda experiment: None),
        InvalidArgumentError,
        "<lambda>",
        "@ml_dash_experiment('owner/",
    ),
    # --- parameters
    "params.get('lr')": wrong(
        lambda exp: exp.params.get("lr"), InvalidArgumentError, "'lr'", "exp.params.get()['lr']"
    ),
    "params.get('lr', 0.1)": wrong(
        lambda exp: exp.params.get("lr", 0.1),
        InvalidCallError,
        "exp.params.get() takes at most 1",
        "2 were given",
        "exp.params.get()['lr']",
    ),
    "params.lr": wrong(lambda exp: exp.params.lr, UnknownNameError, "'lr'", "exp.params.get()['lr']"),
    "params['lr']": wrong(
        lambda exp: exp.params["lr"], InvalidCallError, "params['lr']", "exp.params.get()['lr']"
    ),
    "params['lr'] = 0.1": wrong(
        lambda exp: put_item(exp.params, "lr", 0.1), InvalidCallError, "exp.params.set({'lr': value})"
    ),
    "params.update": wrong(
        lambda exp: exp.params.update({"lr": 1}), UnknownNameError, "'update'", "exp.params.set({'lr': 0.1})"
    ),
    "params.items()": wrong(lambda exp: exp.params.items(), UnknownNameError, "'items'", "exp.params.get()"),
    "params.pop": wrong(lambda exp: exp.params.pop("lr"), UnknownNameError, "'pop'", "exp.params.set("),
    "params.set('lr', 0.1)": wrong(
        lambda exp: exp.params.set("lr", 0.1), InvalidCallError, "'lr'", "exp.params.set(lr=0.1)"
    ),
    "params.set(3)": wrong(lambda exp: exp.params.set(3), InvalidCallError, "3", "exp.params.set(lr=0.1)"),
    "params.set([…])": wrong(lambda exp: exp.params.set([1]), InvalidCallError, "[1]", "a dict"),
    "params.set(model)": wrong(
        lambda exp: exp.params.set(np.random.default_rng(0)), InvalidCallError, "Generator", "a dict"
    ),
    "params.set(model=model)": wrong(
        lambda exp: exp.params.set(rng=np.random.default_rng(0)),
        InvalidParameterError,
        "'rng'",
        "store its name",
    ),
    # --- metrics
    "metrics.update({…})": wrong(
        lambda exp: exp.metrics.update({"a": 1}), UnknownNameError, "'update'", LOSS
    ),
    "metrics.pop": wrong(lambda exp: exp.metrics.pop("train"), UnknownNameError, "'pop'", "logged stay"),
    "metrics.popitem": wrong(lambda exp: exp.metrics.popitem(), UnknownNameError, "'popitem'", "logged stay"),
    "metrics.clear": wrong(lambda exp: exp.metrics.clear(), UnknownNameError, "'clear'", "logged stay"),
    "metrics.setdefault": wrong(
        lambda exp: exp.metrics.setdefault("a", 1), UnknownNameError, "'setdefault'", LOSS
    ),
    "metrics.keys()": wrong(lambda exp: exp.metrics.keys(), UnknownNameError, "'keys'", "exp.metrics.list()"),
    "metrics.train": wrong(
        lambda exp: exp.metrics.train.log(a=1), UnknownNameError, "'train'", "exp.metrics('train')"
    ),
    "metrics['train']": wrong(
        lambda exp: exp.metrics["train"], InvalidCallError, "['train']", "exp.metrics('train')"
    ),
    "metrics['train'] = …": wrong(
        lambda exp: put_item(exp.metrics, "train", 1), InvalidCallError, "exp.metrics('train')"
    ),
    "for … in metrics": wrong(lambda exp: list(exp.metrics), InvalidCallError, "exp.metrics"),
    "metrics('')": wrong(lambda exp: exp.metrics(""), InvalidArgumentError, "''", "non-empty string"),
    "metrics(3)": wrong(lambda exp: exp.metrics(3), InvalidArgumentError, "3", "non-empty string"),
    "metrics.log('loss', 0.5)": wrong(
        lambda exp: exp.metrics.log("loss", 0.5), InvalidCallError, "'loss', 0.5", "exp.metrics.log(loss=0.5)"
    ),
    "metrics(…).log(0.5)": wrong(
        lambda exp: exp.metrics("train").log(0.5),
        InvalidCallError,
        "log(0.5)",
        "exp.metrics('train').log(loss=0.5)",
    ),
    "metrics(…).log('a/b', 1)": wrong(
        lambda exp: exp.metrics("train").log("a/b", 1),
        InvalidCallError,
        "exp.metrics('train').log({'a/b': 1})",
    ),
    "metrics.log('train', loss=1)": wrong(
        lambda exp: exp.metrics.log("train", loss=1), InvalidCallError, "exp.metrics('train').log(loss=1)"
    ),
    "metrics.log('a/b', 0.5, 3)": wrong(
        lambda exp: exp.metrics.log("a/b", 0.5, 3), InvalidCallError, "exp.metrics.log({'a/b': 0.5}, step=3)"
    ),
    "metrics(…).log('loss', 0.5, step=3)": wrong(
        lambda exp: exp.metrics("t").log("loss", 0.5, step=3),
        InvalidCallError,
        "for 'loss'",
        "exp.metrics('t').log(loss=0.5, step=3)",
    ),
    "metrics(…).log({…}, 3)": wrong(
        lambda exp: exp.metrics("t").log({"loss": 0.5}, 3, lr=1),
        InvalidCallError,
        "for 3",
        "exp.metrics('t').log({'loss': 0.5}, step=3, lr=1)",
    ),
    "tracks(…).append({…}, 3.0)": wrong(
        lambda exp: exp.tracks("p").append({"x": 1}, 3.0), InvalidCallError, "append({'x': 1}, _ts=3.0)"
    ),
    "metrics(…).log(None)": wrong(
        lambda exp: exp.metrics("train").log(None), InvalidCallError, "NoneType", "log(loss=0.5)"
    ),
    "metrics(…).log([…])": wrong(
        lambda exp: exp.metrics("train").log([1]), InvalidCallError, "list", "log(loss=0.5)"
    ),
    "metrics(…).append": wrong(
        lambda exp: exp.metrics("train").append(1), UnknownNameError, "'append'", LOSS
    ),
    "metrics(…).last": wrong(lambda exp: exp.metrics("train").last, UnknownNameError, "'last'", ".stats()"),
    "metrics(…)['loss']": wrong(
        lambda exp: exp.metrics("train")["loss"], InvalidCallError, "['loss']", ".read()"
    ),
    "metrics(…).log(_ts='now')": wrong(
        lambda exp: exp.metrics("t").log(a=1, _ts="now"), InvalidArgumentError, "'now'", "seconds"
    ),
    "metrics()": wrong(lambda exp: exp.metrics(), InvalidCallError, "exp.metrics()", "exp.metrics('train')"),
    "metrics(…).read(step=3)": wrong(
        lambda exp: exp.metrics("train").read(step=3),
        InvalidCallError,
        "'step'",
        "read(start_index=0, limit=100)",
    ),
    "metrics(…).to_numpy('a')": wrong(
        lambda exp: exp.metrics("train").to_numpy("a"), InvalidCallError, "1 was given", "to_numpy()['loss']"
    ),
    # --- calls of what is not called
    "exp('text')": wrong(lambda exp: exp("text"), InvalidCallError, "exp(…)", "with exp.run:"),
    "params({…})": wrong(lambda exp: exp.params({"lr": 1}), InvalidCallError, "exp.params.set(lr=0.1)"),
    "logs('text')": wrong(lambda exp: exp.logs("text"), InvalidCallError, "exp.log('text'"),
    "metrics(…)(loss=1)": wrong(lambda exp: exp.metrics("t")(loss=1), InvalidCallError, LOSS),
    "summary_cache(loss=1)": wrong(
        lambda exp: exp.metrics("t").summary_cache(loss=1), InvalidCallError, "summary_cache.store(loss=0.5)"
    ),
    "tracks(…)(x=1)": wrong(lambda exp: exp.tracks("p")(x=1), InvalidCallError, "append(x=1.0"),
    "files(…)('model.pt')": wrong(lambda exp: exp.files("m")("a.pt"), InvalidCallError, "save('model.pt')"),
    "slice(3)": wrong(
        lambda exp: exp.tracks("p").slice()(3), InvalidCallError, "track_slice.findByTime(1.5)"
    ),
    "run.status()": wrong(lambda exp: exp.run.status(), InvalidCallError, "'RUNNING'", "exp.run.status,"),
    "exp.tags()": wrong(lambda exp: exp.tags(), InvalidCallError, "parentheses"),
    "exp.metadata()": wrong(lambda exp: exp.metadata(), InvalidCallError, "parentheses"),
    "exp.environment()": wrong(lambda exp: exp.environment(), InvalidCallError, "parentheses"),
    "exp.environment[…] = …": wrong(
        lambda exp: put_item(exp.environment, "a", 1), ReadOnlyError, "exp.environment is a copy"
    ),
    # --- texts where True or False is meant
    "Experiment(echo='no')": wrong(
        lambda _: make("a/b/c", echo="no"), InvalidArgumentError, "echo='no'", "echo=False"
    ),
    "summarize(clear='no')": wrong(
        lambda exp: exp.metrics("t").summary_cache.summarize(clear="no"), InvalidArgumentError, "clear=False"
    ),
    "download(allow_dotfiles=1)": wrong(
        lambda exp: exp.files("*").download("out", allow_dotfiles=1), InvalidArgumentError, "allow_dotfiles=1"
    ),
    "delete(force='no')": wrong(
        lambda exp: package.open(exp.prefix, exp.directory.removesuffix("/" + exp.prefix)).delete(force="no"),
        InvalidArgumentError,
        "force='no'",
    ),
    # --- flushing
    "flush('now')": wrong(lambda exp: exp.flush("now"), InvalidArgumentError, "timeout='now'", "timeout=10"),
    "flush(nan)": wrong(lambda exp: exp.flush(float("nan")), InvalidArgumentError, "timeout=nan"),
    "flush(True)": wrong(lambda exp: exp.flush(True), InvalidArgumentError, "timeout=True"),
    # --- buffers
    "buffer('loss', 0.5)": wrong(
        lambda exp: exp.metrics("t").buffer("loss", 0.5), InvalidCallError, "'loss'", "buffer(loss=0.5)"
    ),
    "buffer(loss='high')": wrong(
        lambda exp: exp.metrics("t").buffer(loss="high"), InvalidArgumentError, "'high'", "use log()"
    ),
    "buffer(loss=array)": wrong(
        lambda exp: exp.metrics("t").buffer(loss=np.ones(3)), InvalidArgumentError, "loss=", "use log()"
    ),
    "buffer(_ts=…)": wrong(
        lambda exp: exp.metrics("t").buffer(a=1, _ts=3), InvalidArgumentError, "_ts=3", "leave _ts out"
    ),
    "buffer.append": wrong(
        lambda exp: exp.metrics("t").buffer.append(1), UnknownNameError, "'append'", "buffer(loss=0.5)"
    ),
    "log_summary('avg')": wrong(
        lambda exp: exp.metrics.buffer.log_summary("avg"), InvalidArgumentError, "'avg'", "mean"
    ),
    # --- messages
    "exp.log()": wrong(lambda exp: exp.log(), InvalidCallError, "'message'", "exp.log('text'"),
    "exp.log('loss', 0.5)": wrong(
        lambda exp: exp.log("loss", 0.5), InvalidArgumentError, "0.5", "exp.metrics('train').log(loss=0.5)"
    ),
    "exp.log('x', {…})": wrong(
        lambda exp: exp.log("x", {"a": 1}), InvalidArgumentError, "{'a': 1}", "metadata="
    ),
    "exp.log('x', 'loud')": wrong(
        lambda exp: exp.log("x", "loud"), InvalidArgumentError, "'loud'", "debug, info, warn, error, fatal"
    ),
    "exp.log(metadata=3)": wrong(
        lambda exp: exp.log("x", metadata=3), InvalidArgumentError, "metadata=3", "{'key': value}"
    ),
    "exp.logs.warning": wrong(
        lambda exp: exp.logs.warning("x"), UnknownNameError, "'warning'", "exp.logs.warn('text')"
    ),
    "exp.logs('x')": wrong(
        lambda exp: exp.logs.critical("x"), UnknownNameError, "'critical'", "exp.logs.fatal('text')"
    ),
    # --- files and tracks
    "files.save_json(x)": wrong(
        lambda exp: exp.files("a").save_json({}), InvalidCallError, "'to'", "to='config.json'"
    ),
    "files.save()": wrong(
        lambda exp: exp.files("a").save(), InvalidCallError, "'local_path'", "save('model.pt'"
    ),
    "files.save({…})": wrong(
        lambda exp: exp.files.save({"a": 1}), InvalidArgumentError, "{'a': 1}", "save_json"
    ),
    "files.save(step=3)": wrong(
        lambda exp: exp.files("a").save_json({}, to="b", step=3), InvalidCallError, "step=3", "metadata="
    ),
    "files(name=…)": wrong(lambda exp: exp.files(name="a"), InvalidCallError, "'name'", "exp.files("),
    "files.save_pickle": wrong(
        lambda exp: exp.files.save_pickle(1), UnknownNameError, "'save_pickle'", "save_pkl("
    ),
    "files['a.txt']": wrong(lambda exp: exp.files["a.txt"], InvalidCallError, "exp.files('a.txt')"),
    "tracks.pose": wrong(
        lambda exp: exp.tracks.pose.append(x=1), UnknownNameError, "'pose'", "exp.tracks('pose')"
    ),
    "tracks(…).log": wrong(lambda exp: exp.tracks("pose").log(x=1), UnknownNameError, "'log'", ".append("),
    "tracks(…).append(1.0)": wrong(
        lambda exp: exp.tracks("pose").append(1.0), InvalidCallError, "1.0", "exp.tracks('pose').append("
    ),
    "tracks()": wrong(lambda exp: exp.tracks(), InvalidCallError, "'topic'", "exp.tracks('pose')"),
    "slice.at": wrong(
        lambda exp: exp.tracks("p").slice().at(3), UnknownNameError, "'at'", "track_slice.findByTime(1.5)"
    ),
    "slice.entries = []": wrong(
        lambda exp: put(exp.tracks("p").slice(), "entries", []), ReadOnlyError, "entries", "read only"
    ),
    "slice[0]": wrong(lambda exp: exp.tracks("p").slice()[0], InvalidCallError, "track_slice.entries[0]"),
    # --- what is not open, or not there
    "log before the start": wrong(
        lambda exp: make("a/b/c", dash_root=exp.directory).metrics("t").log(a=1),
        NotStartedError,
        "'a/b/c'",
        "run.start()",
    ),
    "exp.tags = … before the start": wrong(
        lambda exp: put(make("a/b/c", dash_root=exp.directory), "tags", ["a"]),
        NotStartedError,
        "'a/b/c'",
        "run.start()",
    ),
    "ml_dash.open(dash_root=…)": wrong(
        lambda _: package.open("a/b/c", dash_root="runs"),
        InvalidCallError,
        "'dash_root'",
        "ml_dash.open('owner/project/name', '.dash')",
    ),
    "ml_dash.open(dash_url=…)": wrong(
        lambda _: package.open("a/b/c", dash_url="x"), InvalidCallError, "'dash_url'", "'https://…'"
    ),
    "ml_dash.open()": wrong(lambda _: package.open(), InvalidCallError, "ml_dash.open()", "owner/project"),
    "ml_dash.open of nothing": wrong(
        lambda exp: package.open("alice/proj/exq", exp.directory.removesuffix("/alice/proj/exp")),
        ExperimentMissingError,
        "'alice/proj/exq'",
        "did you mean alice/proj/exp?",
    ),
    "ml_dash.open(3)": wrong(lambda _: package.open(3), InvalidPrefixError, "3", "owner/project/name"),
    "log in what was opened": wrong(
        lambda exp: package.open(exp.prefix, exp.directory.removesuffix("/" + exp.prefix)).params.set(lr=1),
        NotStartedError,
        "opened for reading",
        "Experiment('alice/proj/exp'",
    ),
}
"""By how they are written."""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Experiment]:
    """An experiment that is open, and on which all mistakes are made."""
    root = tmp_path_factory.mktemp("dash")
    with Experiment("alice/proj/exp", dash_root=root, echo=False, metadata={"deep": {}}) as exp:
        yield exp


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_raises_at_once_and_says_what_to_write(mistake: Mistake, opened: Experiment) -> None:
    """With the value that was given, and the remedy; and nothing was logged."""
    before = opened.status().logged
    with pytest.raises(MLDashError) as caught:
        mistake.call(opened)
    message = str(caught.value)
    assert type(caught.value) is mistake.error, message
    for part in mistake.parts:
        assert part in message
    assert len(message) < 400
    assert "\n" not in message
    assert opened.status().logged == before


VALUES: dict[str, tuple[Any, Any]] = {
    "numpy scalar": (np.float32(0.5), 0.5),
    "numpy int": (np.int64(3), 3),
    "numpy bool": (np.bool_(True), True),
    "0-d array": (np.array(2.5), 2.5),
    "array": (np.arange(3), [0, 1, 2]),
    "matrix": (np.eye(2), [[1.0, 0.0], [0.0, 1.0]]),
    "tensor": (FakeTensor(0.25), 0.25),
    "None": (None, None),
    "text": ("0.5", "0.5"),
    "bool": (True, True),
    "list": ([1, 2], [1, 2]),
    "dict": ({"a": 1}, {"a": 1}),
}
"""What is no mistake: a value of a row, and what is read back. A text stays a text, and an array becomes a list."""


@pytest.mark.parametrize(("value", "stored"), VALUES.values(), ids=VALUES.keys())
def test_a_value_that_is_no_plain_number_is_stored_as_what_it_says(
    value: Any, stored: Any, opened: Experiment
) -> None:
    metric = opened.metrics(f"value of {stored}")
    metric.log(x=value)
    found = metric.read(metric.read()["total"] - 1)["data"][0]["data"]["x"]
    assert (type(found), found) == (type(stored), stored)


def test_a_value_that_nothing_stands_for_is_stored_as_its_repr_with_a_warning(opened: Experiment) -> None:
    """Once a key: the loop goes on."""
    with pytest.warns(ValueWarning, match=r"x=… of metric 'odd' is a builtins.object.*repr is stored"):
        opened.metrics("odd").log(x=object())
    assert "__repr__" in opened.metrics("odd").read()["data"][0]["data"]["x"]


def test_there_is_hardly_a_mistake_that_is_not_in_the_table() -> None:
    assert len(MISTAKES) >= 80
