"""The experiment: its arguments, its properties, and its managers, which share a `Session`."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ml_dash.client.destination import destination, is_server
from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.errors import InvalidArgumentError, InvalidPrefixError
from ml_dash.forks import guarded_imports
from ml_dash.pipeline.runtime import RUNTIME
from ml_dash.query.axes.ranks import checked_rank
from ml_dash.sdk.about import About
from ml_dash.sdk.alerting.alerts import Alerting, AlertManager, AlertWriter
from ml_dash.sdk.best.summing import experiment_summary
from ml_dash.sdk.decorating import decorated
from ml_dash.sdk.files.first import FirstFiles, LateFiles
from ml_dash.sdk.guidance.calls import explained, flag, seconds, signposted
from ml_dash.sdk.guidance.guided import keep
from ml_dash.sdk.guidance.names import ARGUMENTS, LEVELS, OPEN_ARGUMENTS
from ml_dash.sdk.guidance.read_only import read_only
from ml_dash.sdk.logs import LogManager, MessageWriter
from ml_dash.sdk.media.first import first_media
from ml_dash.sdk.metrics import MetricsManager
from ml_dash.sdk.narration import page_url
from ml_dash.sdk.opened.changing import Changeable
from ml_dash.sdk.params import ParametersBuilder
from ml_dash.sdk.run import Run, RunManager, should_stop
from ml_dash.sdk.saying import copy_of, record_of, say
from ml_dash.sdk.session import Session
from ml_dash.sdk.starting.prefixes import identity_of, sample
from ml_dash.sdk.starting.ranks import experiment_rank
from ml_dash.sdk.starting.resuming import Resume, check_resume
from ml_dash.sdk.tracks import TracksManager
from ml_dash.settings import Overflow, Settings, check_capture, check_overflow
from ml_dash.spawning import is_last_thread

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Sequence

    from typing_extensions import Self

    from ml_dash.client.view import RemoteView
    from ml_dash.query.journal_view import JournalView
    from ml_dash.query.listing.listed import ListedExperiment
    from ml_dash.status import ExperimentStatus, FlushResult

_LOG = "exp.log('text', level='info', key=value) for a message, exp.metrics('train').log(loss=0.5) for values"

# A run may be started in another thread than the main one, which imports this and alone can take a signal.
RUNTIME.watch()


class Experiment(Alerting, Changeable, written="exp", is_hot=True):
    """One run of one experiment: the main entry point.

    Args:
        prefix: ``owner/project/path…/name``; the guide says what shorter ones mean, and ``{n}``, ``{time}``, ``{host}``
            and ``{user}`` in it.
        readme: description for people.
        tags: for search.
        bindrs: for organisation.
        metadata: anything else that is worth keeping.
        dash_url: the server's URL, or True for the default one; None keeps everything on this machine.
        dash_root: directory of the local journals; None keeps a journal only until the server has it.
        description: a synonym of `readme`.
        echo: whether `log` prints on the console, and the run says where it is when it starts and ends; default: the
            environment's ``ML_DASH_ECHO``.
        overflow: at a full queue ``"block"`` the caller or ``"drop"`` the row and count it.
        resume: whether a run may go on with an experiment that there is: ``"allow"``, ``"must"`` or ``"never"``.
        capture: what a run captures: True for all, False for nothing, or some of ``"console"``,
            ``"environment"``, ``"git"``, ``"packages"`` and ``"system"``; a dict changes what is captured by
            default, as ``{"console": "native"}`` for what native code and child processes print; default:
            ``ML_DASH_CAPTURE``.
        rank: the number of this process among those of its training; default: what torchrun, SLURM or MPI say.

    Raises:
        InvalidPrefixError: the prefix cannot name an experiment.
        InvalidArgumentError: another argument has a value of the wrong kind, or there is nowhere to write.

    Example:
        >>> with Experiment("alice/vision/resnet", dash_root=".dash").run as exp:
        ...     exp.metrics("train").log(loss=0.5)
    """

    params: ParametersBuilder
    metrics: MetricsManager
    tracks: TracksManager
    files = LateFiles()
    logs: LogManager
    _listed: ListedExperiment | None = None

    @explained("Experiment('owner/project/name', tags=['baseline'], dash_root='.dash')", ARGUMENTS)
    def __init__(
        self,
        prefix: str | None = None,
        *,
        readme: str | None = None,
        tags: Sequence[str] | None = None,
        bindrs: Sequence[str] | None = None,
        metadata: dict[str, Any] | None = None,
        dash_url: str | bool | None = None,
        dash_root: str | os.PathLike[str] | None = ".dash",
        description: str | None = None,
        echo: bool | None = None,
        overflow: Overflow | None = None,
        resume: Resume = "allow",
        capture: bool | Collection[str] | None = None,
        rank: int | None = None,
    ) -> None:
        RUNTIME.watch()
        settings = _settings(echo, overflow, capture, rank)
        resume = check_resume(resume)
        place = destination(dash_url, dash_root)
        identity, is_new = identity_of(prefix, place, SYSTEM_CLOCK)
        said: dict[str, Any] = {"readme": readme, "tags": tags, "bindrs": bindrs, "metadata": metadata}
        about = About(identity.directory(place.root), description=description, **said)
        # For copies and pickles, which take all arguments as they were understood here.
        understood = {**about.given, **place.arguments, "prefix": identity.prefix}
        self._arguments = {**understood, "echo": echo, "overflow": overflow, "capture": capture, "rank": rank}
        self._session = Session(identity, place, settings, about)
        self._session.tell_missing = partial(_tell_missing, self._session)
        self._hold = self._session.holders.begin(self, partial(rebuild, self._arguments))
        self._run = Run(self._session, "allow" if is_new else resume)
        self._manager: Callable[[], RunManager[Experiment] | None] = lambda: None
        self._messages, self._alerts = MessageWriter(self._session), AlertWriter(self._session)
        keep(
            self,
            params=ParametersBuilder(self._session),
            metrics=MetricsManager(self._session),
            tracks=TracksManager(self._session),
            logs=LogManager(self._session, self._messages),
            alerts=AlertManager(self._session),
        )
        self._files = FirstFiles(self._session)
        self._session.media = first_media(self._session, self._files.saver)

    def __repr__(self) -> str:
        return f"Experiment({self.prefix!r}, {self.run.status or _idle(self._session)})"

    def _repr_html_(self) -> str:
        from ml_dash.sdk.notebook import experiment_html

        return experiment_html(self._session)

    def __reduce__(self) -> tuple[Callable[..., Experiment], tuple[dict[str, Any]]]:
        """Pickle as the same experiment, not started: a spawned process starts it for itself."""
        if self._session.is_read_only:
            return reopen, (self._arguments,)
        return rebuild, ({**self._arguments, "resume": self._run.resume},)

    def __enter__(self) -> Self:
        """Enter a block of the run: ``with Experiment(…) as exp:`` is ``with Experiment(…).run as exp:``."""
        self.run.__enter__()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Leave the block."""
        self.run.__exit__(kind, error, traceback)

    async def __aenter__(self) -> Self:
        """Enter a block of the run, without blocking the event loop."""
        await self.run.__aenter__()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Leave the block."""
        await self.run.__aexit__(kind, error, traceback)

    @property
    def run(self) -> RunManager[Experiment]:
        """The run: start and end it by hand, by a block, or by decorating a function."""
        manager = self._manager()
        if manager is None:
            manager = RunManager(self._session, self._run, self)
            # Weakly: it keeps the experiment, for `Experiment(…).run.start()`, and a circle would keep both.
            self._manager = weakref.ref(manager)
        return manager

    @property
    def prefix(self) -> str:
        """The whole prefix: ``owner/project/path…/name``."""
        return self._session.identity.prefix

    @property
    def owner(self) -> str:
        """The first segment of the prefix."""
        return self._session.identity.owner

    @property
    def project(self) -> str:
        """The second segment of the prefix."""
        return self._session.identity.project

    @property
    def folder(self) -> str:
        """The path between project and name; empty if there is none."""
        return self._session.identity.folder

    @property
    def name(self) -> str:
        """The last segment of the prefix."""
        return self._session.identity.name

    @property
    def readme(self) -> str | None:
        """The description for people: the one given, else the one stored (with ``dash_root=None`` at the server)."""
        readme: str | None = self._session.said("readme")
        return readme

    @readme.setter
    def readme(self, text: str) -> None:
        self._say("readme", text)

    @property
    def tags(self) -> list[str]:
        """The tags given, else those stored: a copy, which cannot be changed. Set while the run is open."""
        tags: list[str] = copy_of(self._session, "tags", [], "[*exp.tags, 'new']")
        return tags

    @tags.setter
    def tags(self, texts: Sequence[str]) -> None:
        self._say("tags", texts)

    @property
    def bindrs(self) -> list[str]:
        """The bindrs given, else those stored; as `tags`."""
        bindrs: list[str] = copy_of(self._session, "bindrs", [], "[*exp.bindrs, 'new']")
        return bindrs

    @bindrs.setter
    def bindrs(self, texts: Sequence[str]) -> None:
        self._say("bindrs", texts)

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata given, else those stored: a copy, which cannot be changed. Set while the run is open."""
        metadata: dict[str, Any] = copy_of(self._session, "metadata", {}, "{**exp.metadata, 'key': value}")
        return metadata

    @metadata.setter
    def metadata(self, mapping: dict[str, Any]) -> None:
        self._say("metadata", mapping)

    def _say(self, name: str, value: Any) -> None:
        say(self._session, name, value)
        # for copies, and for what makes the experiment anew
        self._arguments.update(self._session.about.given)

    def _opened(self, prefix: str) -> Self:
        place = self._session.destination
        return cast("Self", open_experiment(prefix, place.root if place.keeps else str(place.url)))

    @property
    def id(self) -> str | None:
        """The server's id of the experiment: None in local mode, and before the server was reached."""
        return self._session.server_id

    @property
    def data(self) -> dict[str, Any] | None:
        """The server's record of the experiment, with what is known here; None in local mode and before the start.

        What only the server knows is None in it until the server was reached.
        """
        record = record_of(self._session)
        return None if record is None else read_only(record, "exp.data is a copy of what the server says")

    @property
    def url(self) -> str | None:
        """The server that the experiment is sent to; None in local mode."""
        return self._session.destination.url

    @property
    def page(self) -> str | None:
        """The address of the experiment's page at its server; None in local mode, where `ml-dash ui` shows it."""
        return page_url(self.url, self.prefix)

    @property
    def directory(self) -> str:
        """Where the experiment lies on disk: its journal and its readable side files."""
        return self._session.directory

    @property
    def environment(self) -> dict[str, Any]:
        """What surrounded the newest attempt in its first process: see `ml_dash.query.environments.newest`."""
        return _environment(self._session)

    @property
    def view(self) -> JournalView | RemoteView:
        """The experiment as a reader sees it, with everything in it that was logged before.

        That is the journal, or where it is not kept, the server.

        Raises:
            ServerUnavailableError: the server does not have all that was logged before, and cannot be reached.
        """
        return self._session.view

    summary = property(experiment_summary)
    rank = property(experiment_rank)
    should_stop = property(should_stop)

    @signposted("exp.log", LEVELS)
    @explained(_LOG)
    def log(
        self,
        /,
        message: str,
        level: str | None = "info",
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Log a message.

        Args:
            message: the text.
            level: debug, info, warn (or warning), error or fatal, in any case.
            metadata: structured data that belongs to the message.
            **kwargs: more of it; these win over equal keys of `metadata`.

        Raises:
            InvalidArgumentError: the level is not known.
            NotStartedError: the run is not open.
        """
        self._messages.write(message, level, metadata, kwargs)

    @explained("exp.flush(timeout=10)")
    def flush(self, timeout: float | None = None) -> FlushResult:
        """Wait until everything logged so far is on disk, and then for the server, as long as that can be reached.

        Args:
            timeout: seconds to wait at most; None waits for the disk for as long as it takes, and for the server
                ``ML_DASH_FLUSH_TIMEOUT`` seconds.

        Returns:
            What is durable, what is acknowledged and what is neither; a disk or a server that refuses is its `reason`.
        """
        return self._session.flush(seconds(timeout))

    async def aflush(self, timeout: float | None = None) -> FlushResult:
        """Do as `flush` does, without blocking the event loop; it can be cancelled at any time."""
        return await self._session.aflush(seconds(timeout))

    @explained("exp.status()")
    def status(self) -> ExperimentStatus:
        """Say what has become of the events that this process logged, and how the run stands; waits for nothing.

        But of an experiment that was not started here, with ``dash_root=None``, the server is asked how it stands.
        """
        return self._session.status()


@explained("@ml_dash_experiment('owner/project/name')")
def ml_dash_experiment(
    prefix: str | None = None, **arguments: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a function so that each call is a run of its own, also where several go on at the same time.

    The function gets the experiment as its parameter `experiment`, or where it has none of that name, as the first one.

    Args:
        prefix: as for `Experiment`; with None, each call makes up a name.
        **arguments: as for `Experiment`.

    Example:
        >>> @ml_dash_experiment(prefix="alice/vision/resnet")
        ... def train(experiment, lr=0.1):
        ...     experiment.params.set(lr=lr)
    """
    if callable(prefix):
        raise InvalidArgumentError(
            f"@ml_dash_experiment was given the function {getattr(prefix, '__name__', prefix)!r} as its prefix: write "
            "@ml_dash_experiment('owner/project/name'), or @ml_dash_experiment() for a name that is made up"
        )
    # One is made here: what is wrong with the arguments is told where they stand, and not at the first call.
    _, (given,) = Experiment(sample(prefix), **arguments).__reduce__()
    resume = arguments.get("resume", "allow")

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        return decorated(function, lambda: rebuild({**given, "prefix": prefix, "resume": resume}).run)

    return decorate


def started_scratch(prefix: str, root: str) -> Experiment:
    """Return an experiment that is started, of which nothing is as others have left it but its rows.

    Its readme, tags, bindrs and metadata are empty, whatever other runs of the prefix have said. Its parameters are
    empty as well, unless it joins a run that is going on elsewhere, such as that of the process whose worker this is.
    """
    experiment = Experiment(prefix, dash_root=root)
    session = experiment._session  # noqa: SLF001 - no method: completion on `exp.` shows what users call
    session.about.is_fixed = True
    is_alone = not session.is_running()
    experiment.run.start()
    if is_alone:
        experiment.params._begin_anew()  # noqa: SLF001
    return experiment


@explained("ml_dash.open('owner/project/name')", OPEN_ARGUMENTS, "ml_dash.open")
def open_experiment(prefix: str, where: str | bool | os.PathLike[str] | None = None) -> Experiment:
    """Open an experiment that is there, for reading: its run cannot be started, and nothing of it is changed.

    Args:
        prefix: as for `Experiment`.
        where: the directory of journals that it lies in, or the server that has it: a URL, or True for the default one.
            None is what commands read that name no root: ``ML_DASH_ROOT``, or else a ``.dash`` here, above, or below.

    Raises:
        ExperimentMissingError: there is none of this name; the message names those that come near.
        InvalidArgumentError: `where` is no place; or several roots have one of this name, and none was given.
        InvalidPrefixError: the prefix cannot name an experiment.
        ServerUnavailableError: the server cannot be reached.
        RemoteError: the server refuses, as for a token that may not read.

    Example:
        >>> exp = ml_dash.open("alice/vision/resnet")
        >>> exp.metrics("train").stats()
    """
    if not isinstance(prefix, str):
        raise InvalidPrefixError(
            f"prefix={prefix!r:.200} is not the name of an experiment: pass 'owner/project/name'"
        )
    from ml_dash.places.roots import root_with
    from ml_dash.sdk.presence import require

    place = root_with(prefix) if where is None else where
    at_server = is_server(place)
    arguments = {"dash_url": place, "dash_root": None} if at_server else {"dash_root": place}
    experiment = reopen({"prefix": prefix, "echo": None, **arguments})
    require(experiment._session)  # noqa: SLF001 - no method: completion on `exp.` shows what users call
    return experiment


def _environment(session: Session) -> dict[str, Any]:
    from ml_dash.query.environments import newest

    found: dict[str, Any] = read_only(
        newest(session.view.environments()), "exp.environment is a copy of what was captured"
    )
    return found


def _tell_missing(session: Session) -> None:
    """Warn of a read of an experiment that is nowhere."""
    if not is_last_thread():  # nothing can be imported any more
        with guarded_imports():
            from ml_dash.sdk.presence import warn_of_nothing

        warn_of_nothing(session)


def reopen(arguments: dict[str, Any]) -> Experiment:
    """Make an experiment of these arguments, for reading only."""
    experiment = rebuild(arguments)
    experiment._session.is_read_only = True  # noqa: SLF001
    return experiment


def rebuild(arguments: dict[str, Any]) -> Experiment:
    """Make an experiment of the arguments that it was pickled as."""
    return Experiment(**arguments)


def _idle(session: Session) -> str:
    return "opened for reading" if session.is_read_only else "not started"


def _settings(
    echo: bool | None, overflow: Overflow | None, capture: bool | Collection[str] | None, rank: int | None
) -> Settings:
    # Read for each experiment, not at import: notebooks and tests set the environment in between.
    settings = Settings.from_environment()
    if echo is not None:
        settings = settings._replace(echo=flag("echo", echo))
    if overflow is not None:
        settings = settings._replace(overflow=check_overflow(overflow))
    if capture is not None:
        settings = settings._replace(capture=check_capture(capture))
    return settings._replace(rank=checked_rank(rank))
