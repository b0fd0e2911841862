"""The device flow's routes (RFC 8628): a device asks, a person approves on a page, the device gets its token.

Errors of the two endpoints for devices are as the RFCs say, ``{"error", "error_description"}``, and not as elsewhere.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from ml_dash.errors import InvalidArgumentError
from ml_dash.protocol import FORM
from ml_dash.query.times import NANOSECONDS
from ml_dash.server.accounts.attempts import Attempts, address_of
from ml_dash.server.accounts.device_logins import (
    CODE_SECONDS,
    POLL_SECONDS,
    DeviceLogins,
    Refusal,
    parse_user_code,
    show_user_code,
)
from ml_dash.server.accounts.grants import (
    chosen_grants,
    hash_token,
    parse_asked,
    parse_scope,
    scope_text,
    split_owners,
)
from ml_dash.server.accounts.tokens import check_name
from ml_dash.server.api import contract
from ml_dash.server.api.device_page import LIFETIMES, ask_for_code, ask_for_decision, say
from ml_dash.server.errors import ApiError
from ml_dash.server.forwarding import address_of_server, client_of
from ml_dash.server.http.bodies import read_form
from ml_dash.server.http.routing import bound
from ml_dash.shapes import DeviceAuthorization, DeviceToken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler

    from ml_dash.clock import Clock
    from ml_dash.server.accounts.device_logins import Waiting
    from ml_dash.server.accounts.grants import Principal
    from ml_dash.server.accounts.tokens import Tokens

CLIENT_ID = "ml-dash"
"""The one client; it needs no registration, because it proves nothing about itself."""
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"

# within a minute, from one address, behind which may be a whole office; fewest for the codes that people type,
# which are the shortest secrets here
_WINDOW_SECONDS = 60
_WRONG_DEVICE_CODES = 30
_LOGINS = 30
_WRONG_CODES = 10
_WRONG_TOKENS = 10
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class _EndedError(Exception):
    """An answer that is found deep below a route: an error of OAuth for devices, a page for a person."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__()
        self.answer = answer


def _refused(error: str, description: str, status: int = 400, wait: int = 0) -> _EndedError:
    """Return the end by an error of the device flow, as OAuth has it (RFC 6749, section 5.2)."""
    headers = {**_NO_STORE, "Retry-After": str(wait)} if wait else _NO_STORE
    body = {"error": error, "error_description": description}
    return _EndedError(web.json_response(body, status=status, headers=headers))


def device_routes(tokens: Tokens, clock: Clock, public_url: str | None = None) -> list[web.RouteDef]:
    """Return the routes of the device flow; without a URL, people reach this server where the device does."""
    device = _Device(tokens, clock, public_url)
    page = _ApprovalPage(tokens, clock)
    return [
        bound(contract.DEVICE_AUTHORIZE, _ending(device.authorize)),
        bound(contract.DEVICE_TOKEN, _ending(device.token)),
        bound(contract.DEVICE_PAGE, _ending(page.show)),
        bound(contract.DEVICE_DECIDE, _ending(page.decide)),
    ]


