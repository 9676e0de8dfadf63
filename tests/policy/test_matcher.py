"""The matcher: the rule for a host, path and method, and conflicts between rules."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enforcer.policy.matcher import Matcher, RequestPattern, choose
from enforcer.policy.rules import UNSERVED
from enforcer.policy.templates import Path
from enforcer.wire.target import parse

Claim = tuple[str, tuple[str, ...], str | None]


def pattern(path: str, methods: Sequence[str] = (), host: str | None = None) -> RequestPattern:
    return RequestPattern(Path.parse(path), tuple(methods), host)


def matcher(*claims: str | Claim) -> Matcher[str]:
    """Make a matcher whose entries are the texts of their claims."""
    full = [(claim, (), None) if isinstance(claim, str) else claim for claim in claims]
    return Matcher((pattern(*claim), _name(claim)) for claim in full)


def _name(claim: Claim) -> str:
    path, methods, host = claim
    return " ".join(filter(None, [",".join(methods), host, path]))


def find(rules: Matcher[str], path: str, method: str = "GET", host: str = "app") -> str | None:
    return rules.find(parse(path.encode()).segments, method.encode(), host.encode())


WALK = ("/ms-system/country/**", "/ms-system/health", "/tenants/{tenant}/reports/{id}", "/tenants/acme/**", "/{any}")


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/ms-system/country/code/AUS", "/ms-system/country/**"),
        ("/ms-system/country/", "/ms-system/country/**"),
        ("/ms-system/country", "/ms-system/country/**"),
        ("/ms-system/country?x=/ms-system/health", "/ms-system/country/**"),
        ("/ms-system/countryside", None),
        ("/ms-system/COUNTRY", None),
        ("/ms-system/health", "/ms-system/health"),
        ("/ms-system/he%61lth", "/ms-system/health"),
        ("/ms-system/health/", None),
        ("/ms-system/health/x", None),
        ("/ms-system/Health", None),
        ("/ms-system", "/{any}"),
        ("/ms-system/", None),
        ("/tenants/other/reports/7", "/tenants/{tenant}/reports/{id}"),
        ("/tenants/other/reports/", None),
        ("/tenants/other/reports", None),
        ("/tenants/other/reports/7/", None),
        ("/tenants/acme/reports/7", "/tenants/acme/**"),
        ("/tenants/acme", "/tenants/acme/**"),
        ("/tenants", "/{any}"),
        ("/%7Bany%7D", "/{any}"),
        ("/**", "/{any}"),
        ("/", None),
        ("/a/b/c/d", None),
    ],
)
def test_a_request_matches_the_rule_of_its_path_or_none(path: str, rule: str | None) -> None:
    """A parameter is one non-empty segment; `**` is the rest of the path, which may be empty."""
    assert find(matcher(*WALK), path) == rule
    assert find(matcher(*reversed(WALK)), path) == rule


@pytest.mark.parametrize(
    ("paths", "path", "rule"),
    [
        (("/a/b", "/a/{x}", "/a/**"), "/a/b", "/a/b"),
        (("/a/b", "/a/{x}", "/a/**"), "/a/c", "/a/{x}"),
        (("/a/b", "/a/{x}", "/a/**"), "/a/c/d", "/a/**"),
        (("/a/b", "/a/{x}", "/a/**"), "/a", "/a/**"),
        (("/a/b", "/a/{x}", "/a/**"), "/a/", "/a/**"),
        (("/a/b/**", "/a/{x}"), "/a/b", "/a/b/**"),
        (("/a/{x}/c", "/a/b/**"), "/a/b/c", "/a/b/**"),
        (("/a/{x}/c", "/a/b/d"), "/a/b/c", "/a/{x}/c"),
        (("/{x}/b/c", "/a/{x}/d", "/a/b/e"), "/a/b/c", "/{x}/b/c"),
        (("/{x}/b/c", "/a/{x}/d", "/a/b/e"), "/a/b/d", "/a/{x}/d"),
        (("/{x}/{y}/**", "/a/**", "/a/b/c/d"), "/a/b/c", "/a/**"),
        (("/{x}/{y}/**", "/a/z/**", "/a/b/c/d"), "/a/b/c", "/{x}/{y}/**"),
        (("/**", "/"), "/", "/"),
        (("/**", "/"), "/a", "/**"),
        (("/**",), "/", "/**"),
        (("/a/",), "/a", None),
        (("/a/",), "/a/", "/a/"),
        (("/a/", "/a/**"), "/a/", "/a/"),
        (("/admin/**", "/public/**"), "/public/..admin", "/public/**"),
    ],
)
def test_the_most_specific_path_wins_segment_by_segment_in_any_order(
    paths: tuple[str, ...], path: str, rule: str | None
) -> None:
    """From the left, a literal comes before a parameter, and a parameter before `**`."""
    assert find(matcher(*paths), path) == rule
    assert find(matcher(*reversed(paths)), path) == rule


def test_a_method_that_the_most_specific_path_omits_is_not_allowed_by_a_wider_one() -> None:
    """A rule for reading `/admin/x` would be useless if the open `/**` still allowed writing to it."""
    rules = matcher(("/admin/x", ("GET",), None), "/**")
    assert find(rules, "/admin/x", "POST") is None
    assert find(rules, "/admin/y", "POST") == "/**"


def test_a_rule_for_another_host_is_ignored() -> None:
    """Even if its path is more specific: two apps behind one gateway are independent."""
    rules = matcher(("/admin/x", ("GET",), "inside.example"), ("/admin/**", (), "*.example"), "/**")
    assert find(rules, "/admin/x", host="outside.org") == "/**"
    assert find(rules, "/admin/x", host="other.example") == "*.example /admin/**"
    assert find(rules, "/admin/x", host="inside.example") == "GET inside.example /admin/x"
    assert find(rules, "/admin/x", "POST", "inside.example") is None
    assert find(rules, "/admin/x", "POST", "other.example") == "*.example /admin/**"


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/a/b", "app.example.org /a/b"),
        ("/a/c", "*.example.org /a/{x}"),
        ("/a/c/d", "/a/**"),
        ("/x/c", "app.example.org /**"),
        ("/health", "/health"),
    ],
)
def test_the_path_decides_before_the_host(path: str, rule: str) -> None:
    """Among rules that apply to the host, the most specific path wins; a rule without a host applies to all."""
    rules = matcher(
        ("/a/b", (), "app.example.org"),
        ("/a/{x}", (), "*.example.org"),
        ("/**", (), "app.example.org"),
        "/a/**",
        "/health",
    )
    assert find(rules, path, host="app.example.org") == rule


@pytest.mark.parametrize(
    ("method", "rule"),
    [
        ("GET", "GET /a"),
        ("HEAD", "GET /a"),
        ("POST", "POST,PUT /a"),
        ("PUT", "POST,PUT /a"),
        ("get", None),
        ("DELETE", None),
        ("GE", None),
        ("", None),
    ],
)
def test_a_rule_is_for_its_methods_and_get_covers_head(method: str, rule: str | None) -> None:
    """Heimdall #3452: a rule for reading must not allow writing. RFC 9110 §9.1: methods are case-sensitive."""
    assert find(matcher(("/a", ("GET",), None), ("/a", ("POST", "PUT"), None)), "/a", method) == rule


