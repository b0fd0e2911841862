"""What a person does about a login: looks at what is asked for, shows a token, and decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.errors import InvalidArgumentError
from ml_dash.query.times import NANOSECONDS
from ml_dash.server.accounts.attempts import Attempts, address_of
from ml_dash.server.accounts.device_logins import CODE_SECONDS, DeviceLogins, parse_user_code
from ml_dash.server.accounts.grants import chosen_grants, parse_scope, split_owners
from ml_dash.server.accounts.token_cache import hash_token
from ml_dash.server.api.device_page import LIFETIMES, ask_for_code, ask_for_decision, say
from ml_dash.server.errors import ApiError
from ml_dash.server.http.bodies import read_form

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from ml_dash.clock import Clock
    from ml_dash.server.accounts.device_logins import Waiting
    from ml_dash.server.accounts.grants import Principal
    from ml_dash.server.accounts.tokens import Tokens

__all__ = ["ApprovalPage"]

_WINDOW_SECONDS = 60
_WRONG_CODES = 10
_WRONG_TOKENS = 10


class _EndedError(Exception):
    """A request of a person that ends here, with a page."""

    def __init__(self, page: web.Response) -> None:
        super().__init__()
        self.page = page


class ApprovalPage:
    """What people do on the page.

    Args:
        tokens: The tokens of the server.
        clock: Tells when codes expire.
    """

    def __init__(self, tokens: Tokens, clock: Clock) -> None:
        self._tokens = tokens
        self._logins = DeviceLogins(tokens, clock)
        self._run = tokens.database.run
        self._code_attempts = Attempts(_WRONG_CODES, _WINDOW_SECONDS, clock)
        self._token_attempts = Attempts(_WRONG_TOKENS, _WINDOW_SECONDS, clock)

    async def show(self, request: web.Request) -> web.Response:
        """Ask for the code; where it is given, show the login and ask for a decision."""
        given = request.query.get("user_code")
        if not given:
            return ask_for_code()
        try:
            return ask_for_decision(await self._find(request, given), {})
        except _EndedError as end:
            return end.page

    async def decide(self, request: web.Request) -> web.Response:
        """Approve or deny a login, as the form says."""
        try:
            form = await _sent_form(request)
            # the token goes no further than this method
            token = form.pop("token", "").strip()
            waiting = await self._find(request, form.get("user_code", ""))
            approver = await self._approver(request, token)
        except _EndedError as end:
            return end.page
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
        address = address_of(request)
        if wait := self._token_attempts.wait(address):
            raise _EndedError(_too_many(wait))
        approver = await self._run(self._tokens.find, token)
        if approver is None:
            self._token_attempts.count(address, hash_token(token))
        return approver

    async def _decided(self, waiting: Waiting, approver: Principal, form: Mapping[str, str]) -> web.Response:
        decision = form.get("decision")
        if decision == "deny":
            done = await self._run(self._logins.deny, waiting.user_code)
            return (
                say("Denied", "The device was not granted access. You can close this page.")
                if done
                else _gone()
            )
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
        """Return the login that a code stands for."""
        address = address_of(request)
        if wait := self._code_attempts.wait(address):
            raise _EndedError(_too_many(wait))
        code = parse_user_code(given)
        waiting = None if code is None else await self._run(self._logins.waiting, code)
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


def _too_many(wait: int) -> web.Response:
    text = f"Too many wrong codes or tokens came from your address. Try again in {wait} seconds."
    return say("Too many attempts", text, status=429, retry_after=wait)


def _gone() -> web.Response:
    return say("Too late", "This login was decided in the meantime, or has expired.", status=409)
