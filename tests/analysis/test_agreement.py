"""All ways to evaluate a policy agree: matcher and `decide`, explain, policy tests, and each door of the enforcer."""

import asyncio
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

from harness.carriers import CALLER, CARRIERS
from harness.configs import authorization_server
from harness.dataplane import AUTHORIZATION_PORT, OWN_PORT, DataPlane
from harness.envoy import check_request, check_response
from harness.http2 import Http2Client
from harness.policies import NOW, oracle, policy
from harness.servers import parse_fields
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from enforcer.analysis.candidates import Choice
from enforcer.analysis.denial_report import DenialReport, report_denial
from enforcer.analysis.evaluator import Policy, PolicyRequest, PolicyRule, token_evidence
from enforcer.analysis.explain import MALFORMED, Condition, Explanation, evaluate, explain
from enforcer.analysis.policy_tests import PolicyTests, run
from enforcer.counters import NO_ROUTE
from enforcer.decision_log.record import DecisionRecord
from enforcer.errors import MalformedRequestError
from enforcer.policy.ambiguity import Parting, settle
from enforcer.policy.decision import Evidence, Reason, SkippedVerification, decide, decide_bound
from enforcer.policy.hierarchy import ScopeHierarchy
from enforcer.policy.matcher import Matcher, RequestPattern, choose
from enforcer.policy.request_view import RequestView
from enforcer.policy.requirement import Requirement
from enforcer.policy.rules import Mode, Rule
from enforcer.policy.templates import Path
from enforcer.proxy.messages.responses import Refusal, Refusals
from enforcer.settings.challenge import ChallengeSettings
from enforcer.settings.jwt import ProofSettings
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.claims import ActiveToken, ScopeClaims, read_claims
from enforcer.tokens.dpop.possession import with_certificate, with_key
from enforcer.wire.target import parse

CLIENT = "192.0.2.1"
GRPC = "envoy-grpc"
CASES = TypeAdapter(PolicyTests)
SEGMENTS = ["a", "b", "{x}", "{y}", "a{z}", "{w}b"]
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
        "claims": st.sampled_from(
            [
                *(
                    {"sub": "a"},
                    {"n.m": [1, True]},
                    {"n": "x"},
                    {"sub": "{?q}"},
                    {"sub": "{#X-T}"},
                    {"n": {"present": False}},
                ),
                *({"sub": {"not": ["b"]}}, {"n.m": {"all": [True]}}, {"/n/m": 1}, {"n.{?q}": 1}, {"sub": "x{?q}"}),
                *(
                    {"/n.m": 1},
                    {"/n.m": 1, "n.m": [1, True]},
                    {"n.{?q}": {"present": False}},
                    {"n.m": {"present": False}},
                ),
            ]
        ),
        "acr": st.just(["gold", "silver"]),
        "max_auth_age": st.just("5m"),
        "any_of": st.sampled_from(
            [[{"scopes": ["r"]}, {"claims": {"sub": "{?q}"}}], [{"acr": ["gold"]}, {"query": {"q": "a"}}]]
        ),
    },
).map(lambda conditions: conditions or {"authenticated": True})
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "query": st.just({"q": ["a", "1"]}),
        "headers": st.sampled_from([{"X-T": "a"}, {"x-t": ["b", "{?q}"]}]),
        "addresses": st.sampled_from([["192.0.2.0/24"], ["192.0.2.2"], ["10.0.0.0/8", "::1"]]),
    },
)
SCOPE_CLAIMS = st.sampled_from([["scope", "scp"], ["roles", "scope"], ["/roles"]])
HIERARCHY = ScopeHierarchy({"w": ["r"], "x": ["w"]})
REFUSALS = Refusals(ChallengeSettings(), ProofSettings(), HIERARCHY)

