"""Rules: paths, conditions, and what is an error."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from enforcer.errors import SettingsError
from enforcer.policy.conditions import Claim, first_key, is_within, parse_networks
from enforcer.policy.request_view import RequestView
from enforcer.policy.requirement import Requirement, compile_rule
from enforcer.policy.rules import Conditions, Rule
from enforcer.policy.templates import Affix, Capture, Path, names_of, parse_text
from enforcer.tokens.claims import read_claims
from enforcer.tokens.retention import Retention
from enforcer.wire.target import parse


def rule(**settings: Any) -> Rule:
    own = {"public", "nobody", "scopes", "any_scope", "claims", "audience", "issuer", "client_ids", "any_of", "query"}
    if not own & settings.keys():
        settings.setdefault("authenticated", True)
    if "any_of" in settings:
        settings["any_of"] = tuple(Conditions(**option) for option in settings["any_of"])
    return Rule(**{"name": "r", "path": "/a/{x}/**", **settings})


@pytest.mark.parametrize(
    ("text", "segments", "rest", "names"),
    [
        ("/", (b"",), False, {}),
        ("/**", (), True, {}),
        ("/a", (b"a",), False, {}),
        ("/a/", (b"a", b""), False, {}),
        ("/a/**", (b"a",), True, {}),
        ("/tenants/{tenant}/reports/{id}", (b"tenants", None, b"reports", None), False, {"tenant": 1, "id": 3}),
        ("/{_x1}/**", (None,), True, {"_x1": 0}),
        ("/{id}.json/v{x}", (Affix(b"", b".json"), Affix(b"v", b"")), False, {"id": 0, "x": 1}),
        ("/{t}:publish", (Affix(b"", b":publish"),), False, {"t": 0}),
        ("/café/a b", ("café".encode(), b"a b"), False, {}),
        ("/caf%C3%A9/%61", ("café".encode(), b"a"), False, {}),
        ("/v1.0/~x/a:b@c", (b"v1.0", b"~x", b"a:b@c"), False, {}),
    ],
)
def test_a_path_is_literals_parameters_and_maybe_the_rest(
    text: str, segments: tuple[bytes | None, ...], rest: bool, names: dict[str, int]
) -> None:
    """A path may be written decoded, or percent-encoded as in a request."""
    path = Path.parse(text)
    assert (path.segments, path.rest) == (segments, rest)
    assert {name: place.segment for name, place in path.names.items()} == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "begins with /"),
        ("a", "begins with /"),
        ("http://app/a", "begins with /"),
        ("/*", "* is not a pattern here"),
        ("/a*", "* is not a pattern here"),
        ("/**/a", "* is not a pattern here"),
        ("/a**", "* is not a pattern here"),
        ("/***", "* is not a pattern here"),
        ("/{}", "a segment has at most one {name}"),
        ("/{x", "a segment has at most one {name}"),
        ("/x}", "a segment has at most one {name}"),
        ("/{x}-{y}", "a segment has at most one {name}"),
        ("/{a-b}", "a segment has at most one {name}"),
        ("/{1}", "a segment has at most one {name}"),
        ("/{x:path}", "a segment has at most one {name}"),
        ("/{é}", "a segment has at most one {name}"),
        ("/{x}/{x}", "duplicate {x}"),
        ("//", "no request can have this path"),
        ("//a", "no request can have this path"),
        ("/a//b", "no request can have this path"),
        ("/a//**", "no request can have this path"),
        ("//**", "no request can have this path"),
        ("/a/../b", "no rule can have this path"),
        ("/.", "no rule can have this path"),
        ("/a/%2e", "no rule can have this path"),
        ("/a%2Fb", "no rule can have this path"),
        ("/a;b", "no rule can have this path"),
        ("/a?b", "no request can have this path"),
        ("/a#b", "no request can have this path"),
        ("/a\\b", "no rule can have this path"),
        ("/a%", "no request can have this path"),
        ("/a%FF", "no rule can have this path"),
        ("/a\nb", "no request can have this path"),
        ("/a\x85b", "no rule can have this path"),
        ("/ ", "no rule can have this path"),
    ],
)
def test_an_ambiguous_or_impossible_path_is_an_error(text: str, message: str) -> None:
    """At load, instead of a rule that silently never matches."""
    with pytest.raises(ValueError) as error:
        Path.parse(text)
    assert message in str(error.value)


@given(st.text("ab/{}x*.%2e é;", max_size=12).map(lambda tail: "/" + tail))
def test_every_accepted_path_can_be_requested(text: str) -> None:
    """With its parameters filled in, the request's segments are those of the rule."""
    try:
        path = Path.parse(text)
    except ValueError:
        return
    filled = path.sample(b"q")
    sent = b"/" + b"/".join(quote(segment, safe="%").encode() for segment in filled)
    assert parse(sent).segments == (filled or [b""])


ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "a name is"),
    ({"name": "_none"}, "a name is"),
    ({"name": "a\nb"}, "a name is"),
    ({"name": "a\x1b"}, "a name is"),
    ({"name": "\ud800"}, "a name is"),
    ({"name": "x" * 101}, "a name is"),
    ({"path": "a"}, "path: "),
    ({"methods": ("get",)}, "'get' is not a method"),
    ({"methods": ("GET ",)}, "is not a method"),
    ({"methods": ("",)}, "is not a method"),
    ({"methods": ("GET\n",)}, "is not a method"),
    ({"methods": ("*",)}, "is not a method"),
    ({"methods": ("GET", "CONNECT")}, "CONNECT is never forwarded"),
    ({"methods": ("GET", "POST", "GET")}, "duplicate method GET"),
    ({"scopes": ("a b",)}, "'a b' is not a valid scope"),
    ({"scopes": ("",)}, "is not a valid scope"),
    ({"any_scope": ('a"',)}, "is not a valid scope"),
    ({"any_scope": ("é",)}, "is not a valid scope"),
    ({"any_scope": ("a\n",)}, "is not a valid scope"),
    ({"host": ""}, "host: "),
    ({"host": "app:80"}, "host: "),
    ({"host": "*"}, "host: "),
    ({"host": "a.*.org"}, "host: "),
    ({"host": "*.*.org"}, "host: "),
    ({"host": "app.example.org."}, "host: "),
    ({"host": "http://app"}, "host: "),
    ({"host": "app\n"}, "host: "),
    ({"host": "é"}, "host: "),
    ({"public": True, "authenticated": True}, "public allows everybody"),
    ({"public": True, "scopes": ("a",)}, "public allows everybody"),
    ({"public": True, "any_scope": ("a",)}, "public allows everybody"),
    ({"public": True, "claims": {"a": "b"}}, "public allows everybody"),
    ({"public": True, "audience": ("a",)}, "public allows everybody"),
    ({"public": True, "issuer": ("a",)}, "public allows everybody"),
    ({"public": True, "client_ids": ("a",)}, "public allows everybody"),
    ({"public": True, "max_answer_age": 5.0}, "public allows everybody"),
    ({"public": True, "on_outage": "stale"}, "public allows everybody"),
    ({"authenticated": False}, "allows nobody"),
    ({"scopes": ()}, "allows nobody"),
    ({"scopes": (), "any_scope": (), "claims": {}, "audience": ()}, "allows nobody"),
    ({"public": False}, "allows nobody"),
    ({"claims": {"roles": ()}}, "empty list"),
    ({"claims": {"roles": {"all": ()}}}, "empty list"),
    ({"claims": {"roles": {"all": ("a",), "not": ("b",)}}}, "exactly one key"),
    ({"claims": {"roles": {"present": ("a",)}}}, "present needs true or false"),
    ({"claims": {"roles": {"all": True}}}, "all needs a list"),
    ({"claims": {"a": "x{y}"}}, "neither path nor host has {y}"),
    ({"claims": {"a": "x{"}}, "{ is not part of a placeholder"),
    ({"claims": {"a": "{?x}{?y}"}}, "two placeholders need text between them"),
    ({"claims": {"{x}.roles": "a"}}, "begins with fixed text"),
    ({"claims": {"a.{y}": "a"}}, "neither path nor host has {y}"),
    ({"scopes": ("a:{y}",)}, "neither path nor host has {y}"),
    ({"audience": ("a", "{x}")}, "audience has no placeholders"),
    ({"client_ids": ("a-{x}",)}, "client_ids has no placeholders"),
    ({"acr": ("{?level}",)}, "acr has no placeholders"),
    ({"any_of": ({"audience": ("{x}",)},)}, "audience has no placeholders"),
    ({"authenticated": True, "query": {"{x}": "a"}}, "the name of a parameter has no placeholders"),
    ({"authenticated": True, "query": {"a": ()}}, "empty list"),
    ({"authenticated": True, "query": {"a": "{y}"}}, "neither path nor host has {y}"),
    ({"authenticated": True, "headers": {"Host": "a"}}, "no condition can read Host: the enforcer reads"),
    ({"claims": {"a": "{#Host}"}}, "no condition can read Host"),
    ({"claims": {"a": {"not": ("x-{#Authorization}",)}}}, "no condition can read Authorization"),
    ({"claims": {"a.{#DPoP}": "x"}}, "no condition can read DPoP"),
    ({"scopes": ("{#CF-Connecting-IP}",)}, "no condition can read CF-Connecting-IP: the enforcer removes it"),
    ({"authenticated": True, "query": {"a": "{#X-Original-URL}"}}, "no condition can read X-Original-URL"),
    ({"authenticated": True, "headers": {"Remote-User": "a"}}, "no condition can read Remote-User"),
    ({"authenticated": True, "headers": {"X-Forwarded-User": "a"}}, "no condition can read X-Forwarded-User"),
    ({"claims": {"a": "{#X_Tenant}"}}, "letters, digits and hyphens"),
    ({"authenticated": True, "headers": {"X_Tenant": "a"}}, "letters, digits and hyphens"),
    ({"authenticated": True, "addresses": ("10.0.0.0/33",)}, "expected an address or a network"),
    ({"authenticated": True, "addresses": ("10.0.0.5/0",)}, "the network of this address is 0.0.0.0/0"),
    ({"authenticated": True, "addresses": ("2001:db8::1/32",)}, "the network of this address is 2001:db8::/32"),
    ({"claims": {"scp": {"not": ("admin",)}}}, "write scopes or any_scope"),
    ({"claims": {"/scope": "admin"}}, "write scopes or any_scope"),
    ({"claims": {"/sub": 42}}, "write the value in quotes"),
    ({"any_of": ({},)}, "an alternative without a condition"),
    ({"nobody": True, "authenticated": True}, "nobody: true allows no request"),
    ({"host": "{x}.example.org"}, "duplicate {x} in host and path"),
    ({"query": {"a": "b"}}, "allows nobody"),
    ({"claims": {"tenant": "{tenant}"}}, "neither path nor host has {tenant}"),
]


