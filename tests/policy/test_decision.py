"""Decisions: which evidence each rule allows, and the reason for each denial."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enforcer.errors import IntrospectionFailure
from enforcer.policy.decision import UNPROVEN, Allow, Deny, Evidence, Reason, SkippedVerification, decide, decide_bound
from enforcer.policy.request_view import RequestView
from enforcer.policy.requirement import Requirement
from enforcer.policy.rules import Rule
from enforcer.policy.templates import Path
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.claims import ActiveToken, read_claims
from enforcer.tokens.dpop.possession import PossessionFault, Proven, with_key
from enforcer.tokens.introspection.response import INACTIVE
from enforcer.tokens.jwt.fault import JwtFault, RejectedToken

NOW = 1_700_000_000.0
PATH = "/tenants/{tenant}"
REQUEST = RequestView([b"tenants", b"acme"])


def requirement(**conditions: Any) -> Requirement:
    return Requirement(Rule(name="r", path=PATH, **conditions), Path.parse(PATH))


def reason_of(rule: Requirement | None, evidence: Evidence, now: float = NOW) -> Reason:
    """Return the reason of the decision; labels, token and report mode must agree with it."""
    enforced = decide(rule, evidence, REQUEST, now)
    decision, reason = enforced.label
    reported = decide(rule, evidence, REQUEST, now, reports=True)
    if enforced is UNPROVEN:
        assert reported is UNPROVEN  # report mode does not skip the proof of possession
        return Reason(reason)
    assert isinstance(reported, Allow)
    if isinstance(enforced, Allow):
        assert (decision, reported.label, reported.token) == ("allow", enforced.label, enforced.token)
    else:
        is_error = isinstance(evidence, IntrospectionFailure) or evidence is PossessionFault.FULL
        assert decision == ("error" if is_error and rule else "deny")
        assert enforced.reason == reason
        assert reported.label == ("would_deny", reason)
    return Reason(reason)


def token(**claims: Any) -> ActiveToken:
    return read_claims({"exp": NOW + 60, **claims})


PUBLIC = requirement(public=True)
AUTHENTICATED = requirement(authenticated=True)
READ = requirement(scopes=("read",))
GOOD = token(scope="read", sub="alice")


NO_VERIFIED_TOKEN: list[Evidence] = [*NoToken, *IntrospectionFailure, *SkippedVerification, *PossessionFault]


@pytest.mark.parametrize("evidence", [GOOD, INACTIVE, *NO_VERIFIED_TOKEN])
def test_a_request_without_a_rule_is_denied_for_any_evidence(evidence: Evidence) -> None:
    """Denied by default: a valid token changes nothing."""
    ambiguous = evidence is SkippedVerification.AMBIGUOUS_PATH
    assert reason_of(None, evidence) is (Reason.AMBIGUOUS_PATH if ambiguous else Reason.NO_RULE)


@pytest.mark.parametrize(
    "evidence",
    [INACTIVE, *NO_VERIFIED_TOKEN, token(exp=1), token(cnf={}), GOOD],
    ids=lambda evidence: type(evidence).__name__,
)
def test_a_public_rule_allows_every_request_without_identity(evidence: Evidence) -> None:
    """A token that was sent anyway gives no identity fields."""
    decision = decide(PUBLIC, evidence, REQUEST, NOW)
    assert isinstance(decision, Allow)
    assert decision.token is None
    assert decision.label == ("allow", "public")


@pytest.mark.parametrize(
    ("rule", "label"),
    [
        (requirement(scopes=("read",), cors_preflight="allow"), ("allow", "preflight")),
        (requirement(public=True, cors_preflight="allow"), ("allow", "public")),
        (requirement(public=True, cors_preflight="allow", headers={"X-Key": "k"}), ("allow", "preflight")),
        (requirement(public=True, cors_preflight="allow", addresses=("10.0.0.1",)), ("deny", "request_mismatch")),
        (requirement(public=True, cors_preflight="judge", headers={"X-Key": "k"}), ("deny", "request_mismatch")),
        (requirement(scopes=("read",), cors_preflight="judge"), ("deny", "missing_token")),
        (READ, ("deny", "missing_token")),
        (None, ("deny", "no_rule")),
    ],
)
def test_a_preflight_is_allowed_without_identity_if_the_rule_says_so(
    rule: Requirement | None, label: tuple[str, str]
) -> None:
    """Every other rule treats a preflight as an ordinary request."""
    decision = decide(rule, SkippedVerification.PREFLIGHT, REQUEST, NOW)
    assert decision.label == label
    assert isinstance(decision, Deny) or decision.token is None


@pytest.mark.parametrize("rule", [AUTHENTICATED, READ, requirement(claims={"sub": "alice"})])
@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (NoToken.MISSING, Reason.MISSING_TOKEN),
        (NoToken.INVALID_REQUEST, Reason.INVALID_REQUEST),
        (NoToken.MALFORMED, Reason.MALFORMED_TOKEN),
        (INACTIVE, Reason.INACTIVE_TOKEN),
        (SkippedVerification.TOO_MANY, Reason.TOO_MANY_UNSEEN_TOKENS),
        *((failure, Reason(f"introspection_{failure}")) for failure in IntrospectionFailure),
    ],
)
def test_any_other_rule_needs_an_active_token(rule: Requirement, evidence: Evidence, reason: Reason) -> None:
    """Each way of not having one has its own reason."""
    assert reason_of(rule, evidence) is reason


def test_an_allow_carries_the_token_that_it_was_decided_for() -> None:
    """The identity fields are made from it."""
    decision = decide(READ, GOOD, REQUEST, NOW)
    assert isinstance(decision, Allow)
    assert decision.token is GOOD


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({}, Reason.OK),
        ({"exp": NOW + 0.001}, Reason.OK),
        ({"exp": NOW}, Reason.EXPIRED_TOKEN),
        ({"exp": NOW - 1}, Reason.EXPIRED_TOKEN),
        ({"exp": -1}, Reason.EXPIRED_TOKEN),
        ({"exp": 0}, Reason.EXPIRED_TOKEN),
        ({"exp": 1.5}, Reason.EXPIRED_TOKEN),
        ({"exp": str(int(NOW) + 1)}, Reason.OK),
        ({"exp": str(int(NOW))}, Reason.EXPIRED_TOKEN),
        ({"exp": None}, Reason.OK),
        ({"nbf": NOW + 1}, Reason.OK),
        ({"nbf": NOW + 1, "exp": NOW - 1}, Reason.EXPIRED_TOKEN),
        ({"cnf": {"jkt": "x"}}, Reason.UNPROVEN_TOKEN),
        ({"cnf": {"x5t#S256": "x"}, "exp": NOW - 1}, Reason.EXPIRED_TOKEN),
    ],
)
@pytest.mark.parametrize("rule", [AUTHENTICATED, READ, requirement(any_scope=("read",))])
def test_a_token_is_valid_until_exp_and_unproven_if_bound(
    rule: Requirement, claims: dict[str, Any], reason: Reason
) -> None:
    """RFC 7519 §4.1.4: not on or after `exp`. RFC 7800: a bound token without a proof may be stolen.

    `nbf` was checked when the token was verified, by the server's clock or with a tolerance.
    """
    assert reason_of(rule, token(scope="read", **claims)) is reason


@pytest.mark.parametrize("fault", JwtFault)
def test_a_rejected_jwt_has_the_reason_that_an_introspected_token_would_have(fault: JwtFault) -> None:
    """If there is one; else it is inactive."""
    reasons = {
        JwtFault.EXPIRED: Reason.EXPIRED_TOKEN,
        JwtFault.NOT_YET_VALID: Reason.NOT_YET_VALID,
        JwtFault.ISSUER: Reason.WRONG_ISSUER,
    }
    decision = decide(READ, RejectedToken(fault), REQUEST, NOW)
    assert isinstance(decision, Deny)
    assert decision.reason is reasons.get(fault, Reason.INACTIVE_TOKEN)
    reported = decide(READ, RejectedToken(fault), REQUEST, NOW, reports=True)
    assert isinstance(reported, Allow)
    assert (reported.token, reported.label) == (None, ("would_deny", decision.reason))


def test_expiry_is_checked_at_the_time_of_the_request_not_of_introspection() -> None:
    """liboauth2 CWE-613: the token expires in 2 s, the result is cached for 60 s, the request comes after 3 s."""
    short_lived = token(scope="read", exp=NOW + 2)
    assert reason_of(READ, short_lived, NOW) is Reason.OK
    assert reason_of(READ, short_lived, NOW + 1.999) is Reason.OK
    assert reason_of(READ, short_lived, NOW + 3) is Reason.EXPIRED_TOKEN


@pytest.mark.parametrize(
    ("conditions", "claims", "reason"),
    [
        ({"scopes": ("a", "b")}, {"scope": "b a c"}, Reason.OK),
        ({"scopes": ("a", "b")}, {"scope": "a"}, Reason.INSUFFICIENT_SCOPE),
        ({"scopes": ("a",)}, {"scope": "A"}, Reason.INSUFFICIENT_SCOPE),
        ({"scopes": ("read",)}, {"scope": "read.all reads"}, Reason.INSUFFICIENT_SCOPE),
        ({"scopes": ("a",)}, {}, Reason.INSUFFICIENT_SCOPE),
        ({"any_scope": ("a", "b")}, {"scope": "b"}, Reason.OK),
        ({"any_scope": ("a", "b")}, {"scope": "c"}, Reason.INSUFFICIENT_SCOPE),
        ({"any_scope": ("a", "b")}, {}, Reason.INSUFFICIENT_SCOPE),
        ({"scopes": ("a",), "any_scope": ("b", "c")}, {"scope": "a c"}, Reason.OK),
        ({"scopes": ("a",), "any_scope": ("b", "c")}, {"scope": "a"}, Reason.INSUFFICIENT_SCOPE),
        ({"scopes": ("a",), "any_scope": ("b", "c")}, {"scope": "b"}, Reason.INSUFFICIENT_SCOPE),
        ({"audience": ("x", "y")}, {"aud": ["y", "z"]}, Reason.OK),
        ({"audience": ("x",)}, {"aud": "x"}, Reason.OK),
        ({"audience": ("x",)}, {"aud": "x y"}, Reason.WRONG_AUDIENCE),
        ({"audience": ("x",)}, {"aud": []}, Reason.WRONG_AUDIENCE),
        ({"audience": ("x",)}, {}, Reason.WRONG_AUDIENCE),
        ({"issuer": ("https://as",)}, {"iss": "https://as"}, Reason.OK),
        ({"issuer": ("https://as",)}, {"iss": "https://as/"}, Reason.WRONG_ISSUER),
        ({"issuer": ("https://as",)}, {}, Reason.WRONG_ISSUER),
        ({"client_ids": ("a", "b")}, {"client_id": "b"}, Reason.OK),
        ({"client_ids": ("a", "b")}, {"client_id": "c"}, Reason.CLIENT_MISMATCH),
        ({"client_ids": ("a",)}, {}, Reason.CLIENT_MISMATCH),
        ({"client_ids": ("a",)}, {"azp": "a"}, Reason.OK),
        ({"client_ids": ("a",)}, {"client_id": "b", "azp": "a"}, Reason.CLIENT_MISMATCH),
        ({"claims": {"tenant": "{tenant}"}}, {"tenant": "acme"}, Reason.OK),
        ({"claims": {"tenant": "{tenant}"}}, {"tenant": "other"}, Reason.CLAIM_MISMATCH),
        ({"claims": {"tenant": "{tenant}"}}, {}, Reason.CLAIM_MISMATCH),
        ({"claims": {"sub": "alice"}, "scopes": ("a",)}, {"sub": "alice"}, Reason.INSUFFICIENT_SCOPE),
    ],
)
def test_each_condition_must_hold(conditions: dict[str, Any], claims: dict[str, Any], reason: Reason) -> None:
    """A condition on a claim that the token does not have is not met."""
    assert reason_of(requirement(**conditions), token(**claims)) is reason


ALL = {
    "issuer": ("i",),
    "audience": ("a",),
    "scopes": ("s",),
    "any_scope": ("t",),
    "client_ids": ("c",),
    "claims": {"k": "v"},
}
MEETS = {"iss": "i", "aud": "a", "scope": "s t", "client_id": "c", "k": "v"}


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ((), Reason.OK),
        (("iss", "aud", "scope", "client_id", "k"), Reason.WRONG_ISSUER),
        (("aud", "scope", "client_id", "k"), Reason.WRONG_AUDIENCE),
        (("scope", "client_id", "k"), Reason.INSUFFICIENT_SCOPE),
        (("client_id", "k"), Reason.CLIENT_MISMATCH),
        (("k",), Reason.CLAIM_MISMATCH),
    ],
)
def test_the_first_unmet_condition_is_the_reason(missing: tuple[str, ...], reason: Reason) -> None:
    """A token for another audience gets 401 and no scope to ask for: it is not for this app at all."""
    claims = {name: value for name, value in MEETS.items() if name not in missing}
    assert reason_of(requirement(**ALL), token(**claims)) is reason


_CLAIMS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "iss": st.sampled_from(["i", "x"]),
        "aud": st.sampled_from(["a", "x", ["a", "x"], []]),
        "scope": st.sampled_from(["s", "t", "s t", "", "x"]),
        "client_id": st.sampled_from(["c", "x"]),
        "k": st.sampled_from(["v", "x", ["v"], None]),
        "exp": st.sampled_from([NOW - 1, NOW, NOW + 1]),
        "nbf": st.sampled_from([NOW - 1, NOW, NOW + 1]),
        "cnf": st.sampled_from([{}, None]),
    },
)


@given(st.sets(st.sampled_from(sorted(ALL)), min_size=1), _CLAIMS)
@example(set(ALL), MEETS)
@example(set(ALL), {**MEETS, "nbf": NOW + 1})
def test_a_request_is_allowed_exactly_if_every_condition_is_met(conditions: set[str], claims: dict[str, Any]) -> None:
    """Compared with a second implementation that checks each condition by itself.

    `nbf` does not count: it was checked when the token was verified.
    """
    audience = claims.get("aud", [])
    scopes = claims.get("scope", "").split()
    met = {
        "issuer": claims.get("iss") == "i",
        "audience": "a" in audience,
        "scopes": "s" in scopes,
        "any_scope": "t" in scopes,
        "client_ids": claims.get("client_id") == "c",
        "claims": claims.get("k") in ("v", ["v"]),
    }
    expected = all(met[name] for name in conditions) and claims.get("exp", NOW + 1) > NOW and claims.get("cnf") is None
    decision = decide(requirement(**{name: ALL[name] for name in conditions}), read_claims(claims), REQUEST, NOW)
    assert isinstance(decision, Allow) == expected


@given(_CLAIMS, _CLAIMS)
def test_each_rule_decides_about_a_token_independently(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Oathkeeper CVE-2021-32701: a decision is not a property of the token, and earlier decisions change nothing."""
    rules = [requirement(**{name: ALL[name]}) for name in ALL]
    tokens = [read_claims(first), read_claims(second)]
    forward = [reason_of(rule, evidence) for rule in rules for evidence in tokens]
    backward = [reason_of(rule, evidence) for rule in reversed(rules) for evidence in reversed(tokens)]
    assert forward == backward[::-1]


