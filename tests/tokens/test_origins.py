"""Which part of a URL a token belongs to, and where tokens never go."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from ml_dash.errors import InvalidArgumentError
from ml_dash.tokens import origin


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.dash.ml", "https://api.dash.ml"),
        ("HTTPS://API.Dash.ML:443/", "https://api.dash.ml"),
        ("https://api.dash.ml.", "https://api.dash.ml"),
        ("  https://api.dash.ml/api/v1?x=1#y \n", "https://api.dash.ml"),
        ("https://host:8443/path", "https://host:8443"),
        ("https://host:", "https://host"),
        ("https://my_host-1.example", "https://my_host-1.example"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://BÜCHER.example:8443", "https://xn--bcher-kva.example:8443"),
        ("https://192.0.2.1", "https://192.0.2.1"),
        ("https://[2001:DB8:0:0::1]:7", "https://[2001:db8::1]:7"),
        ("http://localhost:7007", "http://localhost:7007"),
        ("http://LOCALHOST:80", "http://localhost"),
        ("http://127.0.0.1:7007", "http://127.0.0.1:7007"),
        ("http://127.8.9.10", "http://127.8.9.10"),
        ("http://[::1]:7007", "http://[::1]:7007"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
    ],
)
def test_urls_of_one_server_have_one_origin(url: str, expected: str) -> None:
    assert origin(url) == expected
    assert origin(expected) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "http://192.168.0.1:7007",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://128.0.0.1",
        "http://[2001:db8::1]",
        "http://[::2]",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://notlocalhost",
        "http://2130706433",
        "http://127.1",
        "http://0x7f000001",
        "http://host:80",
    ],
)
def test_plain_http_beyond_this_machine_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"in the clear: use https://"):
        origin(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://alice:hunter2@example.com",
        "https://hunter2@example.com/x",
        "http://localhost:hunter2@example.com",
        "https://hunter2@",
        "https://example.com/?token=hunter2",
        "https://example.com/?a=b&ACCESS_TOKEN=hunter2",
        "https://example.com/mld_hunter2",
        "https://mld_hunter2.example.com",
        "https://example.com#mld_hunter2",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="ml-dash login") as caught:
        origin(url)
    message = str(caught.value)
    assert "hunter2" not in message


def test_half_a_password_that_looks_like_a_port_is_not_shown() -> None:
    with pytest.raises(InvalidArgumentError, match="not a host name") as caught:
        origin("https://alice:hunter2/more@example.com")
    assert "hunter2" not in str(caught.value)


def test_a_user_name_that_looks_like_a_server_does_not_deceive() -> None:
    for url in (
        "http://localhost:7007@evil.example",
        "http://localhost@evil.example",
        "https://@evil.example",
    ):
        with pytest.raises(InvalidArgumentError, match="user name or a password"):
            origin(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "example.com",
        "localhost:7007",
        "//example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "javascript://x",
        "https:/example.com",
        "https:example.com",
        "https://",
        "https:///path",
        "https://:443",
        "https://exa mple.com",
        "https://example.com\r\nX: y",
        "https://exam\tple.com",
        "https://example.com\0",
        "https://example.com\\@evil.com",
        "https://example.com:0",
        "https://example.com:65536",
        "https://example.com:99999999",
        "https://example.com:-1",
        "https://example.com:x",
        "https://example.com:٣",
        "https://[::1",
        "https://::1",
        "https://[::g]",
        "https://[fe80::1%eth0]",
        "https://[1.2.3.4]",
        "https://a..b",
        "https://.a",
        "https://%65xample.com",
        "https://" + "a" * 300,
        "https://" + "ü" * 100,
        "https://example.com/" + "x" * 10_000,
        "https://exam\u202eple.com",
        "https://\ud800",
    ],
)
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        origin(url)
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize("url", [None, 7, b"https://example.com", ["https://x"]])
def test_what_is_no_text_is_refused(url: object) -> None:
    with pytest.raises(InvalidArgumentError, match="must be a str, not"):
        origin(url)  # type: ignore[arg-type]


@given(st.text())
def test_nothing_but_the_documented_error_comes_of_any_text(text: str) -> None:
    for url in (text, f"https://{text}", f"http://localhost{text}"):
        try:
            place = origin(url)
        except InvalidArgumentError:
            continue
        assert origin(place) == place
        assert place.isascii()
        assert "@" not in place


@given(st.text(alphabet="localhst127.01:@/\\#?[]%é"))
def test_the_client_that_sends_reads_a_url_as_we_do(text: str) -> None:
    """Where two parsers of URLs differ, a token goes to the wrong host."""
    from yarl import URL

    try:
        place = origin(f"https://{text}")
    except InvalidArgumentError:
        return
    assert str(URL(place).origin()) == place
    theirs = URL(f"https://{text}".strip())
    assert (theirs.host or "").rstrip(".") == (URL(place).host or "")
