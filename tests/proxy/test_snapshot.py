"""The snapshot: what a request target leads to."""

from __future__ import annotations

from typing import Any

import pytest
from harness.snapshots import snapshot

from enforcer.policy.decision import SkippedVerification
from enforcer.policy.matcher import choose
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
    cache = RouteCache(SNAPSHOT.routes.matcher, SNAPSHOT.no_route)
    first = cache.locate(b"/read/a%62", b"")
    assert first[0].segments == [b"read", b"ab"]
    assert cache.locate(b"/read/a%62", b"")[0] is first[0]
    assert cache.locate(b"/nothing", b"")[1] is None


@pytest.mark.parametrize("target", [b"/read/a?secret=1", b"/open/" + b"a" * 300])
def test_a_target_that_is_long_or_has_a_query_is_not_remembered(target: bytes) -> None:
    """Mostly it never comes again, and may hold a secret."""
    cache = RouteCache(SNAPSHOT.routes.matcher, SNAPSHOT.no_route)
    cache.locate(target, b"")
    assert not cache.located


def test_the_cache_is_bounded() -> None:
    """It is emptied when it is full."""
    cache = RouteCache(SNAPSHOT.routes.matcher, SNAPSHOT.no_route)
    for number in range(5000):
        cache.locate(b"/open/%d" % number, b"")
        cache.locate(b"/open/%d//?x" % number, b"")
    assert 0 < len(cache.located) <= 4096
    assert 0 < len(cache.settled) <= 1024


def test_the_host_makes_a_difference_only_if_rules_name_one() -> None:
    """A target that is remembered for one host is not taken for that of another."""
    for _ in range(2):
        assert name(BY_HOST, b"/open/1", b"a.example") == "open"
        assert name(BY_HOST, b"/open/1", b"b.example") == "read"
        assert name(BY_HOST, b"/open/1", b"c.example") is None
    cache = RouteCache(SNAPSHOT.routes.matcher, SNAPSHOT.no_route)
    assert cache.locate(b"/open/1", b"a.example")[0] is cache.locate(b"/open/1", b"b.example")[0]


def test_a_path_whose_readings_agree_leads_to_their_rule() -> None:
    """At first and later, with a query and without."""
    for target in (b"/open/a%2Fb", b"/open/a%2Fb", b"/open/a%2Fb?c", b"/open/a%2Fb?d", b"/open//x/..;/y"):
        assert name(SNAPSHOT, target) == "open"
        assert name(BY_HOST, target, b"a.example") == "open"
        assert name(BY_HOST, target, b"c.example") is None
    assert name(SNAPSHOT, b"/nowhere//at/all") is None


@pytest.mark.parametrize(
    ("target", "parting"),
    [
        (b"/read//a", 'lead to no rule and rule "read"'),
        (b"/read/a%2Fb", 'lead to rule "read" and no rule'),
        (b"/open/..%2Fread/a", 'lead to rule "open" and rule "read"'),
        (b"/open/" + b"%252525252F", "too many readings"),
    ],
)
def test_a_path_whose_readings_part_leads_to_a_route_that_says_so(target: bytes, parting: str) -> None:
    """It has no rule; in report mode of all the rules, the request is forwarded."""
    for served, reports in ((SNAPSHOT, False), (snapshot(rules=RULES, mode="report"), True)):
        for _ in range(2):
            _, methods = served.routes.locate(target, b"")
            assert methods is not None
            route = choose(methods, b"GET")
            assert route is not None
            assert route.requirement is None
            assert route.without_token is SkippedVerification.AMBIGUOUS_PATH
            assert (route.report_only, route.needs_token) == (reports, False)
            assert parting in route.parting


PLACED: list[dict[str, Any]] = [
    {"name": "open", "path": "/open/**", "scopes": ["open"], "token_from": {"header": "X-Open"}},
    {"name": "read", "path": "/read/{id}", "scopes": ["read"], "token_from": {"cookie": "read"}},
    {"name": "elsewhere", "path": "/elsewhere", "scopes": ["read"], "token_from": {"header": "X-Elsewhere"}},
]


@pytest.mark.parametrize(
    ("target", "remaining"),
    [
        (b"/open/..%2Fread/a", [b"X-Elsewhere"]),
        (b"/read/a%2Fb", [b"X-Open", b"X-Elsewhere"]),
        (b"/open/" + b"%252525252F", []),
    ],
)
def test_the_tokens_of_all_readings_are_removed_in_report_mode(target: bytes, remaining: list[bytes]) -> None:
    """The app may serve the request by the rule of any reading; if there are too many, by any rule."""
    _, methods = snapshot(rules=PLACED, mode="report").routes.locate(target, b"")
    assert methods is not None
    route = choose(methods, b"GET")
    assert route is not None
    assert route.places is not None
    sent = [(b"X-Open", b"a"), (b"Cookie", b"read=b"), (b"X-Elsewhere", b"c")]
    lines = [piece for name, value in sent for piece in (name, b": ", value, b"\r\n")]
    assert route.places.take(None, 0, lines, b"/").lines[::4] == remaining


def test_a_path_is_forwarded_for_the_methods_for_which_its_readings_agree() -> None:
    """GET leads to two rules, and POST only to one of them."""
    served = snapshot(rules=[*RULES, {"name": "some", "path": "/open/some", "methods": ["GET"], "public": True}])
    _, methods = served.routes.locate(b"/open/some%3Bx", b"")
    assert methods is not None
    routes = [choose(methods, method) for method in (b"GET", b"HEAD", b"POST")]
    assert [route is not None and route.parting != "" for route in routes] == [True, True, True]


@pytest.mark.parametrize(("method", "served"), [(b"GET", True), (b"CONNECT", False)])
def test_a_method_that_is_never_forwarded_has_a_route_of_its_own(method: bytes, served: bool) -> None:
    """Report mode does not let it pass either."""
    reporting = snapshot(rules=RULES, mode="report")
    assert reporting.without_rule(method).report_only == served
