"""Names that other trackers have, or that one would guess, and what to write instead of them here.

By the expression of the object that lacks the name. A hint is what to write, or where nothing will do, a sentence,
which ends with a full stop. In it ``{name}`` stands for the name that is not there, and ``{key}`` for what was in
brackets.
"""

from __future__ import annotations

from ml_dash.records import NamedTuple

_LOG = "exp.metrics('train').log(loss=0.5, step=3)"
_PARAMS = "exp.params.set(lr=0.1), or exp.params.set(config) for a dict, a Namespace or a dataclass"
_TAGS = "exp.tags = [*exp.tags, 'new']"
_SAVE = "exp.files('models').save('model.pt')"
_IMAGE = "exp.metrics('val').log(step=3, sample=ml_dash.Image(image))"
_FIGURE = "exp.metrics('val').log(step=3, plot=ml_dash.Figure(figure))"
_VIDEO = "exp.metrics('val').log(step=3, sample=ml_dash.Video(frames))"
_TABLE = "exp.metrics('val').log(step=3, table=ml_dash.Table(['prompt', 'answer'], rows))"
_TORCH = "exp.files('models').save_torch(model, to='model.pt')"
_BLOCK = "`with exp.run:`, or exp.run.start() and exp.run.complete()"
_PREFIX = "Experiment('owner/project/name'): the prefix says them"
_HISTOGRAM = "exp.metrics('weights').log(step=3, layer1=ml_dash.Histogram(values))"
_COMING = "Experiment('owner/project/name'): docs/coming-from-{}.md has what to write instead of what"
_FIND = "ml_dash.experiments(filter='tag:sweep params.lr<0.01'), or ml_dash.open('owner/project/name')"
_DEFINE = (
    "exp.metrics.define('val/acc', best='max') for the best value. A metric is there with its first row, and step= is "
    "a field of it."
)


def _each(names: str, hint: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), hint)


class Hints(NamedTuple):
    """What to write instead of names that an object lacks, of any other one, of ``object[key]``, and of ``object(…)``.

    An object that can be called has no hint for that.
    """

    names: dict[str, str]
    other: str | None = None
    item: str | None = None
    call: str = ""


