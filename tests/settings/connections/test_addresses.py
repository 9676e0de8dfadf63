"""Addresses to listen on, and URLs."""

from __future__ import annotations

import pytest

from enforcer.settings.connections.addresses import Location, parse_address, parse_origin, parse_server, parse_url


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("127.0.0.1:8091", (("127.0.0.1",), 8091)),
        ("localhost:0", (("localhost",), 0)),
        ("[::1]:65535", (("::1",), 65535)),
        ("my-host.example.org:80", (("my-host.example.org",), 80)),
        ("[10.0.0.1,fd00::1]:80", (("10.0.0.1", "fd00::1"), 80)),
        ("[10.0.0.1]:80", (("10.0.0.1",), 80)),
        (":8091", (("0.0.0.0", "::"), 8091)),
    ],
)
def test_an_address_is_host_and_port(text: str, parsed: tuple[tuple[str, ...], int]) -> None:
    """Port 0 selects a free one; brackets may list several hosts, and no host means every address."""
    assert parse_address(text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        *("", "8091", "::1:8091", "[::1]", "[1]:5", "a b:5", "host:", "host:70000", "host:-1", "a/b:1", "h:1\n", ":"),
        *("[]:5", "[,]:5", "[10.0.0.1,]:5", "[10.0.0.1,host]:5", "10.0.0.1,10.0.0.2:5", ":70000"),
    ],
)
def test_an_invalid_address_is_an_error(text: str) -> None:
    """So is an address that can be read in two ways."""
    with pytest.raises(ValueError, match=r"^expected host:port"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("http://a", Location(False, "a", 80, "a", "/")),
        ("https://a.b:8443/c/d?e=f", Location(True, "a.b", 8443, "a.b:8443", "/c/d?e=f")),
        ("https://[::1]?x", Location(True, "::1", 443, "[::1]", "/?x")),
    ],
)
def test_a_url_is_parsed_into_a_location(text: str, location: Location) -> None:
    """The port defaults to the scheme's; a target begins with /."""
    assert parse_url(text) == location


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a",
            "//a",
            "ftp://a",
            "http://",
            "http://a:0",
            "http://a:65536",
            "http://u@a",
            "http://u:p@a",
            "http://a/#b",
        ),
        *("http://a/b c", "http://a/\r\nHost: b", "http://a\\b", "http://[::g]/", "http://ä/", "HTTP://a"),
    ],
)
def test_an_invalid_url_is_an_error_that_does_not_show_it(text: str) -> None:
    """It may contain a password."""
    with pytest.raises(ValueError, match=r"^not a URL such as https://auth.example.org/introspect, without"):
        parse_url(text)


def test_a_server_is_a_url_or_a_socket() -> None:
    """Without a path, because requests keep theirs."""
    assert parse_server("http://a:1") == Location(False, "a", 1, "a:1", "/")
    assert parse_server("unix:/run/app.sock").unix == "/run/app.sock"
    for text in ["http://a/", "http://a/b", "http://a?b", "unix:run/app.sock", "unix:", "unix:/a\0"]:
        with pytest.raises(ValueError, match=r"^not a server"):
            parse_server(text)


def test_an_origin_is_a_url_without_path() -> None:
    """RFC 6454 §4."""
    for text in ("https://api.example.org", "http://localhost:8091", "https://[::1]:8443"):
        assert parse_origin(text).authority == text.partition("//")[2]
    for text in (
        "https://api.example.org/",
        "api.example.org",
        "https://u@api.example.org",
        "https://a?b",
        "unix:/x",
        "",
    ):
        with pytest.raises(ValueError, match="not a"):
            parse_origin(text)
