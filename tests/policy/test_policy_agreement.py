"""All ways to ask a policy give the same decision: the matcher and `decide`, explain, and tests."""

from dataclasses import replace
from functools import partial
from typing import Any

from harness.policies import ANSWERS, NOW, policy, worth
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from enforcer.errors import MalformedRequestError
from enforcer.policy.cases import Cases, run
from enforcer.policy.decision import decide, decide_bound
from enforcer.policy.explain import MALFORMED, NO_RULE, Choice, Condition, Explanation, explain, judge
from enforcer.policy.hindsight import Hindsight, why
from enforcer.policy.journal import Decided
from enforcer.policy.matcher import Matcher, Place
from enforcer.policy.rules import Mode, Path, Requirement, Rule
from enforcer.policy.trial import Policy, Request, shown
from enforcer.proxy.refusals import Refusal
from enforcer.tokens.answer import Active, from_claims
from enforcer.tokens.possession import with_certificate, with_key
from enforcer.wire.target import parse

CASES = TypeAdapter(Cases)
SEGMENTS = ["a", "b", "{x}", "{y}"]
PATHS = st.builds(
    lambda segments, end: "/" + "/".join(dict.fromkeys(segments)) + end,
    st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=3),
    st.sampled_from(["", "/", "/**", "/**"]),
) | st.just("/**")

CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "scopes": st.lists(st.sampled_from("rw"), min_size=1, max_size=2, unique=True),
        "any_scope": st.lists(st.sampled_from("rwx"), min_size=1, max_size=2, unique=True),
        "issuer": st.just(["i"]),
        "audience": st.just(["s", "t"]),
        "client_ids": st.just(["c"]),
        "claims": st.sampled_from([{"sub": "a"}, {"n.m": [1, True]}, {"n": "x"}]),
    },
).map(lambda found: found or {"authenticated": True})

RULES = st.lists(
    st.builds(
        lambda path, place, needs: {"path": path, **place, **needs},
        PATHS,
        st.fixed_dictionaries(
            {},
            optional={
                "methods": st.lists(st.sampled_from(["GET", "HEAD", "POST"]), min_size=1, max_size=2, unique=True),
                "host": st.sampled_from(["app", "*.app", "x.app"]),
                "mode": st.sampled_from(["enforce", "report"]),
                "upstream": st.sampled_from(["one", "other"]),
            },
        ),
        CONDITIONS | st.just({"public": True}),
    ),
    min_size=1,
    max_size=8,
)

REQUESTS = st.builds(
    Request,
    st.sampled_from([*["GET", "HEAD", "POST"] * 5, "CONNECT", "FETCH"]),
    st.builds(
        lambda segments, end, query: "/" + "/".join(segments) + end + query,
        st.lists(st.sampled_from([*"aabbc" * 4, "%61", ".."]), min_size=1, max_size=3),
        st.sampled_from(["", "", "/"]),
        st.sampled_from(["", "", "", "?q=1", "?access_token=t"]),
    ),
    st.sampled_from([*["", "app", "X.app:80", "y.x.app"] * 5, "a b"]),
    st.sampled_from(["", "k", "l"]),
    st.sampled_from(["", "", "k", "l"]),
)

ALL = {"scope": "r w", "iss": "i", "aud": "s", "client_id": "c", "n": "x"}
CLAIMS: st.SearchStrategy[dict[str, Any] | None] = st.fixed_dictionaries(
    {},
    optional={
        "scope": st.sampled_from(["r", "w x", "r w"]),
        "iss": st.sampled_from(["i", "j"]),
        "aud": st.sampled_from(["s", ["t", "u"], ["u"]]),
        "client_id": st.sampled_from(["c", "d"]),
        "sub": st.sampled_from(["a", "b"]),
        "n": st.sampled_from(["x", {"m": 1}, {"m": [True]}]),
        "exp": st.sampled_from([NOW - 1, NOW, NOW + 1]),
        "nbf": st.sampled_from([NOW - 1, NOW + 1]),
        "cnf": st.sampled_from([{"jkt": "k"}, {"x5t#S256": "k"}, {"kid": "k"}]),
    },
) | st.sampled_from(
    [None, {}, {"scope": "r w x"}, {"scope": "r w", "iss": "i", "aud": "s", "client_id": "c", "n": "x"}]
)