_EXPERIMENT = {
    **_each("Metrics METRICS metric metrics_", "exp.metrics"),
    **_each("Params PARAMS", "exp.params"),
    **_each(
        "Files Tracks Logs Run Log", "exp.files, exp.tracks, exp.logs, exp.run or exp.log, in small letters"
    ),
    **_each("config hparams hyperparameters parameters param args flags cfg conf", _PARAMS),
    **_each("log_param log_params log_parameter log_parameters log_hyperparams add_hparams", _PARAMS),
    **_each("log_config set_config update_config connect autolog", _PARAMS),
    **_each("log_metric log_metrics log_scalar log_scalars add_scalar add_scalars report_scalar", _LOG),
    **_each("track", f"{_LOG}, or exp.tracks('pose').append(x=1.0) for values with times of their own"),
    **_each("notify send_alert add_alert", "exp.alert('title', 'text', level='warning')"),
    **_each("scalar scalars history log_value log_row write_scalar log_dict record", _LOG),
    **_each("add_histogram log_histogram log_histogram_3d log_distribution histogram", _HISTOGRAM),
    **_each("summarize summaries best", "exp.summary, or exp.metrics('val').best('acc', mode='max')"),
    **_each("define_metric", _DEFINE),
    **_each(
        "step iteration epoch set_step", "the step as a field: exp.metrics('train').log(loss=0.5, step=3)"
    ),
    **_each("log_artifact log_artifacts upload_artifact add_artifact artifact artifacts log_asset", _SAVE),
    **_each("log_model save_model", _TORCH),
    **_each("log_file save upload upload_file file save_file log_code log_asset_folder add_file", _SAVE),
    **_each("use_artifact download", "exp.files.download('models/model.pt')"),
    **_each("add_image add_images log_image log_images report_image Image", _IMAGE),
    **_each("add_figure log_figure plot fig figure log_plot", _FIGURE),
    **_each("add_video log_video Video", _VIDEO),
    **_each("log_table Table table add_embedding add_pr_curve log_confusion_matrix", _TABLE),
    **_each(
        "add_graph watch",
        "exp.params.set(model=str(model)), or exp.files.save_text(str(model), to='model.txt')",
    ),
    **_each("add_text log_text", "exp.log('text'), or exp.files('notes').save_text(text, to='note.txt')"),
    **_each("print message log_message write info_log", "exp.log('text', level='warn')"),
    **_each("debug info error fatal", "exp.logs.{name}('text')"),
    **_each("warning warn", "exp.logs.warn('text')"),
    **_each("exception", "exp.logs.error('text')"),
    **_each("critical", "exp.logs.fatal('text')"),
    **_each("logger get_logger logging", "exp.log('text'), or exp.logs.info('text')"),
    **_each("start start_run begin open init", _BLOCK),
    **_each("finish end end_run close complete done terminate", "exp.run.complete()"),
    **_each("fail failed", "exp.run.fail('why')"),
    **_each("cancel abort kill", "exp.run.cancel()"),
    **_each("sync wait wait_for_completion", "exp.flush()"),
    **_each("mark_preempting resume", "A run that starts again goes on where it was."),
    **_each("set_tag set_tags add_tag add_tags set_property add_property", _TAGS),
    **_each("notes description set_description set_note", "exp.readme = 'text', or exp.note('text')"),
    **_each("set_readme", "exp.readme = 'text', or exp.describe('text')"),
    **_each("remove trash", "exp.delete()"),
    **_each("binder binders bindr", "exp.bindrs = [*exp.bindrs, 'new']"),
    **_each("meta attributes extra", "exp.metadata = {{**exp.metadata, 'key': value}}"),
    **_each("group entity user job_type team workspace experiment", _PREFIX),
    **_each("set_name set_experiment", _PREFIX),
    **_each("rename", "exp.move('owner/project/name')"),
    **_each("path dir root folder_path save_dir log_dir logdir", "exp.directory"),
    **_each("get_url link uri", "exp.url"),
    **_each("run_id experiment_id uuid key get_id", "exp.id, or exp.prefix"),
    **_each("state is_running running is_open", "exp.run.status, or exp.status() for the counters"),
    **_each("read get fetch", "exp.metrics('train').read(), exp.params.get() or exp.logs.read()"),
}

_METRIC_READS = {
    **_each("df dataframe to_df pandas", "exp.metrics('train').to_pandas()"),
    **_each("numpy to_array values array", "exp.metrics('train').to_numpy()"),
    **_each("last latest mean min max count size summary", "exp.metrics('train').stats()"),
    **_each("get rows data fetch history iter", "exp.metrics('train').read()"),
    **_each("close finish wait", "exp.metrics('train').flush(), or exp.run.complete()"),
}
_METRIC_WRITES = _each(
    "append add track update set write record put log_metric log_metrics log_scalar add_scalar add_scalars "
    "log_row report step extend log_dict log_many",
    _LOG,
)
_SUMMARIES = {
    **_each(
        "summary summarize aggregate mean log_mean flush", "exp.metrics('train').buffer.log_summary('mean')"
    ),
    **_each("append add log track update set store write", "exp.metrics('train').buffer(loss=0.5)"),
    **_each("clear reset pop", "exp.metrics('train').buffer.log_summary(), which empties it"),
    **_each("values get read last", "exp.metrics('train').buffer.peek()"),
}
_FILES = {
    **_each("add put write log log_artifact upload_file save_file append", _SAVE),
    **_each("save_model torch_save save_state_dict save_checkpoint", _TORCH),
    **_each("save_figure save_plot savefig fig", _FIGURE),
    **_each("image save_png save_img save_jpg", _IMAGE),
    **_each("video save_gif save_mp4", _VIDEO),
    **_each("save_pickle pickle dump", "exp.files('data').save_pkl(content, to='data.pkl')"),
    **_each("json save_dict save_yaml", "exp.files('configs').save_json(content, to='config.json')"),
    **_each("text save_txt write_text", "exp.files('notes').save_text(text, to='note.txt')"),
    **_each("bytes save_bytes write_bytes", "exp.files('data').save_blob(data, to='data.bin')"),
    **_each("save_numpy save_npy save_array", "exp.files('data').save_pkl(array, to='array.pkl')"),
    **_each("ls glob find search walk", "exp.files.list('models/*')"),
    **_each("get load fetch open read", "exp.files.read_bytes('models/model.pt'), or .download()"),
    **_each("remove rm unlink rmtree", "exp.files.delete('models/model.pt')"),
    **_each("copy cp move rename mv", "exp.files.duplicate('models/a.pt', to='models/b.pt')"),
}
_TRACKS = {
    **_each(
        "add log track write record put update set extend",
        "exp.tracks('pose').append(x=1.0, _ts=time.time())",
    ),
    **_each("get rows data fetch iter to_numpy", "exp.tracks('pose').read()"),
    **_each("between range window", "exp.tracks('pose').slice(start, end)"),
}

