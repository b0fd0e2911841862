"""`ml-dash mcp`: questions of coding agents, by the Model Context Protocol on standard input and output."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.resources import files
from typing import Annotated, Any

import typer

from ml_dash.cli.agents.questions import Questions
from ml_dash.cli.place import PlaceUrl
from ml_dash.cli.roots import DEFAULT_ROOT
from ml_dash.cli.select import Root
from ml_dash.errors import MissingExtraError, MLDashError
from ml_dash.version import __version__

INSTRUCTIONS = (
    "Reads experiments (runs) of machine learning that ML-Dash has tracked. A run is called by its prefix, "
    "owner/project/…/name; a value such as val/acc is the field acc of the metric val. Begin with search_runs or "
    "best_runs; run_summary tells why a run failed. Answers are bounded, and tell what they leave out."
)
TOOLS = (
    "search_runs",
    "run_summary",
    "history",
    "compare_runs",
    "best_runs",
    "logs",
    "list_files",
    "read_file",
    "sql",
)


def mcp(
    *,
    root: Root = DEFAULT_ROOT,
    url: PlaceUrl = None,
    skill: Annotated[
        bool, typer.Option("--skill", help="Print a page for agents: how to read and log runs.")
    ] = False,
) -> None:
    """Answer a coding agent's questions about runs.

    It speaks the Model Context Protocol on standard input and output, and only reads: the experiments of a root, or
    with --url those of a server. Clients start it; see docs/agents.md.
    """
    if skill:
        typer.echo(files("ml_dash.cli.agents").joinpath("SKILL.md").read_text("utf-8"), nl=False)
        return
    serve(Questions(root, url)).run("stdio")


def serve(questions: Questions) -> Any:
    """Return a server of the protocol that answers questions.

    Raises:
        MissingExtraError: The package `mcp` is not installed.
    """
    try:
        from mcp.server.mcpserver import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
        from mcp.types import ToolAnnotations
    except ImportError as error:
        raise MissingExtraError("ml-dash mcp", "mcp", "mcp") from error
    server = MCPServer("ml-dash", instructions=INSTRUCTIONS, version=__version__, log_level="WARNING")
    for name in TOOLS:
        function = _telling(getattr(questions, name), ToolError)
        description = (function.__doc__ or "").split("\n\n", 1)
        server.add_tool(
            function,
            name=name,
            description="\n\n".join(description),
            annotations=ToolAnnotations(read_only_hint=True, destructive_hint=False, open_world_hint=False),
            structured_output=False,
        )
    return server


def _telling(
    function: Callable[..., dict[str, Any]], error_type: type[Exception]
) -> Callable[..., dict[str, Any]]:
    """Return a function whose errors an agent is told as they are, so that it can do better."""

    @functools.wraps(function)
    def asked(*arguments: Any, **named: Any) -> dict[str, Any]:
        try:
            return function(*arguments, **named)
        except (MLDashError, OSError) as error:
            raise error_type(str(error)) from error

    return asked
