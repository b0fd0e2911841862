"""How messages are sent: again where they are not taken, once more after a crash, and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from ml_dash.server.alerts.guard import Allowed, Guard, parse_allowed
from ml_dash.server.alerts.mail import parse_mail_server
from ml_dash.server.alerts.rules import Condition, Destination, Rule
from ml_dash.server.alerts.sending import NotDeliveredError, Sender
from ml_dash.server.alerts.telling import test_message as message_for
from ml_dash.server.threads import Threads
from tests.server.alerts.place import Place
from tests.support.receiving import MailBox, Receiver, receiving
from tests.support.serving import NOON, Client, running, until


def test_what_fails_is_sent_again_later_with_the_same_id(place: Place, hook: Receiver) -> None:
    statuses = iter((500, 404, 503))
    hook.answer = lambda _: (next(statuses, 204), {})
    rule = place.rule("failed")
    place.end(place.run())
    hook.wait_for(1)
    for minutes, count in ((0.2, 2), (0.5, 3), (2, 4)):
        until(lambda: place.told(rule)["problem"] is not None, "it is told why")
        place.later(minutes)
        hook.wait_for(count)
    until(lambda: place.told(rule)["problem"] is None, "it was taken")
    place.later(60)
    place.settled()
    assert len({got.id for got in hook.got}) == 1
    assert len({got.raw for got in hook.got}) == 1
    assert len(hook.got) == 4


def test_what_is_gone_for_good_is_given_up_and_so_is_what_fails_for_a_day(
    place: Place, hook: Receiver
) -> None:
    hook.answer = lambda _: (410, {})
    rule = place.rule("failed")
    place.end(place.run("a"))
    until(lambda: place.told(rule)["problem"] == "it answers by 410 (given up)", "it is given up")
    hook.answer = lambda _: (500, {})
    place.end(place.run("b"))
    place.later(2)
    hook.wait_for(2)
    until(lambda: place.told(rule)["problem"] == "it answers by 500", "it is tried again")
    place.later(25 * 60)
    until(lambda: place.told(rule)["problem"] == "it answers by 500 (given up)", "it is given up")
    hook.answer = lambda _: (200, {})
    place.end(place.run("c"))
    place.later(2)
    until(lambda: place.told(rule)["problem"] is None, "the next one is taken")


@pytest.mark.slow
def test_hanging_webhooks_hold_up_neither_ingest_nor_others(place: Place, hook: Receiver) -> None:
    hook.hang()
    with receiving() as well:
        hanging = [place.rule("failed", name=f"hangs {number}") for number in range(34)]
        place.rule("failed", to={"kind": "webhook", "url": well.url})
        run = place.run()
        place.end(run)
        for number in range(20):
            place.log(place.run(f"other{number}"), loss=1.0)
        well.wait_for(1)
        hook.wait_for(34)
        until(
            lambda: all("within 1 s" in str(place.told(rule)["problem"]) for rule in hanging),
            "they are told to have taken too long",
        )


def test_no_redirect_is_followed(place: Place, hook: Receiver) -> None:
    with receiving() as inside:
        hook.answer = lambda _: (302, {"Location": inside.url})
        rule = place.rule("failed")
        place.end(place.run())
        until(lambda: "redirect (302)" in str(place.told(rule)["problem"]), "it is told")
        assert len(hook.got) == 1
        assert inside.got == []


def test_slack_is_told_in_its_own_form_and_nobody_is_called_by_a_title(place: Place, hook: Receiver) -> None:
    place.rule("alert", to={"kind": "slack", "url": hook.url}, name="a & b")
    run = place.run()
    place.alert(run, "<!channel> *now*")
    (got,) = hook.wait_for(1)
    url = f"https://dash.example.org/experiments/{run}"
    told = "warning: &lt;!channel&gt; *now*"
    assert got.body == {"text": f"*[a &amp; b] {run}: {told}*\n• <{url}|{run}>: {told}"}
    assert "ml-dash-delivery" not in got.headers


def test_mail_is_sent_by_the_operators_server(place: Place, post: MailBox) -> None:
    place.rule("alert", to={"kind": "mail", "address": "bob@example.org"}, name="night\r\nBcc: x@example.org")
    run = place.run()
    place.alert(run, "loss\nis NaN\ud800 ä")
    until(lambda: any(run in str(mail["Subject"]) for mail in post.mails), "mail has come")
    mail: EmailMessage = next(mail for mail in post.mails if run in str(mail["Subject"]))
    assert (mail["From"], mail["To"], mail["Bcc"]) == ("alerts@example.org", "bob@example.org", None)
    # a header that was folded comes with a blank more
    assert (
        " ".join(str(mail["Subject"]).split()) == f"[night Bcc: x@example.org] {run}: warning: loss is NaN ä"
    )
    assert mail["Message-ID"].startswith("<msg_")
    text = mail.get_content()
    assert f"https://dash.example.org/experiments/{run}" in text
    assert post.recipients[-1] == "TO:<bob@example.org>"


def test_mail_that_is_refused_is_tried_again(place: Place, post: MailBox) -> None:
    rule = place.rule("failed", to={"kind": "mail", "address": "nobody@example.org"})
    post.refuses = True
    try:
        place.end(place.run())
        until(lambda: place.told(rule)["problem"] is not None, "it is told")
        assert "nobody is called so" in place.told(rule)["problem"]
    finally:
        post.refuses = False
    place.later(2)
    until(lambda: place.told(rule)["problem"] is None, "it was taken")


@pytest.mark.slow
def test_a_server_that_is_killed_before_it_writes_down_what_it_sent_sends_it_again(
    data: Path, hook: Receiver
) -> None:
    """The receiver gets the message twice, with one id, and knows it by that."""
    settings = {"alerts_allowed": ["127.0.0.1"], "alert_lease": 0.2}
    killed = threading.Event()
    with running(data, **settings) as server:

        def kill(_: Any) -> tuple[int, dict[str, str]]:
            server.kill()
            killed.set()
            return 204, {}

        hook.answer = kill
        client = server.client()
        rule = {"owner": "alice", "name": "x", "when": "failed", "to": {"kind": "webhook", "url": hook.url}}
        assert client.post("/rules", rule).status == 201
        _fail_at_once(client)
        assert killed.wait(30)
    hook.answer = lambda _: (204, {})
    with running(data, **settings) as server:
        hook.wait_for(2)
        client = server.client()
        until(lambda: client.get("/rules")["data"][0]["lastDeliveredAt"] is not None, "it was taken")
        assert client.get("/experiments/" + client.create("alice/p/run"))["status"] == "FAILED"
    assert len({got.id for got in hook.got}) == 1


def _fail_at_once(client: Client) -> None:
    import time

    from tests.support.serving import frame, run_row

    id_ = client.create("alice/p/run")
    now = time.time_ns()
    rows = run_row(now, "start"), run_row(now + 1, "end", status="FAILED", error="boom")
    with contextlib.suppress(OSError):  # it may be killed before it answers: the rows are stored then
        client.send(id_, *(frame(number, row) for number, row in enumerate(rows, 1)))


# --- where


INSIDE = [
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254"),
    *("100.64.0.1", "192.0.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1"),
    *("64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::", "2001:0:7f00:1::"),
]
"""Addresses that a server must not be made to connect to: of itself, its networks, clouds, many at once, or IPv4."""


def guard(look_up: Any = None, *allowed: str) -> Guard:
    return Guard(parse_allowed(allowed) if allowed else Allowed(), Threads(2), look_up)


def sent(to: Guard, url: str) -> str | None:
    """Why a message was not taken by a URL; None where it was."""
    rule = Rule("rul_x", "alice", "x", "", Condition("failed"), Destination("webhook", url), None, 0, "me")

    async def send() -> str | None:
        sender = Sender(to, None, Threads(1), 5.0)
        try:
            await sender.send(message_for(rule, NOON))
        except NotDeliveredError as error:
            return error.problem
        finally:
            await sender.close()
        return None

    return asyncio.run(send())


@pytest.mark.parametrize("address", INSIDE)
def test_no_address_but_those_of_the_internet_is_connected_to(address: str) -> None:
    asked: list[str] = []

    def look_up(host: str, _: int) -> Sequence[str]:
        asked.append(host)
        return ["93.184.215.14", address]

    assert "no address of the internet" in str(sent(guard(look_up), "https://hooks.example.org/x"))
    assert asked == ["hooks.example.org"]
    shown = f"[{address}]" if ":" in address else address
    assert "nothing is sent there" in str(sent(guard(look_up), f"https://{shown.replace('%', '%25')}/x"))


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"]
)
def test_addresses_of_the_internet_are_fine(address: str) -> None:
    assert asyncio.run(guard(lambda *_: [address]).addresses("hooks.example.org", 443)) == [address]


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/x",
        "ftp://hooks.example.org/x",
        "https:///x",
        "https://",
        "hooks.example.org",
        "https://me:secret@hooks.example.org/",
        "https://hooks.example.org:99999/",
        "file:///etc/passwd",
        "https://[::1",
        "https://" + "x" * 3000,
        "https://127.0.0.1/",
        "https://[::ffff:127.0.0.1]/",
        "",
    ],
)
def test_what_is_no_url_of_a_webhook_is_refused_before_anything_is_asked(url: str) -> None:
    def look_up(*_: Any) -> Sequence[str]:
        raise AssertionError("nothing is looked up")

    assert str(sent(guard(look_up), url)).startswith("nothing is sent there: ")


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1", "localhost", "LOCALHOST."]
)
def test_other_ways_to_write_this_machine_are_looked_up_and_refused(host: str) -> None:
    """By the system's own resolver."""
    problem = str(sent(guard(), f"https://{host}:1/"))
    assert "nothing is sent there" in problem or "cannot be reached" in problem
    assert "Connect call failed" not in problem