@pytest.mark.parametrize(("settings", "message"), ERRORS)
def test_an_invalid_rule_or_one_without_condition_is_an_error(settings: dict[str, Any], message: str) -> None:
    """A rule is public only if it says so."""
    with pytest.raises(ValueError) as error:
        rule(**settings)
    assert message in str(error.value)


def test_all_errors_of_a_rule_are_reported_at_once() -> None:
    """One error message is enough to correct the rule."""
    with pytest.raises(SettingsError) as error:
        Rule(name="", path="x", methods=("get",), host="*", scopes=("a b",), public=True)
    assert error.value.errors.keys() == {("name",), ("path",), (), ("methods", 0), ("scopes", 0), ("host",)}


@pytest.mark.parametrize(
    "settings",
    [
        {"public": True},
        {"authenticated": True, "max_answer_age": 5.0},
        {"scopes": ("country.read",), "methods": ("GET", "M-SEARCH")},
        {"any_scope": ("a", "https://x.example/b")},
        {"claims": {"x": "{x}", "realm.roles": ("a", 1, True), "email_verified": True}},
        {"audience": ("a",)},
        {"issuer": ("https://as.example",)},
        {"client_ids": ("a",), "authenticated": True},
        {"authenticated": True, "host": "*.example.org", "name": "lire les pays – été"},
        {"authenticated": True, "host": "[::1]"},
        {"authenticated": True, "host": "127.0.0.1"},
        {"authenticated": True, "host": "localhost"},
    ],
)
def test_a_rule_with_conditions_is_valid(settings: dict[str, Any]) -> None:
    """With one condition or several."""
    made = rule(**settings)
    assert {name: getattr(made, name) for name in settings} == settings