RULES = st.lists(
    st.builds(
        lambda paths, place, needs: {**({"paths": paths} if paths[1:] else {"path": paths[0]}), **place, **needs},
        st.lists(PATHS, min_size=1, max_size=2),
        st.fixed_dictionaries(
            {},
            optional={
                "methods": st.lists(st.sampled_from(["GET", "HEAD", "POST"]), min_size=1, max_size=2, unique=True),
                "host": st.sampled_from(["app", "*.app", "x.app", "{h}.app"]),
                "mode": st.sampled_from(["enforce", "report"]),
                "cors_preflight": st.sampled_from(["allow", "judge"]),
                "upstream": st.sampled_from(["one", "other"]),
            },
        ),
        st.builds(lambda needs, limits: needs | limits, CONDITIONS | st.just({"public": True}), LIMITS | st.just({}))
        | st.just({"nobody": True}),
    ),
    min_size=1,
    max_size=8,
)

REQUESTS = st.builds(
    PolicyRequest,
    st.sampled_from([*["GET", "HEAD", "POST", "OPTIONS"] * 5, "CONNECT", "FETCH"]),
    st.builds(
        lambda segments, end, query: "/" + "/".join(segments) + end + query,
        st.lists(st.sampled_from([*"aabbc" * 4, "ab", "ab", "%61", "..", "a;", "a%2Fb", ""]), min_size=1, max_size=3),
        st.sampled_from(["", "", "/"]),
        st.sampled_from(["", "", "?q=1", "?q=a", "?q=m", "?q=a&Q=b", "?access_token=t"]),
    ),
    st.sampled_from([*["", "app", "X.app:80", "y.x.app"] * 5, "a b"]),
    st.sampled_from(["", "k", "l"]),
    st.sampled_from(["", "", "k", "l"]),
    st.sampled_from(["", "GET", "HEAD", "POST", "CONNECT"]),
    st.sampled_from([(), (("X-T", "a"),), (("x-t", "b"),), (("X-T", "a"), ("X_T", "a"))]),
    st.just(CLIENT),
)

OTHERS = st.lists(
    st.sampled_from(
        [
            *(("X-HTTP-Method-Override", "POST"), ("x-http-method", "get"), ("X-Method-Override", "MOVE")),
            *(("X-HTTP-Method", "CONNECT"), ("X-HTTP-Method", "A B")),
            *(("Destination", "/a/b"), ("Destination", "http://app/b?q=1"), ("Destination", "/a%2Fb")),
            *(("Destination", "/../b"), ("destination", "b"), ("Destination", "http://elsewhere/a")),
            *(("Connection", "X-T"), ("Connection", "destination, x"), ("Connection", "a b")),
            *(("Expect", "100-continue"), ("Content-Length", "0"), ("Content-Length", "x"), ("Max-Forwards", "1")),
            *(("Upgrade", "websocket"), ("Upgrade", "h2c"), ("X-Forwarded-For", "192.0.2.2"), ("X_Real_IP", "1")),
        ]
    ),
    max_size=3,
).map(tuple)
"""Fields that name another method or target, and others that the enforcer reads itself."""
NAMING = st.builds(
    lambda request, method, fields: replace(request, method=method or request.method, headers=request.headers + fields),
    REQUESTS,
    st.sampled_from(["", "", "MOVE", "COPY", "POST"]),
    OTHERS,
)

ALL = {"scope": "r w", "iss": "i", "aud": "s", "client_id": "c", "n": "x"}
CLAIMS: st.SearchStrategy[dict[str, Any] | None] = st.fixed_dictionaries(
    {},
    optional={
        "scope": st.sampled_from(["r", "w x", "r w"]),
        "iss": st.sampled_from(["i", "j"]),
        "aud": st.sampled_from(["s", ["t", "u"], ["u"]]),
        "client_id": st.sampled_from(["c", "d"]),
        "roles": st.sampled_from(["r", ["w", "x"]]),
        "sub": st.sampled_from(["a", "b"]),
        "n": st.sampled_from(["x", {"m": 1}, {"m": [True]}]),
        "exp": st.sampled_from([NOW - 1, NOW, NOW + 1]),
        "acr": st.sampled_from(["gold", "bronze"]),
        "auth_time": st.sampled_from([NOW - 200, NOW - 400]),
        "nbf": st.sampled_from([NOW - 1, NOW + 1]),
        "cnf": st.sampled_from([{"jkt": "k"}, {"x5t#S256": "k"}, {"kid": "k"}]),
    },
) | st.sampled_from(
    [None, {}, {"scope": "r w x"}, {"scope": "r w", "iss": "i", "aud": "s", "client_id": "c", "n": "x"}]
)