def test_a_name_that_leads_elsewhere_a_moment_later_is_not_followed(hook: Receiver) -> None:
    """The rule was made while it led to the internet. Each request looks it up once, and connects to that."""
    answers = iter([["93.184.215.14"], ["127.0.0.1"], ["93.184.215.14", "127.0.0.1"]])
    rebinding = guard(lambda *_: next(answers))
    url = f"https://rebinding.example.org:{hook.port}/x"
    checked = rebinding.checked_url(url)
    assert asyncio.run(rebinding.addresses_in_time(checked)) == ["93.184.215.14"]
    for _ in range(2):
        assert "rebinding.example.org is 127.0.0.1" in str(sent(rebinding, url))
    assert hook.got == []


def test_what_was_checked_is_what_is_connected_to(hook: Receiver) -> None:
    """One look for one request: what a second look would say is never asked."""
    looks: list[str] = []

    def look_up(host: str, _: int) -> Sequence[str]:
        looks.append(host)
        return ["127.0.0.1"]

    url = f"http://hooks.internal:{hook.port}/x"
    assert sent(guard(look_up, "hooks.internal"), url) is None
    assert (looks, len(hook.got), hook.got[0].headers["host"]) == (
        ["hooks.internal"],
        1,
        f"hooks.internal:{hook.port}",
    )


