from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enforcer.errors import IntrospectionFailure
from enforcer.policy.decision import UNPROVEN, Allow, Deny, Evidence, Reason, Unasked, decide, decide_bound
from enforcer.policy.requirement import Requirement
from enforcer.policy.rules import Path, Rule
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.dpop.possession import PossessionFault, Proven, with_key
from enforcer.tokens.introspection.response import INACTIVE, ActiveToken, from_claims

NOW = 1_700_000_000.0
PATH = "/tenants/{tenant}"
SEGMENTS = [b"tenants", b"acme"]


def requirement(**conditions: Any) -> Requirement:
    return Requirement(Rule(name="r", path=PATH, **conditions), Path.parse(PATH))


def judge(rule: Requirement | None, evidence: Evidence, now: float = NOW) -> Reason:
    """Decide, and tell the reason either way; the labels agree with it, and so does what only reports."""
    verdict = decide(rule, evidence, SEGMENTS, now)
    decision, reason = verdict.label
    reported = decide(rule, evidence, SEGMENTS, now, reports=True)
    if verdict is UNPROVEN:
        assert reported is UNPROVEN  # in no mode, before it is known what its sender can show
        return Reason(reason)
    assert isinstance(reported, Allow)
    if isinstance(verdict, Allow):
        assert (decision, reported.label, reported.answer) == ("allow", verdict.label, verdict.answer)
    else:
        ours = isinstance(evidence, IntrospectionFailure) or evidence is PossessionFault.FULL
        assert decision == ("error" if ours and rule else "deny")
        assert verdict.reason == reason
        assert reported.label == ("would_deny", reason)
    return Reason(reason)


def token(**claims: Any) -> ActiveToken:
    return from_claims({"exp": NOW + 60, **claims})


PUBLIC = requirement(public=True)
ANYBODY = requirement(authenticated=True)
READ = requirement(scopes=("read",))
GOOD = token(scope="read", sub="alice")


NOTHING_KNOWN: list[Evidence] = [*NoToken, *IntrospectionFailure, *Unasked, *PossessionFault]


@pytest.mark.parametrize("evidence", [GOOD, INACTIVE, *NOTHING_KNOWN])
def test_no_rule_is_refused_whatever_came_with_the_request(evidence: Evidence) -> None:
    """What is not allowed by a rule that says so is refused."""
    assert judge(None, evidence) is Reason.NO_RULE


@pytest.mark.parametrize(
    "evidence",
    [INACTIVE, *NOTHING_KNOWN, token(exp=1), token(cnf={}), GOOD],
    ids=lambda evidence: type(evidence).__name__,
)
def test_a_public_rule_lets_everybody_pass_as_nobody(evidence: Evidence) -> None:
    """Whoever sends a token along is not known by it either."""
    verdict = decide(PUBLIC, evidence, SEGMENTS, NOW)
    assert isinstance(verdict, Allow)
    assert verdict.answer is None
    assert verdict.label == ("allow", "public")


@pytest.mark.parametrize(
    ("rule", "label"),
    [
        (requirement(scopes=("read",), cors_preflight="allow"), ("allow", "preflight")),
        (requirement(public=True, cors_preflight="allow"), ("allow", "public")),
        (requirement(scopes=("read",), cors_preflight="judge"), ("deny", "missing_token")),
        (READ, ("deny", "missing_token")),
        (None, ("deny", "no_rule")),
    ],
)
def test_a_preflight_passes_as_nobody_where_the_rule_says_so(rule: Requirement | None, label: tuple[str, str]) -> None:
    """And nowhere else."""
    verdict = decide(rule, Unasked.PREFLIGHT, SEGMENTS, NOW)
    assert verdict.label == label
    assert isinstance(verdict, Deny) or verdict.answer is None


@pytest.mark.parametrize("rule", [ANYBODY, READ, requirement(claims={"sub": "alice"})])
@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (NoToken.MISSING, Reason.MISSING_TOKEN),
        (NoToken.INVALID_REQUEST, Reason.INVALID_REQUEST),
        (NoToken.MALFORMED, Reason.MALFORMED_TOKEN),
        (INACTIVE, Reason.INACTIVE_TOKEN),
        (Unasked.TOO_MANY, Reason.TOO_MANY_UNSEEN_TOKENS),
        *((failure, Reason(f"introspection_{failure}")) for failure in IntrospectionFailure),
    ],
)
def test_any_other_rule_needs_an_active_token(rule: Requirement, evidence: Evidence, reason: Reason) -> None:
    """Each way of not having one has its own answer."""
    assert judge(rule, evidence) is reason


