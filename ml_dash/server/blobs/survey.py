"""A look at a whole store and a whole database: what is missing, what nobody names, and what is a stranger's.

All names are in memory meanwhile, about 100 bytes an object: it is for operators, and for the first start on a store of
an earlier version.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ml_dash.server.blobs.names import IDENTITY, in_trash, is_own
from ml_dash.server.blobs.references import all_named, judge, portions

if TYPE_CHECKING:
    from ml_dash.server.blobs.listing import Entry
    from ml_dash.server.blobs.objects import ObjectStore
    from ml_dash.server.db.database import Database

_EXAMPLES = 5


@dataclass
class Survey:
    """What was found.

    Attributes:
        named: How many objects the database names.
        missing: The names among them that are not in their places.
        unnamed: Objects of ML-Dash that the database does not name, those that were stored just now included.
        unknown: How many of these have rows of experiments that the database does not have.
        trash: What is in the trash, by the name that it had: each with the name that it has there.
        strangers: How many things are in the store that ML-Dash did not put there.
        examples: The names of some of them.
    """

    named: int = 0
    missing: list[str] = field(default_factory=list)
    unnamed: list[Entry] = field(default_factory=list)
    unknown: int = 0
    trash: dict[str, Entry] = field(default_factory=dict)
    strangers: int = 0
    examples: list[str] = field(default_factory=list)


def survey(database: Database, objects: ObjectStore) -> Survey:
    """Look at everything; a server may run meanwhile.

    Raises:
        OSError: The store cannot be listed.
        SQLAlchemyError: The database cannot be read.
    """
    found = Survey()
    # the names first: what is named by then is in the store already, and is seen there
    with database.read() as connection:
        missing = set(all_named(connection))
    found.named = len(missing)
    for page in objects.entries(strangers=True):
        own = {}
        for entry in page:
            if is_own(entry.name):
                own[entry.name] = entry
            elif (thrown := in_trash(entry.name)) is not None:
                found.trash[thrown[1]] = entry
            elif not entry.name.startswith(IDENTITY):
                found.strangers += 1
                if len(found.examples) < _EXAMPLES:
                    found.examples.append(entry.name)
        missing -= own.keys()
        judged = judge(database, own.keys())
        found.unnamed += [own[name] for name in judged.unnamed]
        found.unknown += len(judged.unknown)
    for names in portions(missing):
        # once more: a running server may have removed them in both places meanwhile
        found.missing += judge(database, names).named
    found.missing.sort()
    return found