@pytest.mark.parametrize(
    ("rule", "evidence", "identified"),
    [
        (None, GOOD, True),
        (requirement(scopes=("other",)), GOOD, True),
        (requirement(client_ids=("other",)), GOOD, True),
        (requirement(claims={"sub": "bob"}), GOOD, True),
        (requirement(issuer=("other",)), GOOD, False),
        (requirement(audience=("other",)), GOOD, False),
        (None, token(exp=NOW), False),
        (None, RejectedToken(JwtFault.NOT_YET_VALID), False),
        (None, token(cnf={}), False),
        (READ, token(exp=NOW), False),
        (READ, INACTIVE, False),
        *((READ, evidence, False) for evidence in NO_VERIFIED_TOKEN),
    ],
)
def test_a_request_allowed_only_by_report_mode_is_identified_only_by_a_valid_token(
    rule: Requirement | None, evidence: Evidence, identified: bool
) -> None:
    """The app trusts the identity fields, so a token that enforce mode would refuse must not set them."""
    decision = decide(rule, evidence, REQUEST, NOW, reports=True)
    assert isinstance(decision, Allow)
    assert decision.label[0] == "would_deny"
    assert decision.token is (evidence if identified else None)


# Sender-constrained tokens

BOUND = token(scope="read", sub="alice", cnf={"jkt": "k"})


