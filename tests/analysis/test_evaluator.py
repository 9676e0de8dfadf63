"""Evaluating requests against a policy, without a running enforcer."""

import httptools
import pytest
from harness.policies import NOW, policy

from enforcer.analysis.evaluator import PolicyRequest, token_evidence
from enforcer.analysis.request_heads import UnreadableRequestError
from enforcer.policy.decision import Allow, Deny, Reason
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.claims import read_claims
from enforcer.tokens.introspection.response import INACTIVE
from enforcer.wire.fields import METHODS

TRIED = policy(
    {"path": "/a/{id}", "methods": ["GET"], "scopes": ["read"]},
    {"path": "/a/**", "host": "*.example.org", "authenticated": True},
)


@pytest.mark.parametrize(
    ("request_", "rule"),
    [
        (PolicyRequest("GET", "/a/1"), "/a/{id}"),
        (PolicyRequest("HEAD", "/a/1?x=1"), "/a/{id}"),
        (PolicyRequest("GET", "/a/1/2"), None),
        (PolicyRequest("GET", "/a/1/2", "app.example.org:8080"), "/a/**"),
        (PolicyRequest("GET", "http://app.example.org/a/1/2"), "/a/**"),
        (PolicyRequest("GET", "http://app.example.org/a/1/2", "APP.example.org"), "/a/**"),
    ],
)
def test_a_request_matches_its_rule(request_: PolicyRequest, rule: str | None) -> None:
    """By path, method and host, which may be part of the target."""
    entry = TRIED.locate(request_).entry
    assert (entry and entry.rule.name) == rule


@pytest.mark.parametrize(
    ("request_", "message", "status"),
    [
        (PolicyRequest("GET", "/../b"), "request target: the path leads above the root", 400),
        (PolicyRequest("GET", "/caf\u00e9"), "request target: the path has a byte that no path segment has", 400),
        (PolicyRequest("GET", "/\udcff"), "request target: the path has a byte that no path segment has", 400),
        (PolicyRequest("GET", "a"), "request target: neither a path nor an http URI", 400),
        (PolicyRequest("GET", "/a", "a b"), "Host: not a host", 400),
        (PolicyRequest("GET", "http://app/a", "other"), "Host: not the one of the request target", 400),
        (PolicyRequest("GET", "/a" + "b" * 9000), "the request target is too long", 414),
        (PolicyRequest("GET", "/a", headers=(("a b", "c"),)), "not valid HTTP/1.1 (RFC 9112)", 400),
        (PolicyRequest("GET", "/a", headers=(("Connection", "a b"),)), "Connection: not a list of options", 400),
        (PolicyRequest("GET", "/a", "app", headers=(("Host", "app"),)), "Host: more than one", 400),
        (
            PolicyRequest("COPY", "/a", headers=(("Destination", "b"),)),
            "Destination: neither a path nor an http URI",
            400,
        ),
        (PolicyRequest("FETCH", "/a"), "request line: unknown method", 501),
        (PolicyRequest("get", "/a"), "request line: unknown method", 501),
    ],
)
def test_an_invalid_request_is_refused_as_by_the_enforcer(request_: PolicyRequest, message: str, status: int) -> None:
    """With the same message."""
    with pytest.raises(UnreadableRequestError) as refused:
        TRIED.locate(request_)
    assert (str(refused.value), refused.value.refusal.status) == (message, status)


def test_a_request_is_decided_by_its_rule() -> None:
    """Without a rule it is denied."""
    located = TRIED.locate(PolicyRequest("GET", "/a/1"))
    assert isinstance(located.decide(read_claims({"scope": "read"}), NOW), Allow)
    for evidence, reason in ((INACTIVE, Reason.INACTIVE_TOKEN), (NoToken.MISSING, Reason.MISSING_TOKEN)):
        verdict = located.decide(evidence, NOW)
        assert isinstance(verdict, Deny)
        assert verdict.reason == reason
    nowhere = TRIED.locate(PolicyRequest("GET", "/b")).decide(INACTIVE, NOW)
    assert isinstance(nowhere, Deny)
    assert nowhere.reason == Reason.NO_RULE


def test_a_token_is_in_the_first_place_of_its_rule() -> None:
    """A second one in the request's fields or query makes it unreadable; another site's page may not use the cookie."""
    tried = policy(
        {"path": "/any", "token_from": {"bearer": True, "query": "token"}, "authenticated": True},
        {"path": "/cookie", "token_from": {"cookie": "token"}, "authenticated": True},
        {"path": "/default", "authenticated": True},
    )

    def evidence(target: str, *headers: tuple[str, str]) -> object:
        return token_evidence(INACTIVE, tried.locate(PolicyRequest("GET", target, "a", headers=headers)))

    assert evidence("/any?x=1") is INACTIVE
    assert evidence("/any?token=x") is NoToken.INVALID_REQUEST
    assert evidence("/cookie") is INACTIVE
    assert evidence("/cookie", ("Sec-Fetch-Site", "cross-site")) is NoToken.CROSS_SITE
    assert evidence("/cookie", ("Cookie", "token=x")) is NoToken.INVALID_REQUEST
    assert evidence("/default?access_token=x") is INACTIVE
    assert token_evidence(None, tried.locate(PolicyRequest("GET", "/any?token=x"))) is NoToken.INVALID_REQUEST
    assert token_evidence(None, tried.locate(PolicyRequest("GET", "/default?access_token=x"))) is NoToken.MISSING


class _Ignore:
    """Ignores the parser's events."""


@pytest.mark.parametrize("method", [*sorted(METHODS), "FETCH", "get", "GE", "GETS"])
def test_the_methods_are_those_that_the_parser_knows(method: str) -> None:
    """A rule for another method would never match."""
    try:
        httptools.HttpRequestParser(_Ignore()).feed_data(f"{method} /a HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        known = True
    except httptools.HttpParserUpgrade:
        known = True  # CONNECT
    except httptools.HttpParserInvalidMethodError:
        known = False
    assert known == (method in METHODS)
