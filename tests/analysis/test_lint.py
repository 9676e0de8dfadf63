"""Lint findings, valid rules that are probably unintended: the exact text."""

import time
from typing import Any

import pytest
from harness.policies import CONDITIONS, policy

from enforcer.analysis.lint import lint

A: dict[str, Any] = {"authenticated": True}
OTHER_CASE = (
    "would match it; rules for the other letter case have other conditions, which it needs too if the app ignores case"
)


def findings(*rules: dict[str, Any], code: str | None = None) -> list[tuple[str, int, str]]:
    """Return code, rule and message of each finding; `code` selects the findings of one code."""
    all_findings = [(finding.code, finding.rule, finding.message) for finding in lint(policy(*rules))]
    return [finding for finding in all_findings if code in (None, finding[0])]


def test_an_unremarkable_policy_has_no_finding() -> None:
    """No warning without a reason."""
    rules: list[dict[str, Any]] = [
        {"path": "/users/{id}", "methods": ["GET"], "scopes": ["users.read"]},
        {"path": "/users/me", "methods": ["GET"], "authenticated": True},
        {"path": "/users/**", "methods": ["POST"], "scopes": ["users.read"]},
        {"path": "/users/", "methods": ["POST"], "scopes": ["users.read"]},
        {"path": "/other/**", "scopes": ["other"]},
        {"path": "/other", "scopes": ["other", "more"]},
        {"path": "/other/", "scopes": ["other", "more"]},
    ]
    assert [finding for finding in findings(*rules) if finding[0] not in ("scope_used_once", "methods_left_out")] == []


def test_a_policy_without_rules_has_no_finding() -> None:
    """An app without rules starts like this, in report mode."""
    assert findings() == []


@pytest.mark.parametrize("key", CONDITIONS)
def test_a_rule_with_any_condition_requires_more_than_a_rule_with_none(key: str) -> None:
    """A weaker rule for the same path with a slash is a warning."""
    rules = {"path": "/a", key: CONDITIONS[key]}, {"path": "/a/", **A}
    assert [rule for _, rule, _ in findings(*rules, code="weaker_around")] == [0]


def test_a_finding_about_a_path_names_the_path_of_several() -> None:
    """A rule with several paths is one rule, and each of its paths is looked at."""
    rules = {"paths": ["/a", "/b"], "scopes": ["s"]}, {"path": "/b/", **A}, {"paths": ["/c", "/d"], "public": True}
    assert findings(*rules) == [
        (
            "weaker_around",
            0,
            '/b/ matches "/b/" (rules.yaml:2), which does not require scope s; '  # noqa: ISC004
            "an app may treat both as the same: let its path be /b/**",
        ),
        ("public", 2, "everybody is allowed: all methods of /c and /d"),
    ]


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (["GET", "POTS"], "requests with the method POTS are answered 501; did you mean POST?"),
        (["FETCHING"], "requests with the method FETCHING are answered 501"),
    ],
)
def test_a_method_that_no_request_has_is_a_warning(methods: list[str], message: str) -> None:
    """The parser refuses it before any rule is matched."""
    assert findings({"path": "/a", "methods": methods, **A}, code="unknown_method") == [("unknown_method", 0, message)]


NEVER = '"/a/**" never matches: other rules match every path below it'


@pytest.mark.parametrize(
    ("paths", "never"),
    [
        (["/a/**", "/a", "/a/", "/a/{x}/**"], True),
        (["/a/**", "/a", "/a/", "/a/{x}", "/a/{x}/", "/a/{x}/{y}/**"], True),
        (["/a/**", "/a", "/a/", "/{x}/**", "/a/{x}/**"], True),
        (["/a/**", "/a", "/a/{x}/**"], False),
        (["/a/**", "/a/", "/a/{x}/**"], False),
        (["/a/**", "/a", "/a/", "/a/{x}"], False),
        (["/a/**", "/a", "/a/", "/a/{x}", "/a/{x}/{y}/**"], False),
        (["/a/**", "/a", "/a/", "/a/b/**"], False),
        (["/a/**", "/**"], False),
    ],
)
def test_a_rule_that_never_matches_is_a_warning(paths: list[str], never: bool) -> None:
    """More specific rules match the path itself, the path with a slash, and everything below."""
    actual = findings(*({"path": path, **A} for path in paths), code="never_matches")
    assert actual == ([("never_matches", 0, NEVER)] if never else [])