PREFLIGHTED: dict[str, Any] = {"path": "/**", "cors_preflight": "allow", "addresses": ["192.0.2.2"], "scopes": ["r"]}
PREFLIGHT = PolicyRequest("OPTIONS", "/a", preflight="GET", address="192.0.2.1")


def directly(rules: list[Rule], mode: Mode, request: PolicyRequest, token: ActiveToken | None) -> tuple[str, str, str]:
    """Return decision, reason and rule, computed with the matcher and `decide` only."""
    if request.method == "FETCH" or " " in request.host:
        return "deny", MALFORMED, NO_ROUTE
    matcher = Matcher(
        (RequestPattern(Path.parse(template), rule.methods, rule.host), (rule, template))
        for rule in rules
        for template in rule.templates
    )
    try:
        target = parse(request.target.encode())
    except MalformedRequestError:
        return "deny", MALFORMED, NO_ROUTE
    settled = settle(Policy([(rule, "") for rule in rules], mode).matcher, target, request.host.encode())

    def find(method: str) -> tuple[Rule, str] | Parting[PolicyRule] | None:
        if not target.ambiguous:
            return matcher.find(target.segments, method.encode(), request.host.encode())
        match = choose(settled, method.encode())
        return (match.rule, match.path) if isinstance(match, PolicyRule) else match

    match = find(request.method)
    if isinstance(match, Parting):
        modes = [mode if value is None or value.rule.mode is None else value.rule.mode for value in match.values]
        reports = all(value == "report" for value in modes)
        return "would_deny" if reports else "deny", Reason.AMBIGUOUS_PATH, NO_ROUTE
    rule, template = match or (None, "")
    evidence: Evidence = NoToken.MISSING if token is None else token
    if request.preflight and request.method == "OPTIONS":
        announced = find(request.preflight)
        requested, requested_template = (None, "") if isinstance(announced, Parting) else announced or (None, "")
        if requested is not None and requested.cors_preflight == "allow" and not requested.nobody:
            rule, template, evidence = requested, requested_template, SkippedVerification.PREFLIGHT
    requirement = None if rule is None else Requirement(rule, Path.parse(template), HIERARCHY)
    lines = [piece for name, value in request.headers for piece in (name.encode(), b": ", value.encode(), b"\r\n")]
    view = RequestView(target.segments, target.query, request.host.encode(), lines, request.address)
    reports = (mode if rule is None or rule.mode is None else rule.mode) == "report"
    reports = reports and not (rule is None and request.method == "CONNECT")
    if isinstance(evidence, ActiveToken) and (evidence.bound or request.proof):
        show = with_key if request.proof else with_certificate
        check = partial(show, thumbprint=request.proof or request.certificate)
        result = decide_bound(requirement, evidence, check, view, NOW, reports)
    else:
        result = decide(requirement, evidence, view, NOW, reports)
    decision, reason = result.label
    return decision, reason, NO_ROUTE if rule is None else rule.name


