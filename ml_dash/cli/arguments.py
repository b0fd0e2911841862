"""Arguments and options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["DEFAULT_ROOT", "AsJson", "ExperimentName", "MetricNames", "Root", "ServerOption"]

DEFAULT_ROOT = ".dash"

ExperimentName = Annotated[
    str,
    typer.Argument(metavar="EXP", help="A prefix, an experiment's directory, or the last part of a prefix."),
]
Root = Annotated[str, typer.Option("--root", metavar="DIR", help="The directory in which prefixes begin.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="At this server, not on this disk; EXP is a whole prefix then.",
        show_default=False,
    ),
]
MetricNames = Annotated[
    list[str],
    typer.Option(
        "--metric",
        metavar="NAME",
        help="Only this metric, or those of a pattern such as 'train/*'; may be repeated. '' is the unnamed one.",
    ),
]