def show_key(token_: ActiveToken) -> Proven | PossessionFault:
    """Return the proof for the key that `BOUND` is bound to."""
    return with_key(token_, "k")


def never_called(token_: ActiveToken) -> Proven | PossessionFault:
    """Fail: the decision does not depend on a proof, so none must be verified."""
    raise AssertionError(f"a proof was verified for {token_}")


@pytest.mark.parametrize("reports", [False, True])
def test_a_bound_token_is_allowed_only_with_the_proof_for_it(reports: bool) -> None:
    """A proof for another result, even an equal one, does not count."""
    proven, other = show_key(BOUND), show_key(token(scope="read", sub="alice", cnf={"jkt": "k"}))
    assert isinstance(proven, Proven)
    assert isinstance(other, Proven)
    decision = decide(READ, BOUND, REQUEST, NOW, reports, proven)
    assert isinstance(decision, Allow)
    assert (decision.token, decision.label) == (BOUND, ("allow", "ok"))
    assert decide(READ, BOUND, REQUEST, NOW, reports, other) is UNPROVEN
    assert decide(READ, BOUND, REQUEST, NOW, reports) is UNPROVEN


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (PossessionFault.UNBOUND, Reason.WRONG_SCHEME),
        (PossessionFault.SCHEME, Reason.WRONG_SCHEME),
        (PossessionFault.UNKNOWN, Reason.UNPROVEN_TOKEN),
        (PossessionFault.CERTIFICATE, Reason.UNPROVEN_TOKEN),
        (PossessionFault.KEY, Reason.UNPROVEN_TOKEN),
        (PossessionFault.MISSING, Reason.MISSING_PROOF),
        (PossessionFault.SEVERAL, Reason.INVALID_PROOF),
        (PossessionFault.SIZE, Reason.INVALID_PROOF),
        (PossessionFault.MALFORMED, Reason.INVALID_PROOF),
        (PossessionFault.TYPE, Reason.INVALID_PROOF),
        (PossessionFault.ALGORITHM, Reason.INVALID_PROOF),
        (PossessionFault.UNUSABLE_KEY, Reason.INVALID_PROOF),
        (PossessionFault.SIGNATURE, Reason.INVALID_PROOF),
        (PossessionFault.METHOD, Reason.MISMATCHED_PROOF),
        (PossessionFault.URL, Reason.MISMATCHED_PROOF),
        (PossessionFault.TOKEN, Reason.MISMATCHED_PROOF),
        (PossessionFault.TIME, Reason.STALE_PROOF),
        (PossessionFault.REPLAYED, Reason.REPLAYED_PROOF),
        (PossessionFault.FLOOD, Reason.TOO_MANY_WRONG_PROOFS),
        (PossessionFault.FULL, Reason.TOO_MANY_PROOFS),
    ],
)
def test_the_fault_of_the_proof_is_the_reason(fault: PossessionFault, reason: Reason) -> None:
    """Without possession the request is not identified, in report mode either."""
    decision = decide_bound(READ, BOUND, lambda _: fault, REQUEST, NOW)
    assert isinstance(decision, Deny)
    assert decision.reason is reason
    assert decision.label == ("error" if fault is PossessionFault.FULL else "deny", reason)
    reported = decide_bound(READ, BOUND, lambda _: fault, REQUEST, NOW, reports=True)
    assert isinstance(reported, Allow)
    assert (reported.token, reported.label) == (None, ("would_deny", reason))