@pytest.mark.parametrize(
    "document",
    [
        {"name": "r", "path": "/", "public": "yes"},
        {"name": "r", "path": "/", "public": 1},
        {"name": "r", "path": "/", "scope": ["a"], "authenticated": True},
        {"name": "r", "path": "/", "scopes": "a"},
        {"name": "r", "path": "/", "scopes": [1]},
        {"name": "r", "path": "/", "authenticated": True, "max_answer_age": 5},
        {"name": "r", "path": "/", "authenticated": True, "max_answer_age": "0s"},
        {"name": "r", "path": "/", "claims": {"a": None}},
        {"name": "r", "path": "/", "claims": {"a": 1.5}},
        {"name": "r", "path": "/", "claims": {"a": {"b": "c"}}},
        {"path": "/", "public": True},
        {"name": "r", "public": True},
    ],
)
def test_values_are_not_coerced(document: dict[str, Any]) -> None:
    """An unknown key, a wrong type, or text instead of a boolean is an error."""
    with pytest.raises(ValidationError):
        TypeAdapter(Rule).validate_python(document)


def test_a_claims_value_keeps_its_type() -> None:
    """`true` does not become `1`, nor a number text."""
    document = {"name": "r", "path": "/", "claims": {"a": True, "b": 1, "c": "1", "d": [True, 1, "1"]}}
    read = TypeAdapter(Rule).validate_python(document).claims
    assert {name: repr(value) for name, value in read.items()} == {
        "a": "True",
        "b": "1",
        "c": "'1'",
        "d": "(True, 1, '1')",
    }


