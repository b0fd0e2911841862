"""Who may do what: every route demands a token, and says which scope on which owner it needs.

Programs show their token in a header. A browser shows the cookie of a session, which was opened with a token; it may
read what that token may read, and of what it may write change what pages offer: names, tags, notes, what is in the
trash. What a token may not read does not exist for it: the answer is the same 404, so that names do not leak.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar

from aiohttp import web

from ml_dash.protocol import TOKEN_CHARACTERS_MAX, ErrorCode
from ml_dash.server.accounts.attempts import Attempts, address_of
from ml_dash.server.accounts.grants import Principal, Scope, hash_token
from ml_dash.server.errors import ApiError
from ml_dash.server.forwarding import is_https

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler, Middleware

    from ml_dash.clock import Clock

H = TypeVar("H", bound="Callable[..., Any]")

# before aiohttp 3.14, keys were strings
PRINCIPAL: Any = web.RequestKey("principal", Principal) if hasattr(web, "RequestKey") else "ml_dash_principal"
"""Under which a request holds its `Principal`."""

BY_PAGE = "X-ML-Dash"
"""A header that our pages send. A page of another origin cannot: its browser asks first, and is never allowed to."""
_PUBLIC, _FOR_PAGES = "_ml_dash_public", "_ml_dash_for_pages"
# Tokens are too long to be guessed: this tells a client that has a wrong one to slow down. It never meets a valid one,
# however many wrong ones come from its address, which may be that of a proxy before everybody.
_WRONG_TOKENS = 60
_WINDOW_SECONDS = 60


class Secrets(Protocol):
    """Secrets of one kind, tokens or cookies, and the principal of each."""

    def cached(self, secret: str) -> tuple[bool, Principal | None]:
        """Return whether the answer of `look_up` is cached, and that answer."""

    async def look_up(self, secret: str) -> Principal | None:
        """Return the principal of a secret; None if it is unknown or no longer valid."""


class Sessions(Secrets, Protocol):
    """Who is signed in with a browser. The secrets are what the cookies hold."""

    mode: Literal["server", "local"]
    """``"server"`` or ``"local"``: where the pages come from."""
    cookie: str
    """What the cookie is called; see `cookie_name`."""
    lifetime: int | None
    """Seconds for which a browser keeps the cookie; None: until it is closed."""

    async def open(self, token: str) -> tuple[str, Principal] | None:
        """Return the value of a new cookie, and its principal; None if the token is unknown or no longer valid."""

    async def close(self, secret: str) -> None:
        """Refuse the cookie from now on."""

    def writes(self, who: Principal) -> list[str]:
        """Return the owners whose experiments a browser may change; ``*`` stands for all."""


def cookie_name(request: web.Request, sessions: Sessions) -> str:
    """Return the name of a browser's cookie for this request.

    Over https it begins with ``__Host-``: a browser takes such a cookie from this very host only, over https, and for
    all of its paths. So neither another host of the domain, nor somebody on the line who answers for it over http, can
    put a session of their own in its place. Over plain http browsers refuse the name, since it demands `Secure`.

    Below a path of a host it is sent to that host's other paths too, as the name demands: they are of one origin, whose
    scripts can ask this server anyhow.
    """
    return f"__Host-{sessions.cookie}" if is_https(request) else sessions.cookie


class Access(NamedTuple):
    """Who is let in: programs by tokens (None lets none in), browsers by sessions; wrong ones of both are counted."""

    tokens: Secrets | None
    sessions: Sessions
    attempts: Attempts

    @classmethod
    def of(cls, tokens: Secrets | None, sessions: Sessions, clock: Clock) -> Access:
        """Return the access with the usual limit of attempts."""
        return cls(tokens, sessions, Attempts(_WRONG_TOKENS, _WINDOW_SECONDS, clock))


def authenticate(access: Access) -> Middleware:
    """Return the middleware that demands a valid token or session for every route that is not marked `public`.

    A path that does not exist demands one as well: without, nothing can be learnt about paths.
    """

    @web.middleware
    async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_public(request.match_info.handler):
            request[PRINCIPAL] = await _identify(request, access)
        return await handler(request)

    return authenticated


def public(handler: H) -> H:
    """Mark a handler as needing no token."""
    # a bound method takes no attributes, but its function does
    setattr(getattr(handler, "__func__", handler), _PUBLIC, True)
    return handler


def is_public(handler: Callable[..., Any]) -> bool:
    """Say whether a handler is marked as needing no token."""
    return getattr(handler, _PUBLIC, False) is True


def for_pages(handler: H) -> H:
    """Mark a handler that sessions may use, although it is not a GET: it changes nothing, or what pages offer."""
    setattr(getattr(handler, "__func__", handler), _FOR_PAGES, True)
    return handler


def demand_page(request: web.Request) -> None:
    """Let only requests of our own pages pass.

    Raises:
        ApiError: 403: it may be another site's, in the name of somebody who is signed in.
    """
    # browsers without Sec-Fetch-Site are left to the first header alone, which no form and no link can send
    if BY_PAGE not in request.headers or not _is_ours(request):
        raise _forbidden(
            f"this needs the header {BY_PAGE!r}, from a page of this origin; programs send a token instead"
        )


def _demand_ours(request: web.Request) -> None:
    """Let a page of another origin have nothing read in the name of somebody who is signed in.

    It could not read the answer. But a page of the same site, as another port of this machine is, has the cookie sent
    along; it could see how large a picture is, and have the server work. Who follows a link is let in.
    """
    follows = request.headers.get("Sec-Fetch-Mode") == "navigate"
    if not _is_ours(request) and not (follows and request.headers.get("Sec-Fetch-Dest") == "document"):
        raise _forbidden(
            "a page of another origin asks for this: open it by itself; programs send a token instead"
        )


def _is_ours(request: web.Request) -> bool:
    """Say whether a page of this origin asks, or nobody's: an address that was typed, or an old browser's."""
    return request.headers.get("Sec-Fetch-Site", "same-origin") in {"same-origin", "none"}


def principal(request: web.Request) -> Principal:
    """Return the principal of a request."""
    who = request.get(PRINCIPAL)
    if not isinstance(who, Principal):
        # a handler that is public asked for somebody: nobody is there
        raise _unauthorized("this needs a token")
    return who


def require(request: web.Request, owner: str, scope: Scope) -> None:
    """Let a request pass if its token has the scope on the owner.

    Raises:
        ApiError: 404 ``not_found`` if the token may not even read, else 403 ``forbidden``.
    """
    who = principal(request)
    if not who.may(owner, Scope.READ):
        raise not_found(request)
    if not who.may(owner, scope):
        has = Scope(who.scope_on(owner)).word
        raise _forbidden(
            f"token {who.name!r} has the scope {has!r} on owner {owner!r}, and this needs {scope.word!r}: "
            "use a token that was granted it"
        )


def require_admin(request: web.Request) -> None:
    """Let a request pass if it was made with an admin token.

    Raises:
        ApiError: 403 ``forbidden``.
    """
    if not (who := principal(request)).admin:
        raise _forbidden(f"token {who.name!r} is not an admin token, and this needs one")


def not_found(request: web.Request) -> ApiError:
    """Return the answer for what does not exist, and for what the token may not read: it must be the same."""
    return ApiError(
        404,
        ErrorCode.NOT_FOUND,
        f"{request.path} does not exist, or this token may not read it: `ml-dash whoami` shows what it was granted",
    )


async def _identify(request: web.Request, access: Access) -> Principal:
    secret = request.cookies.get(cookie_name(request, access.sessions))
    # a token that is shown on purpose counts more than a cookie that a browser sends by itself
    if secret is None or (access.tokens is not None and "Authorization" in request.headers):
        if access.tokens is None:
            raise _unauthorized(
                "this needs a browser that is signed in", "open the address that `ml-dash ui` prints"
            )
        return await recognize(request, access.tokens, _bearer(request), access.attempts)
    who = await recognize(request, access.sessions, secret, access.attempts)
    _demand_ours(request)
    if request.method != "GET":
        demand_page(request)
        if not getattr(request.match_info.handler, _FOR_PAGES, False):
            raise _forbidden("a browser that is signed in can only do what its pages offer: use a token")
    return who


async def recognize(request: web.Request, secrets: Secrets, secret: str, attempts: Attempts) -> Principal:
    """Return the principal of a secret; count invalid ones by address.

    Raises:
        ApiError: 401, or 429 where there were too many wrong ones.
    """
    known, who = secrets.cached(secret)
    if not known:
        who = await secrets.look_up(secret)
    if who is None:
        raise refused(request, attempts, secret)
    return who


def refused(request: web.Request, attempts: Attempts, secret: str) -> ApiError:
    """Count an invalid secret, and return the answer to it: 401, or 429 where too many came from its address."""
    address = address_of(request)
    if seconds := attempts.wait(address):
        return ApiError(
            429,
            ErrorCode.BUSY,
            f"too many invalid tokens came from this address: try again in {seconds} s",
            retryAfter=seconds,
        )
    attempts.count(address, hash_token(secret))
    return _unauthorized("the token is unknown, expired or revoked")


def _bearer(request: web.Request) -> str:
    values = request.headers.getall("Authorization", [])
    if not values:
        raise _unauthorized("this needs a token, in the header 'Authorization: Bearer mld_…'")
    scheme, _, token = values[0].partition(" ")
    token = token.strip()
    # two headers: a proxy in front may have checked the other one
    if len(values) > 1 or scheme.lower() != "bearer" or not 0 < len(token) <= TOKEN_CHARACTERS_MAX:
        raise _unauthorized("the header Authorization does not hold one 'Bearer mld_…'")
    return token


def _forbidden(message: str) -> ApiError:
    return ApiError(403, ErrorCode.FORBIDDEN, message)


def _unauthorized(problem: str, remedy: str = "get one with `ml-dash login`") -> ApiError:
    return ApiError(401, ErrorCode.UNAUTHORIZED, f"{problem}: {remedy}")
