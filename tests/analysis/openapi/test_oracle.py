"""No imported policy allows a request that the document refuses, by a reading of its own."""

from __future__ import annotations

from itertools import product
from typing import Any

from analysis.openapi.oracle import Oracle, without_names
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enforcer.analysis.evaluator import Policy, PolicyRequest, token_evidence
from enforcer.analysis.openapi.proposals import Proposed, propose
from enforcer.analysis.openapi.reader import read
from enforcer.analysis.request_heads import UnreadableRequestError
from enforcer.policy.decision import Allow
from enforcer.tokens.claims import read_claims

SCHEMES = {
    "oauth": {"type": "oauth2"},
    "oidc": {"type": "openIdConnect"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey"},
}
SCOPES = ("s", "t")
TOKENS = [
    None,
    *({scope for scope, there in zip(SCOPES, each, strict=True) if there} for each in product((0, 1), repeat=2)),
]
SEGMENTS = ("a", "{x}", "{y}", "{x}:do", "{x}.json", "a{x}", "{x}{y}", "**", "a?q=1", "a#b")
VALUES = ("a", "z", "az", "z:do", "az.json", "**")

alternative = st.dictionaries(
    st.sampled_from([*SCHEMES, "undefined"]), st.lists(st.sampled_from(SCOPES), max_size=2) | st.just("s"), max_size=2
)
security: st.SearchStrategy[Any] = (
    st.none()
    | st.lists(alternative | st.sampled_from([None, "oauth", ["s"]]), max_size=3)
    | st.just("oauth")
    | st.just({})
)
operation = st.fixed_dictionaries({}, optional={"security": security}) | st.none()
item = st.dictionaries(st.sampled_from(["get", "put", "head"]), operation, min_size=1, max_size=2)
path = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=2).map(lambda parts: "/" + "/".join(parts))
document = st.fixed_dictionaries(
    {
        "openapi": st.just("3.1.0"),
        "paths": st.dictionaries(path, item, min_size=1, max_size=5),
        "components": st.just({"securitySchemes": SCHEMES}),
    },
    optional={"security": security},
)


def openapi(paths: dict[str, Any]) -> dict[str, Any]:
    return {"openapi": "3.1.0", "paths": paths, "components": {"securitySchemes": SCHEMES}}


@settings(max_examples=60)
@given(document)
@example(openapi({"/a/{y}": {"head": None}, "/{x}/a": {"get": {"security": []}}}))
@example(openapi({"/a/{y}": {"get": {"security": "s"}}, "/{x}/a": {"get": {"security": []}}}))
@example(openapi({"/a{y}": {"get": {"security": "s"}}, "/{x}.json": {"get": {"security": []}}}))
@example(openapi({"/{x}{y}.json": {"get": {"security": [{"oauth": ["s"]}]}}, "/a{x}": {"get": {"security": []}}}))
@example(openapi({"/{x}{y}/{x}": {"get": None}, "/{x}/a": {"get": {}}}))
@example(openapi({"/**": {"get": {"security": []}}}))
def test_no_imported_policy_allows_a_request_that_the_document_refuses(values: dict[str, Any]) -> None:
    """With every path, method and set of scopes; nor one that an operation without a rule refuses."""
    proposed = propose(read(values))
    policy = Policy((proposal.rule, "") for proposal in proposed.rules)
    assert not policy.matcher.conflicts
    oracle = Oracle(values, without_rule(proposed))
    for parts in [*product(VALUES), *product(VALUES, VALUES)]:
        target = "/" + "/".join(parts)
        for method, scopes in product(("GET", "PUT", "HEAD"), TOKENS):
            if allows(policy, method, target, scopes):
                assert oracle.allows(method, target, scopes), (method, target, scopes)


def without_rule(proposed: Proposed) -> list[tuple[str, str]]:
    """Return the methods and nameless paths of the operations that were left out."""
    return [
        (method, without_names(path))
        for outcome in proposed.left_out
        for method, path in product(outcome.left_out.methods, outcome.left_out.paths)
    ]


def allows(policy: Policy, method: str, target: str, scopes: set[str] | None) -> bool:
    """Return whether a policy allows a request with a token of these scopes; None: without a token."""
    try:
        located = policy.locate(PolicyRequest(method, target))
    except UnreadableRequestError:
        return False
    token = None if scopes is None else read_claims({"scope": " ".join(scopes)})
    return isinstance(located.decide(token_evidence(token, located), 0.0), Allow)
