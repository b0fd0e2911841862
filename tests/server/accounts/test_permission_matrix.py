"""Every route, asked by everybody: who gets what they ask for, who is told 401, 403 or 404, and nothing in between.

The experiment asked for is alice's. A route that is not in the table fails a test, so none can be forgotten.
"""

from __future__ import annotations

import base64
import hashlib
import json
from enum import Enum, auto
from typing import Any, NamedTuple

import pytest
from aiohttp import ClientResponse

from ml_dash.journal.blocks import Block, Column
from ml_dash.journal.frame import encode_frame
from ml_dash.protocol import API, FRAMES
from ml_dash.series import Kind, Series
from ml_dash.server.accounts.grants import Scope
from ml_dash.server.accounts.tokens import Tokens
from ml_dash.server.alerts.rules import Condition, Destination, Rule as AlertRule, StoredRules
from ml_dash.server.app import build_app
from ml_dash.server.http.access import BY_PAGE
from ml_dash.server.store import Store
from tests.server.accounts.device_flow import Client
from tests.support.account_serving import Hands

EXPERIMENT = f"{API}/experiments/{{id}}"
PREFIX = "alice/proj/run"
MISSING = "exp_00000000000000000000"


class Role(Enum):
    """Who asks."""

    nobody = auto()
    unknown = auto()
    revoked = auto()
    expired = auto()
    admin_of_another_owner = auto()
    reader = auto()
    reader_of_all = auto()
    writer = auto()
    writer_of_all_but_by_name_reader = auto()
    admin_of_owner = auto()
    admin_of_all_owners = auto()
    server_admin = auto()


GRANTS: dict[Role, dict[str, Scope]] = {
    Role.revoked: {"alice": Scope.ADMIN, "*": Scope.ADMIN},
    Role.expired: {"alice": Scope.ADMIN, "*": Scope.ADMIN},
    # names that are nearly the owner's are others
    Role.admin_of_another_owner: {"bob": Scope.ADMIN, "Alice": Scope.ADMIN, "alic": Scope.ADMIN},
    Role.reader: {"alice": Scope.READ},
    Role.reader_of_all: {"*": Scope.READ},
    Role.writer: {"alice": Scope.WRITE},
    Role.writer_of_all_but_by_name_reader: {"*": Scope.WRITE, "alice": Scope.READ},
    Role.admin_of_owner: {"alice": Scope.ADMIN, "bob": Scope.READ},
    Role.admin_of_all_owners: {"*": Scope.ADMIN},
}
STRANGERS = frozenset({Role.nobody, Role.unknown, Role.revoked, Role.expired})
READERS = frozenset({Role.reader, Role.reader_of_all})
WRITERS = frozenset({Role.writer, Role.writer_of_all_but_by_name_reader})
ADMINS = frozenset({Role.admin_of_owner, Role.admin_of_all_owners, Role.server_admin})


class Rule(Enum):
    """Who may use a route."""

    everybody = "no token needed"
    any_token = "any token that is valid"
    server_admin = "admin tokens"
    any_writer = "who may write any owner"
    read = "who may read the owner"
    write = "who may write the owner"
    admin = "who may administer the owner"

    def expected(self, role: Role) -> int:
        """Return 200 for leave, or what else the answer must be."""
        if self is Rule.everybody:
            return 200
        if role in STRANGERS:
            return 401
        if self in {Rule.any_token, Rule.any_writer}:
            return 403 if self is Rule.any_writer and role in READERS else 200
        if self is Rule.server_admin:
            return 200 if role is Role.server_admin else 403
        if role is Role.admin_of_another_owner:
            return 404
        allowed = {Rule.read: READERS | WRITERS | ADMINS, Rule.write: WRITERS | ADMINS, Rule.admin: ADMINS}
        return 200 if role in allowed[self] else 403


class Asked(NamedTuple):
    """How a route is asked so that it does what it is for, and who may."""

    rule: Rule
    query: dict[str, str] = {}  # noqa: RUF012
    json: Any = None
    data: Any = None
    headers: dict[str, str] = {}  # noqa: RUF012
    path: str | None = None


def frame(sequence: int) -> bytes:
    columns = [Column("loss", "f", None, [0.5, 0.25])]
    file = [Column(name, "o", None, [value]) for name, value in FILE.items()]
    blocks = [
        Block(Series(Kind.METRIC, "train"), [1_000, 2_000], columns),
        Block(Series(Kind.FILE, None), [3_000], file),
    ]
    return encode_frame(sequence, blocks)