def holds(condition: Any, claims: dict[str, Any], name: str = "c", path: str = "/t/acme/7") -> bool:
    template = Path.parse("/t/{tenant}/{id}")
    claim = Claim(name, condition, names_of(template, None))
    target = parse(path.encode())
    return claim.holds(claims, RequestView(target.segments, target.query))


@pytest.mark.parametrize(
    ("condition", "claims", "expected"),
    [
        ("a", {"c": "a"}, True),
        ("a", {"c": "b"}, False),
        ("a", {"c": "A"}, False),
        ("a", {"c": "a b"}, False),
        ("a", {"c": ["a", "b"]}, True),
        ("a", {"c": ["b"]}, False),
        ("a", {"c": [["a"]]}, False),
        ("a", {"c": {"a": 1}}, False),
        ("a", {"c": []}, False),
        ("a", {"c": None}, False),
        ("a", {}, False),
        ("a", {"d": "a"}, False),
        (("a", "b"), {"c": "b"}, True),
        (("a", "b"), {"c": ["x", "b"]}, True),
        (("a", "b"), {"c": "c"}, False),
        (True, {"c": True}, True),
        (True, {"c": False}, False),
        (True, {"c": 1}, False),
        (True, {"c": "true"}, False),
        (False, {"c": False}, True),
        (False, {"c": 0}, False),
        (False, {"c": None}, False),
        (False, {}, False),
        (1, {"c": 1}, True),
        (1, {"c": True}, False),
        (1, {"c": 1.0}, False),
        (1, {"c": "1"}, False),
        ("1", {"c": 1}, False),
        ((1, "1"), {"c": "1"}, True),
        ("", {"c": ""}, True),
        ("", {}, False),
    ],
)
def test_a_claim_must_be_or_contain_one_of_the_values(condition: Any, claims: dict[str, Any], expected: bool) -> None:
    """Of the same type, although in Python True == 1. A missing claim equals nothing."""
    assert holds(condition, claims) == expected


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"realm": {"roles": ["admin"]}}, True),
        ({"realm.roles": "admin"}, True),
        ({"realm.roles": "user", "realm": {"roles": "admin"}}, False),
        ({"realm.roles": [], "realm": {"roles": "admin"}}, False),
        ({"realm.roles": "", "realm": {"roles": "admin"}}, False),
        ({"realm": {"roles": {"admin": True}}}, False),
        ({"realm": {"role": "admin"}}, False),
        ({"realm": ["roles", "admin"]}, False),
        ({"realm": [{"roles": "admin"}]}, False),
        ({"realm": "roles"}, False),
        ({"realm": None}, False),
        ({"roles": "admin"}, False),
    ],
)
def test_a_dotted_name_reaches_into_nested_claims(claims: dict[str, Any], expected: bool) -> None:
    """A claim whose own name has the dots, such as a URI, takes precedence."""
    assert holds("admin", claims, name="realm.roles") == expected


