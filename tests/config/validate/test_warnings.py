"""What may not be meant, with its place."""

from pathlib import Path

import pytest

from enforcer.analysis.evaluator import Policy
from enforcer.analysis.lint import Level
from enforcer.config.document import Document
from enforcer.config.load import load_with_document
from enforcer.config.validate.warnings import ConfigWarning, find_warnings

CONFIG = """\
upstream: {url: http://127.0.0.1:8090}
authorization_servers:
  - introspection_endpoint: ENDPOINT
    client_id: enforcer
    client_secret: {env: SECRET}
    audience: [a]
rules:
  - name: open
    path: /a/**
    public: true
  - name: shut
    path: /a/b
    methods: [GET]
    any_scope: [a]
"""


BUT_ONE = (
    "nothing is refused but by the 1 of 2 rules with mode: enforce: "
    "what would be is forwarded, and counted as would_deny"
)


def looked_at(tmp_path: Path, text: str) -> tuple[list[ConfigWarning], Document]:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    loaded, document = load_with_document(file, None)
    return find_warnings(loaded.config, document, Policy((rule, "there") for rule in loaded.config.rules)), document


def test_doubts_are_told_by_line_each_at_its_key(tmp_path: Path) -> None:
    """Or at its rule, where the key is not written."""
    found, document = looked_at(tmp_path, CONFIG.replace("ENDPOINT", "http://auth.example.org/x"))
    assert {one.problem.file for one in found} == {document.file}
    assert [
        (one.level, one.code, one.problem.line, one.problem.column, one.problem.path, one.problem.message)
        for one in found
    ] == [
        (
            Level.WARNING,
            "plain_text",
            3,
            29,
            "authorization_servers[0].introspection_endpoint",
            "tokens and the client's credentials cross the network as plain text; use https://",
        ),
        (Level.NOTE, "public", 8, 5, "rules[0]", "everybody may pass: all methods of /a/**"),
        (
            Level.WARNING,
            "weaker_around",
            12,
            11,
            "rules[1].path",
            '/a/b/ falls under "open" (there), which asks for less; an app may take both for the same',
        ),
        (
            Level.NOTE,
            "methods_left_out",
            13,
            5,
            "rules[1].methods",
            'no rule is for POST, PUT, PATCH or DELETE of /a/b: refused, though "open" (there) is for it around there',
        ),
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("", []),
        ("mode: enforce\n", []),
        ("mode: report\n", [(15, "mode", "nothing is refused: what would be is forwarded, and counted as would_deny")]),
        ("    mode: enforce\n", []),
        (
            "    mode: report\n",
            [(15, "rules[1].mode", '"shut" refuses nothing: what it would is forwarded, and counted as would_deny')],
        ),
        ("    mode: enforce\nmode: report\n", [(16, "mode", BUT_ONE)]),
    ],
)
def test_what_only_reports_is_told_once(tmp_path: Path, change: str, told: list[tuple[int, str, str]]) -> None:
    """At the rule that does, or for the whole configuration: it must not be forgotten."""
    found, _ = looked_at(tmp_path, CONFIG.replace("ENDPOINT", "https://auth.example.org/x") + change)
    reports = [one for one in found if one.code == "report_only"]
    assert [(one.problem.line, one.problem.path, one.problem.message) for one in reports] == told
    assert all(one.level is Level.WARNING for one in reports)


FIRST = "and only the first one is asked where none does"
SERVERS = """\
  - {introspection_endpoint: https://a.b/c, client_id: e, client_secret: {env: S}, name: used}
  - {introspection_endpoint: https://a.b/d, client_id: e, client_secret: {env: S}, name: spare}
upstreams:
  shop: {url: http://127.0.0.1:1}
  spare: {url: http://127.0.0.1:2}
"""


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (
            "upstream: shop, authorization_server: used",
            [
                (1, "upstream", "every rule names another"),
                (5, "authorization_servers[2]", f'no rule names "spare", {FIRST}'),
                (8, "upstreams.spare", 'no rule names "spare"'),
            ],
        ),
        (
            "upstream: spare, authorization_server: spare, mode: report",
            [
                (1, "upstream", "every rule names another"),
                (4, "authorization_servers[1]", f'no rule names "used", {FIRST}'),
                (7, "upstreams.shop", 'no rule names "shop"'),
            ],
        ),
        (
            "upstream: spare, authorization_server: [spare, used]",
            [(1, "upstream", "every rule names another"), (7, "upstreams.shop", 'no rule names "shop"')],
        ),
    ],
)
def test_what_no_rule_names_is_told(tmp_path: Path, rule: str, told: list[tuple[int, str, str]]) -> None:
    """It is a rule's name for it that is wrong, or nobody needs it."""
    text = f"""\
upstream: {{url: http://127.0.0.1:8090}}
authorization_servers:
  - {{introspection_endpoint: https://a.b/x, client_id: e, client_secret: {{env: S}}}}
{SERVERS}\
rules:
  - {{name: a, path: /a, authenticated: true, {rule}}}
"""
    found, _ = looked_at(tmp_path, text)
    unused = [one for one in found if one.code == "unused"]
    assert [(one.problem.line, one.problem.path, one.problem.message) for one in unused] == told
    found, _ = looked_at(tmp_path, f"{text}mode: report\n")
    assert ("upstream" in {one.problem.path for one in found if one.code == "unused"}) is False


