import asyncio

import httpx
import pytest

from enforcer.operations.admin import admin
from enforcer.policy.journal import Decided
from enforcer.policy.rules import Rule
from enforcer.proxy.refusals import Refusal
from enforcer.secret import Secret
from enforcer.telemetry import Telemetry
from enforcer.tokens.answer import from_claims

DENIED = Decided(
    1_700_000_000.25,
    b"7f/8",
    b"GET",
    b"/a",
    [b"a"],
    Rule(name="read a", path="/a", scopes=("a",)),
    ("deny", "insufficient_scope"),
    from_claims({"scope": "b", "client_id": "walker"}),
    None,
    Refusal(403, "the token lacks a scope", challenges=('Bearer error="insufficient_scope"',)),
)


class Memory:
    """Remembers what it was told to forget."""

    def __init__(self) -> None:
        self.purged: list[tuple[str, str]] = []

    def purge(self, what: str, value: str) -> int:
        self.purged.append((what, value))
        return 2


def find_denials(request_id: bytes) -> list[Decided]:
    """Return two denials of one request id, and none of any other."""
    return [DENIED, DENIED._replace(method=b"HEAD")] if request_id == b"7f/8" else []


def call(
    method: str, path: str, telemetry: Telemetry, memory: Memory, credential: Secret | None, **request: object
) -> httpx.Response:
    async def send() -> httpx.Response:
        app = admin(telemetry, purge_cache=memory.purge, find_denials=find_denials, credential=lambda: credential)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://admin") as client:
            return await client.request(method, path, **request)  # type: ignore[arg-type]

    return asyncio.run(send())


@pytest.mark.parametrize(
    ("ready", "draining", "status"), [(False, False, 503), (True, False, 200), (False, True, 503), (True, True, 503)]
)
def test_ready_is_served_and_not_draining(ready: bool, draining: bool, status: int) -> None:
    """Alive is something else: it is 200 throughout."""
    telemetry = Telemetry("1")
    telemetry.ready, telemetry.draining = ready, draining
    assert call("GET", "/readyz", telemetry, Memory(), None).status_code == status
    assert call("GET", "/livez", telemetry, Memory(), None).status_code == 200


def test_metrics_are_prometheus_text() -> None:
    """With the content type that a scraper negotiates by."""
    answer = call("GET", "/metrics", Telemetry("1"), Memory(), None)
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'enforcer_build_info{version="1"} 1.0' in answer.text


PURGE = {"subject": "joe"}

who_asks = pytest.mark.parametrize(
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


@who_asks
def test_only_the_credential_purges(credential: Secret | None, sent: str, status: int) -> None:
    """And nothing is forgotten for anybody else; the credential is in no answer."""
    memory = Memory()
    answer = call(
        "POST", "/cache/purge", Telemetry("1"), memory, credential, headers={"authorization": sent.strip()}, json=PURGE
    )
    assert answer.status_code == status
    assert memory.purged == ([("subject", "joe")] if status == 200 else [])
    assert "s3cret" not in answer.text


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
def test_a_purge_names_one_thing(body: bytes, status: int) -> None:
    """Anything else is told what was expected."""
    memory = Memory()
    headers = {"authorization": "Bearer s"}
    answer = call("POST", "/cache/purge", Telemetry("1"), memory, Secret("s"), headers=headers, content=body)
    assert answer.status_code == status
    assert len(memory.purged) == (status == 200)
    assert answer.json() == {"purged": 2} if status == 200 else "expected" in answer.json()["detail"]


@who_asks
def test_only_the_credential_is_told_of_denials(credential: Secret | None, sent: str, status: int) -> None:
    """Whoever else asks learns nothing of who was refused what."""
    headers = {"authorization": sent.strip()}
    answer = call("GET", "/decisions/7f/8", Telemetry("1"), Memory(), credential, headers=headers)
    assert answer.status_code == status
    assert ("read a" in answer.text) == (status == 200)
    assert "s3cret" not in answer.text


def test_a_denial_is_told_of_by_its_request_id() -> None:
    """All of that id, since clients choose them; the members are those of `Hindsight`."""
    headers = {"authorization": "Bearer s"}
    answer = call("GET", "/decisions/7f%2F8", Telemetry("1"), Memory(), Secret("s"), headers=headers)
    first, second = answer.json()["decisions"]
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
    }
    assert conditions[-1] == {"name": "scopes", "needed": "a", "there": "b", "met": False}
    assert second["method"] == "HEAD"


@pytest.mark.parametrize("request_id", ["other", "7f", "%C3%A9", "%FF", ""])
def test_an_id_that_nobody_remembers_is_404(request_id: str) -> None:
    """It was allowed, or it is too long ago, or there was none."""
    headers = {"authorization": "Bearer s"}
    answer = call("GET", f"/decisions/{request_id}", Telemetry("1"), Memory(), Secret("s"), headers=headers)
    assert (answer.status_code, "detail" in answer.json()) == (404, True)