@settings(max_examples=150)
@given(RULES, st.sampled_from(["enforce", "report"]), REQUESTS, CLAIMS, SCOPE_CLAIMS)
@example([PREFLIGHTED], "enforce", PREFLIGHT, None, ["scope"])
@example(
    [{"path": "/**", "cors_preflight": "allow", "addresses": ["192.0.2.2"], "public": True, "query": {"q": "a"}}],
    "enforce",
    PREFLIGHT,
    None,
    ["scope"],
)
def test_explain_and_policy_tests_agree_with_matcher_and_decide(
    settings_of_rules: list[dict[str, Any]],
    mode: Mode,
    request: PolicyRequest,
    claims: dict[str, Any] | None,
    names: list[str],
) -> None:
    """The explained rules and conditions agree with the decision."""
    if request.preflight:
        claims = None  # a preflight has no token
    rules = [{"name": str(number), **rule} for number, rule in enumerate(settings_of_rules)]
    conflicts = {entry.rule.name for entry, _ in policy(*rules).matcher.conflicts}
    valid, scopes = (rule for rule in rules if rule["name"] not in conflicts), ScopeClaims(names)
    tried = policy(*valid, mode=mode, hierarchy=HIERARCHY, scope_claims=scopes)
    token = None if claims is None else read_claims(claims, scopes)
    decision, reason, name = directly([rule for _, rule in tried.rules], mode, request, token)

    explanation = explain(tried, request, oracle(claims, scopes), NOW, REFUSALS)
    judgement = explanation.judgement
    assert (judgement.decision, judgement.reason, judgement.rule) == (decision, reason, name)
    assert (judgement.reply is None) == (decision != "deny")
    assert (judgement.enforced is None) == (decision != "would_deny")
    assert evaluate(tried, request, oracle(claims, scopes), NOW, REFUSALS) == judgement
    if name != NO_ROUTE:
        assert all(condition.met for condition in explanation.conditions) == (decision == "allow")
    chosen = [candidate.rule for candidate in explanation.candidates if candidate.choice is Choice.CHOSEN]
    assert chosen == ([] if name == NO_ROUTE else [name])
    upstreams = {entry.rule.name: entry.rule.upstream for entry in tried.entries}
    if explanation.parting is None:  # else a reported request goes to the upstream of its first reading
        assert explanation.upstream == upstreams.get(name)
    if explanation.path is not None:
        reported = denial_report(tried, request, token, explanation).conditions
        assert list(map(comparable, reported)) == list(map(comparable, explanation.conditions))

    test = {
        "name": "t",
        "request": f"{request.method} {request.target}",
        "host": request.host,
        "preflight": request.preflight if request.method == "OPTIONS" else "",
        "token": "none" if claims is None else facts(claims, names),
        "headers": dict(request.headers),
        "address": request.address,
        "certificate": request.certificate,
        "proof": "" if claims is None else request.proof,
        "expect": decision,
        "reason": reason,
        "rule": name,
    }
    (outcome,) = run(CASES.validate_python({"tests": [test]}), tried, NOW, REFUSALS)
    assert outcome.differences == ()


def comparable(condition: Condition) -> Condition:
    """Return a condition without the key or certificate that was shown, which a decision record does not have."""
    return replace(condition, there="") if condition.name == "possession" else condition


def denial_report(
    tried: Policy, request: PolicyRequest, token: ActiveToken | None, explanation: Explanation
) -> DenialReport:
    """Return the report that is made later from the decision record."""
    located = tried.locate(request)
    judgement = explanation.judgement
    evidence: Evidence = token_evidence(token, located)
    if located.preflighted is not None:
        evidence = SkippedVerification.PREFLIGHT
    bound = isinstance(evidence, ActiveToken) and (evidence.bound or request.proof)
    record = DecisionRecord(
        time=NOW,
        request_id=None,
        method=located.method,
        path=located.target.origin_form.partition(b"?")[0],
        rule=None if located.entry is None else located.entry.rule,
        label=(judgement.decision, judgement.reason),
        evidence=evidence,
        possession=located.check_possession(evidence) if isinstance(evidence, ActiveToken) and bound else None,
        client=request.address,
        host=located.host,
        query=located.target.query,
        lines=tuple(located.view.lines),
        hierarchy=HIERARCHY,
        refusal=judgement.reply or judgement.enforced or Refusal(403, "not used"),
    )
    return report_denial(record, "now")


