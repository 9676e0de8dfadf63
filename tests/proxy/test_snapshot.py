"""The snapshot: what a request target leads to."""

from __future__ import annotations

from typing import Any

import pytest
from harness.snapshots import snapshot

from enforcer.errors import MalformedRequestError
from enforcer.proxy.snapshot import RouteCache, Snapshot

RULES: list[dict[str, Any]] = [
    {"name": "read", "path": "/read/{id}", "methods": ["GET"], "scopes": ["read"]},
    {"name": "open", "path": "/open/**", "public": True},
]
SNAPSHOT = snapshot(rules=RULES)
BY_HOST = snapshot(rules=[{**RULES[1], "host": "a.example"}, {**RULES[0], "path": "/open/{id}", "host": "b.example"}])


def name(by: Snapshot, target: bytes, host: bytes = b"", method: bytes = b"GET") -> str | None:
    """Return the name of the rule that a target leads to."""
    _, methods = by.routes.locate(target, host)
    route = None if methods is None else methods.get(method, methods.get(None))
    return None if route is None or route.requirement is None else route.requirement.rule.name


def test_a_target_leads_to_the_routes_of_its_path() -> None:
    """Read once: the second time the same target is returned."""
    cache = RouteCache(SNAPSHOT.routes.matcher)
    first = cache.locate(b"/read/a%62", b"")
    assert first[0].segments == [b"read", b"ab"]
    assert cache.locate(b"/read/a%62", b"")[0] is first[0]
    assert cache.locate(b"/nothing", b"")[1] is None


@pytest.mark.parametrize("target", [b"/read/a?secret=1", b"/open/" + b"a" * 300])
def test_a_target_that_is_long_or_has_a_query_is_not_remembered(target: bytes) -> None:
    """Mostly it never comes again, and may hold a secret."""
    cache = RouteCache(SNAPSHOT.routes.matcher)
    cache.locate(target, b"")
    assert not cache.located


def test_the_cache_is_bounded() -> None:
    """It is emptied when it is full."""
    cache = RouteCache(SNAPSHOT.routes.matcher)
    for number in range(5000):
        cache.locate(b"/open/%d" % number, b"")
    assert 0 < len(cache.located) <= 4096


def test_the_host_makes_a_difference_only_if_rules_name_one() -> None:
    """A target that is remembered for one host is not taken for that of another."""
    for _ in range(2):
        assert name(BY_HOST, b"/open/1", b"a.example") == "open"
        assert name(BY_HOST, b"/open/1", b"b.example") == "read"
        assert name(BY_HOST, b"/open/1", b"c.example") is None
    cache = RouteCache(SNAPSHOT.routes.matcher)
    assert cache.locate(b"/open/1", b"a.example")[0] is cache.locate(b"/open/1", b"b.example")[0]


def test_a_target_that_can_be_read_in_two_ways_is_not_located() -> None:
    """Neither at first nor later."""
    for _ in range(2):
        with pytest.raises(MalformedRequestError):
            SNAPSHOT.routes.locate(b"/read//a", b"")


@pytest.mark.parametrize(("method", "served"), [(b"GET", True), (b"CONNECT", False)])
def test_a_method_that_is_never_forwarded_has_a_route_of_its_own(method: bytes, served: bool) -> None:
    """Report mode does not let it pass either."""
    reporting = snapshot(rules=RULES, mode="report")
    assert reporting.without_rule(method).report_only == served