def _ending(handler: Handler) -> Handler:
    """Return the handler, which may also raise its answer."""

    async def ending(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except _EndedError as end:
            return end.answer

    return ending


class _Device:
    def __init__(self, tokens: Tokens, clock: Clock, public_url: str | None) -> None:
        self._logins = DeviceLogins(tokens, clock)
        self._run = tokens.database.run
        self._public_url = public_url
        self._begun = Attempts(_LOGINS, _WINDOW_SECONDS, clock)
        self._wrong = Attempts(_WRONG_DEVICE_CODES, _WINDOW_SECONDS, clock)

    async def authorize(self, request: web.Request) -> web.Response:
        form = await _device_form(request)
        address = address_of(request)
        if wait := self._begun.wait(address):
            raise _refused("temporarily_unavailable", "too many logins from this address", 429, wait)
        try:
            client = check_name(form.get("client_name", "an unnamed device"))
        except InvalidArgumentError as error:
            raise _refused("invalid_request", str(error)) from None
        try:
            asked = parse_asked(form.get("scope", ""))
        except ValueError as error:
            raise _refused("invalid_scope", str(error)) from None
        # before it is begun: of many that ask at once, no more than the limit get on
        self._begun.count(address, secrets.token_hex(16))
        begun = await self._run(self._logins.begin, client, client_of(request), asked)
        if begun is None:
            raise _refused("temporarily_unavailable", "too many logins are pending", 503, 60)
        base = (self._public_url or address_of_server(request)).rstrip("/")
        where = base + contract.DEVICE_PAGE.path
        code = show_user_code(begun.user_code)
        return _answer(
            DeviceAuthorization(
                device_code=begun.device_code,
                user_code=code,
                verification_uri=where,
                verification_uri_complete=f"{where}?user_code={code}",
                expires_in=CODE_SECONDS,
                interval=POLL_SECONDS,
            )
        )

    async def token(self, request: web.Request) -> web.Response:
        form = await _device_form(request)
        if form.get("grant_type") != GRANT_TYPE:
            known = "grant_type" in form
            raise _refused(
                "unsupported_grant_type" if known else "invalid_request", f"grant_type must be {GRANT_TYPE}"
            )
        if "device_code" not in form:
            raise _refused("invalid_request", "device_code is missing")
        got = await self._run(self._logins.collect, form["device_code"])
        if isinstance(got, Refusal):
            if got is Refusal.UNKNOWN:
                address = address_of(request)
                if wait := self._wrong.wait(address):
                    raise _refused(
                        Refusal.SLOW_DOWN.value, "too many wrong codes from this address", 429, wait
                    )
                self._wrong.count(address, hash_token(form["device_code"]))
            raise _refused(got.value, _DESCRIPTIONS[got])
        scope = scope_text(got.record.grants)
        body = DeviceToken(access_token=got.token, token_type="Bearer", scope=scope)  # noqa: S106 - RFC 6750's word
        if got.record.expires_ns is not None:
            body.expires_in = (got.record.expires_ns - got.record.created_ns) // NANOSECONDS
        return _answer(body)


_DESCRIPTIONS = {
    Refusal.PENDING: "the login is still pending",
    Refusal.SLOW_DOWN: f"polled too soon: wait {POLL_SECONDS} s longer between two polls from now on",
    Refusal.DENIED: "the login was denied",
    Refusal.EXPIRED: f"the login was not approved within {CODE_SECONDS // 60} minutes: begin again",
    Refusal.UNKNOWN: "the device code is unknown, or was already used: begin again",
}


async def _device_form(request: web.Request) -> dict[str, str]:
    try:
        form = await read_form(request)
    except ApiError as error:
        raise _refused("invalid_request", error.message, error.status) from None
    if form is None:
        raise _refused("invalid_request", f"the body must be a form ({FORM}) that names each field once")
    if "client_id" not in form:
        raise _refused("invalid_request", f"client_id is missing: it must be {CLIENT_ID!r}")
    if form["client_id"] != CLIENT_ID:
        raise _refused("invalid_client", f"client_id must be {CLIENT_ID!r}")
    return form


def _answer(body: DeviceAuthorization | DeviceToken) -> web.Response:
    return web.json_response(msgspec.to_builtins(body), headers=_NO_STORE)


class _ApprovalPage:
    """The page on which a person approves or denies a login."""

    def __init__(self, tokens: Tokens, clock: Clock) -> None:
        self._tokens = tokens
        self._logins = DeviceLogins(tokens, clock)
        self._run = tokens.database.run
        self._code_attempts = Attempts(_WRONG_CODES, _WINDOW_SECONDS, clock)
        self._token_attempts = Attempts(_WRONG_TOKENS, _WINDOW_SECONDS, clock)

    async def show(self, request: web.Request) -> web.Response:
        given = request.query.get("user_code")
        if not given:
            return ask_for_code()
        return ask_for_decision(await self._find(request, given), {})

    async def decide(self, request: web.Request) -> web.Response:
        form = await _sent_form(request)
        # the token goes no further than this method
        token = form.pop("token", "").strip()
        waiting = await self._find(request, form.get("user_code", ""))
        approver = await self._approver(request, token)
        if "mld_" in form.get("owners", ""):
            # pasted into the wrong field: it must not come back in the page
            form["owners"] = ""
        if approver is None:
            error = "This token is unknown, expired or revoked."
            return ask_for_decision(waiting, form, error, status=403)
        try:
            return await self._decided(waiting, approver, form)
        except InvalidArgumentError as error:
            return ask_for_decision(waiting, form, str(error), status=400)

    async def _approver(self, request: web.Request, token: str) -> Principal | None:
        approver = await self._run(self._tokens.find, token)
        if approver is None:
            self._token_attempts.count(_admitted(request, self._token_attempts), hash_token(token))
        return approver

    async def _decided(self, waiting: Waiting, approver: Principal, form: Mapping[str, str]) -> web.Response:
        decision = form.get("decision")
        if decision == "deny":
            done = await self._run(self._logins.deny, waiting.user_code)
            if not done:
                return _gone()
            return say("Denied", "The device was not granted access. You can close this page.")
        if decision != "approve":
            raise InvalidArgumentError("choose Approve or Deny")
        grants = chosen_grants(
            approver, split_owners(form.get("owners", "")), parse_scope(form.get("scope", ""))
        )
        if form.get("lifetime") not in LIFETIMES:
            raise InvalidArgumentError("choose how long the access lasts")
        seconds = LIFETIMES[form["lifetime"]][1]
        lifetime_ns = None if seconds is None else seconds * NANOSECONDS
        if not await self._run(self._logins.approve, waiting.user_code, approver, grants, lifetime_ns):
            return _gone()
        granted = ", ".join(f"{owner}:{scope.word}" for owner, scope in grants.items())
        return say("Approved", f"The device was granted {granted}. You can close this page.")

    async def _find(self, request: web.Request, given: str) -> Waiting:
        address = _admitted(request, self._code_attempts)
        code = parse_user_code(given)
        waiting = None if code is None else await self._run(self._logins.waiting, code)
        # once more: of many codes that are tried at once, no more than the limit are answered
        _admitted(request, self._code_attempts)
        if waiting is None:
            if code is not None:
                self._code_attempts.count(address, code)
            error = (
                "No login is pending under this code: it may be mistyped, already decided, or older than "
                f"{CODE_SECONDS // 60} minutes."
            )
            raise _EndedError(ask_for_code(error, status=404))
        return waiting


async def _sent_form(request: web.Request) -> dict[str, str]:
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        raise _EndedError(say("Refused", "This form was sent by another site.", status=403))
    try:
        form = await read_form(request)
    except ApiError as error:
        raise _EndedError(say("Refused", error.message, status=error.status)) from None
    if form is None:
        raise _EndedError(ask_for_code("The form could not be read.", status=400))
    return form


def _admitted(request: web.Request, attempts: Attempts) -> str:
    """Return the address of a request; end it if too many wrong secrets came from there."""
    address = address_of(request)
    if wait := attempts.wait(address):
        text = f"Too many wrong codes or tokens came from your address. Try again in {wait} seconds."
        raise _EndedError(say("Too many attempts", text, status=429, retry_after=wait))
    return address


def _gone() -> web.Response:
    return say("Too late", "This login was decided in the meantime, or has expired.", status=409)