APPS = {"one": 11, "other": 12}
UPSTREAMS = {name: {"url": f"http://127.0.0.1:{port}"} for name, port in APPS.items()}


@settings(max_examples=60)
@given(
    RULES,
    st.sampled_from(["enforce", "report"]),
    st.lists(REQUESTS | NAMING, min_size=1, max_size=4),
    CLAIMS,
    SCOPE_CLAIMS,
    st.sampled_from([*sorted(CARRIERS), GRPC]),
)
def test_the_running_enforcer_decides_as_explain_says(
    settings_of_rules: list[dict[str, Any]],
    mode: Mode,
    requests: list[PolicyRequest],
    claims: dict[str, Any] | None,
    names: list[str],
    contract: str,
) -> None:
    """Status, challenge, upstream and metrics agree, for hosts, preflights and report mode too.

    So do the answers of the decision API, by each contract: 200 for a request that the proxy forwards.
    """
    rules = [{"name": str(number), **rule} for number, rule in enumerate(settings_of_rules)]
    conflicts = {entry.rule.name for entry, _ in policy(*rules).matcher.conflicts}
    rules = [rule for rule in rules if rule["name"] not in conflicts]
    assume(rules)
    asyncio.run(_compare(rules, mode, requests, claims, names, contract))


async def _compare(
    rules: list[dict[str, Any]],
    mode: Mode,
    requests: list[PolicyRequest],
    claims: dict[str, Any] | None,
    names: list[str],
    contract: str,
) -> None:
    tried = policy(*rules, mode=mode, hierarchy=HIERARCHY)
    now = time.time()
    shift: dict[str, Any] = {
        key: now + 3600 * (claims[key] - NOW) - 60 for key in ("exp", "nbf") if claims and key in claims
    }
    if claims and "auth_time" in claims:
        shift["auth_time"] = now + claims["auth_time"] - NOW
    plane = DataPlane(
        lambda _: {"active": True, **(claims or {}), **shift},
        rules=rules,
        mode=mode,
        upstreams=UPSTREAMS,
        scope_implies={"w": ["r"], "x": ["w"]},
        authorization_servers=[authorization_server(AUTHORIZATION_PORT, scope_claims=names, timeout="1m")],
    )
    counted: Counter[tuple[str, str, str]] = Counter()
    door = plane.door(contract=contract, trusted_proxies=[CALLER])
    try:
        for original in requests:
            request = replace(original, certificate="", proof="")
            token = None if request.preflight else claims
            verify = oracle(None if token is None else {**token, **shift}, ScopeClaims(names))
            explanation = explain(tried, request, verify, now, REFUSALS)
            outcome = await plane.run([_head(request, token is not None)])
            assert outcome.faults == []
            reply, rule = explanation.judgement.reply, explanation.judgement.rule
            expected = (200, []) if reply is None else (reply.status, [*reply.challenges])
            assert _summary(outcome.answered.partition(b"\r\n\r\n")[0]) == expected
            port = OWN_PORT if explanation.upstream is None else APPS[explanation.upstream]
            assert [arrival.port for arrival in outcome.arrived] == ([port] if reply is None else [])
            decision, reason = explanation.judgement.decision, explanation.judgement.reason
            malformed = reason == MALFORMED
            labels = (
                [("error", "request_rejected"), ("error", "unreadable_path")] if malformed else [(decision, reason)]
            )
            counted[rule, *labels[0]] += 1
            decisions = plane.telemetry.route(rule).decisions
            assert sum(decisions[label].value for label in labels) == counted[rule, *labels[0]]
            identity = _identity(outcome.arrived[0].head if outcome.arrived else b"")
            # No contract has requests without a host; fields of the connection would be the carrier's own.
            if request.host and original is requests[0] and not _has_connection_fields(request):
                fields = _fields(request, token is not None)
                parts = (request.method.encode(), request.target.encode(), request.host.encode())
                ask = partial(plane.run, door=door, address=CALLER)
                asked = await (_by_grpc if contract == GRPC else _by_http)(ask, contract, *parts, fields)
                assert asked == (*expected, identity)
                counted[rule, *labels[0]] += 1
                assert sum(decisions[label].value for label in labels) == counted[rule, *labels[0]]
    finally:
        plane.close()