CONTENT = b"weights"
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()
DIGEST = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
FILE: dict[str, Any] = {
    "event": "save",
    "id": "file_x",
    "path": "/models",
    "filename": "a.pt",
    "description": None,
    "tags": [],
    "bindrs": [],
    "contentType": "application/octet-stream",
    "sizeBytes": len(CONTENT),
    "checksum": CHECKSUM,
    "metadata": None,
}
VIEWS = f"{API}/owners/{{owner}}/projects/{{project}}/views"
RULES = f"{API}/rules"
NEW_RULE = {
    "owner": "alice",
    "name": "x",
    "when": "failed",
    "to": {"kind": "webhook", "url": "https://1.1.1.1/x"},
}
VIEW = {"name": "Losses", "format": 1, "state": {}}
LOGIN = {"client_id": "ml-dash"}
TRAIN = {"name": "train"}
MATRIX: dict[tuple[str, str], Asked] = {
    ("GET", f"{API}/health"): Asked(Rule.everybody),
    ("GET", f"{API}/ready"): Asked(Rule.everybody),
    ("POST", f"{API}/device/authorize"): Asked(Rule.everybody, data=LOGIN),
    ("POST", f"{API}/device/token"): Asked(
        Rule.everybody,
        data={**LOGIN, "grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": "x"},
    ),
    ("GET", "/device"): Asked(Rule.everybody),
    ("POST", "/device"): Asked(Rule.everybody, data={"user_code": "BCDF-GHJK", "token": "x"}),
    ("GET", f"{API}/session"): Asked(Rule.everybody),
    ("DELETE", f"{API}/session"): Asked(Rule.everybody, headers={BY_PAGE: "1"}),
    # an empty one, which is refused for what it is: others see what a token is answered
    ("POST", f"{API}/session"): Asked(Rule.everybody, json={"token": " "}, headers={BY_PAGE: "1"}),
    ("GET", "/"): Asked(Rule.everybody),
    ("GET", "/p/{folder}"): Asked(Rule.everybody),
    ("GET", "/experiments/{prefix}"): Asked(Rule.everybody),
    ("GET", "/compare"): Asked(Rule.everybody),
    ("GET", "/diff"): Asked(Rule.everybody),
    ("GET", "/trash"): Asked(Rule.everybody),
    ("GET", "/rules"): Asked(Rule.everybody),
    ("GET", "/sign-in"): Asked(Rule.everybody),
    ("GET", "/assets/{name}"): Asked(Rule.everybody),
    ("GET", f"{API}/openapi.json"): Asked(Rule.any_token),
    ("GET", f"{API}/whoami"): Asked(Rule.any_token),
    ("DELETE", f"{API}/tokens/self"): Asked(Rule.any_token),
    ("GET", "/metrics"): Asked(Rule.server_admin),
    ("GET", f"{API}/tokens"): Asked(Rule.server_admin),
    ("POST", f"{API}/tokens"): Asked(Rule.server_admin, json={"name": "x", "admin": True}),
    ("DELETE", f"{API}/tokens/{{tokenId}}"): Asked(Rule.server_admin),
    ("GET", f"{API}/experiments"): Asked(Rule.any_token),
    ("POST", f"{API}/experiments/values"): Asked(Rule.any_token, json={"ids": [MISSING]}),
    ("GET", f"{API}/groups"): Asked(Rule.any_token, query={"by": "folder"}),
    ("GET", f"{API}/importance"): Asked(Rule.any_token, query={"field": "loss"}),
    ("POST", f"{API}/experiments/series"): Asked(Rule.any_token, json={"panels": []}),
    ("POST", f"{API}/experiments"): Asked(Rule.write, json={"prefix": PREFIX, "readme": "changed"}),
    ("GET", EXPERIMENT): Asked(Rule.read),
    ("DELETE", EXPERIMENT): Asked(Rule.write),
    # of one that is not in the trash, which changes nothing
    ("POST", f"{EXPERIMENT}/restore"): Asked(Rule.write, json={}),
    ("POST", f"{EXPERIMENT}/move"): Asked(Rule.write, json={"to": f"{PREFIX}-moved"}),
    ("POST", f"{EXPERIMENT}/tags"): Asked(Rule.write, json={"add": ["t"]}),
    ("PUT", f"{EXPERIMENT}/note"): Asked(Rule.write, json={"note": "hm"}),
    ("PUT", f"{EXPERIMENT}/readme"): Asked(Rule.write, json={"readme": "# hm"}),
    # of one that nobody has asked, which changes nothing
    ("POST", f"{EXPERIMENT}/stop"): Asked(Rule.write, json={"cancel": True}),
    ("GET", f"{EXPERIMENT}/history"): Asked(Rule.read),
    ("GET", f"{API}/trash"): Asked(Rule.any_token),
    ("PUT", f"{API}/bodies/{{checksum}}"): Asked(Rule.any_writer, query={"offset": "0"}, data=CONTENT),
    ("POST", f"{EXPERIMENT}/writers/{{writer}}/frames"): Asked(
        Rule.write, data=frame(2), headers={"Content-Type": FRAMES}
    ),
    ("GET", f"{EXPERIMENT}/writers"): Asked(Rule.read),
    ("GET", f"{EXPERIMENT}/params"): Asked(Rule.read),
    ("GET", f"{EXPERIMENT}/run"): Asked(Rule.read),
    ("GET", f"{EXPERIMENT}/logs"): Asked(Rule.read),
    ("GET", f"{EXPERIMENT}/metrics"): Asked(Rule.read),
    ("GET", f"{EXPERIMENT}/attempts"): Asked(Rule.read),
    ("GET", f"{EXPERIMENT}/environments"): Asked(Rule.read),
    ("GET", f"{EXPERIMENT}/console"): Asked(Rule.read),
    ("GET", f"{EXPERIMENT}/alerts"): Asked(Rule.read),
    ("GET", f"{EXPERIMENT}/metrics/shown"): Asked(Rule.read, query=TRAIN),
    ("GET", f"{EXPERIMENT}/metrics/ranks"): Asked(Rule.read, query=TRAIN),
    ("GET", f"{EXPERIMENT}/metrics/rows"): Asked(Rule.read, query=TRAIN),
    ("GET", f"{EXPERIMENT}/metrics/stats"): Asked(Rule.read, query=TRAIN),
    ("GET", f"{EXPERIMENT}/metrics/series"): Asked(Rule.read, query={**TRAIN, "field": "loss"}),
    ("GET", f"{EXPERIMENT}/tracks"): Asked(Rule.read),
    ("GET", f"{EXPERIMENT}/tracks/entries"): Asked(Rule.read, query={"topic": "pose"}),
    ("GET", f"{EXPERIMENT}/files"): Asked(Rule.read),
    ("GET", f"{EXPERIMENT}/files/{{file}}"): Asked(Rule.read),
    ("GET", f"{EXPERIMENT}/files/{{file}}/content"): Asked(Rule.read),
    ("POST", f"{EXPERIMENT}/contents"): Asked(
        Rule.write, json={"contents": [{"checksum": CHECKSUM, "sizeBytes": 7}]}
    ),
    ("GET", f"{EXPERIMENT}/contents/missing"): Asked(Rule.write),
    ("PUT", f"{EXPERIMENT}/contents/{{checksum}}"): Asked(Rule.write, data=CONTENT),
    ("POST", f"{EXPERIMENT}/contents/{{checksum}}/upload"): Asked(Rule.write, json={"sizeBytes": 7}),
    ("PUT", f"{EXPERIMENT}/contents/{{checksum}}/parts/{{number}}"): Asked(
        Rule.write, data=CONTENT, headers={"Content-Digest": f"sha-256=:{DIGEST}:"}
    ),
    ("POST", f"{EXPERIMENT}/contents/{{checksum}}/complete"): Asked(Rule.write),
    ("GET", VIEWS): Asked(Rule.read),
    ("GET", f"{VIEWS}/{{view}}"): Asked(Rule.read),
    ("PUT", f"{VIEWS}/{{view}}"): Asked(Rule.write, json=VIEW, headers={"If-Match": "*"}),
    ("DELETE", f"{VIEWS}/{{view}}"): Asked(Rule.write, headers={"If-Match": "*"}),
    ("GET", RULES): Asked(Rule.any_token),
    ("GET", f"{RULES}/metrics"): Asked(Rule.write, query={"folder": "alice/vision"}),
    ("POST", RULES): Asked(Rule.write, json=NEW_RULE),
    # what it tells stays: else a host would be looked up
    ("PUT", f"{RULES}/{{rule}}"): Asked(Rule.write, json={"name": "x", "when": "failed"}),
    ("DELETE", f"{RULES}/{{rule}}"): Asked(Rule.write),
    ("POST", f"{RULES}/{{rule}}/test"): Asked(Rule.write),
    ("GET", f"{API}/owners/{{owner}}/limits"): Asked(Rule.read),
    ("PUT", f"{API}/owners/{{owner}}/limits"): Asked(Rule.server_admin, json={"quotaBytes": None}),
    ("GET", f"{EXPERIMENT}/blocks"): Asked(Rule.read, query={**TRAIN, "kind": str(int(Kind.METRIC))}),
}


