import json
from typing import Any

import h11
import pytest

from enforcer.errors import UpstreamFailure
from enforcer.policy.decision import ALLOWED, NO_ANSWER, Reason
from enforcer.policy.hierarchy import ScopeHierarchy
from enforcer.policy.rules import Conditions, Rule
from enforcer.proxy.messages import responses
from enforcer.proxy.messages.responses import Refusal, Refusals, RuleRefusals
from enforcer.settings.challenge import ChallengeSettings
from enforcer.settings.jwt import ProofSettings

DATE = b"Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n"
METADATA = "https://api.example/.well-known/oauth-protected-resource"


def rule(**conditions: Any) -> Rule:
    return Rule(name="secret name", path="/secret/{path}", **(conditions or {"authenticated": True}))


def read(refusal: Refusal, *, close: bool = False, head_only: bool = False, http10: bool = False) -> h11.Response:
    """Read an answer with another HTTP, and hold it to what all of them have in common."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="HEAD" if head_only else "GET", target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(refusal.render(DATE, close=close, head_only=head_only, http10=http10))
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


def challenges(refusal: Refusal) -> list[str]:
    return [value.decode() for name, value in read(refusal).headers if name == b"www-authenticate"]


BARE = ChallengeSettings()


def answers(denied: Rule | None, settings: ChallengeSettings = BARE, *, offers_dpop: bool = False) -> RuleRefusals:
    return Refusals(settings, ProofSettings(challenge=offers_dpop, algorithms=("ES256", "PS256"))).of(denied)


def detail(refusal: Refusal) -> str:
    return str(json.loads(refusal.render(DATE, close=False, head_only=False).partition(b"\r\n\r\n")[2])["detail"])


DPOP = 'DPoP algs="ES256 PS256"'
INVALID_TOKEN = ['Bearer error="invalid_token"']
INVALID_DPOP_TOKEN = ['DPoP error="invalid_token", algs="ES256 PS256"', "Bearer"]
INVALID_PROOF = ['DPoP error="invalid_dpop_proof", algs="ES256 PS256"', "Bearer"]
NEEDED = 'error="insufficient_scope", scope="country.read country.write"'
SUBJECT = Conditions(claims={"sub": "x"})
STEP_UP = 'error="insufficient_user_authentication"'
ANSWERS: dict[Reason, tuple[int, list[str], list[str]]] = {
    Reason.NO_RULE: (403, [], []),
    Reason.AMBIGUOUS_PATH: (400, [], []),
    Reason.MISSING_TOKEN: (401, ["Bearer"], ["Bearer"]),
    Reason.INVALID_REQUEST: (
        400,
        ['Bearer error="invalid_request"'],
        ['DPoP error="invalid_request", algs="ES256 PS256"'],
    ),
    **dict.fromkeys(
        (
            *(Reason.MALFORMED_TOKEN, Reason.INACTIVE_TOKEN, Reason.EXPIRED_TOKEN, Reason.NOT_YET_VALID),
            *(Reason.UNPROVEN_TOKEN, Reason.WRONG_ISSUER, Reason.WRONG_AUDIENCE),
        ),
        (401, INVALID_TOKEN, INVALID_DPOP_TOKEN),
    ),
    Reason.WRONG_SCHEME: (401, [*INVALID_TOKEN, DPOP], INVALID_DPOP_TOKEN),
    **dict.fromkeys(
        (
            *(Reason.MISSING_PROOF, Reason.INVALID_PROOF, Reason.MISMATCHED_PROOF),
            *(Reason.STALE_PROOF, Reason.REPLAYED_PROOF),
        ),
        (401, INVALID_PROOF, INVALID_PROOF),
    ),
    Reason.CROSS_SITE_REQUEST: (403, [], []),
    Reason.TOO_MANY_WRONG_PROOFS: (429, [], []),
    Reason.TOO_MANY_PROOFS: (503, [], []),
    Reason.INSUFFICIENT_SCOPE: (403, [f"Bearer {NEEDED}"], [f'DPoP {NEEDED}, algs="ES256 PS256"']),
    Reason.INSUFFICIENT_AUTHENTICATION: (401, [f"Bearer {STEP_UP}"], [f'DPoP {STEP_UP}, algs="ES256 PS256"']),
    Reason.NOBODY: (403, [], []),
    Reason.REQUEST_MISMATCH: (403, [], []),
    Reason.OTHER_TARGET: (403, [], []),
    Reason.CLIENT_MISMATCH: (403, [], []),
    Reason.CLAIM_MISMATCH: (403, [], []),
}
DENIALS = [*ANSWERS]


def test_every_reason_to_deny_has_an_answer() -> None:
    """Except if a token could not be verified: then the moment decides when to retry."""
    assert {*Reason} == {*ANSWERS, *NO_ANSWER, *ALLOWED}


@pytest.mark.parametrize("reason", DENIALS)
def test_each_reason_to_deny_has_its_status_and_challenge(reason: Reason) -> None:
    """RFC 6750 §3.1, RFC 9449 §7.1: what a client does next depends on it. A client told 401 throws its token away."""
    status, bearer, dpop = ANSWERS[reason]
    rendered = answers(rule(scopes=("country.write", "country.read")))
    assert (rendered.bearer[reason].status, challenges(rendered.bearer[reason])) == (status, bearer)
    assert (rendered.dpop[reason].status, challenges(rendered.dpop[reason])) == (status, dpop)


@pytest.mark.parametrize("reason", DENIALS)
@pytest.mark.parametrize("denied", [None, rule(), rule(public=True), rule(client_ids=("a",))])
def test_every_rule_has_an_answer_to_every_reason(denied: Rule | None, reason: Reason) -> None:
    """Whichever it comes to; 401 is never without a challenge (RFC 9110 §15.5.2)."""
    rendered = answers(denied)
    for refusal in (rendered.bearer[reason], rendered.dpop[reason]):
        assert refusal.status == ANSWERS[reason][0]
        assert bool(challenges(refusal)) == bool(ANSWERS[reason][1])


@pytest.mark.parametrize("reason", DENIALS)
def test_where_dpop_is_offered_every_401_names_both_schemes(reason: Reason) -> None:
    """RFC 9449 §7.1, RFC 9110 §11.6.1: each in a field of its own, the one that came first."""
    status, bearer, dpop = ANSWERS[reason]
    rendered = answers(rule(scopes=("country.write", "country.read")), offers_dpop=True)
    if status != 401:
        assert challenges(rendered.bearer[reason]) == bearer
    elif reason is Reason.INSUFFICIENT_AUTHENTICATION:  # a bound token stays bound after another login
        assert (challenges(rendered.bearer[reason]), challenges(rendered.dpop[reason])) == (bearer, dpop)
    elif reason is Reason.MISSING_TOKEN:
        assert challenges(rendered.bearer[reason]) == ["Bearer", DPOP]
    else:
        assert challenges(rendered.bearer[reason]) in ([*INVALID_TOKEN, DPOP], INVALID_PROOF)
        assert challenges(rendered.dpop[reason]) == dpop


def test_a_token_that_came_in_the_wrong_way_is_told_the_right_one() -> None:
    """A thief may read it too: it is in the documentation."""
    rendered = answers(rule())
    assert "DPoP scheme and a proof" in detail(rendered.bearer[Reason.WRONG_SCHEME])
    assert "Bearer scheme" in detail(rendered.dpop[Reason.WRONG_SCHEME])


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
    rendered = answers(rule(scopes=("b", "a")), settings).bearer[reason]
    assert challenges(rendered) == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("conditions", "needed", "scope"),
    [
        ({"scopes": ("b", "a")}, "needed: a b", "a b"),
        ({"any_scope": ("d", "c")}, "needed: one of c d", "d"),
        ({"scopes": ("b", "a"), "any_scope": ("d", "c")}, "needed: a b, and one of c d", "a b d"),
        ({"scopes": ("a",), "any_scope": ("a", "b")}, "needed: a, and one of a b", "a"),
    ],
)
def test_a_missing_scope_is_named_as_the_rule_has_it(conditions: dict[str, Any], needed: str, scope: str) -> None:
    """All of them, one of them, or both; in the challenge each once, and of alternatives the first."""
    refusal = answers(rule(**conditions)).bearer[Reason.INSUFFICIENT_SCOPE]
    assert detail(refusal) == f"the token lacks a scope; {needed}"
    assert challenges(refusal) == [f'Bearer error="insufficient_scope", scope="{scope}"']


@pytest.mark.parametrize(
    ("conditions", "scope"),
    [
        ({"any_scope": ("admin", "repo", "public")}, "public"),
        ({"any_scope": ("patient/{x}.read", "patient/*.read")}, "patient/*.read"),
        ({"scopes": ("a",), "any_of": (SUBJECT, Conditions(any_scope=("repo", "public")))}, "a public"),
        ({"any_of": (Conditions(scopes=("b",), claims={"sub": "x"}), Conditions(scopes=("c",)))}, "c"),
    ],
)
def test_the_challenge_names_the_least_that_would_do(conditions: dict[str, Any], scope: str) -> None:
    """A client that asks for what the challenge names gets no more than it needs."""
    hierarchy = ScopeHierarchy({"admin": ["repo"], "repo": ["public"]})
    denied = Rule(name="r", path="/{x}", **conditions)
    refusals = Refusals(ChallengeSettings(), ProofSettings(), hierarchy).of(denied)
    refusal = refusals.bearer[Reason.INSUFFICIENT_SCOPE]
    assert challenges(refusal) == [f'Bearer error="insufficient_scope", scope="{scope}"']


def test_a_step_up_challenge_names_what_the_rule_requires() -> None:
    """RFC 9470 §3: the classes by preference, and the age in seconds."""
    denied = Rule(name="r", path="/", acr=("gold", "silver"), max_auth_age=300.0)
    refusal = answers(denied).bearer[Reason.INSUFFICIENT_AUTHENTICATION]
    assert challenges(refusal) == [f'Bearer {STEP_UP}, acr_values="gold silver", max_age="300"']


def test_nothing_else_of_a_rule_is_told() -> None:
    """Neither its name, its path, nor the conditions on claims and clients."""
    denied = rule(claims={"s3cret": "s3cret"}, client_ids=("s3cret",), audience=("s3cret",), issuer=("s3cret",))
    rendered = answers(denied)
    for refusal in (*rendered.bearer.values(), *rendered.dpop.values()):
        answer = refusal.render(DATE, close=False, head_only=False)
        assert b"secret" not in answer
        assert b"s3cret" not in answer


def test_rules_that_need_the_same_scopes_share_their_answers() -> None:
    """Ten thousand rules cost no ten thousand copies; and what no rule says anything to is written once."""
    rendered = Refusals(ChallengeSettings(), ProofSettings())
    read, also, write = (rendered.of(rule(scopes=(scope,))) for scope in ("read", "read", "write"))
    assert read is also
    assert read.bearer[Reason.EXPIRED_TOKEN] is write.bearer[Reason.EXPIRED_TOKEN]
    assert read.bearer[Reason.INSUFFICIENT_SCOPE] is not write.bearer[Reason.INSUFFICIENT_SCOPE]


FIXED = [
    (responses.TOO_LARGE, 413),
    (responses.TARGET_TOO_LONG, 414),
    (responses.HEAD_TOO_LARGE, 431),
    (responses.TOKEN_TOO_LARGE, 431),
    (responses.TIMEOUT, 408),
    (responses.INTERNAL, 500),
    (responses.OVERLOADED, 503),
    (responses.malformed("Host: missing"), 400),
    (responses.malformed("request line: not HTTP/1.1 or HTTP/1.0", 505), 505),
    (responses.not_verified(5), 503),
    (responses.UPSTREAM[UpstreamFailure.TIMEOUT], 504),
    (responses.UPSTREAM[UpstreamFailure.UNAVAILABLE], 502),
    (responses.UPSTREAM[UpstreamFailure.MALFORMED], 502),
    (responses.UPSTREAM[UpstreamFailure.OVERLOADED], 503),
]


@pytest.mark.parametrize(("refusal", "status"), FIXED, ids=lambda value: value if isinstance(value, int) else "")
def test_every_other_refusal_has_a_status_and_no_challenge(refusal: Refusal, status: int) -> None:
    """A fault is not the token's: 503 says when to come again."""
    assert refusal.status == status
    assert challenges(refusal) == []
    assert (field(read(refusal), b"retry-after") is not None) == (status == 503)


def test_the_client_is_told_when_to_come_again() -> None:
    """RFC 9110 §10.2.3, in seconds."""
    assert field(read(responses.not_verified(7)), b"retry-after") == b"7"


def test_every_failure_of_an_upstream_has_an_answer() -> None:
    """Whichever it is."""
    assert set(responses.UPSTREAM) == set(UpstreamFailure)


@pytest.mark.parametrize("head_only", [False, True])
@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("http10", [False, True])
def test_an_answer_is_whole_dated_and_stored_nowhere(head_only: bool, close: bool, http10: bool) -> None:
    """RFC 9457; HEAD gets the length without the body; Connection: close is sent, and to HTTP/1.0 also keep-alive."""
    response = read(responses.malformed("x"), close=close, head_only=head_only, http10=http10)
    assert field(response, b"date") == b"Tue, 14 Nov 2023 22:13:20 GMT"
    assert field(response, b"content-type") == b"application/problem+json"
    assert field(response, b"cache-control") == b"no-store"
    assert field(response, b"connection") == (b"close" if close else b"keep-alive" if http10 else None)