_OVERRIDES = ("x-http-method-override", "x-http-method", "x-method-override")


def _has_connection_fields(request: PolicyRequest) -> bool:
    names = {name.lower() for name, _ in request.headers}
    overrides = [value.strip().upper() for name, value in request.headers if name.lower() in _OVERRIDES]
    if "destination" not in names and not {"MOVE", "COPY"}.isdisjoint([request.method, *overrides]):
        return True  # the decision API asks for the field, which a caller may have removed
    return not names.isdisjoint({"connection", "expect", "content-length", "max-forwards", "upgrade"})


Answer = tuple[int, list[str], list[tuple[bytes, bytes]]]
"""Status, challenges, and identity fields; the status is 200 if the caller would forward the request."""


async def _by_http(ask: Any, contract: str, *request: Any) -> Answer:
    outcome = await ask([CARRIERS[contract](*request)])
    assert (outcome.faults, outcome.arrived) == ([], [])
    answer = outcome.answered.partition(b"\r\n\r\n")[0]
    return (*_summary(answer), _identity(answer))


async def _by_grpc(ask: Any, _: str, *request: Any) -> Answer:
    client, message = Http2Client(), check_request(*request)
    data = b"\0" + len(message).to_bytes(4, "big") + message
    client.request("POST", "/envoy.service.auth.v3.Authorization/Check", body=data)
    outcome = await ask([client.take()])
    assert (outcome.faults, outcome.arrived) == ([], [])
    client.receive(outcome.answered)
    answer = check_response(client.bodies[1][5:])
    if answer.status is None:
        return 200, [], answer.fields
    return answer.status, [value.decode() for name, value in answer.fields if name == b"www-authenticate"], []


def _summary(head: bytes) -> tuple[int, list[str]]:
    """Return status and challenges of a response."""
    challenges = [value.decode() for name, value in parse_fields(head) if name == b"WWW-Authenticate"]
    return int(head.split(b" ")[1]), challenges


def _identity(head: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in parse_fields(head) if name.startswith(b"X-Auth-")]


def _fields(request: PolicyRequest, with_token: bool) -> list[tuple[bytes, bytes]]:
    fields = [(name.encode(), value.encode()) for name, value in request.headers]
    if with_token:
        fields.append((b"Authorization", b"Bearer token"))
    if request.preflight:
        requested = request.preflight.encode()
        fields += [(b"Origin", b"https://web"), (b"Access-Control-Request-Method", requested)]
    return fields


def _head(request: PolicyRequest, with_token: bool) -> bytes:
    lines = [f"{request.method} {request.target} HTTP/{1.1 if request.host else 1.0}".encode()]
    if request.host:
        lines.append(b"Host: " + request.host.encode())
    lines += [b"%b: %b" % field for field in _fields(request, with_token)]
    return b"\r\n".join([*lines, b"", b""])


_FURTHER = ("n", "nbf", "cnf", "acr", "auth_time", "roles")


def facts(claims: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Return claims in the form of a policy test; `names` are the claims that may hold the scopes."""
    own = {key: value for key, value in claims.items() if key in ("scope", "iss", "client_id", "sub")}
    if next((name for name in names if name.removeprefix("/") in claims), None) != "scope":
        own.pop("scope", None)  # the enforcer does not read it, but a test has its scopes where it does
    aud = claims.get("aud", [])
    return {
        **own,
        "aud": [aud] if isinstance(aud, str) else aud,
        "expired": claims.get("exp", NOW + 1) <= NOW,
        "claims": {key: value for key, value in claims.items() if key in _FURTHER},
    }
