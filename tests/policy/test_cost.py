"""The work of a decision does not depend on the number of rules: instructions and calls are counted, not timed."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from functools import cache
from types import FrameType
from typing import Any

import pytest
from harness.policies import NOW, policy

from enforcer.analysis.evaluator import Policy
from enforcer.policy import matcher
from enforcer.policy.decision import Allow, decide
from enforcer.policy.hierarchy import ScopeHierarchy
from enforcer.policy.request_view import RequestView
from enforcer.tokens.claims import read_claims
from enforcer.wire.target import parse

ALLOWED = 1.05
"""How much more 10,000 rules may cost than ten."""
FORMS: dict[str, dict[str, Any]] = {
    "literal": {"path": "/literal/N", "scopes": ["read"]},
    "segment": {"path": "/segment/N/{id}/**", "claims": {"sub": "{id}"}},
    "verb": {"path": "/verb/{id}:N", "scopes": ["read"]},
    "ending": {"path": "/ending/N-{id}.json", "any_scope": ["admin", "read"]},
    "several": {"paths": ["/several/N", "/several/N/{id}/more"], "acr": ["gold"], "max_auth_age": "5m"},
    "host": {"path": "/host/{id}", "host": "{tenant}.hN.example", "claims": {"tenant": "{tenant}"}},
    "query": {"path": "/query/N", "query": {"q": ["1", "2"]}, "claims": {"q": "{?q}"}},
    "field": {"path": "/field/N", "headers": {"X-T": "t"}, "addresses": ["192.0.2.0/24", "::/8"], "scopes": ["read"]},
    "choice": {"path": "/choice/N/{id}", "any_of": [{"scopes": ["none"]}, {"claims": {"sub": "{id}"}}]},
    "nested": {"path": "/nested/N", "claims": {"/a/b.c": {"all": [1]}, "x": {"present": False}}, "scopes": ["least"]},
}
"""A rule of each form; N is a number with as many digits in each policy."""
TOKEN = read_claims(
    {"scope": "read", "sub": "7", "tenant": "acme", "q": "1", "acr": "gold", "auth_time": NOW, "a": {"b.c": [1]}}
)
REQUESTS = {
    "literal": "/literal/N",
    "segment": "/segment/N/7/x/y",
    "verb": "/verb/7:N",
    "ending": "/ending/N-7.json",
    "several": "/several/N/7/more",
    "host": "/host/7",
    "query": "/query/N?q=1",
    "field": "/field/N",
    "choice": "/choice/N/7",
    "nested": "/nested/N",
}


@cache
def rules(count: int) -> Policy:
    """Return a policy with this many rules of each form."""
    forms = policy(*({"name": name, **form} for name, form in FORMS.items())).rules
    written = [
        replace(
            rule,
            name=f"{rule.name} {number}",
            path=None if rule.path is None else rule.path.replace("N", f"{number:04}"),
            paths=tuple(path.replace("N", f"{number:04}") for path in rule.paths),
            host=None if rule.host is None else rule.host.replace("N", f"{number:04}"),
        )
        for number in range(count)
        for _, rule in forms
    ]
    return Policy(((rule, "") for rule in written), hierarchy=ScopeHierarchy({"read": ["least"]}))


def work(tried: Policy, name: str) -> Counter[str]:
    """Return the number of calls and instructions of finding the rule and deciding, which must allow."""
    target = parse(REQUESTS[name].replace("N", "0000").encode())
    host = b"acme.h0000.example"
    view = RequestView(target.segments, target.query, host, [b"X-T", b": ", b"t", b"\r\n"], "192.0.2.7")
    counts: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes = True
        counts["calls" if event == "call" else "instructions"] += event in ("call", "opcode")
        return trace

    measured_by = sys.gettrace()  # the one that measures coverage
    sys.settrace(trace)
    try:
        entry = tried.matcher.find(target.segments, b"GET", host)
        result = None if entry is None else decide(entry.requirement, TOKEN, view, NOW, False)
    finally:
        sys.settrace(measured_by)
    assert isinstance(result, Allow)
    assert entry is not None
    assert entry.rule.name == f"{name} 0"
    return counts


@pytest.mark.skipif(not matcher.__file__.endswith(".py"), reason="compiled code has no instructions to count")
@pytest.mark.parametrize("name", FORMS)
def test_ten_thousand_rules_cost_as_much_as_ten(name: str) -> None:
    """With rules of all forms, of which those of one form share a beginning."""
    few, many = work(rules(1), name), work(rules(1000), name)
    assert few["instructions"] > 100
    for unit in few:
        assert many[unit] <= ALLOWED * few[unit], (unit, few, many)
