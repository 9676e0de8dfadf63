"""Hostile metadata, key sets and token responses: they cause an outage at most, and never fill the memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from harness.misbehaviours import MISBEHAVIOURS, Behaviour, misbehaving_server
from harness.servers import Server, raw_server, response
from harness.testbed import Testbed, get, run_testbed, server_without_breaker
from harness.usage import peak_memory

from enforcer.tokens.jwt.jws import encode

_GROWTH = 16 * 1024**2
_PEAK = 160 * 1024**2  # of a process with all these servers, cryptography included
_NUMBER = re.compile(rb"/(?:metadata|keys|token)/([0-9]+)")
_REDIRECTS = (301, 302, 303, 307, 308)
_CASES = [*MISBEHAVIOURS, *map(str, _REDIRECTS)]
_KINDS = ("metadata", "keys", "token")


class DocumentTestbed(NamedTuple):
    """A testbed, the port of the misbehaving server, the target of its redirects, and an introspection endpoint."""

    testbed: Testbed
    port: int
    elsewhere: Server
    introspection: Server


def _redirect(status: int, elsewhere: Server) -> Behaviour:
    location = f"Location: http://127.0.0.1:{elsewhere.port}/elsewhere"
    return lambda connection: connection.sendall(response(_BODY, f"{status} Elsewhere", location))


_BODY = json.dumps({"active": True, "access_token": "t", "token_type": "Bearer", "keys": []}).encode()


def _server(kind: str, number: int, port: int, introspection: Server) -> dict[str, Any]:
    """Return the settings of an authorization server whose document of this kind misbehaves."""
    url = f"http://127.0.0.1:{port}/{kind}/{number}"
    common = {"name": f"{kind}-{number}", "timeout": "500ms"}
    match kind:
        case "metadata":
            return {**common, "issuer": url, "verify": "jwt"}
        case "keys":
            return {**common, "issuer": url, "verify": "jwt", "jwks_uri": url}
    return server_without_breaker(introspection.port, **common, own_token={"token_endpoint": url})


@contextmanager
def _run_document_testbed() -> Iterator[DocumentTestbed]:
    def number(head: bytes, _: bytes) -> int:
        match = _NUMBER.search(head)
        assert match is not None
        return int(match[1])

    with (
        raw_server(lambda head, body: response(_BODY)) as elsewhere,
        raw_server(lambda head, body: response(_BODY)) as introspection,
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
            with run_testbed(authorization_servers=servers, rules=[*rules, public]) as running:
                yield DocumentTestbed(running, port, elsewhere, introspection)


@pytest.fixture(scope="module")
def documents() -> Iterator[DocumentTestbed]:
    with _run_document_testbed() as running:
        yield running


def _token(kind: str, port: int, number: int) -> str:
    """Return a token whose verification needs the document: a JWT of the issuer, or an opaque token."""
    if kind == "token":
        return "anything"
    issuer = f"http://127.0.0.1:{port}/{kind}/{number}"
    parts = ({"alg": "ES256", "typ": "at+jwt", "kid": "a"}, {"iss": issuer, "exp": 9_999_999_999})
    return ".".join(encode(json.dumps(part).encode()).decode() for part in parts) + ".AA"


@pytest.mark.parametrize("number", range(len(_CASES)), ids=_CASES)
@pytest.mark.parametrize("kind", _KINDS)
def test_misbehaviour_is_only_an_outage(documents: DocumentTestbed, kind: str, number: int) -> None:
    """503, while other requests are served; memory does not grow, and a redirect is not followed."""
    before = peak_memory(documents.testbed.enforcer.process.pid)
    assert get(documents.testbed, f"/{kind}-{number}", _token(kind, documents.port, number))[0] == 503
    assert get(documents.testbed, "/public/x")[0] == 200
    assert peak_memory(documents.testbed.enforcer.process.pid) - before < _GROWTH
    assert documents.elsewhere.connections == 0
    assert documents.introspection.connections == 0


def test_peak_memory_of_all_documents_is_bounded(documents: DocumentTestbed) -> None:
    """All documents are fetched at the start, and again and again."""
    assert peak_memory(documents.testbed.enforcer.process.pid) < _PEAK