def test_the_rule_for_every_path_may_never_match() -> None:
    """No path is above `/`."""
    (actual,) = findings({"path": "/**", **A}, {"path": "/", **A}, {"path": "/{x}/**", **A}, code="never_matches")
    assert actual[1] == 0


def test_a_weaker_rule_for_the_path_with_a_slash_is_a_warning() -> None:
    """Many apps treat both paths as the same."""
    assert findings(
        {"path": "/a/**", "public": True},
        {"path": "/a/b", "methods": ["GET"], "scopes": ["b"]},
        {"path": "/a/c/", "authenticated": True},
        {"path": "/a", "scopes": ["a"]},
        code="weaker_around",
    ) == [
        (
            "weaker_around",
            1,
            (
                '/a/b/ matches "/a/**" (rules.yaml:1), which does not require a token; '
                "an app may treat both as the same: let its path be /a/b/**"
            ),
        ),
        (
            "weaker_around",
            2,
            (
                '/a/c matches "/a/**" (rules.yaml:1), which does not require a token; '
                "an app may treat both as the same: let its path be /a/c/**"
            ),
        ),
        (
            "weaker_around",
            3,
            (
                '/a/ matches "/a/**" (rules.yaml:1), which does not require a token; '
                "an app may treat both as the same: add a rule for /a/"
            ),
        ),
    ]


def test_a_rule_that_requires_another_scope_is_as_bad_as_a_weaker_one() -> None:
    """The commonest trap: /api/admin/ and /api/Admin pass with the scope of everything else."""
    rules: list[dict[str, Any]] = [
        {"name": "api", "path": "/api/**", "scopes": ["read"]},
        {"name": "admin", "path": "/api/admin", "scopes": ["admin"]},
    ]
    assert findings(*rules, code="weaker_around") == [
        (
            "weaker_around",
            1,
            (
                '/api/admin/ matches "api" (rules.yaml:1), which does not require scope admin; '
                "an app may treat both as the same: let its path be /api/admin/**"
            ),
        )
    ]
    assert findings(*rules, code="weaker_in_other_letters") == [
        ("weaker_in_other_letters", 0, f"/api/ADMIN {OTHER_CASE}")
    ]


SHOP: list[dict[str, Any]] = [
    {"path": "/health", "public": True},
    {"path": "/shop/**", "methods": ["GET"], "scopes": ["shop.read"]},
    {"path": "/shop/**", "methods": ["POST", "PUT", "PATCH", "DELETE"], "scopes": ["shop.read", "shop.write"]},
]


@pytest.mark.parametrize(
    "rules",
    [
        [{"path": "/shop/admin/**", "scopes": ["shop.admin"]}],
        [{"path": "/shop/orders/{id}", "methods": ["GET"], "any_scope": ["shop.read", "shop.write"]}],
        [{"path": "/shop/status", "methods": ["GET"], "public": True}],
        [{"path": "/shop/status", "methods": ["GET"], "authenticated": True}],
        [{"path": "/shop/{id}/notes", "methods": ["POST"], "scopes": ["shop.write"]}],
        [{"path": "/shop/export", "scopes": ["export"]}, {"path": "/shop/export/", "scopes": ["export"]}],
        [{"path": "/admin", "scopes": ["shop.admin"]}],
        [{"path": "/{shop}", "scopes": ["shop.admin"]}],
    ],
)
def test_a_policy_without_the_trap_has_no_warning(rules: list[dict[str, Any]]) -> None:
    """A rule for a whole area, a rule that requires less than the one around it, or no rule around it."""
    assert findings(*SHOP, *rules, code="weaker_around") == []