HINTS: dict[str, Hints] = {
    "exp": Hints(
        _EXPERIMENT,
        item="exp.params.set(lr=0.1) for a parameter, exp.metrics('train').log(loss=0.5) for a value",
        call="`with exp.run:`, or @exp.run above a function",
    ),
    "exp.run": Hints(
        {
            **_each("end finish stop close done", "exp.run.complete()"),
            **_each("abort kill", "exp.run.cancel()"),
            **_each("error failed", "exp.run.fail(error)"),
            **_each("begin open init", "exp.run.start()"),
            **_each("log", "exp.metrics('train').log(loss=0.5), or exp.log('text')"),
            **_each("log_metric log_metrics", _LOG),
            **_each("log_artifact save", _SAVE),
            **_each("config params", _PARAMS),
            **_each("metrics", "exp.metrics"),
            **_each("summary", "exp.summary"),
            **_each("id name url info", "exp.id, exp.name, exp.url, or exp.view.run()"),
            **_each("state", "exp.run.status"),
        },
        item="exp.params.set(lr=0.1) for a parameter, exp.metrics('train').log(loss=0.5) for a value",
    ),
    "exp.params": Hints(
        {
            **_each(
                "update merge assign add put setdefault",
                "exp.params.set({{'lr': 0.1}}), or exp.params.set(lr=0.1)",
            ),
            **_each(
                "items keys values copy to_dict as_dict dict read all", "exp.params.get(), which is a dict"
            ),
            **_each(
                "pop clear remove delete popitem",
                "exp.params.set(lr=None): a parameter is replaced, and never removed",
            ),
        },
        other="exp.params.get()[{name!r}] to read it, exp.params.set({name}=…) to set it",
        item="exp.params.get()[{key}] to read it, exp.params.set({{{key}: value}}) to set it",
        call=_PARAMS,
    ),
    "exp.logs": Hints(
        {
            **_each("warning", "exp.logs.warn('text')"),
            **_each("critical", "exp.logs.fatal('text')"),
            **_each("exception", "exp.logs.error('text')"),
            **_each("log print write append add message", "exp.log('text', level='info')"),
            **_each("trace verbose", "exp.logs.debug('text')"),
            **_each("get list search filter find tail", "exp.logs.read(search='text')"),
            **_each("flush", "exp.flush()"),
        },
        item="exp.logs.read(start_index=0, limit=100)",
        call="exp.log('text', level='info')",
    ),
    "exp.alerts": Hints(
        {
            **_each("alert add write append log send info warning error", "exp.alert('title', 'text')"),
            **_each("get list search filter find", "exp.alerts.read(search='text')"),
        },
        item="exp.alerts.read(start_index=0, limit=100)",
        call="exp.alert('title', 'text', level='warning')",
    ),
    "exp.metrics": Hints(
        {
            **_METRIC_READS,
            **_each("update append add track log_metric log_metrics log_scalar add_scalar add_scalars", _LOG),
            **_each("set setdefault put write record log_row log_columns", _LOG),
            **_each("keys items names", "exp.metrics.list()"),
            **_each("pop popitem clear delete remove reset", "Rows that are logged stay."),
            **_each(
                "log_summary summary_cache",
                "exp.metrics('train').summary_cache, or exp.metrics.buffer.log_summary()",
            ),
        },
        other="exp.metrics({name!r}), and log to that: exp.metrics({name!r}).log(loss=0.5)",
        item="exp.metrics({key}), and log to that: exp.metrics({key}).log(loss=0.5)",
    ),
    "exp.metrics('train')": Hints(
        {**_METRIC_READS, **_METRIC_WRITES},
        other="exp.metrics('train').log({name}=0.5)",
        item="exp.metrics('train').read() to read rows, .log(loss=0.5) to log one",
        call=_LOG,
    ),
    "exp.metrics('train').buffer": Hints(_SUMMARIES, item="exp.metrics('train').buffer.peek()"),
    "exp.metrics.buffer": Hints(_SUMMARIES, item="exp.metrics.buffer.peek()"),
    "exp.metrics('train').summary_cache": Hints(
        {
            **_each("append add log update", "exp.metrics('train').summary_cache.store(loss=0.5)"),
            **_each("log_summary summary flush mean", "exp.metrics('train').summary_cache.summarize('mean')"),
            **_each("clear reset pop", "exp.metrics('train').summary_cache.summarize(), which empties it"),
        },
        item="exp.metrics('train').summary_cache.peek()",
        call="exp.metrics('train').summary_cache.store(loss=0.5)",
    ),
    "exp.tracks": Hints(
        _TRACKS, other="exp.tracks({name!r}).append(x=1.0)", item="exp.tracks({key}).append(x=1.0)"
    ),
    "exp.tracks('pose')": Hints(
        _TRACKS, item="exp.tracks('pose').read()", call="exp.tracks('pose').append(x=1.0, _ts=time.time())"
    ),
    "track_slice": Hints(
        {
            **_each("find_by_time find at get nearest lookup", "track_slice.findByTime(1.5)"),
            **_each("rows data values items to_list", "track_slice.entries"),
        },
        item="track_slice.entries[{key}]",
        call="track_slice.findByTime(1.5)",
    ),
    "exp.files": Hints(_FILES, item="exp.files({key})"),
    "exp.files('models')": Hints(_FILES, item="exp.files({key})", call=_SAVE),
}