@pytest.mark.parametrize(
    ("path", "claim", "expected"),
    [
        ("/t/acme/7", "acme", True),
        ("/t/acme/7", "ACME", False),
        ("/t/acme/7", "acme ", False),
        ("/t/acme/7", "7", False),
        ("/t/acme/7", ["other", "acme"], True),
        ("/t/acme/7", ["other"], False),
        ("/t/acme/7", None, False),
        ("/t/acme/7", {"acme": True}, False),
        ("/t/%61cme/7", "acme", True),
        ("/t/a%20b/7", "a b", True),
        ("/t/caf%C3%A9/7", "café", True),
        ("/t/cafe%CC%81/7", "café", False),
        ("/t/42/7", 42, True),
        ("/t/042/7", 42, False),
        ("/t/-1/7", -1, True),
        ("/t/1/7", True, False),
        ("/t/True/7", True, False),
        ("/t/1.0/7", 1.0, False),
        ("/t/None/7", None, False),
        ("/t/%7Btenant%7D/7", "acme", False),
        ("/t/%EF%BF%BD/7", "\ud800", False),
    ],
)
def test_a_claim_can_be_required_to_equal_a_path_segment(path: str, claim: Any, expected: bool) -> None:
    """The token of a tenant is for that tenant's paths: the decoded segment is compared byte for byte."""
    assert holds("{tenant}", {"c": claim}, path=path) == expected


@pytest.mark.parametrize(
    ("condition", "claim", "expected"),
    [
        ("tenant:{tenant}:admin", "tenant:acme:admin", True),
        ("tenant:{tenant}:admin", "tenant:{tenant}:admin", False),
        ("{tenant}/{id}", "acme/7", True),
        (("x", "{tenant}-{id}"), ["acme-7"], True),
        ("{{tenant}}", "{tenant}", True),
        ("{?owner}", "o", True),
        ("{?owner}", 7, False),
        ("{?other}", "o", False),
        ({"all": ("a", "{tenant}")}, ["a", "acme"], True),
        ({"all": ("a", "{tenant}")}, ["a"], False),
        ({"all": ("a", "b")}, "a", False),
        ({"not": ("guest",)}, "user", True),
        ({"not": ("guest",)}, ["user", "guest"], False),
        ({"not": ("guest",)}, [], False),
        ({"not": ("guest",)}, None, False),
        ({"not": ("guest",)}, {"a": 1}, False),
        ({"not": ("guest",)}, [["guest"]], False),
        ({"not": ("1",)}, 1, False),
        ({"not": (True,)}, "true", False),
        ({"not": ("{?other}",)}, "user", False),
        ({"present": False}, None, True),
        ({"present": False}, [], False),
        ({"present": True}, None, False),
        ({"present": True}, False, True),
    ],
)
def test_a_claim_can_be_compared_with_texts_and_tested(condition: Any, claim: Any, expected: bool) -> None:
    """A test that cannot be made is not met."""
    assert holds(condition, {"c": claim}, path="/t/acme/7?owner=o") == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("access.{tenant}.roles", True),
        ("/access/{tenant}/roles", True),
        ("access.acme.roles", True),
        ("access.{id}.roles", False),
        ("/https:~1~1x.example~1roles", True),
        ("/access.x/a~0b", True),
    ],
)
def test_a_claims_name_can_have_placeholders_or_be_a_pointer(name: str, expected: bool) -> None:
    """A value from the request is one key, whatever characters it has."""
    claims = {"access": {"acme": {"roles": "r"}}, "https://x.example/roles": "r", "access.x": {"a~b": "r"}}
    assert holds("r", claims, name=name) == expected
    assert holds("r", {"a": {"b.c": "r"}}, name="a.{tenant}", path="/t/b.c/7")
    assert not holds("r", {"a": {"b": {"c": "r"}}}, name="a.{tenant}", path="/t/b.c/7")