def test_a_set_that_no_rule_names_and_a_default_that_only_reports_are_told(tmp_path: Path) -> None:
    """Each once, where it stands."""
    more = "scope_sets: {a: [x], b: [y]}\nrule_defaults: {mode: report, any_scope: [$a]}\n"
    found, _ = looked_at(tmp_path, CONFIG.replace("ENDPOINT", "https://auth.example.org/x") + more)
    assert [
        (one.code, one.problem.line, one.problem.path, one.problem.message)
        for one in found
        if one.code in ("unused", "report_only")
    ] == [
        ("unused", 15, "scope_sets.b", "no rule has $b among its scopes"),
        (
            "report_only",
            16,
            "rule_defaults.mode",
            "rules that do not say otherwise refuse nothing: what they would is forwarded, as would_deny",
        ),
    ]


@pytest.mark.parametrize(
    ("endpoint", "plain"),
    [
        ("http://127.0.0.1:8085/x", False),
        ("http://127.9.9.9/x", False),
        ("http://[::1]/x", False),
        ("http://localhost/x", False),
        ("https://auth.example.org/x", False),
        ("http://auth.example.org/x", True),
        ("http://10.0.0.1/x", True),
        ("http://localhost.example.org/x", True),
    ],
)
def test_plain_text_is_doubted_where_it_leaves_the_machine(tmp_path: Path, endpoint: str, plain: bool) -> None:
    """Tokens go along, and our secret."""
    found, _ = looked_at(tmp_path, CONFIG.replace("ENDPOINT", endpoint))
    assert ("plain_text" in {one.code for one in found}) == plain


@pytest.mark.parametrize(
    ("settings", "path", "crossing"),
    [
        (
            "https://auth.example.org/x\n    issuer: i\n    verify: jwt_then_introspect\n    jwks_uri: http://a.b/keys",
            "jwks_uri",
            "the keys that tokens are verified by cross",
        ),
        (
            "https://auth.example.org/x\n    own_token: {token_endpoint: 'http://a.b/token'}",
            "own_token.token_endpoint",
            "the client's credentials and the token that it gets cross",
        ),
        (
            "https://auth.example.org/x\n    issuer: http://a.b\n    own_token: {}",
            "issuer",
            "the metadata that says where tokens and credentials go crosses",
        ),
    ],
)
def test_all_that_decides_over_tokens_is_doubted(tmp_path: Path, settings: str, path: str, crossing: str) -> None:
    """Who changes keys makes tokens; who changes metadata gets them."""
    found, _ = looked_at(tmp_path, CONFIG.replace("ENDPOINT", settings))
    told = [(one.problem.path, one.problem.message) for one in found if one.code == "plain_text"]
    assert told == [(f"authorization_servers[0].{path}", f"{crossing} the network as plain text; use https://")]


def test_an_issuer_that_nobody_asks_is_only_a_name(tmp_path: Path) -> None:
    """Nothing crosses the network to it where the endpoints are set."""
    found, _ = looked_at(tmp_path, CONFIG.replace("ENDPOINT", "https://auth.example.org/x\n    issuer: http://a.b"))
    assert "plain_text" not in {one.code for one in found}


AUDIENCES = """\
upstream: {url: http://127.0.0.1:8090}
authorization_servers:
  - {name: a, AUDIENCE_A, introspection_endpoint: https://as.example.org/a, client_id: e, client_secret: {env: SECRET}}
  - {name: b, AUDIENCE_B, introspection_endpoint: https://as.example.org/b, client_id: e, client_secret: {env: SECRET}}
rules:
  - {name: one, path: /1, RULE}
  - {name: other, path: /2, public: true}
"""


@pytest.mark.parametrize(
    ("rule", "audiences", "told"),
    [
        pytest.param("authenticated: true", ([], []), [3], id="none, at the server that is asked"),
        pytest.param("authenticated: true, authorization_server: [b, a]", ([], []), [3, 4], id="none at both"),
        pytest.param("authenticated: true, authorization_server: [b, a]", (["x"], []), [4], id="none at one"),
        pytest.param("authenticated: true", (["x"], []), [], id="the server's"),
        pytest.param("audience: [x]", ([], []), [], id="the rule's"),
        pytest.param("public: true", ([], []), [], id="nobody needs a token"),
    ],
)
def test_tokens_for_any_app_are_doubted(
    tmp_path: Path, rule: str, audiences: tuple[list[str], list[str]], told: list[int]
) -> None:
    """Once for a server, however many rules there are."""
    text = AUDIENCES.replace("RULE", rule)
    for name, audience in zip("AB", audiences, strict=True):
        text = text.replace(f"AUDIENCE_{name}", f"audience: [{', '.join(audience)}]")
    found, _ = looked_at(tmp_path, text)
    assert [one.problem.line for one in found if one.code == "any_audience"] == told