_PACKAGE = {
    **_each(
        "init start_run start begin",
        "exp = Experiment('owner/project/name').run.start(), or `with Experiment(…).run as exp:`",
    ),
    **_each("log log_metric log_metrics log_scalar log_dict log_row track add_scalar", _LOG),
    **_each("log_param log_params config param parameters hparams summary", _PARAMS),
    **_each("log_artifact log_artifacts log_model log_image log_figure log_table log_text save", _SAVE),
    **_each("finish end_run end stop complete close", "exp.run.complete()"),
    **_each("login", "`ml-dash login` in a shell, or the variable ML_DASH_TOKEN"),
    **_each("sync upload_run", "`ml-dash sync` in a shell"),
    **_each("ui serve dashboard board", "`ml-dash ui` in a shell"),
    **_each(
        "Run run ML_Dash MLDash MLDashRun Tracker Session Dash Project", "Experiment('owner/project/name')"
    ),
    **_each("SummaryWriter Logger", _LOG),
    **_each("logger print info warn warning debug message", "exp.log('text', level='warn')"),
    **_each("alert notify", "exp.alert('title', 'text', level='warning')"),
    **_each("dxp", "from ml_dash.auto_start import dxp"),
    **_each("Images Plot", _IMAGE),
    **_each("Artifact Html", _SAVE),
    **_each("load read get", "ml_dash.open('owner/project/name')"),
    **_each("Api runs search_runs list_experiments ls find", _FIND),
    **_each("experiment", "@ml_dash_experiment('owner/project/name')"),
    **_each(
        "set_experiment set_tracking_uri create_experiment active_run current",
        "Experiment('owner/project/name')",
    ),
    **_each("set_tag set_tags tags", _TAGS),
    **_each("watch", "exp.params.set(model=str(model))"),
    **_each("define_metric", "exp.metrics.define('val/acc', best='max')"),
    **_each("autolog autologger", _LOG),
    **_each(
        "sweep agent",
        "Experiment('owner/project/sweep/run-{{n}}') for each run: docs/sweeps.md has Optuna and Hydra",
    ),
    **_each("params", _PARAMS),
    **_each("metrics metric", _LOG),
    **_each("files file artifacts", _SAVE),
    **_each("tracks", "exp.tracks('pose').append(x=1.0)"),
    **_each("logs", "exp.log('text')"),
    **_each("flush wait", "exp.flush()"),
    **_each(
        "wandb WandbLogger",
        _COMING.format("wandb"),
    ),
    **_each(
        "mlflow MLFlowLogger",
        _COMING.format("mlflow"),
    ),
    **_each(
        "tensorboard tensorboardX",
        _COMING.format("tensorboard"),
    ),
}
PACKAGE = Hints(_PACKAGE)
"""What to write instead of names that one would look for in `ml_dash` itself."""