def test_an_allow_carries_the_answer_that_it_was_given_for() -> None:
    """From it the identity fields are made."""
    verdict = decide(READ, GOOD, SEGMENTS, NOW)
    assert isinstance(verdict, Allow)
    assert verdict.answer is GOOD


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
        ({"nbf": NOW}, Reason.OK),
        ({"nbf": NOW + 1}, Reason.NOT_YET_VALID),
        ({"nbf": NOW + 1, "exp": NOW - 1}, Reason.EXPIRED_TOKEN),
        ({"cnf": {"jkt": "x"}}, Reason.UNPROVEN_TOKEN),
        ({"cnf": {"x5t#S256": "x"}, "exp": NOW - 1}, Reason.EXPIRED_TOKEN),
    ],
)
@pytest.mark.parametrize("rule", [ANYBODY, READ, requirement(any_scope=("read",))])
def test_a_token_counts_from_nbf_until_exp_and_where_possession_is_proof(
    rule: Requirement, claims: dict[str, Any], reason: Reason
) -> None:
    """RFC 7519 §4.1.4: not on or after `exp`. RFC 7800: a bound token without proof may be stolen."""
    assert judge(rule, token(scope="read", **claims)) is reason


def test_an_answer_is_judged_at_the_time_of_the_request_not_of_the_answer() -> None:
    """liboauth2 CWE-613: the token ends in 2 s, the answer is remembered for 60, the request comes after 3."""
    answer = token(scope="read", exp=NOW + 2)
    assert judge(READ, answer, NOW) is Reason.OK
    assert judge(READ, answer, NOW + 1.999) is Reason.OK
    assert judge(READ, answer, NOW + 3) is Reason.EXPIRED_TOKEN


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
        ({"client_ids": ("a",)}, {"azp": "a"}, Reason.CLIENT_MISMATCH),
        ({"claims": {"tenant": "{tenant}"}}, {"tenant": "acme"}, Reason.OK),
        ({"claims": {"tenant": "{tenant}"}}, {"tenant": "other"}, Reason.CLAIM_MISMATCH),
        ({"claims": {"tenant": "{tenant}"}}, {}, Reason.CLAIM_MISMATCH),
        ({"claims": {"sub": "alice"}, "scopes": ("a",)}, {"sub": "alice"}, Reason.INSUFFICIENT_SCOPE),
    ],
)
def test_each_condition_must_hold(conditions: dict[str, Any], claims: dict[str, Any], reason: Reason) -> None:
    """What the token does not say does not hold."""
    assert judge(requirement(**conditions), token(**claims)) is reason


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
def test_the_first_condition_that_fails_names_the_refusal(missing: tuple[str, ...], reason: Reason) -> None:
    """A token of another audience is told 401, and not what scope would do: it is not for here at all."""
    claims = {name: value for name, value in MEETS.items() if name not in missing}
    assert judge(requirement(**ALL), token(**claims)) is reason


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
def test_it_allows_exactly_where_every_condition_holds(conditions: set[str], claims: dict[str, Any]) -> None:
    """Written out once more, each condition by itself."""
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
    expected = (
        all(met[name] for name in conditions)
        and claims.get("exp", NOW + 1) > NOW
        and claims.get("nbf", NOW) <= NOW
        and claims.get("cnf") is None
    )
    verdict = decide(requirement(**{name: ALL[name] for name in conditions}), from_claims(claims), SEGMENTS, NOW)
    assert isinstance(verdict, Allow) == expected