def test_a_rule_that_names_head_comes_before_one_that_covers_it() -> None:
    """HEAD does not cover GET."""
    rules = matcher(("/a", ("GET",), None), ("/a", ("HEAD",), None))
    assert find(rules, "/a", "HEAD") == "HEAD /a"
    assert find(rules, "/a", "GET") == "GET /a"
    assert find(matcher(("/a", ("HEAD",), None)), "/a", "GET") is None


HOSTS = (("/a", (), None), ("/a", (), "app.example.org"), ("/a", (), "*.example.org"), ("/a", (), "[2001:DB8::1]"))


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        ("app.example.org", "app.example.org /a"),
        ("APP.Example.ORG", "app.example.org /a"),
        ("app.example.org:8443", "app.example.org /a"),
        ("app.example.org.", "app.example.org /a"),
        ("app.example.org.:80", "app.example.org /a"),
        ("other.example.org", "*.example.org /a"),
        ("other.example.org.", "*.example.org /a"),
        ("a.b.example.org", "/a"),
        ("example.org", "/a"),
        ("app.example.org.evil", "/a"),
        ("evil-app.example.org", "*.example.org /a"),
        ("app.example.orga", "/a"),
        ("[2001:db8::1]:80", "[2001:DB8::1] /a"),
        ("[2001:db8::1]", "[2001:DB8::1] /a"),
        ("[2001:db8::2]", "/a"),
        ("", "/a"),
    ],
)
def test_an_exact_host_comes_before_a_wildcard_and_a_wildcard_before_none(host: str, rule: str) -> None:
    """Case, port and a trailing dot do not matter: for the app it is the same host."""
    assert find(matcher(*HOSTS), "/a", host=host) == rule


