"""Where servers listen and are reached, as a configuration writes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Any, Final, NamedTuple

from pydantic import PlainValidator

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]"
_ADDRESS = re.compile(rf"({_NAME}|\[[0-9A-Fa-f:.,]+\]|):([0-9]{{1,5}})")
_URL = re.compile(rf"(https?)://(({_NAME})(?::([0-9]{{1,5}}))?)([/?][!\"$-~]*)?")
_UNIX = re.compile(r"unix:(/[^\x00]+)")

EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - what is meant where no host is named
"""All addresses of this machine, of both families."""


class Location(NamedTuple):
    """Where a URL leads: `host` without brackets, `authority` for the Host field, `target` the path and query.

    With `unix`, the path of a socket, the host is `localhost`.
    """

    secure: bool
    host: str
    port: int
    authority: str
    target: str
    unix: str | None = None


def parse_address(text: str) -> tuple[tuple[str, ...], int]:
    """Read `host:port`, `[v6]:port`, `[address,address]:port`, or `:port` for every address; raises ValueError."""
    found = _ADDRESS.fullmatch(text)
    hosts = _hosts(found[1]) if found is not None else None
    if found is None or hosts is None or int(found[2]) > 65535:
        raise ValueError("expected host:port, such as 127.0.0.1:8091 or [::1]:8091, or :port for every address")
    return hosts, int(found[2])


def _hosts(text: str) -> tuple[str, ...] | None:
    """Return the hosts that an address names, or None where one of them is none."""
    if not text.startswith("["):
        return (text,) if text else EVERYWHERE
    hosts = tuple(text[1:-1].split(","))
    try:
        for host in hosts:
            ip_address(host)
    except ValueError:
        return None
    return hosts


def parse_url(text: str) -> Location:
    """Read an http or https URL without user or fragment; raises ValueError, which never shows the URL."""
    found = _URL.fullmatch(text)
    if found is None or not _is_host(found[3]) or not 0 < int(found[4] or 1) <= 65535:
        # A password may stand in a wrong URL, so it is not shown.
        raise ValueError("not a URL such as https://auth.example.org/introspect, without user and fragment")
    secure = found[1] == "https"
    port = int(found[4] or (443 if secure else 80))
    return Location(secure, found[3].strip("[]"), port, found[2], "/" + (found[5] or "").removeprefix("/"))


def parse_server(text: str) -> Location:
    """Read a URL without path, or `unix:` and a socket's path; raises ValueError, which never shows the URL."""
    if found := _UNIX.fullmatch(text):
        return Location(False, "localhost", 0, "localhost", "/", found[1])
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


def _is_host(name: str) -> bool:
    if not name.startswith("["):
        return True
    try:
        IPv6Address(name[1:-1])
    except ValueError:
        return False
    return True


def _checked(parse: Callable[[str], Any]) -> PlainValidator:
    def check(value: object) -> object:
        parse(value if isinstance(value, str) else "")
        return value

    return PlainValidator(check, json_schema_input_type=str)


Address = Annotated[str, _checked(parse_address)]
Url = Annotated[str, _checked(parse_url)]
Server = Annotated[str, _checked(parse_server)]
