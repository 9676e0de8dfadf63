"""The rules whose path matches a request."""

from __future__ import annotations

from harness.policies import explained, policy


def test_a_method_that_is_never_forwarded_is_explained() -> None:
    """A rule for all methods does not match it."""
    (candidate,) = explained(policy({"path": "/**", "public": True}), "CONNECT /a").candidates
    assert candidate.why == "not for CONNECT: for every other method"


def test_a_rule_for_a_host_does_not_match_a_request_without_one() -> None:
    """The explanation says so."""
    (candidate,) = explained(policy({"path": "/**", "host": "*.example.org", "public": True}), "GET /a").candidates
    assert candidate.why == "not for no host: for *.example.org"