class Place:
    """A server with alice's experiment, and everybody's tokens."""

    def __init__(self, client: Client, tokens: Tokens, clock: Hands) -> None:
        self.client = client
        self.tokens = tokens
        self.clock = clock
        token = tokens.first_token()
        assert token is not None
        self.admin_token = token
        self.other_token = tokens.create("to be revoked", {"carol": Scope.READ})
        self.experiment = MISSING
        # to where nothing is sent
        inside = Destination("webhook", "https://127.0.0.1/x")
        made = AlertRule("", "alice", "mine", "", Condition("failed"), inside, None, 0, "somebody")
        self.rule = StoredRules(tokens.database, tokens.clock).add(made)

    async def prepare(self) -> None:
        headers = self.headers(self.admin_token)
        async with self.client.post(f"{API}/experiments", json={"prefix": PREFIX}, headers=headers) as made:
            self.experiment = (await made.json())["id"]
        path = f"{API}/experiments/{self.experiment}/writers/w/frames"
        headers = {**headers, "Content-Type": FRAMES}
        async with self.client.post(path, data=frame(1), headers=headers) as sent:
            assert await sent.json() == {"watermark": 1}
        path = f"{API}/experiments/{self.experiment}/contents/{CHECKSUM}"
        async with self.client.put(path, data=CONTENT, headers=self.headers(self.admin_token)) as sent:
            assert sent.status == 200
        path = VIEWS.format(owner="alice", project="proj") + "/losses"
        async with self.client.put(path, json=VIEW, headers=self.headers(self.admin_token)) as sent:
            assert sent.status == 200

    def token(self, role: Role) -> str | None:
        if role is Role.server_admin:
            return self.admin_token
        if role not in GRANTS:
            return None if role is Role.nobody else "mld_" + "u" * 43
        lifetime = 1 if role is Role.expired else None
        created = self.tokens.create(role.name, GRANTS[role], expires_in=lifetime)
        if role is Role.revoked:
            self.tokens.revoke(created.record.token_id)
        if role is Role.expired:
            self.clock.turn(1)
        return created.token

    @staticmethod
    def headers(token: str | None) -> dict[str, str]:
        return {} if token is None else {"Authorization": f"Bearer {token}"}

    async def ask(
        self, route: tuple[str, str], token: str | None, experiment: str | None = None
    ) -> ClientResponse:
        method, path = route
        asked = MATRIX[route]
        path = path.format_map(
            {
                "id": experiment or self.experiment,
                "writer": "w",
                "file": FILE["id"],
                "checksum": CHECKSUM,
                "number": "1",
                "owner": "alice",
                "project": "proj",
                "view": "losses",
                "rule": self.rule.id,
                "prefix": PREFIX,
                "folder": "alice/proj",
                "name": "index.js",
                "tokenId": self.other_token.record.token_id,
            }
        )
        headers = {**self.headers(token), **asked.headers}
        return await self.client.request(
            method, path, params=asked.query, json=asked.json, data=asked.data, headers=headers
        )

    async def everything(self) -> str:
        """All that is stored, as an admin sees it; but for when tokens were used."""
        told = []
        own = f"experiments/{self.experiment}"
        for path in ("tokens", "experiments", f"{own}/writers", f"{own}/files", "owners/alice/limits"):
            async with self.client.get(f"{API}/{path}", headers=self.headers(self.admin_token)) as response:
                told.append(await response.json())
        for record in told[0]["data"]:
            del record["lastUsedAt"]
        return json.dumps(told)