@pytest.mark.parametrize(
    "rule",
    [
        {"path": "/shop/admin", "scopes": ["shop.admin"]},
        {"path": "/shop/{id}/admin", "methods": ["DELETE"], "client_ids": ["console"]},
        {"path": "/shop/{id}/", "methods": ["GET"], "claims": {"shop": "{id}"}},
        {"path": "/shop", "methods": ["PUT"], "scopes": ["shop.owner"]},
    ],
)
def test_the_proposed_rule_ends_the_warning(rule: dict[str, Any]) -> None:
    """Of a realistic policy: another path for the rule, or a rule more with its conditions."""
    ((_, _, message),) = findings(*SHOP, rule, code="weaker_around")
    advice, path = message.rsplit(" ", 1)
    rules = [*SHOP, {**rule, "path": path}, *([rule] if advice.endswith("add a rule for") else [])]
    assert findings(*rules, code="weaker_around") == []


@pytest.mark.parametrize(
    ("rules", "warned"),
    [
        ([{"path": "/**", "authenticated": True}, {"path": "/a/{x}", "host": "a.org", "scopes": ["s"]}], True),
        ([{"path": "/a/**", "public": True}, {"path": "/a/**", "host": "*.org", "authenticated": True}], True),
        ([{"path": "/a", "public": True}, {"path": "/a/**", "host": "*.org", "authenticated": True}], False),
        ([{"path": "/**", "scopes": ["s"]}, {"path": "/a", "host": "a.org", "scopes": ["s"]}], False),
        ([{"path": "/**", "public": True}, {"path": "/a", "host": "a.org", "upstream": "other", **A}], False),
        ([{"path": "/**", "public": True, "host": "b.org"}, {"path": "/a", "host": "a.org", **A}], False),
        (
            [
                {"path": "/**", "public": True},
                {"path": "/a/**", "scopes": ["s"]},
                {"path": "/a/b", "host": "a.org", "scopes": ["s"]},
            ],
            False,
        ),
    ],
)
def test_a_weaker_rule_for_other_hosts_is_a_warning(rules: list[dict[str, Any]], warned: bool) -> None:
    """Clients choose Host, and one app may serve every host."""
    path, first = rules[-1]["path"], rules[0]["path"]
    message = (
        f'for any other Host, which clients choose, {path} matches "{first}" (rules.yaml:1), which does not require '
    )
    message += "scope s" if "scopes" in rules[-1] else "a token"
    last = len(rules) - 1
    expected = [("weaker_for_other_hosts", last, message)] if warned else []
    assert findings(*rules, code="weaker_for_other_hosts") == expected


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ({"public": True, "methods": ["POST"]}, {"authenticated": True, "methods": ["GET"]}),
        ({"public": True, "host": "x.org"}, {"authenticated": True, "host": "y.org"}),
        ({"public": True}, {"public": True}),
    ],
)
def test_a_rule_for_other_requests_is_not_weaker(wide: dict[str, Any], narrow: dict[str, Any]) -> None:
    """It has other methods, or another host."""
    assert findings({"path": "/a/**", **wide}, {"path": "/a/b", **narrow}, code="weaker_around") == []


@pytest.mark.parametrize("host", ["*.x.org", None])
def test_a_rule_for_more_hosts_may_be_weaker(host: str | None) -> None:
    """It matches the host of the other rule too."""
    rules = {"path": "/a/**", "public": True, "host": host}, {"path": "/a/b", "host": "y.x.org", **A}
    assert [rule for _, rule, _ in findings(*rules, code="weaker_around")] == [1]


