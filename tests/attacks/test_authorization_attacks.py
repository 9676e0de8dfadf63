"""What an authorization server may answer: never wider access, never a crash, never more memory than is due."""

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
from harness.testbed import Testbed, fresh_token, get, run_testbed, server_without_breaker
from harness.usage import peak_memory
from harness.waiting import eventually

_GOOD = json.dumps({"active": True, **CLAIMS["R"]}).encode()
_ROOM = 16 * 1024**2


class _Scripted:
    """An authorization server that says what the test has put into `answer`."""

    def __init__(self) -> None:
        self.answer = b""

    def __call__(self, head: bytes, body: bytes) -> bytes:
        return self.answer


@pytest.fixture(scope="module")
def scripted() -> Iterator[tuple[Testbed, _Scripted]]:
    script = _Scripted()
    with run_testbed(introspect=script) as laid:
        yield laid, script


@pytest.mark.parametrize(("case", "answer"), corpora.responses("authorization"))
def test_answer_is_worth_what_is_documented(
    scripted: tuple[Testbed, _Scripted], case: dict[str, Any], answer: str
) -> None:
    """What cannot be read is 503 and never a judgement; what can be read gives no more than it says."""
    laid, script = scripted
    body = answer.replace("$NOW", str(int(time.time())))
    script.answer = body.encode("latin-1") if case.get("raw") else response(body.encode())
    status, head, _ = get(laid, "/api/x", fresh_token("T"))
    assert status == case["status"]
    assert (field_values(head, "Retry-After") == [b"5"]) == (status == 503)


@pytest.mark.parametrize("case", corpora.read("identity"), ids=lambda case: case["claim"])
def test_claim_stays_one_value(scripted: tuple[Testbed, _Scripted], case: dict[str, Any]) -> None:
    """A claim written by a stranger is one value of one field, whatever is in it."""
    laid, script = scripted
    claim = json.loads(case["claim"])
    script.answer = response(json.dumps({"active": True, "scope": "read", "sub": claim}).encode())
    assert get(laid, "/api/x", fresh_token("T"))[0] == 200
    head = laid.upstream.heads[-1]
    assert is_unambiguous(head)
    assert field_values(head, "X-Auth-Subject") == ([case["value"].encode()] if "value" in case else [])
    assert field_values(head, "X-Auth-Scope") == [b"read"]


# Servers that do not keep to what an answer is


def _number(_: bytes, body: bytes) -> int:
    """Read a call about the token `M<n>~…`."""
    return int(parse_qs(body)[b"token"][0].partition(b"~")[0][1:])


@pytest.fixture(scope="module")
def victim() -> Iterator[Testbed]:
    with (
        misbehaving_server(_number) as port,
        run_testbed(authorization_servers=[server_without_breaker(port, timeout="500ms")]) as laid,
    ):
        yield laid


@pytest.mark.parametrize("number", range(len(MISBEHAVIOURS)), ids=list(MISBEHAVIOURS))
def test_misbehaviour_is_a_fault_and_not_a_judgement(victim: Testbed, number: int) -> None:
    """A server that breaks its promise costs the request a 503, and the process no memory."""
    before = peak_memory(victim.enforcer.process.pid)
    assert get(victim, "/api/x", fresh_token(f"M{number}"))[0] == 503
    assert get(victim, "/public/x")[0] == 200
    assert peak_memory(victim.enforcer.process.pid) - before < _ROOM


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_leads_nowhere(scripted: tuple[Testbed, _Scripted], status: int) -> None:
    """A redirect is an error, and the token is not sent where it points."""
    laid, script = scripted
    with raw_server(lambda head, body: response(_GOOD)) as elsewhere:
        location = f"Location: http://127.0.0.1:{elsewhere.port}/introspect"
        script.answer = response(_GOOD, f"{status} Elsewhere", location)
        assert get(laid, "/api/x", fresh_token("T"))[0] == 503
        assert elsewhere.connections == 0


def test_bytes_behind_an_answer_are_nobodys() -> None:
    """A second answer behind the first one is not taken for the answer about the next token."""
    inactive, forged = response(b'{"active": false}'), response(b'{"active": true, "scope": "read admin"}')
    with (
        raw_server(lambda head, body: inactive + forged) as server,
        run_testbed(authorization_servers=[server_without_breaker(server.port, pool={"connections": 1})]) as laid,
    ):
        assert [get(laid, "/admin", fresh_token("T"))[0] for _ in range(20)] == [401] * 20


def test_tokens_of_two_servers_are_told_apart() -> None:
    """What one server says of a token is not remembered of the same token of another."""
    asked: list[bytes] = []

    def never(head: bytes, body: bytes) -> bytes:
        asked.append(body)
        return response(b'{"active": false}')

    with raw_server(lambda head, body: response(_GOOD)) as one, raw_server(never) as other:
        servers = [server_without_breaker(one.port, name="one"), server_without_breaker(other.port, name="other")]
        rules = [
            {"name": name, "path": f"/{name}", "scopes": ["read"], "authorization_server": name}
            for name in ("one", "other")
        ]
        with run_testbed(authorization_servers=servers, rules=rules) as laid:
            same = fresh_token("R")
            assert [get(laid, path, same)[0] for path in ("/one", "/other", "/one", "/other")] == [200, 401, 200, 401]
            assert (len(one.requests), len(asked)) == (1, 1)


def test_token_that_ends_while_it_is_remembered_is_refused_from_then_on() -> None:
    """A remembered answer ends with its token, however long answers are remembered, and whatever the server says."""
    ends: list[float] = []

    def short_lived(head: bytes, body: bytes) -> bytes:
        ends.append(ends[0] if ends else time.time() + 1.0)
        return response(json.dumps({"active": True, "scope": "read", "exp": ends[0]}).encode())

    with run_testbed(introspect=short_lived) as laid:
        short = fresh_token("R")
        seen: list[tuple[float, int]] = []

        def refused() -> bool:
            seen.append((time.time(), get(laid, "/api/x", short)[0]))
            return seen[-1][1] != 200

        assert eventually(refused)
        assert seen[0][1] == 200
        assert seen[-1][1] == 401
        assert all(at < ends[0] for at, status in seen if status == 200)
        assert [get(laid, "/api/x", short)[0] for _ in range(3)] == [401] * 3