@pytest.mark.parametrize(
    ("claims", "method", "host", "rule"),
    [
        ((("/a", ("GET",), "a"), ("/a", (), "b")), "GET", "b", "b /a"),
        ((("/a", ("GET",), "a"), ("/a", (), None)), "GET", "b", "/a"),
        ((("/a", ("GET",), "a"), ("/a", (), None)), "GET", "a", "GET a /a"),
        ((("/a", ("GET",), None), ("/a", (), "b")), "GET", "b", "b /a"),
        ((("/a", ("GET",), None), ("/a", (), "b")), "GET", "a", "GET /a"),
        ((("/a", ("HEAD",), None), ("/a", ("GET",), "b")), "HEAD", "b", "GET b /a"),
        ((("/a", ("HEAD",), "b"), ("/a", ("GET",), "b")), "HEAD", "b", "HEAD b /a"),
        ((("/a", ("HEAD", "GET"), "b"), ("/a", (), None)), "HEAD", "b", "HEAD,GET b /a"),
        ((("/a", ("GET",), "b.c"), ("/a", ("PUT",), "*.c"), ("/a", (), None)), "PUT", "b.c", "PUT *.c /a"),
        ((("/a", ("GET",), "b.c"), ("/a", ("PUT",), "*.c"), ("/a", (), None)), "POST", "b.c", "/a"),
        ((("/a", ("GET",), "b.c"), ("/a", ("PUT",), "*.c"), ("/a", ("GET",), None)), "POST", "b.c", None),
        ((("/a", ("HEAD",), "a"), ("/a", ("GET",), "b")), "HEAD", "b", "GET b /a"),
        ((("/a", ("HEAD",), "a"), ("/a", ("GET",), None)), "HEAD", "b", "GET /a"),
        ((("/a", ("HEAD",), "a"), ("/a", (), "b")), "HEAD", "b", "b /a"),
        ((("/a", ("HEAD",), "a"), ("/a", ("GET",), "b")), "HEAD", "c", None),
    ],
)
def test_a_rule_for_another_host_hides_no_rule(
    claims: tuple[Claim, ...], method: str, host: str, rule: str | None
) -> None:
    """Two apps behind one proxy may have the same paths; for one path, the host decides before the method."""
    assert find(matcher(*claims), "/a", method, host) == rule