def test_weaker_rules_for_another_letter_case_are_one_note() -> None:
    """At the weaker rule, because some apps ignore case."""
    rules = [{"path": f"/a/{name}/**", "scopes": ["a"]} for name in "bcdef"]
    assert findings({"path": "/b/**", **A}, *rules, code="weaker_in_other_letters") == []
    for wide, paths in (("/a/**", "/a/B/**, /a/C/**, /a/D/** and 2 more"), ("/{x}/{y}", "/A/b/**, /A/c/**")):
        actual = findings({"path": wide, **A}, *rules[: 2 if "{" in wide else 5], code="weaker_in_other_letters")
        assert actual == [("weaker_in_other_letters", 0, f"{paths.replace('**, /A', '** and /A')} {OTHER_CASE}")]


def test_public_rules_are_noted() -> None:
    """With the requests that they allow."""
    assert findings(
        {"path": "/a", "public": True},
        {"path": "/b", "public": True, "methods": ["GET"]},
        {"path": "/c", "public": True, "methods": ["GET", "POST", "PUT"]},
        {"path": "/d", **A},
        code="public",
    ) == [
        ("public", 0, "everybody is allowed: all methods of /a"),
        ("public", 1, "everybody is allowed: GET of /b"),
        ("public", 2, "everybody is allowed: GET, POST and PUT of /c"),
    ]


def test_methods_that_the_rules_of_an_area_leave_out_are_noted() -> None:
    """Except for an exact path, and for an area that is only read."""
    assert findings(
        {"path": "/a/**", "methods": ["GET"], **A},
        {"path": "/a/**", "methods": ["POST"], **A},
        {"path": "/b/**", "methods": ["GET", "HEAD"], **A},
        {"path": "/c", "methods": ["POST"], **A},
        {"path": "/d/**", "methods": ["GET", "POST", "PUT", "PATCH", "DELETE"], **A},
        {"path": "/e/**", **A},
        code="methods_left_out",
    ) == [("methods_left_out", 0, "no rule matches PUT, PATCH or DELETE of /a/**: denied")]


def test_a_method_that_only_a_wider_rule_allows_is_noted() -> None:
    """Only the most specific path applies, which may be a surprise."""
    though = 'though "wide" (rules.yaml:1) allows it around there'
    wide = {"name": "wide", "path": "/{x}/**", "methods": ["GET", "DELETE"], **A}
    assert findings(
        wide,
        {"path": "/{y}/b", "methods": ["GET"], **A},
        {"path": "/{y}/c/**", "methods": ["GET", "DELETE"], **A},
        {"path": "/{y}/c/d", "methods": ["DELETE", "GET"], **A},
        {"path": "/{y}/e", "methods": ["GET"], "host": "x.org", **A},
        {"path": "/f", "methods": ["GET"], **A},
        code="methods_left_out",
    ) == [
        ("methods_left_out", 0, "no rule matches POST, PUT or PATCH of /{x}/**: denied"),
        ("methods_left_out", 1, f"no rule matches POST, PUT, PATCH or DELETE of /{{y}}/b: denied, {though}"),
        ("methods_left_out", 2, "no rule matches POST, PUT or PATCH of /{y}/c/**: denied"),
    ]


@pytest.mark.parametrize(
    ("scope", "code"),
    [
        ("country.raed", "scope_like_another"),
        ("country.rea", "scope_like_another"),
        ("country.readd", "scope_like_another"),
        ("countri.read", "scope_like_another"),
        ("country.write", "scope_used_once"),
        ("country.re4d", "scope_like_another"),
        ("dountry.rear", "scope_used_once"),
    ],
)
def test_a_scope_in_one_rule_that_is_nearly_one_of_others_is_a_warning(scope: str, code: str) -> None:
    """A difference of one letter is probably a mistake; any other scope in only one rule is a note."""
    rules = [{"path": f"/{number}", "any_scope": ["country.read"]} for number in range(2)]
    message = f"{scope} is in no other rule"
    if code == "scope_like_another":
        message += "; did you mean country.read, which is in 2?"
    assert findings(*rules, {"path": "/x", "scopes": [scope]}) == [(code, 2, message)]


