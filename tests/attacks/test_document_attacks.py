"""What may come where an authorization server is asked for its metadata, its keys, or a token of our own: an outage at
most, and never more memory than is due."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from harness.misbehaviours import MISBEHAVIOURS, Behaviour, misbehaving_server
from harness.servers import Server, raw_server, response
from harness.signing import encode
from harness.testbed import Testbed, get, run_testbed, server_without_breaker
from harness.usage import peak_memory

_ROOM = 16 * 1024**2
_WHOLE = 160 * 1024**2  # of a process with all these servers, cryptography included
_NUMBER = re.compile(rb"/(?:metadata|keys|token)/([0-9]+)")
_REDIRECTS = (301, 302, 303, 307, 308)
_CASES = [*MISBEHAVIOURS, *map(str, _REDIRECTS)]
_KINDS = ("metadata", "keys", "token")


class Laid(NamedTuple):
    """The bed, the port of who misbehaves, what redirects lead to, and who is asked with the token for us."""

    testbed: Testbed
    port: int
    elsewhere: Server
    introspection: Server


def _redirect(status: int, elsewhere: Server) -> Behaviour:
    location = f"Location: http://127.0.0.1:{elsewhere.port}/elsewhere"
    return lambda connection: connection.sendall(response(_ANYTHING, f"{status} Elsewhere", location))


_ANYTHING = json.dumps({"active": True, "access_token": "t", "token_type": "Bearer", "keys": []}).encode()


def _server(kind: str, number: int, port: int, introspection: Server) -> dict[str, Any]:
    """Write the settings of a server of which one document comes from the one that misbehaves."""
    url = f"http://127.0.0.1:{port}/{kind}/{number}"
    common = {"name": f"{kind}-{number}", "timeout": "500ms"}
    match kind:
        case "metadata":
            return {**common, "issuer": url, "verify": "jwt"}
        case "keys":
            return {**common, "issuer": url, "verify": "jwt", "jwks_uri": url}
    return server_without_breaker(introspection.port, **common, own_token={"token_endpoint": url})


@contextmanager
def _beds() -> Iterator[Laid]:
    def number(head: bytes, _: bytes) -> int:
        found = _NUMBER.search(head)
        assert found is not None
        return int(found[1])

    with (
        raw_server(lambda head, body: response(_ANYTHING)) as elsewhere,
        raw_server(lambda head, body: response(_ANYTHING)) as introspection,
    ):
        behaviours = [*MISBEHAVIOURS.values(), *(_redirect(status, elsewhere) for status in _REDIRECTS)]
        with misbehaving_server(number, behaviours) as port:
            servers = [
                _server(kind, number, port, introspection) for kind in _KINDS for number in range(len(behaviours))
            ]
            rules = [
                {
                    "name": server["name"],
                    "path": f"/{server['name']}",
                    "authenticated": True,
                    "authorization_server": server["name"],
                }
                for server in servers
            ]
            public = {"name": "public", "path": "/public/**", "public": True}
            with run_testbed(authorization_servers=servers, rules=[*rules, public]) as laid:
                yield Laid(laid, port, elsewhere, introspection)


@pytest.fixture(scope="module")
def laid() -> Iterator[Laid]:
    with _beds() as beds:
        yield beds


def _token(kind: str, port: int, number: int) -> str:
    """Make a token that needs the document: a JWT of the issuer, or any."""
    if kind == "token":
        return "anything"
    issuer = f"http://127.0.0.1:{port}/{kind}/{number}"
    parts = ({"alg": "ES256", "typ": "at+jwt", "kid": "a"}, {"iss": issuer, "exp": 9_999_999_999})
    return ".".join(encode(json.dumps(part).encode()).decode() for part in parts) + ".AA"


@pytest.mark.parametrize("number", range(len(_CASES)), ids=_CASES)
@pytest.mark.parametrize("kind", _KINDS)
def test_misbehaviour_is_an_outage_and_no_more(laid: Laid, kind: str, number: int) -> None:
    """503, and everybody else is served; memory stays flat, and a redirect leads nowhere."""
    before = peak_memory(laid.testbed.enforcer.process.pid)
    assert get(laid.testbed, f"/{kind}-{number}", _token(kind, laid.port, number))[0] == 503
    assert get(laid.testbed, "/public/x")[0] == 200
    assert peak_memory(laid.testbed.enforcer.process.pid) - before < _ROOM
    assert laid.elsewhere.connections == 0
    assert laid.introspection.connections == 0


def test_all_of_it_together_is_nothing_to_remember(laid: Laid) -> None:
    """They are all asked at the start, at once, and again and again."""
    assert peak_memory(laid.testbed.enforcer.process.pid) < _WHOLE