@pytest.mark.parametrize(
    ("first", "second", "method"),
    [
        (("/a", (), None), ("/a", (), None), "*"),
        (("/a/{x}", (), None), ("/a/{y}", (), None), "*"),
        (("/a/**", (), None), ("/a/**", (), None), "*"),
        (("/caf%C3%A9", (), None), ("/café", (), None), "*"),
        (("/%61", (), None), ("/a", (), None), "*"),
        (("/a", ("GET", "POST"), None), ("/a", ("PUT", "POST"), None), "POST"),
        (("/a", ("GET",), None), ("/a", (), None), "*"),
        (("/a", (), None), ("/a", ("GET",), None), "GET"),
        (("/a", (), "app"), ("/a", (), "APP"), "*"),
        (("/a", (), "*.x.org"), ("/a", (), "*.X.org"), "*"),
        (("/a", ("GET",), "app"), ("/a", (), "app"), "*"),
    ],
)
def test_two_rules_for_the_same_requests_are_a_conflict(first: Claim, second: Claim, method: str) -> None:
    """It is unclear which of them is meant; the later one is reported."""
    assert matcher(first, second).conflicts == [(_name(second), method)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("/a", (), None), ("/a/", (), None)),
        (("/a", (), None), ("/a/**", (), None)),
        (("/a/{x}", (), None), ("/a/b", (), None)),
        (("/a/{x}", (), None), ("/a/**", (), None)),
        (("/a", ("GET",), None), ("/a", ("POST",), None)),
        (("/a", ("GET",), None), ("/a", ("HEAD",), None)),
        (("/a", (), "app"), ("/a", (), None)),
        (("/a", (), "a.x.org"), ("/a", (), "*.x.org")),
        (("/a", (), "a"), ("/a", (), "b")),
        (("/a", ("GET",), "a"), ("/a", (), "b")),
    ],
)
def test_a_more_specific_rule_is_not_a_conflict(first: Claim, second: Claim) -> None:
    """The more specific rule wins."""
    assert matcher(first, second).conflicts == []
    assert matcher(second, first).conflicts == []


def test_without_rules_no_request_matches() -> None:
    """Without a rule, a request is denied."""
    assert find(matcher(), "/") is None
    assert find(matcher(), "/a/b") is None


def test_a_path_longer_than_any_rule_is_matched_without_recursion() -> None:
    """The cost is at most linear in the path, and no request exhausts the stack."""
    rules = matcher("/**", "/a/{x}/{y}", "/a/a/a")
    assert find(rules, "/a" * 4000) == "/**"


_SEGMENTS = st.sampled_from(["a", "b", "{x}", "c"])
_PATHS = st.builds(
    lambda segments, end: "/" + "/".join([*segments, *end]),
    st.lists(_SEGMENTS, max_size=3, unique_by=lambda segment: segment if segment == "{x}" else object()),
    st.sampled_from([[], ["**"], [""]]),
)
_CLAIMS = st.tuples(
    _PATHS,
    st.sampled_from([(), (), ("GET",), ("POST", "HEAD"), ("GET", "POST"), ("HEAD",)]),
    st.sampled_from([None, None, "a.org", "b.org", "*.org"]),
)


def most_specific(rules: list[Claim], segments: list[str], method: str, host: str) -> Claim | None:
    """Return the rule that the matcher must find, by comparing every rule."""

    def path_rank(rule: Claim) -> list[int] | None:
        parts = rule[0][1:].split("/")
        rank: list[int] = []
        for index, part in enumerate(parts):
            if part == "**":
                return [*rank, 2]
            if index == len(segments):
                return None
            if part == "{x}" and segments[index]:
                rank.append(1)
            elif part == segments[index]:
                rank.append(0)
            else:
                return None
        return [*rank, -1] if len(parts) == len(segments) else None

    def rank(rule: Claim) -> tuple[int, int] | None:
        methods = rule[1]
        if not methods:
            by_method = 2
        elif method in methods:
            by_method = 0
        elif method == "HEAD" and "GET" in methods:
            by_method = 1
        else:
            return None
        return by_host(rule), by_method

    def by_host(rule: Claim) -> int:
        return [host, "*." + host.partition(".")[2], None].index(rule[2])

    of_host = [rule for rule in rules if rule[2] in (None, host, "*." + host.partition(".")[2])]
    of_path = [(path, rule) for rule in of_host if (path := path_rank(rule)) is not None]
    if not of_path:
        return None
    best = min(path for path, _ in of_path)
    candidates = [(key, rule) for path, rule in of_path if path == best and (key := rank(rule)) is not None]
    return min(candidates)[1] if candidates else None


