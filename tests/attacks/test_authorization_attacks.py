"""Hostile introspection responses: they never give wider access, crash the enforcer, or fill its memory."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest
from harness import corpora
from harness.attack_policy import CLAIMS
from harness.heads import field_values, is_unambiguous
from harness.misbehaviours import MISBEHAVIOURS, misbehaving_server
from harness.servers import raw_server, response
from harness.testbed import Testbed, fresh_client, fresh_token, get, run_testbed, server_without_breaker
from harness.usage import peak_memory
from harness.waiting import eventually

_GOOD = json.dumps({"active": True, **CLAIMS["R"]}).encode()
_GROWTH = 16 * 1024**2


class _Scripted:
    """An authorization server whose response is `response`."""

    def __init__(self) -> None:
        self.response = b""

    def __call__(self, head: bytes, body: bytes) -> bytes:
        return self.response


@pytest.fixture(scope="module")
def scripted() -> Iterator[tuple[Testbed, _Scripted]]:
    script = _Scripted()
    with run_testbed(introspect=script) as running:
        yield running, script


@pytest.mark.parametrize(("case", "text"), corpora.responses("authorization"))
def test_introspection_response_has_the_documented_status(
    scripted: tuple[Testbed, _Scripted], case: dict[str, Any], text: str
) -> None:
    """A response that cannot be parsed is a 503, never a decision; a valid one grants no more than it says.

    Each request is another client's, because a response with Retry-After stops the requests of its client.
    """
    testbed, script = scripted
    body = text.replace("$NOW", str(int(time.time())))
    script.response = body.encode("latin-1") if case.get("raw") else response(body.encode())
    token = fresh_token("T")
    status, head, _ = get(testbed, "/api/x", token, fresh_client())
    assert any(parse_qs(form)[b"token"] == [token.encode()] for _, form in testbed.authorization.requests)
    assert status == case["status"]
    assert (field_values(head, "Retry-After") in ([b"5"], [b"1"])) == (status == 503)


@pytest.mark.parametrize("case", corpora.read("identity"), ids=lambda case: case["claim"])
def test_claim_stays_one_value(scripted: tuple[Testbed, _Scripted], case: dict[str, Any]) -> None:
    """Any claim is one value of one field, whatever it contains."""
    testbed, script = scripted
    claim = json.loads(case["claim"])
    script.response = response(json.dumps({"active": True, "scope": "read", "sub": claim}).encode())
    assert get(testbed, "/api/x", fresh_token("T"), fresh_client())[0] == 200
    head = testbed.upstream.heads[-1]
    assert is_unambiguous(head)
    assert field_values(head, "X-Auth-Subject") == ([case["value"].encode()] if "value" in case else [])
    assert field_values(head, "X-Auth-Scope") == [b"read"]


# Servers that misbehave


def _number(_: bytes, body: bytes) -> int:
    """Return the behaviour for a request about the token `M<number>~…`; any other token is a probe's."""
    number = parse_qs(body)[b"token"][0].partition(b"~")[0][1:]
    return int(number) if number.isdigit() else 0


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with (
        misbehaving_server(_number) as port,
        run_testbed(authorization_servers=[server_without_breaker(port, timeout="500ms")]) as running,
    ):
        yield running


@pytest.mark.parametrize("number", range(len(MISBEHAVIOURS)), ids=list(MISBEHAVIOURS))
def test_misbehaviour_is_a_503(testbed: Testbed, number: int) -> None:
    """The request gets 503, and the process needs no more memory."""
    before = peak_memory(testbed.enforcer.process.pid)
    assert get(testbed, "/api/x", fresh_token(f"M{number}"))[0] == 503
    assert get(testbed, "/public/x")[0] == 200
    assert peak_memory(testbed.enforcer.process.pid) - before < _GROWTH


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(scripted: tuple[Testbed, _Scripted], status: int) -> None:
    """A redirect is an error, and the token is not sent to its target."""
    testbed, script = scripted
    with raw_server(lambda head, body: response(_GOOD)) as elsewhere:
        location = f"Location: http://127.0.0.1:{elsewhere.port}/introspect"
        script.response = response(_GOOD, f"{status} Elsewhere", location)
        assert get(testbed, "/api/x", fresh_token("T"))[0] == 503
        assert elsewhere.connections == 0


def test_bytes_after_a_response_are_discarded() -> None:
    """A second response after the first is not taken for the response to the next request."""
    inactive, forged = response(b'{"active": false}'), response(b'{"active": true, "scope": "read admin"}')
    with (
        raw_server(lambda head, body: inactive + forged) as server,
        run_testbed(authorization_servers=[server_without_breaker(server.port, pool={"connections": 1})]) as testbed,
    ):
        assert [get(testbed, "/admin", fresh_token("T"))[0] for _ in range(20)] == [401] * 20


def test_cache_distinguishes_authorization_servers() -> None:
    """A cached response of one authorization server is not used for the same token at another."""
    bodies: list[bytes] = []

    def inactive(head: bytes, body: bytes) -> bytes:
        bodies.append(body)
        return response(b'{"active": false}')

    with raw_server(lambda head, body: response(_GOOD)) as first, raw_server(inactive) as second:
        servers = [server_without_breaker(first.port, name="one"), server_without_breaker(second.port, name="other")]
        rules = [
            {"name": name, "path": f"/{name}", "scopes": ["read"], "authorization_server": name}
            for name in ("one", "other")
        ]
        with run_testbed(authorization_servers=servers, rules=rules) as testbed:
            token = fresh_token("R")
            assert [get(testbed, path, token)[0] for path in ("/one", "/other", "/one", "/other")] == [
                200,
                401,
                200,
                401,
            ]
            assert (len(first.requests), len(bodies)) == (1, 1)


def test_cached_token_is_refused_after_its_expiry() -> None:
    """A cached response ends with its token, whatever the cache's lifetime and the server's later responses."""
    expiries: list[float] = []

    def short_lived(head: bytes, body: bytes) -> bytes:
        expiries.append(expiries[0] if expiries else time.time() + 1.5)
        return response(json.dumps({"active": True, "scope": "read", "exp": expiries[0]}).encode())

    with run_testbed(introspect=short_lived) as testbed:
        token = fresh_token("R")
        results: list[tuple[float, int]] = []

        def refused() -> bool:
            results.append((time.time(), get(testbed, "/api/x", token)[0]))
            return results[-1][1] != 200

        assert eventually(refused)
        assert results[0][1] == 200
        assert results[-1][1] == 401
        assert all(sent < expiries[0] for sent, status in results if status == 200)
        assert [get(testbed, "/api/x", token)[0] for _ in range(3)] == [401] * 3
