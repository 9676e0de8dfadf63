"""The requirement that `security` states."""

from __future__ import annotations

from typing import Any

import pytest
from analysis.openapi.samples import document, one, rules

from enforcer.analysis.openapi.proposals import propose
from enforcer.analysis.openapi.reader import read
from enforcer.policy.rules import Rule


@pytest.mark.parametrize(
    ("security", "needs", "comment"),
    [
        ([], {"public": True}, ""),
        ([{}], {"public": True}, ""),
        ([{"oauth": ["a", "b"]}], {"scopes": ("a", "b")}, ""),
        ([{"same": ["a"]}], {"scopes": ("a",)}, ""),
        ([{"bearer": ["role"]}], {"scopes": ("role",)}, ""),
        ([{"bearer": []}], {"authenticated": True}, ""),
        ([{"oauth": ["a"], "oidc": ["b"]}], {"scopes": ("a", "b")}, ""),
        ([{"oauth": ["a"]}, {"oidc": ["b"]}], {"any_scope": ("a", "b")}, ""),
        ([{"oauth": ["a", "b"]}, {"oauth": ["a", "c"]}], {"scopes": ("a",), "any_scope": ("b", "c")}, ""),
        ([{"oauth": ["a"]}, {"oauth": ["a", "b"]}], {"scopes": ("a",)}, ""),
        ([{"oauth": ["a"]}, {"oauth": []}], {"authenticated": True}, "the document also accepts a token without a"),
        (
            [{"oauth": ["a"]}, {"bearer": []}],
            {"scopes": ("a",)},
            "the document also accepts bearer, for which it names no scopes",
        ),
        ([{"oauth": ["a"], "bearer": []}], {"scopes": ("a",)}, ""),
        (
            [{"key": [], "oauth": ["a"]}, {"oauth": ["b"]}],
            {"scopes": ("b",)},
            "the document also accepts oauth with key",
        ),
        ([{"oauth": ["a"]}, {}], {"scopes": ("a",)}, "the document also accepts no token at all"),
        ([{"key": []}, {"oauth": ["a"]}], {"scopes": ("a",)}, "the document also accepts key"),
        ([{"key": [], "oauth": ["a"]}], {"scopes": ("a",)}, "the document also requires key, which no rule looks at"),
        (
            [{"key": [], "basic": []}, {}],
            {"authenticated": True},
            "the document accepts no token at all, or key with basic",
        ),
        (None, {"authenticated": True}, "the document does not say what it requires"),
    ],
)
def test_a_rule_requires_what_security_requires_of_a_bearer_token(
    security: Any, needs: dict[str, Any], comment: str
) -> None:
    """A rule is public only if the document says so."""
    (proposal,) = propose(read(one(security))).rules
    assert proposal.rule == Rule(name="a", path="/a", methods=("GET",), **needs)
    assert proposal.comments == ((comment,) if comment else ())


def test_the_security_of_an_operation_overrides_that_of_the_document() -> None:
    """Null inherits it, as an absent key does."""
    item = {"get": {"security": [{"oauth": ["operation"]}]}, "put": {}, "post": {"security": None}}
    proposed = rules(document({"/a": item}, security=[{"oauth": ["document"]}]))
    assert [(rule.methods, rule.scopes) for rule in proposed] == [
        (("GET",), ("operation",)),
        (("PUT", "POST"), ("document",)),
    ]