def directly(rules: list[Rule], mode: Mode, request: Request, claims: dict[str, Any] | None) -> tuple[str, str, str]:
    """Return decision, reason and rule as the matcher and `decide` give them."""
    if request.method == "FETCH" or " " in request.host:
        return "deny", MALFORMED, NO_RULE
    matcher = Matcher((Place(Path.parse(rule.path), rule.methods, rule.host), rule) for rule in rules)
    try:
        target = parse(request.target.encode())
    except MalformedRequestError:
        return "deny", MALFORMED, NO_RULE
    rule = matcher.find(target.segments, request.method.encode(), request.host.encode())
    requirement = None if rule is None else Requirement(rule, Path.parse(rule.path))
    evidence = shown(None if claims is None else from_claims(claims), target.query)
    reports = (mode if rule is None or rule.mode is None else rule.mode) == "report"
    if isinstance(evidence, Active) and (evidence.bound or request.proof):
        show = with_key if request.proof else with_certificate
        has = partial(show, thumbprint=request.proof or request.certificate)
        verdict = decide_bound(requirement, evidence, has, target.segments, NOW, reports)
    else:
        verdict = decide(requirement, evidence, target.segments, NOW, reports)
    decision, reason = verdict.label
    return decision, reason, NO_RULE if rule is None else rule.name


@settings(max_examples=300)
@given(RULES, st.sampled_from(["enforce", "report"]), REQUESTS, CLAIMS)
def test_explain_and_test_decide_as_the_matcher_and_the_decision_do(
    wanted: list[dict[str, Any]], mode: Mode, request: Request, claims: dict[str, Any] | None
) -> None:
    """And what explain tells of rules and conditions agrees with it."""
    rules = [{"name": str(number), **rule} for number, rule in enumerate(wanted)]
    conflicts = {entry.rule.name for entry, _ in policy(*rules).matcher.conflicts}
    found_in = policy(*(rule for rule in rules if rule["name"] not in conflicts), mode=mode)
    decision, reason, name = directly([entry.rule for entry in found_in.entries], mode, request, claims)

    explanation = explain(found_in, request, worth(claims), NOW, ANSWERS)
    judgement = explanation.judgement
    assert (judgement.decision, judgement.reason, judgement.rule) == (decision, reason, name)
    assert (judgement.reply is None) == (decision != "deny")
    assert (judgement.enforced is None) == (decision != "would_deny")
    assert judge(found_in, request, worth(claims), NOW, ANSWERS) == judgement
    if name != NO_RULE:
        assert all(one.met for one in explanation.conditions) == (decision == "allow")
    chosen = [one.rule for one in explanation.candidates if one.choice is Choice.CHOSEN]
    assert chosen == ([] if name == NO_RULE else [name])
    leads_to = {entry.rule.name: entry.rule.upstream for entry in found_in.entries}
    assert explanation.upstream == leads_to.get(name)
    if explanation.path is not None:
        told = afterwards(found_in, request, claims, explanation).conditions
        assert list(map(essence, told)) == list(map(essence, explanation.conditions))

    test = {
        "name": "t",
        "request": f"{request.method} {request.target}",
        "host": request.host,
        "token": "none" if claims is None else facts(claims),
        "certificate": request.certificate,
        "proof": "" if claims is None else request.proof,
        "expect": decision,
        "reason": reason,
        "rule": name,
    }
    (outcome,) = run(CASES.validate_python({"tests": [test]}), found_in, NOW, ANSWERS)
    assert outcome.differences == ()


def essence(condition: Condition) -> Condition:
    """Leave out of what was there what only the request itself tells: the key or certificate that was shown."""
    return replace(condition, there="") if condition.name == "possession" else condition


def afterwards(
    found_in: Policy, request: Request, claims: dict[str, Any] | None, explanation: Explanation
) -> Hindsight:
    """Tell why, of what is kept of the decision."""
    located = found_in.locate(request)
    judgement = explanation.judgement
    evidence = shown(None if claims is None else from_claims(claims), located.target.query)
    kept = Decided(
        time=NOW,
        request_id=None,
        method=located.method,
        path=request.target.partition("?")[0].encode(),
        segments=located.target.segments,
        rule=None if located.entry is None else located.entry.rule,
        label=(judgement.decision, judgement.reason),
        evidence=evidence,
        shown=located.show(evidence) if isinstance(evidence, Active) and (evidence.bound or request.proof) else None,
        answer=judgement.reply or judgement.enforced or Refusal(403, "whatever it would have been"),
    )
    return why(kept, "now")


def facts(claims: dict[str, Any]) -> dict[str, Any]:
    """Write claims as a test states them."""
    own = {key: value for key, value in claims.items() if key in ("scope", "iss", "client_id", "sub")}
    aud = claims.get("aud", [])
    return {
        **own,
        "aud": [aud] if isinstance(aud, str) else aud,
        "expired": claims.get("exp", NOW + 1) <= NOW,
        "claims": {key: value for key, value in claims.items() if key in ("n", "nbf", "cnf")},
    }