LEVELS = {
    **_each("debug info warn error fatal", "exp.logs.{name}('text')"),
    **_each("warning", "exp.logs.warn('text')"),
    **_each("critical", "exp.logs.fatal('text')"),
    **_each("exception", "exp.logs.error('text')"),
    **_each("log", "exp.log('text')"),
    **_each("read", "exp.logs.read(search='text')"),
}
"""What to write instead of calls such as ``exp.log.info('text')``: `exp.log` is a function itself."""

FIXED = {
    **_each("prefix owner project folder name", "The prefix says it: pass another one to Experiment."),
    **_each("id data", "The server says it."),
    **_each("url", "Experiment(…, dash_url='https://…') says it."),
    **_each("directory", "Experiment(…, dash_root='…') says it."),
    **_each("tag", "exp.tags = [*exp.tags, 'new'], or exp.tag('new')"),
    **_each("note", "exp.note('text')"),
    **_each("describe", "exp.readme = 'text', or exp.describe('text')"),
    **_each("move", "exp.move('owner/project/name')"),
    **_each("status", "exp.run.complete(), exp.run.fail() or exp.run.cancel()"),
    **_each("params", _PARAMS),
    **_each("metrics", _LOG),
    **_each("log logs", "exp.log('text')"),
    **_each("alert alerts", "exp.alert('title', 'text')"),
    **_each("files", _SAVE),
    **_each("tracks", "exp.tracks('pose').append(x=1.0)"),
    **_each("run", _BLOCK),
}
"""What to write instead of setting a name of an experiment, or of its run, that cannot be set."""

_IN_PREFIX = "Experiment('owner/project/name'): the prefix says owner, project, folders and name"
_AFTER_START = "exp.params.set(config) when the run is open, as in `with Experiment(…).run as exp:`"

ARGUMENTS = {
    **_each(
        "project name entity owner user group job_type experiment experiment_name run_name folder", _IN_PREFIX
    ),
    **_each("id run_id experiment_id title workspace team", _IN_PREFIX),
    **_each("config params parameters hparams args hyperparameters", _AFTER_START),
    **_each("notes note comment", "readme='text'"),
    **_each("tag labels", "tags=['baseline']"),
    **_each("binders bindings", "bindrs=['v1']"),
    **_each("dir root path save_dir log_dir logdir local_path data_dir storage", "dash_root='runs'"),
    **_each(
        "url server host remote remote_url tracking_uri api_url endpoint base_url", "dash_url='https://…'"
    ),
    **_each("mode offline local", "dash_url=None for this machine alone, dash_url='https://…' for a server"),
    **_each("token api_key key api_token", "`ml-dash login` in a shell, or set the variable ML_DASH_TOKEN"),
    **_each("verbose quiet silent print", "echo=False"),
    **_each("meta extra attributes", "metadata={'gpu': 'H100'}"),
}
"""Arguments of `Experiment` that other trackers have, and what to write instead."""

OPEN_ARGUMENTS = {
    **_each("dash_root root dir path directory folder", "ml_dash.open('owner/project/name', '.dash')"),
    **_each("dash_url url server host remote", "ml_dash.open('owner/project/name', 'https://…')"),
    **_each("name experiment id", "ml_dash.open('owner/project/name')"),
}
"""Arguments that one would guess of `ml_dash.open`."""