@given(_CLAIMS, _CLAIMS)
def test_one_answer_is_judged_anew_by_each_rule(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Oathkeeper CVE-2021-32701: a verdict is no property of a token. Nothing is left over from what came before."""
    rules = [requirement(**{name: ALL[name]}) for name in ALL]
    answers = [from_claims(first), from_claims(second)]
    forward = [judge(rule, answer) for rule in rules for answer in answers]
    backward = [judge(rule, answer) for rule in reversed(rules) for answer in reversed(answers)]
    assert forward == backward[::-1]


@pytest.mark.parametrize(
    ("rule", "evidence", "known"),
    [
        (None, GOOD, True),
        (requirement(scopes=("other",)), GOOD, True),
        (requirement(client_ids=("other",)), GOOD, True),
        (requirement(claims={"sub": "bob"}), GOOD, True),
        (requirement(issuer=("other",)), GOOD, False),
        (requirement(audience=("other",)), GOOD, False),
        (None, token(exp=NOW), False),
        (None, token(nbf=NOW + 1), False),
        (None, token(cnf={}), False),
        (READ, token(exp=NOW), False),
        (READ, token(nbf=NOW + 1), False),
        (READ, INACTIVE, False),
        *((READ, evidence, False) for evidence in NOTHING_KNOWN),
    ],
)
def test_who_passes_only_by_report_is_known_by_a_good_token_alone(
    rule: Requirement | None, evidence: Evidence, known: bool
) -> None:
    """What would be refused as no good token names nobody: the app trusts the identity fields."""
    verdict = decide(rule, evidence, SEGMENTS, NOW, reports=True)
    assert isinstance(verdict, Allow)
    assert verdict.label[0] == "would_deny"
    assert verdict.answer is (evidence if known else None)


# Tokens that are bound

BOUND = token(scope="read", sub="alice", cnf={"jkt": "k"})


def proof(answer: ActiveToken) -> Proven | PossessionFault:
    """Show the key that `BOUND` is bound to."""
    return with_key(answer, "k")


def nothing(answer: ActiveToken) -> Proven | PossessionFault:
    """Show nothing, and say that it was asked for in vain."""
    raise AssertionError(f"asked for {answer}")


@pytest.mark.parametrize("reports", [False, True])
def test_a_bound_token_passes_with_the_proof_for_it_alone(reports: bool) -> None:
    """What was proven of another answer, equal as it may be, was not proven of this one."""
    proven, other = proof(BOUND), proof(token(scope="read", sub="alice", cnf={"jkt": "k"}))
    assert isinstance(proven, Proven)
    assert isinstance(other, Proven)
    verdict = decide(READ, BOUND, SEGMENTS, NOW, reports, proven)
    assert isinstance(verdict, Allow)
    assert (verdict.answer, verdict.label) == (BOUND, ("allow", "ok"))
    assert decide(READ, BOUND, SEGMENTS, NOW, reports, other) is UNPROVEN
    assert decide(READ, BOUND, SEGMENTS, NOW, reports) is UNPROVEN


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
def test_what_is_wrong_with_the_proof_is_the_reason(fault: PossessionFault, reason: Reason) -> None:
    """Where possession is not shown the sender is nobody, also where the rule only reports."""
    verdict = decide_bound(READ, BOUND, lambda _: fault, SEGMENTS, NOW)
    assert isinstance(verdict, Deny)
    assert verdict.reason is reason
    assert verdict.label == ("error" if fault is PossessionFault.FULL else "deny", reason)
    reported = decide_bound(READ, BOUND, lambda _: fault, SEGMENTS, NOW, reports=True)
    assert isinstance(reported, Allow)
    assert (reported.answer, reported.label) == (None, ("would_deny", reason))


def test_every_fault_is_a_reason_to_deny() -> None:
    """A new one cannot be forgotten."""
    assert all(isinstance(decide(READ, fault, SEGMENTS, NOW), Deny) for fault in PossessionFault)


@pytest.mark.parametrize(
    ("rule", "answer", "reason"),
    [
        (READ, INACTIVE, Reason.INACTIVE_TOKEN),
        (READ, token(scope="read", cnf={"jkt": "k"}, exp=NOW), Reason.EXPIRED_TOKEN),
        (READ, token(scope="read", cnf={"jkt": "k"}, nbf=NOW + 1), Reason.NOT_YET_VALID),
        (READ, GOOD, Reason.WRONG_SCHEME),
        (None, BOUND, Reason.NO_RULE),
        (PUBLIC, BOUND, Reason.PUBLIC),
        (PUBLIC, GOOD, Reason.PUBLIC),
    ],
)
def test_a_proof_is_looked_at_where_it_decides(rule: Requirement | None, answer: ActiveToken, reason: Reason) -> None:
    """A proof for a token that is worth nothing costs no look at it."""
    assert decide_bound(rule, answer, nothing, SEGMENTS, NOW).label[1] == reason


@pytest.mark.parametrize("reports", [False, True])
def test_a_proof_is_no_condition_of_the_rule(reports: bool) -> None:
    """Whoever holds the token has its scopes, and no other; and is known by it where the rule only reports."""
    verdict = decide_bound(requirement(scopes=("other",)), BOUND, proof, SEGMENTS, NOW, reports)
    assert verdict.label == ("would_deny" if reports else "deny", "insufficient_scope")
    assert not isinstance(verdict, Allow) or verdict.answer is BOUND


def test_reasons_are_fit_for_labels() -> None:
    """Lower-case words, each once."""
    assert len(set(Reason)) == len(Reason.__members__)
    assert all(reason.replace("_", "").islower() for reason in Reason)
    assert repr(Deny(Reason.NO_RULE)) == "Deny(no_rule)"