@pytest.mark.parametrize(
    ("name", "claims", "query", "absent"),
    [
        ("off.{?t}", {}, "?t=a", True),
        ("off.{?t}", {"off": None}, "?t=a", True),
        ("off.{?t}", {"off": {"b": True}}, "?t=a", True),
        ("off.{?t}", {"off": {"a": True}}, "?t=a", False),
        ("off.{?t}", {"off": {"a": True}}, "", False),
        ("off.{?t}", {"off": {"a": True}}, "?t=a&t=b", False),
        ("off.{?t}", {"off": {"a": True}}, "?t=", False),
        ("off.{?t}", {"off": {"a": True}}, "?t=%FF", False),
        ("off.{?t}", {}, "", False),
        ("off.{?t}", {"off": "a"}, "?t=a", False),
        ("off.{?t}", {"off": ["a"]}, "?t=0", False),
        ("off.a", {"off": "a"}, "", False),
        ("off.a", {"off": ["a"]}, "", False),
        ("off.a", {"off": None}, "", True),
        ("/off/a", {"off": "a"}, "", False),
        ("/off/a", {"off": ["a"]}, "", False),
        ("/off/1", {"off": ["a"]}, "", True),
        ("/off/0", {"off": ["a"]}, "", False),
        ("/off/00", {"off": ["a"]}, "", False),
    ],
)
def test_a_claim_that_cannot_be_read_is_not_absent(name: str, claims: dict[str, Any], query: str, absent: bool) -> None:
    """A client must not choose that a condition cannot be checked. A token that is cached says the same."""
    key = first_key(name)
    retention = Retention([name], {}) if key is None else Retention([], {}, [key])
    for read in (claims, retention.reduce(read_claims(claims)).claims):
        assert holds({"present": False}, dict(read), name, "/t/acme/7" + query) == absent


def test_a_pointer_counts_the_members_of_a_list() -> None:
    """RFC 6901 §4."""
    assert holds("r", {"a": [{"b": "x"}, {"b": "r"}]}, "/a/1/b")
    assert not holds("r", {"a": [{"b": "x"}, {"b": "r"}]}, "/a/01/b")


@pytest.mark.parametrize(
    ("claims", "expected"), [({"a": 1, "b": 2}, True), ({"a": 1}, False), ({"b": 2}, False), ({"a": 2, "b": 1}, False)]
)
def test_all_claim_conditions_must_be_met(claims: dict[str, Any], expected: bool) -> None:
    """One of several is not enough."""
    requirement = Requirement(rule(claims={"a": 1, "b": 2}), Path.parse("/a/{x}/**"))
    assert requirement.meets_claims(read_claims(claims), RequestView([b"a", b"b"])) == expected


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["a", "a.b", "b"]), _VALUES), st.sampled_from(["a", "a.b", "a.b.c"]))
def test_untrusted_claims_meet_a_condition_only_by_an_equal_value(claims: dict[str, Any], name: str) -> None:
    """None of them raises an exception, whatever JSON the server sent."""
    value: Any = claims.get(name)
    if value is None:
        value = claims
        for step in name.split("."):
            value = value.get(step) if isinstance(value, dict) else None
    members = {repr(member) for member in (value if isinstance(value, list) else [value])}
    for condition in ("a", 1, True, ("a", False)):
        allowed = condition if isinstance(condition, tuple) else (condition,)
        assert holds(condition, claims, name) == any(repr(entry) in members for entry in allowed)