def test_every_fault_is_a_reason_to_deny() -> None:
    """Holds for faults that are added later, too."""
    assert all(isinstance(decide(READ, fault, REQUEST, NOW), Deny) for fault in PossessionFault)


@pytest.mark.parametrize(
    ("rule", "evidence", "reason"),
    [
        (READ, INACTIVE, Reason.INACTIVE_TOKEN),
        (READ, token(scope="read", cnf={"jkt": "k"}, exp=NOW), Reason.EXPIRED_TOKEN),
        (READ, RejectedToken(JwtFault.NOT_YET_VALID), Reason.NOT_YET_VALID),
        (READ, GOOD, Reason.WRONG_SCHEME),
        (None, BOUND, Reason.NO_RULE),
        (PUBLIC, BOUND, Reason.PUBLIC),
        (PUBLIC, GOOD, Reason.PUBLIC),
    ],
)
def test_a_proof_is_verified_only_if_it_decides(
    rule: Requirement | None, evidence: ActiveToken, reason: Reason
) -> None:
    """Verifying a signature is work, so an inactive or expired token causes none."""
    assert decide_bound(rule, evidence, never_called, REQUEST, NOW).label[1] == reason


@pytest.mark.parametrize("reports", [False, True])
def test_a_proof_does_not_replace_a_condition_of_the_rule(reports: bool) -> None:
    """A proven token has its own scopes and no others; in report mode it identifies the request."""
    decision = decide_bound(requirement(scopes=("other",)), BOUND, show_key, REQUEST, NOW, reports)
    assert decision.label == ("would_deny" if reports else "deny", "insufficient_scope")
    assert not isinstance(decision, Allow) or decision.token is BOUND


def test_reasons_are_valid_metric_labels() -> None:
    """Lower-case words, all different."""
    assert len(set(Reason)) == len(Reason.__members__)
    assert all(reason.replace("_", "").islower() for reason in Reason)
    assert repr(Deny(Reason.NO_RULE)) == "Deny(no_rule)"