@given(
    st.lists(_CLAIMS, max_size=8),
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=4).flatmap(
                lambda path: st.sampled_from([path or [""], [*path, ""]])
            ),
            st.sampled_from(["GET", "HEAD", "POST", "PUT"]),
            st.sampled_from(["a.org", "b.org", "c.org", "a.com"]),
        ),
        min_size=1,
        max_size=8,
    ),
)
@example([("/a", ("GET",), "a.org"), ("/a", (), None)], [(["a"], "GET", "b.org")])
def test_the_matcher_agrees_with_a_comparison_of_every_rule(
    claims: list[Claim], requests: list[tuple[list[str], str, str]]
) -> None:
    """For any rules without a conflict, in any order."""
    rules: list[Claim] = []
    for claim in claims:
        if not Matcher([(pattern(*rule), rule) for rule in (*rules, claim)]).conflicts:
            rules.append(claim)
    forward, backward = (Matcher((pattern(*rule), rule) for rule in order) for order in (rules, rules[::-1]))
    assert forward.conflicts == backward.conflicts == []
    for segments, method, host in requests:
        path = [segment.encode() for segment in segments]
        expected = most_specific(rules, segments, method, host)
        assert forward.find(path, method.encode(), host.encode()) == expected
        assert backward.find(path, method.encode(), host.encode()) == expected
        by_method = forward.matches(path, host.encode())
        assert (None if by_method is None else choose(by_method, method.encode())) == expected


@pytest.mark.parametrize("method", sorted(UNSERVED))
def test_a_rule_for_all_methods_does_not_match_an_unserved_method(method: bytes) -> None:
    """CONNECT would open a tunnel, and the others are not methods of HTTP."""
    everything = matcher("/**")
    assert find(everything, "/a", "GET") == "/**"
    assert find(everything, "/a", method.decode()) is None


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/a/t.json", "/a/{id}.json"),
        ("/a/v1.json", "/a/{id}.json"),  # more fixed text than v{x}
        ("/a/v1", "/a/v{x}"),
        ("/a/v", "/a/{any}"),
        ("/a/.json", "/a/{any}"),
        ("/a/t:publish", "/a/{t}:publish"),
        ("/a/b.json", "/a/b.json"),
        ("/a/b.json/c", "/a/{id}.json/c"),
        ("/a/t.json/c", "/a/{id}.json/c"),
        ("/a/ab-xy", "/a/ab-{z}"),  # as much fixed text as {y}-xy, more of it at the beginning
        ("/a/b-xy", "/a/{y}-xy"),
        ("/a/t.json/d", "/a/**"),
    ],
)
def test_more_fixed_text_in_a_segment_is_more_specific(path: str, template: str) -> None:
    """A literal precedes it, and a whole segment follows; the order of the rules changes nothing."""
    templates = ["/a/{any}", "/a/v{x}", "/a/{id}.json", "/a/{id}.json/c", "/a/{t}:publish", "/a/b.json", "/a/**"]
    templates += ["/a/{y}-xy", "/a/ab-{z}"]
    segments = [segment.encode() for segment in path[1:].split("/")]
    for order in (templates, templates[::-1]):
        matcher = Matcher((pattern(text), text) for text in order)
        assert matcher.conflicts == []
        assert matcher.find(segments, b"GET", b"") == template
    matching = [text for text in templates if Path.parse(text).matches(segments)]
    assert min(matching, key=lambda text: Path.parse(text).rank) == template