@pytest.mark.parametrize(
    ("settings", "errors"),
    [
        ({}, {(): 'missing key "path": the path template of the rule, or paths for several'}),
        ({"path": "/a", "paths": ("/b",)}, {("paths",): "a rule has path or paths, not both"}),
        ({"paths": ("/a", "b")}, {("paths", 1): "a path begins with /"}),
        ({"paths": ("/{x}", "/a"), "claims": {"c": "{x}"}}, {("claims", "c"): "neither the path /a nor host has {x}"}),
    ],
)
def test_a_rule_has_one_path_or_several(settings: dict[str, Any], errors: dict[Any, str]) -> None:
    """Each of several paths is held to the same as one."""
    with pytest.raises(SettingsError) as caught:
        Rule(**{"name": "r", "authenticated": True, **settings})
    assert caught.value.errors == errors


def test_a_rule_requires_the_same_for_each_of_its_paths() -> None:
    """A name stands for the segment of the path that matched."""
    compiled = compile_rule(Rule(name="r", paths=("/a/{x}", "/{x}/**"), claims={"c": "{x}"}, methods=("GET",)))
    assert [pattern.path for pattern, _ in compiled] == [Path.parse("/a/{x}"), Path.parse("/{x}/**")]
    assert [pattern.path.names["x"] for pattern, _ in compiled] == [Capture(1), Capture(0)]


@pytest.mark.parametrize(
    ("settings", "narrow"),
    [
        ({"public": True}, False),
        ({"authenticated": True}, False),
        ({"scopes": ("a",)}, False),
        ({"any_scope": ("a",)}, True),
        ({"audience": ("a",)}, True),
        ({"issuer": ("a",)}, True),
        ({"client_ids": ("a",)}, True),
        ({"claims": {"a": "b"}}, True),
    ],
)
def test_a_requirement_knows_whether_it_has_more_than_scopes(settings: dict[str, Any], narrow: bool) -> None:
    """`narrow` must be set for every condition that the fast path does not check."""
    requirement = Requirement(rule(**settings), Path.parse("/a/{x}/**"))
    assert requirement.narrow == narrow
    assert requirement.public == settings.get("public", False)


@pytest.mark.parametrize(
    ("text", "query", "filled"),
    [
        ("{?a}:{?b}", b"a=x&b=y", b"x:y"),
        ("{?a}:{?b}", b"a=x&b=y:z", b"x:y:z"),
        ("{?a}:{?b}", b"a=x:y&b=z", None),
        ("{?a}:{?b}", b"a=x%3Ay&b=z", None),
        ("{?a}::{?b}", b"a=x:&b=y", None),
        ("{?a}}}{{{?b}", b"a=x}{&b=y", None),
        ("{?a}}}{{{?b}", b"a=x}&b=y", b"x}}{y"),
        ("a:{?a}:b", b"a=x:y", b"a:x:y:b"),
    ],
)
def test_a_text_that_two_requests_could_fill_alike_has_no_value(text: str, query: bytes, filled: bytes | None) -> None:
    """Otherwise a client could move a separator, and pass for the member of another team."""
    assert parse_text(text, {}).fill(RequestView((), query)) == filled


def test_a_network_of_ipv4_may_be_written_as_ipv6() -> None:
    """A client's address in that form is read in the same way."""
    networks = parse_networks(["::ffff:10.0.0.0/104", "::ffff:192.0.2.7"])
    assert list(map(str, networks)) == ["10.0.0.0/8", "192.0.2.7/32"]
    assert is_within("::ffff:10.1.2.3", networks)
    assert not is_within("11.0.0.1", networks)
