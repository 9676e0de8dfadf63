"""A policy on trial."""

import httptools
import pytest
from harness.policies import NOW, policy

from enforcer.analysis.evaluator import Request, shown
from enforcer.errors import MalformedRequestError
from enforcer.policy.decision import Allow, Deny, Reason
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.introspection.response import INACTIVE, from_claims
from enforcer.wire.fields import METHODS

TRIED = policy(
    {"path": "/a/{id}", "methods": ["GET"], "scopes": ["read"]},
    {"path": "/a/**", "host": "*.example.org", "authenticated": True},
)


@pytest.mark.parametrize(
    ("request_", "rule"),
    [
        (Request("GET", "/a/1"), "/a/{id}"),
        (Request("HEAD", "/a/1?x=1"), "/a/{id}"),
        (Request("GET", "/a/1/2"), None),
        (Request("GET", "/a/1/2", "app.example.org:8080"), "/a/**"),
        (Request("GET", "http://app.example.org/a/1/2"), "/a/**"),
        (Request("GET", "http://app.example.org/a/1/2", "APP.example.org"), "/a/**"),
    ],
)
def test_a_request_falls_under_its_rule(request_: Request, rule: str | None) -> None:
    """By path, method and host, which may stand in the target."""
    entry = TRIED.locate(request_).entry
    assert (entry and entry.rule.name) == rule


@pytest.mark.parametrize(
    ("request_", "said", "status"),
    [
        (Request("GET", "/a/../b"), "request target: the path has a dot segment", 400),
        (Request("GET", "/caf\u00e9"), "request target: the path has a byte that no path segment has", 400),
        (Request("GET", "/\udcff"), "request target: the path has a byte that no path segment has", 400),
        (Request("GET", "a"), "request target: neither a path nor an http URI", 400),
        (Request("GET", "/a", "a b"), "Host: not a host", 400),
        (Request("GET", "http://app/a", "other"), "Host: not the one of the request target", 400),
        (Request("FETCH", "/a"), "request line: unknown method", 501),
        (Request("get", "/a"), "request line: unknown method", 501),
    ],
)
def test_a_request_that_the_enforcer_refuses_unread_is_refused(request_: Request, said: str, status: int) -> None:
    """In the same words."""
    with pytest.raises(MalformedRequestError) as refused:
        TRIED.locate(request_)
    assert (str(refused.value), refused.value.status) == (said, status)


def test_a_request_is_judged_by_its_rule() -> None:
    """And without one, refused."""
    located = TRIED.locate(Request("GET", "/a/1"))
    assert isinstance(located.judge(from_claims({"scope": "read"}), NOW), Allow)
    for evidence, reason in ((INACTIVE, Reason.INACTIVE_TOKEN), (NoToken.MISSING, Reason.MISSING_TOKEN)):
        verdict = located.judge(evidence, NOW)
        assert isinstance(verdict, Deny)
        assert verdict.reason == reason
    nowhere = TRIED.locate(Request("GET", "/b")).judge(INACTIVE, NOW)
    assert isinstance(nowhere, Deny)
    assert nowhere.reason == Reason.NO_RULE


def test_a_token_counts_as_it_was_sent() -> None:
    """A second one in the query makes the request ambiguous; one there alone is none."""
    assert shown(INACTIVE, b"x=1") is INACTIVE
    assert shown(INACTIVE, b"access_token=x") is NoToken.INVALID_REQUEST
    assert shown(None, b"access_token=x") is NoToken.MISSING


class _Ignore:
    """Takes what the parser finds."""


@pytest.mark.parametrize("method", [*sorted(METHODS), "FETCH", "get", "GE", "GETS"])
def test_the_methods_are_those_that_the_parser_knows(method: str) -> None:
    """A rule for another one would never match."""
    try:
        httptools.HttpRequestParser(_Ignore()).feed_data(f"{method} /a HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        known = True
    except httptools.HttpParserUpgrade:
        known = True  # CONNECT
    except httptools.HttpParserInvalidMethodError:
        known = False
    assert known == (method in METHODS)