@pytest.fixture
async def place(client: Client, tokens: Tokens, clock: Hands) -> Place:
    place = Place(client, tokens, clock)
    await place.prepare()
    return place


def test_every_route_is_in_the_table(store: Store, tokens: Tokens) -> None:
    app = build_app(store, tokens, store.settings)
    routes = set()
    for route in app.router.routes():
        assert route.resource is not None
        routes.add((route.method, route.resource.canonical))
    assert routes == set(MATRIX)


ALLOWED = [
    pytest.param(role, route, id=f"{role.name}-{' '.join(route)}")
    for route, asked in MATRIX.items()
    for role in Role
    if asked.rule.expected(role) == 200
]


@pytest.mark.sample(97)
@pytest.mark.parametrize(("role", "route"), ALLOWED)
async def test_who_may_gets_what_they_ask_for(place: Place, role: Role, route: tuple[str, str]) -> None:
    token = place.token(role)
    response = await place.ask(route, token)
    text = await response.text(errors="replace")
    if MATRIX[route].rule is Rule.everybody:
        assert response.status not in {401, 403}, text
    else:
        assert 200 <= response.status < 300, text
    assert "WWW-Authenticate" not in response.headers
    if token:
        assert token not in text + str(response.headers)


@pytest.mark.sample(11)
@pytest.mark.parametrize(
    "route", [route for route in MATRIX if MATRIX[route].rule is not Rule.everybody], ids=" ".join
)
async def test_who_may_not_is_refused_and_changes_nothing(place: Place, route: tuple[str, str]) -> None:
    refused = {role: status for role in Role if (status := MATRIX[route].rule.expected(role)) != 200}
    given = {role: place.token(role) for role in refused}
    before = await place.everything()
    for role, expected in refused.items():
        token = given[role]
        response = await place.ask(route, token)
        text = await response.text(errors="replace")
        assert response.status == expected, (role, text)
        assert (response.headers.get("WWW-Authenticate") == "Bearer") == (expected == 401), role
        if token:
            assert token not in text + str(response.headers), role
    assert await place.everything() == before


