"""The admin server's application."""

import asyncio

import httpx
import pytest

from enforcer.decision_log.record import DecisionRecord
from enforcer.operations.admin import admin
from enforcer.operations.admin_access import AdminAccess
from enforcer.policy.rules import Rule
from enforcer.proxy.messages.responses import Refusal
from enforcer.secret import Secret
from enforcer.settings.connections.servers import Admin
from enforcer.telemetry import Telemetry
from enforcer.tokens.claims import read_claims

DENIED = DecisionRecord(
    1_700_000_000.25,
    b"7f/8",
    b"GET",
    b"/a",
    Rule(name="read a", path="/a", scopes=("a",)),
    ("deny", "insufficient_scope"),
    read_claims({"scope": "b", "client_id": "walker", "sub": "alice"}),
    None,
    Refusal(403, "the token lacks a scope", challenges=('Bearer error="insufficient_scope"',)),
    client="192.0.2.7",
    host=b"api.example.org",
)


class Memory:
    """A token cache that records the purges."""

    def __init__(self) -> None:
        self.purged: list[tuple[str, str]] = []

    def purge(self, kind: str, value: str) -> list[int]:
        self.purged.append((kind, value))
        return [1, 0, 1]


def find_denials(request_id: bytes) -> list[DecisionRecord]:
    """Return two denials of one request id, many of another, and none of any other."""
    if request_id == b"many":
        return [DENIED._replace(method=b"%d" % number) for number in range(1000)]
    return [DENIED, DENIED._replace(method=b"HEAD")] if request_id == b"7f/8" else []


def call(
    method: str, path: str, telemetry: Telemetry, memory: Memory, credential: Secret | None, **request: object
) -> httpx.Response:
    async def send() -> httpx.Response:
        access = AdminAccess(lambda: Admin(credential=credential), lambda: 0.0)
        app = admin(telemetry, purge_cache=memory.purge, find_denials=find_denials, access=access)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://admin") as client:
            return await client.request(method, path, **request)  # type: ignore[arg-type]

    return asyncio.run(send())


@pytest.mark.parametrize(
    ("ready", "draining", "status"), [(False, False, 503), (True, False, 200), (False, True, 503), (True, True, 503)]
)
def test_readyz_is_200_only_while_serving_and_not_draining(ready: bool, draining: bool, status: int) -> None:
    """`/livez` is 200 in every state."""
    telemetry = Telemetry("1")
    telemetry.ready, telemetry.draining = ready, draining
    assert call("GET", "/readyz", telemetry, Memory(), None).status_code == status
    assert call("GET", "/livez", telemetry, Memory(), None).status_code == 200


def test_metrics_are_in_prometheus_text_format() -> None:
    """With the content type that names the format's version."""
    response = call("GET", "/metrics", Telemetry("1"), Memory(), None)
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert 'enforcer_build_info{version="1"} 1.0' in response.text


PURGE = {"subject": "joe"}

credentials = pytest.mark.parametrize(
    ("credential", "sent", "status"),
    [
        pytest.param(None, "Bearer anything", 403, id="none configured"),
        pytest.param(Secret("s3cret"), "", 401, id="none sent"),
        pytest.param(Secret("s3cret"), "Bearer wrong", 401, id="wrong"),
        pytest.param(Secret("s3cret"), "Basic s3cret", 401, id="another scheme"),
        pytest.param(Secret("s3cret"), "Bearer s3cret ", 200, id="trailing blank, which HTTP strips"),
        pytest.param(Secret("s3cret"), "bearer s3cret", 200, id="right"),
    ],
)


@credentials
def test_a_purge_needs_the_credential(credential: Secret | None, sent: str, status: int) -> None:
    """Without it nothing is removed; no response contains the credential."""
    memory = Memory()
    response = call(
        "POST", "/cache/purge", Telemetry("1"), memory, credential, headers={"authorization": sent.strip()}, json=PURGE
    )
    assert response.status_code == status
    assert memory.purged == ([("subject", "joe")] if status == 200 else [])
    assert "s3cret" not in response.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"token": "t"}', 200),
        (b'{"client_id": "c"}', 200),
        (b"{}", 400),
        (b'{"token": "t", "subject": "s"}', 400),
        (b'{"user": "u"}', 400),
        (b'{"token": 5}', 400),
        (b"[]", 400),
        (b"nonsense", 400),
        (b"[" * 10_000, 400),
        (b'{"token": "' + b"x" * 20_000 + b'"}', 400),
    ],
)
def test_a_purge_has_exactly_one_member(body: bytes, status: int) -> None:
    """Any other body is 400, with a message that says what was expected."""
    memory = Memory()
    headers = {"authorization": "Bearer s"}
    response = call("POST", "/cache/purge", Telemetry("1"), memory, Secret("s"), headers=headers, content=body)
    assert response.status_code == status
    assert len(memory.purged) == (status == 200)
    assert response.json() == {"purged": 2} if status == 200 else "expected" in response.json()["detail"]


@credentials
def test_denials_need_the_credential(credential: Secret | None, sent: str, status: int) -> None:
    """Without it a response says nothing about denied requests."""
    headers = {"authorization": sent.strip()}
    response = call("GET", "/decisions/7f/8", Telemetry("1"), Memory(), credential, headers=headers)
    assert response.status_code == status
    assert ("read a" in response.text) == (status == 200)
    assert "s3cret" not in response.text


def test_denials_are_found_by_request_id() -> None:
    """All denials with this id, because clients choose ids and may repeat them."""
    headers = {"authorization": "Bearer s"}
    response = call("GET", "/decisions/7f%2F8", Telemetry("1"), Memory(), Secret("s"), headers=headers)
    first, second = response.json()["decisions"]
    conditions = first.pop("conditions")
    assert first == {
        "time": "2023-11-14T22:13:20.250+00:00",
        "request_id": "7f/8",
        "method": "GET",
        "path": "/a",
        "rule": "read a",
        "decision": "deny",
        "reason": "insufficient_scope",
        "status": 403,
        "detail": "the token lacks a scope",
        "challenges": ['Bearer error="insufficient_scope"'],
        "client": "192.0.2.7",
        "host": "api.example.org",
        "subject": "alice",
    }
    assert conditions[-1] == {"name": "scopes", "needed": "a", "there": "b", "met": False}
    assert second["method"] == "HEAD"


@pytest.mark.parametrize("request_id", ["other", "7f", "%C3%A9", "%FF", ""])
def test_an_unknown_request_id_is_404(request_id: str) -> None:
    """The request was allowed, is too long ago, or never existed."""
    headers = {"authorization": "Bearer s"}
    response = call("GET", f"/decisions/{request_id}", Telemetry("1"), Memory(), Secret("s"), headers=headers)
    assert (response.status_code, "detail" in response.json()) == (404, True)


def test_only_the_newest_of_many_denials_with_one_id_are_reported() -> None:
    """A client may use one id for all its requests, and a report takes longer than a denial."""
    headers = {"authorization": "Bearer s"}
    response = call("GET", "/decisions/many", Telemetry("1"), Memory(), Secret("s"), headers=headers)
    assert [denial["method"] for denial in response.json()["decisions"]] == [str(number) for number in range(900, 1000)]


@pytest.mark.parametrize("path", ["/livez", "/metrics", "/decisions/x", "/nowhere"])
def test_a_request_for_another_host_is_refused(path: str) -> None:
    """On every path: a page of that host may have made a browser send it."""
    response = call("GET", path, Telemetry("1"), Memory(), Secret("s"), headers={"host": "attacker.example:9091"})
    assert (response.status_code, "admin.hosts" in response.text) == (421, True)
