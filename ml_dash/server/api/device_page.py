"""The page on which a person approves a login: plain HTML, no script, nothing loaded from anywhere.

It is safe against cross-site request forgery because nothing that a browser sends by itself counts: the person's own
token is in the form, and is neither kept nor ever written into a page or an address.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import TYPE_CHECKING

from aiohttp import web

from ml_dash.query.times import iso_time
from ml_dash.server.accounts.device_logins import show_user_code
from ml_dash.server.accounts.grants import EVERY_OWNER, Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_dash.server.accounts.device_logins import Waiting

LIFETIMES: dict[str, tuple[str, int | None]] = {
    "30": ("30 days", 30 * 86_400),
    "90": ("90 days", 90 * 86_400),
    "365": ("a year", 365 * 86_400),
    "never": ("until it is revoked", None),
}
"""How long a token may last: what a person can choose, and seconds."""
_LIFETIME = "365"

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 34rem; margin: 10vh auto; padding: 0 1.2rem; }
h1 { font-size: 1.3rem; }
code, .code { font-family: ui-monospace, monospace; }
.code { font-size: 1.6rem; letter-spacing: .1em; text-transform: uppercase; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dt { opacity: .7; }
dd { margin: 0; overflow-wrap: anywhere; }
label { display: block; margin: 1rem 0 .2rem; }
input, select, button { font: inherit; padding: .45rem .6rem; box-sizing: border-box; }
input, select { width: 100%; }
small { opacity: .7; }
p.error { border-left: 4px solid #c33; padding-left: .8rem; }
.buttons { display: flex; gap: .8rem; margin-top: 1.5rem; }
"""
# the policy names the style by its hash: no other style, injected or not, is applied
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_SCOPES = {Scope.WRITE: "read and write", Scope.READ: "read only"}


def ask_for_code(error: str = "", *, status: int = 200) -> web.Response:
    """Return the page that asks which login it is about."""
    return _page(
        "Log in a device",
        f"""{_error(error)}
<form method="get" action="device">
<label for="user_code">The code shown on the device</label>
<input class="code" id="user_code" name="user_code" maxlength="16" required autofocus autocomplete="off"
 spellcheck="false" placeholder="BCDF-GHJK">
<div class="buttons"><button>Continue</button></div>
</form>""",
        status=status,
    )


def ask_for_decision(
    waiting: Waiting, chosen: Mapping[str, str], error: str = "", *, status: int = 200
) -> web.Response:
    """Return the page that shows what is asked for, and asks for a decision.

    It shows again what the person has chosen so far, by the form's fields; the token is never among it.
    """
    scope = chosen.get("scope", max(waiting.asked.values()).word)
    owners = chosen.get("owners", ", ".join(owner for owner in waiting.asked if owner != EVERY_OWNER))
    lifetime = chosen.get("lifetime", _LIFETIME)
    code = show_user_code(waiting.user_code)
    return _page(
        "A device asks for access",
        f"""{_error(error)}
<p class="code">{code}</p>
<p>Approve only if you started this login yourself and the device shows this code.</p>
<dl>
<dt>Device</dt><dd>{escape(waiting.client)}</dd>
<dt>Address</dt><dd>{escape(waiting.address)}</dd>
<dt>Requested</dt><dd>{iso_time(waiting.created_ns)[:19]} UTC</dd>
<dt>Access</dt><dd>{_asked(waiting.asked)}</dd>
</dl>
<form method="post" action="device" autocomplete="off">
<input type="hidden" name="user_code" value="{code}">
<label for="scope">Grant</label>
<select id="scope" name="scope">{_options({each.word: text for each, text in _SCOPES.items()}, scope)}</select>
<label for="owners">Owners</label>
<input id="owners" name="owners" maxlength="4096" spellcheck="false" value="{escape(owners)}"
 placeholder="all owners that your token was granted">
<small>Separate names with commas. The device is never granted more than your own token may do.</small>
<label for="lifetime">Duration</label>
<select id="lifetime" name="lifetime">{_options({key: text for key, (text, _) in LIFETIMES.items()}, lifetime)}</select>
<label for="token">Your own token, to confirm that it is you</label>
<input id="token" name="token" type="password" required autofocus autocomplete="off" spellcheck="false"
 placeholder="mld_…">
<div class="buttons">
<button name="decision" value="approve">Approve</button>
<button name="decision" value="deny">Deny</button>
</div>
</form>""",
        status=status,
    )


def say(title: str, text: str, *, status: int = 200, retry_after: int | None = None) -> web.Response:
    """Return a page that only says something."""
    response = _page(title, f"<p>{escape(text)}</p>", status=status)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def _page(title: str, body: str, *, status: int) -> web.Response:
    return web.Response(
        text=f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{escape(title)} · ML-Dash</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
{body}
</body>
</html>
""",
        status=status,
        content_type="text/html",
        charset="utf-8",
        headers=_HEADERS,
    )


def _error(text: str) -> str:
    return f'<p class="error" role="alert">{escape(text)}</p>' if text else ""


def _asked(asked: Mapping[str, Scope]) -> str:
    return "<br>".join(
        f"{_SCOPES.get(scope, scope.word)}: "
        + (
            "all experiments that you may access"
            if owner == EVERY_OWNER
            else f"experiments of {escape(owner)}"
        )
        for owner, scope in asked.items()
    )


def _options(choices: Mapping[str, str], chosen: str) -> str:
    return "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(text)}</option>'
        for value, text in choices.items()
    )