def test_a_scope_of_an_alternative_is_a_scope_in_a_rule() -> None:
    """As a use, and as a mistake."""
    used: list[dict[str, Any]] = [
        {"path": "/a", "any_of": [{"scopes": ["country.read"]}]},
        {"path": "/b", "any_of": [{"any_scope": ["country.read"]}, {"claims": {"sub": "a"}}]},
    ]
    message = "country.raed is in no other rule; did you mean country.read, which is in 2?"
    mistaken = {"path": "/x", "any_of": [{"claims": {"sub": "a"}}, {"scopes": ["country.raed"]}]}
    assert findings(*used, mistaken) == [("scope_like_another", 2, message)]


def test_two_scopes_that_are_nearly_the_same_and_in_one_rule_each_are_noted() -> None:
    """It is unclear which is right, so it is only a note."""
    assert findings({"path": "/a", "scopes": ["user.read"]}, {"path": "/b", "any_scope": ["users.read"]}) == [
        ("scope_used_once", 0, "user.read is in no other rule; users.read is nearly the same"),
        ("scope_used_once", 1, "users.read is in no other rule; user.read is nearly the same"),
    ]


def test_scopes_used_once_are_normal_if_none_is_reused() -> None:
    """Without a scope in several rules there is no note."""
    assert findings({"path": "/a", "scopes": ["a.read"]}, {"path": "/b", "scopes": ["a.write", "b"]}) == []


@pytest.mark.parametrize(("scope", "similar"), [("v1.read", "v2.read"), ("abc", "abd")])
def test_short_scopes_and_versions_are_not_taken_for_misspellings(scope: str, similar: str) -> None:
    """Versions differ in a digit, and short scopes are often similar."""
    rules = [{"path": f"/{number}", "scopes": [scope]} for number in range(2)]
    assert findings(*rules, {"path": "/x", "scopes": [similar]}) == [
        ("scope_used_once", 2, f"{similar} is in no other rule")
    ]


def test_lint_is_fast_for_thousands_of_rules() -> None:
    """The bound is many times the usual CPU time, so that only quadratic work exceeds it."""
    rules = [{"path": f"/area{number}/{{id}}/**", "scopes": [f"area{number}.read"]} for number in range(3_000)]
    begun = time.thread_time()
    assert findings(*rules) == []
    assert time.thread_time() - begun < 15


def test_a_name_with_an_encoded_slash_that_another_rule_may_match_is_a_finding() -> None:
    """Such paths are refused: with `encoded` that is not intended, and without it worth knowing."""
    user = {"path": "/users/{id}", "methods": ["GET"], "scopes": ["a"]}
    rest = {"path": "/**", "scopes": ["a"]}
    where = "a path with %2F within the name in /users/{id} is refused, because it may also match"
    other = '"/**" (rules.yaml:2); if'
    assert findings(user, rest, code="refused_between") == [
        ("refused_between", 0, f"{where} {other} the app keeps it, add encoded: [slash] to both rules")
    ]
    assert findings({**user, "encoded": ["slash"]}, rest, code="encoded_in_part") == [
        ("encoded_in_part", 0, f"{where} {other} that app keeps it, too, add encoded: [slash] there")
    ]
    with_slash = [{**rule, "encoded": ["slash"]} for rule in (user, rest)]
    for rules in (with_slash, [user], [user, {"path": "/users/**", "methods": ["POST"], "scopes": ["a"]}]):
        assert [code for code, _, _ in findings(*rules) if code in ("refused_between", "encoded_in_part")] == []