@pytest.mark.sample(11)
@pytest.mark.parametrize("route", [route for route in MATRIX if "{id}" in route[1]], ids=" ".join)
async def test_what_a_token_may_not_see_looks_like_what_is_not_there(
    place: Place, route: tuple[str, str]
) -> None:
    """Whoever guesses ids learns nothing from the difference between two answers."""
    token = place.token(Role.admin_of_another_owner)
    answers = []
    for experiment in (place.experiment, MISSING):
        response = await place.ask(route, token, experiment)
        headers = {
            name: value
            for name, value in response.headers.items()
            if name.lower() not in {"date", "x-request-id"}
        }
        answers.append(((await response.text()).replace(experiment, "ID"), response.status, headers))
    assert answers[0] == answers[1]
    assert answers[0][1] == 404
    assert "alice" not in answers[0][0]


async def test_a_deleted_experiment_is_not_told_to_who_could_not_see_it(place: Place) -> None:
    route = ("GET", EXPERIMENT)
    await place.ask(("DELETE", EXPERIMENT), place.admin_token)
    assert (await place.ask(route, place.token(Role.reader))).status == 410
    hidden = await place.ask(route, place.token(Role.admin_of_another_owner))
    assert hidden.status == 404
    assert "alice" not in await hidden.text()


@pytest.mark.sample(5)
@pytest.mark.parametrize("role", [role for role in Role if role not in STRANGERS], ids=lambda role: role.name)
async def test_a_list_has_only_what_may_be_read(place: Place, role: Role) -> None:
    response = await place.ask(("GET", f"{API}/experiments"), place.token(role))
    listed = await response.json()
    sees = role is not Role.admin_of_another_owner
    assert [record["prefix"] for record in listed["data"]] == ([PREFIX] if sees else [])
    assert listed["total"] == len(listed["data"])


@pytest.mark.parametrize("query", ["owner=alice", "prefix=alice/proj/run", "search=run", "project=proj"])
async def test_no_question_finds_what_may_not_be_read(place: Place, query: str) -> None:
    token = place.token(Role.admin_of_another_owner)
    response = await place.client.get(f"{API}/experiments?{query}", headers=place.headers(token))
    found = await response.json()
    del found["asOf"]
    assert found == {"data": [], "total": 0, "hasMore": False, "cursor": None}
