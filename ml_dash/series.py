"""What can be said: the vocabulary shared by the managers, the pipeline and the journal.

Everything that a script logs is a row of a *series*. A series is named by its kind and, for metrics and
tracks, a name; a row is a time in integer nanoseconds since the epoch (UTC) and a dict of fields.

========  ==========================  =====================================================
kind      name                        fields of a row
========  ==========================  =====================================================
METRIC    the metric's, or None       whatever was logged
TRACK     the topic                   whatever was appended
LOG       None                        ``level``, ``message``, ``metadata`` (a dict or None)
PARAMS    None                        ``set``: flat dict of dotted keys
RUN       None                        ``event`` (start, end, …), see `ml_dash.sdk.run`
FILE      None                        ``event`` (save, update, delete), see `ml_dash.query.files`
ENVIRONMENT None                      ``environment`` (a dict), see `ml_dash.query.environments`
CONSOLE   None                        ``stream``, ``text``: a line that was printed
ALERT     None                        ``title``, ``text``, ``level``, ``held``: how many of this title were held back
========  ==========================  =====================================================
"""

from __future__ import annotations

from enum import IntEnum

from ml_dash.records import NamedTuple


class Kind(IntEnum):
    """What a series holds. The numbers are part of the journal's format: never reuse one."""

    METRIC = 1
    TRACK = 2
    LOG = 3
    PARAMS = 4
    RUN = 5
    FILE = 6
    ENVIRONMENT = 7
    CONSOLE = 8
    ALERT = 9


STREAMS = ("stdout", "stderr")
"""What the ``stream`` of a CONSOLE row may be."""
CONTROL = frozenset({Kind.RUN, Kind.ENVIRONMENT, Kind.CONSOLE})
"""What runs say of themselves: no script has logged it, and it is counted as neither logged nor pending."""


class Series(NamedTuple):
    """The identity of a series: its kind and its name (None is the unnamed one)."""

    kind: Kind
    name: str | None