def test_authenticated_beside_scopes_has_no_effect() -> None:
    """“Whatever its scopes” is not true."""
    message = "has no effect: the token must have the rule's scopes; remove one or the other"
    rules = [{"path": "/a", **A, "scopes": ["s"]}, {"path": "/b", **A, "any_scope": ["s"]}, {"path": "/c", **A}]
    code = "authenticated_with_scopes"
    assert findings(*rules, code=code) == [(code, 0, message), (code, 1, message)]


def test_a_more_specific_overlap_that_asks_for_less_is_a_warning() -> None:
    """A key that is called public-x.key is public."""
    rules = {"path": "/files/public-{name}", "public": True}, {"path": "/files/{name}.key", "scopes": ["admin"]}
    assert findings(*rules, code="weaker_overlap") == [
        (
            "weaker_overlap",
            1,
            '/files/public-{name}.key matches "/files/public-{name}" (rules.yaml:1), which does not require a token, '  # noqa: ISC004
            "because its path is more specific: add a rule for it",
        )
    ]
    both = {"path": "/files/public-{name}.key", "scopes": ["admin"]}
    assert findings(*rules, both, code="weaker_overlap") == []
    apart = {"path": "/files/a-{name}", "public": True}, {"path": "/files/b-{name}", "scopes": ["admin"]}
    assert findings(*apart, code="weaker_overlap") == []


def test_a_weaker_rule_for_the_empty_name_is_a_warning() -> None:
    """`/t/:publish` is a path without a name before the colon."""
    rules = {"path": "/t/{id}:publish", "scopes": ["admin"]}, {"path": "/t/{id}", **A}
    assert [finding for finding in findings(*rules, code="weaker_around") if "/t/:publish matches" in finding[2]] == [
        (
            "weaker_around",
            0,
            '/t/:publish matches "/t/{id}" (rules.yaml:2), which does not require scope admin; '  # noqa: ISC004
            "an app may read it as an empty name: add a rule for it",
        )
    ]


def test_a_parameter_as_other_programs_write_it_is_reported() -> None:
    """It is valid, but no request would match it."""
    code = "literal_parameter"
    rules: list[dict[str, Any]] = [
        {"path": "/users/:id", "scopes": ["a"]},
        {"paths": ["/a/<name>/b", "/a/<int:x>", "/a/{x}:publish", "/a/b:c", "/a/::1"], "scopes": ["a"]},
        {"path": "/b/${id}", "scopes": ["a"]},
    ]
    ends = [(index, message.rpartition(" ")[2]) for _, index, message in findings(*rules, code=code)]
    assert ends == [(0, "{id}"), (1, "{name}"), (1, "{x}"), (2, "{id}")]


def test_a_placeholder_as_other_programs_write_it_is_reported() -> None:
    """It is valid, but part of it is text, which hardly any token or request has; a single brace may be meant."""
    code = "literal_placeholder"
    rules: list[dict[str, Any]] = [
        {"path": "/a/{id}", "claims": {"sub": "user:{{id}}", "tenant": "{id}"}},
        {"path": "/b/{id}", "claims": {"sub": ["ann", "${id}"]}},
        {"path": "/c", "any_of": [{"scopes": ["c"]}, {"scopes": ["c:{{?org}}"], "headers": {"X-Org": "{{ or }}"}}]},
        {"path": "/d", "claims": {"sub": "{{", "org": "$5", "id": "}}a{{"}},
    ]
    reported = [
        (".".join(map(str, (finding.rule, finding.key, *finding.below))), finding.message)
        for finding in lint(policy(*rules))
        if finding.code == code
    ]
    assert reported == [
        ("0.claims.sub", "{{id}} is the text {id} here; a placeholder is {id}"),
        ("1.claims.sub", "${id} is the character $ and a placeholder here; a placeholder is {id}"),
        ("2.any_of.1.scopes", "{{?org}} is the text {?org} here; a placeholder is {?org}"),
        ("2.any_of.1.headers.X-Org", "{{ or }} is the text { or } here; a placeholder is {or}"),
    ]
