"""The addresses that servers listen on, and the URLs that they are reached at, as written in a configuration."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Annotated, Any, Final, NamedTuple

from pydantic import PlainValidator

from enforcer.units import Pattern

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]"
_ADDRESS = re.compile(rf"({_NAME}|\[[0-9A-Fa-f:.,]+\]|):([0-9]{{1,5}})")
_URL = re.compile(rf"(https?)://(({_NAME})(?::([0-9]{{1,5}}))?)([/?][!\"$-~]*)?")
_UNIX = re.compile(r"unix:(/[^\x00]+)")

EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - the meaning of an address without host
"""All addresses of this machine, of both IP families."""


class Location(NamedTuple):
    """The parts of a URL: `host` without brackets, `authority` for the Host field, `target` with path and query.

    `unix` is the path of a socket; the host is then `localhost`.
    """

    secure: bool
    host: str
    port: int
    authority: str
    target: str
    unix: str | None = None


def parse_address(text: str) -> tuple[tuple[str, ...], int]:
    """Return hosts and port of `host:port`, `[v6]:port`, `[address,address]:port`, or `:port` for every address.

    Raises ValueError.
    """
    match = _ADDRESS.fullmatch(text)
    hosts = _hosts(match[1]) if match is not None else None
    if match is None or hosts is None or int(match[2]) > 65535:
        raise ValueError("expected host:port, such as 127.0.0.1:8091 or [::1]:8091, or :port for every address")
    return hosts, int(match[2])


def _hosts(text: str) -> tuple[str, ...] | None:
    """Return the hosts that an address names, or None if one of them is not valid."""
    if not text.startswith("["):
        return (text,) if text else EVERYWHERE
    hosts = tuple(text[1:-1].split(","))
    return hosts if all(map(is_ip, hosts)) else None


def parse_url(text: str) -> Location:
    """Parse an http or https URL without user or fragment; raises ValueError, which never shows the URL."""
    match = _URL.fullmatch(text)
    # In brackets only an IPv6 address is valid.
    if (
        match is None
        or (match[3][0] == "[" and not (":" in match[3] and is_ip(match[3][1:-1])))
        or not 0 < int(match[4] or 1) <= 65535
    ):
        # An invalid URL may contain a password, so the message does not show it.
        raise ValueError("not a URL such as https://auth.example.org/introspect, without user and fragment")
    secure = match[1] == "https"
    port = int(match[4] or (443 if secure else 80))
    return Location(secure, match[3].strip("[]"), port, match[2], "/" + (match[5] or "").removeprefix("/"))


def parse_server(text: str) -> Location:
    """Parse a URL without path, or `unix:` and a socket's path; raises ValueError, which never shows the URL."""
    if match := _UNIX.fullmatch(text):
        return Location(False, "localhost", 0, "localhost", "/", match[1])
    try:
        location = parse_url(text)
    except ValueError:
        location = None
    if location is None or not text.endswith(location.authority):
        raise ValueError(
            "not a server such as http://127.0.0.1:8090, https://app.example.org or unix:/run/app.sock, "
            "without path, query and user"
        )
    return location


def parse_origin(text: str) -> Location:
    """Parse a URL without path, query and user; raises ValueError, which never shows the URL."""
    location = parse_url(text)
    if not text.endswith(location.authority):
        raise ValueError("not an origin such as https://api.example.org or http://localhost:8091, without path")
    return location


def is_ip(text: str) -> bool:
    """Return whether a text is an IP address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def with_port(host: str, port: int | str) -> str:
    """Return a host or address with its port, as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _checked(parse: Callable[[str], Any]) -> PlainValidator:
    def check(value: object) -> object:
        parse(value if isinstance(value, str) else "")
        return value

    return PlainValidator(check, json_schema_input_type=str)


# The patterns of the JSON schema admit more than the parsers do, and nothing less.
Address = Annotated[str, _checked(parse_address), Pattern(r"^(?:[^\s/]*):[0-9]{1,5}$")]
Url = Annotated[str, _checked(parse_url), Pattern(r"^https?://[^\s#]+$")]
Origin = Annotated[str, _checked(parse_origin), Pattern(r"^https?://[^\s#@/?]+$")]
Server = Annotated[str, _checked(parse_server), Pattern(r"^(?:https?://[^\s#@/?]+|unix:/.+)$")]