def test_the_operator_allows_hosts_and_networks(hook: Receiver) -> None:
    inside = lambda *_: ["127.0.0.1"]  # noqa: E731
    url = f"http://hooks.internal:{hook.port}/x"
    for allowed in ("127.0.0.1", "127.0.0.0/8", "HOOKS.internal."):
        to = guard(inside, allowed)
        literal = f"http://127.0.0.1:{hook.port}/x"
        assert sent(to, literal if allowed[0] == "1" else url) is None
    assert "not https" in str(sent(guard(inside, "127.0.0.0/8"), url)), "a name may lead elsewhere tomorrow"
    assert "nothing is sent" in str(sent(guard(inside, "10.0.0.0/8"), url.replace("http:", "https:")))
    for wrong in ("10.0.0.0/99", "a b", "https://x", "1.2.3", ""):
        with pytest.raises(ValueError, match="--allow-alerts-to"):
            parse_allowed([wrong])


def test_no_proxy_of_the_environment_is_asked(hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would look names up itself."""
    with receiving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert (
            sent(guard(lambda *_: ["127.0.0.1"], "hooks.internal"), f"http://hooks.internal:{hook.port}/")
            is None
        )
        assert proxy.got == []
    assert os.environ["http_proxy"]


@pytest.mark.parametrize(
    ("url", "sender", "said"),
    [
        ("http://mail.example.org", "a@b.org", "--smtp"),
        ("smtp://", "a@b.org", "--smtp"),
        ("smtp://me:secret@mail.example.org", "a@b.org", "ML_DASH_SMTP_PASSWORD"),
        ("smtp://mail.example.org:x", "a@b.org", "--smtp"),
        ("smtp://mail.example.org", None, "--mail-from"),
        ("smtp://mail.example.org", "nobody", "--mail-from"),
    ],
)
def test_a_mail_server_that_is_none_is_refused_without_its_password(
    url: str, sender: str | None, said: str
) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        parse_mail_server(url, sender, None)
    assert "secret" not in str(caught.value)


def test_where_mail_is_handed_in() -> None:
    found = parse_mail_server("smtps://me%40x@mail.example.org", "a@b.org", "pw")
    assert found is not None
    assert (found.host, found.port, found.is_tls, found.user) == ("mail.example.org", 465, True, "me@x")
    assert parse_mail_server(None, None, None) is None
