import json
from typing import Any

import h11
import pytest

from enforcer.errors import UpstreamFailure
from enforcer.policy.decision import NO_ANSWER, Reason
from enforcer.policy.rules import Rule
from enforcer.proxy import refusals
from enforcer.proxy.refusals import Refusal, RuleRefusals
from enforcer.tokens.challenge import ChallengeSettings

DATE = b"Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n"
METADATA = "https://api.example/.well-known/oauth-protected-resource"


def rule(**conditions: Any) -> Rule:
    return Rule(name="secret name", path="/secret/{path}", **(conditions or {"authenticated": True}))


def read(refusal: Refusal, *, close: bool = False, head_only: bool = False, old: bool = False) -> h11.Response:
    """Read an answer with another HTTP, and hold it to what all of them have in common."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="HEAD" if head_only else "GET", target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(refusal.render(DATE, close=close, head_only=head_only, old=old))
    response = client.next_event()
    assert isinstance(response, h11.Response)
    body = client.next_event()
    if not head_only:
        assert isinstance(body, h11.Data)
        problem = json.loads(body.data)
        assert (problem["type"], problem["status"]) == ("about:blank", response.status_code)
        assert problem["title"] == response.reason.decode()
        assert problem["detail"]
        body = client.next_event()
    assert isinstance(body, h11.EndOfMessage)
    assert client.trailing_data == (b"", False)
    assert response.status_code == refusal.status
    return response


def field(response: h11.Response, name: bytes) -> bytes | None:
    values = [value for key, value in response.headers if key == name]
    assert len(values) <= 1
    return values[0] if values else None


def challenge(refusal: Refusal) -> str | None:
    value = field(read(refusal), b"www-authenticate")
    return None if value is None else value.decode()


def detail(refusal: Refusal) -> str:
    return str(json.loads(refusal.render(DATE, close=False, head_only=False).partition(b"\r\n\r\n")[2])["detail"])


INVALID_TOKEN = 'Bearer error="invalid_token"'
ANSWERS = {
    Reason.NO_RULE: (403, None),
    Reason.MISSING_TOKEN: (401, "Bearer"),
    Reason.INVALID_REQUEST: (400, 'Bearer error="invalid_request"'),
    Reason.MALFORMED_TOKEN: (401, INVALID_TOKEN),
    Reason.INACTIVE_TOKEN: (401, INVALID_TOKEN),
    Reason.EXPIRED_TOKEN: (401, INVALID_TOKEN),
    Reason.NOT_YET_VALID: (401, INVALID_TOKEN),
    Reason.UNPROVEN_TOKEN: (401, INVALID_TOKEN),
    Reason.WRONG_ISSUER: (401, INVALID_TOKEN),
    Reason.WRONG_AUDIENCE: (401, INVALID_TOKEN),
    Reason.INSUFFICIENT_SCOPE: (403, 'Bearer error="insufficient_scope", scope="country.read country.write"'),
    Reason.CLIENT_MISMATCH: (403, None),
    Reason.CLAIM_MISMATCH: (403, None),
}
DENIALS = [*ANSWERS]


def test_every_reason_to_deny_has_an_answer() -> None:
    """But where nobody says what a token is worth: then it is the moment that says when to come again."""
    assert {*Reason} == {*ANSWERS, *NO_ANSWER, Reason.OK, Reason.PUBLIC}


@pytest.mark.parametrize("reason", DENIALS)
def test_each_reason_to_deny_has_its_status_and_challenge(reason: Reason) -> None:
    """RFC 6750 §3.1: what a client does next depends on it. A client told 401 throws its token away."""
    refusal = RuleRefusals(rule(scopes=("country.write", "country.read")), ChallengeSettings())[reason]
    assert (refusal.status, challenge(refusal)) == ANSWERS[reason]


@pytest.mark.parametrize("reason", DENIALS)
@pytest.mark.parametrize("denied", [None, rule(), rule(public=True), rule(client_ids=("a",))])
def test_every_rule_has_an_answer_to_every_reason(denied: Rule | None, reason: Reason) -> None:
    """Whichever it comes to; 401 is never without a challenge (RFC 9110 §15.5.2)."""
    refusal = RuleRefusals(denied, ChallengeSettings())[reason]
    assert refusal.status == ANSWERS[reason][0]
    assert (challenge(refusal) is None) == (ANSWERS[reason][1] is None)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (Reason.MISSING_TOKEN, f'Bearer realm="r", scope="a b", resource_metadata="{METADATA}"'),
        (Reason.EXPIRED_TOKEN, f'Bearer realm="r", error="invalid_token", resource_metadata="{METADATA}"'),
        (
            Reason.INSUFFICIENT_SCOPE,
            f'Bearer realm="r", error="insufficient_scope", scope="a b", resource_metadata="{METADATA}"',
        ),
        (Reason.NO_RULE, None),
        (Reason.CLAIM_MISMATCH, None),
    ],
)
def test_a_challenge_says_what_the_settings_ask_for(reason: Reason, expected: str | None) -> None:
    """Realm, needed scopes and metadata; a refusal without a challenge stays without."""
    settings = ChallengeSettings(realm="r", scope=True, resource_metadata=METADATA)
    assert challenge(RuleRefusals(rule(scopes=("b", "a")), settings)[reason]) == expected


@pytest.mark.parametrize(
    ("conditions", "needed", "scope"),
    [
        ({"scopes": ("b", "a")}, "needed: a b", "a b"),
        ({"any_scope": ("d", "c")}, "needed: one of c d", "c d"),
        ({"scopes": ("b", "a"), "any_scope": ("d", "c")}, "needed: a b, and one of c d", "a b c d"),
        ({"scopes": ("a",), "any_scope": ("a", "b")}, "needed: a, and one of a b", "a b"),
    ],
)
def test_a_missing_scope_is_named_as_the_rule_has_it(conditions: dict[str, Any], needed: str, scope: str) -> None:
    """All of them, one of them, or both; in the challenge each once."""
    refusal = RuleRefusals(rule(**conditions), ChallengeSettings())[Reason.INSUFFICIENT_SCOPE]
    assert detail(refusal) == f"the token lacks a scope; {needed}"
    assert challenge(refusal) == f'Bearer error="insufficient_scope", scope="{scope}"'


def test_nothing_else_of_a_rule_is_told() -> None:
    """Neither its name, its path, nor the conditions on claims and clients."""
    denied = rule(claims={"s3cret": "s3cret"}, client_ids=("s3cret",), audience=("s3cret",), issuer=("s3cret",))
    for reason in DENIALS:
        answer = RuleRefusals(denied, ChallengeSettings())[reason].render(DATE, close=False, head_only=False)
        assert b"secret" not in answer
        assert b"s3cret" not in answer


FIXED = [
    (refusals.TOO_LARGE, 413),
    (refusals.TARGET_TOO_LONG, 414),
    (refusals.HEAD_TOO_LARGE, 431),
    (refusals.TOKEN_TOO_LARGE, 431),
    (refusals.TIMEOUT, 408),
    (refusals.INTERNAL, 500),
    (refusals.OVERLOADED, 503),
    (refusals.malformed("Host: missing"), 400),
    (refusals.malformed("request line: not HTTP/1.1 or HTTP/1.0", 505), 505),
    (refusals.introspection_failed(5), 503),
    (refusals.UPSTREAM[UpstreamFailure.TIMEOUT], 504),
    (refusals.UPSTREAM[UpstreamFailure.UNAVAILABLE], 502),
    (refusals.UPSTREAM[UpstreamFailure.MALFORMED], 502),
    (refusals.UPSTREAM[UpstreamFailure.OVERLOADED], 503),
]


@pytest.mark.parametrize(("refusal", "status"), FIXED, ids=lambda value: value if isinstance(value, int) else "")
def test_every_other_refusal_has_a_status_and_no_challenge(refusal: Refusal, status: int) -> None:
    """A fault is not the token's: 503 says when to come again."""
    assert refusal.status == status
    assert challenge(refusal) is None
    assert (field(read(refusal), b"retry-after") is not None) == (status == 503)


def test_the_client_is_told_when_to_come_again() -> None:
    """RFC 9110 §10.2.3, in seconds."""
    assert field(read(refusals.introspection_failed(7)), b"retry-after") == b"7"


def test_every_failure_of_an_upstream_has_an_answer() -> None:
    """Whichever it is."""
    assert set(refusals.UPSTREAM) == set(UpstreamFailure)


@pytest.mark.parametrize("head_only", [False, True])
@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("old", [False, True])
def test_an_answer_is_whole_dated_and_stored_nowhere(head_only: bool, close: bool, old: bool) -> None:
    """RFC 9457; to HEAD its length without its body; the connection's end is said, to HTTP/1.0 also its staying."""
    response = read(refusals.malformed("x"), close=close, head_only=head_only, old=old)
    assert field(response, b"date") == b"Tue, 14 Nov 2023 22:13:20 GMT"
    assert field(response, b"content-type") == b"application/problem+json"
    assert field(response, b"cache-control") == b"no-store"
    assert field(response, b"connection") == (b"close" if close else b"keep-alive" if old else None)
