"""Configuration warnings, each with its position."""

from __future__ import annotations

from pathlib import Path

import pytest

from enforcer.analysis.evaluator import Policy
from enforcer.analysis.lint import Level
from enforcer.config.load import load_with_document
from enforcer.config.merged_document import MergedDocument
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


EXCEPT_ONE = (
    "no request is refused, except by the 1 of 2 rules with mode: enforce: "
    "denied requests are forwarded, counted as would_deny"
)
FORWARDED = "denied requests are forwarded, counted as would_deny"


def warnings_of(tmp_path: Path, text: str) -> tuple[list[ConfigWarning], MergedDocument]:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    loaded, document = load_with_document(file, None)
    return find_warnings(loaded.config, document, Policy((rule, "there") for rule in loaded.config.rules)), document


def test_tokens_in_urls_and_unprotected_cookies_are_found(tmp_path: Path) -> None:
    """In rules and in their defaults."""
    text = CONFIG.replace("ENDPOINT", "https://auth.example.org/x") + "    token_from: {query: access_token}\n"
    text += "rule_defaults:\n  token_from: {cookie: token, cross_site: allow}\n"
    warnings = [warning for warning in warnings_of(tmp_path, text)[0] if "token_from" in warning.problem.path]
    assert [(warning.code, warning.problem.line, warning.problem.path) for warning in warnings] == [
        ("token_in_query", 15, "rules[1].token_from.query"),
        ("cross_site", 17, "rule_defaults.token_from.cross_site"),
    ]


def test_warnings_are_sorted_by_line_and_name_the_key(tmp_path: Path) -> None:
    """If the key is not written in the rule, the position is the rule's."""
    warnings, document = warnings_of(tmp_path, CONFIG.replace("ENDPOINT", "http://auth.example.org/x"))
    assert {warning.problem.file for warning in warnings} == {document.main.file}
    assert [
        (
            warning.level,
            warning.code,
            warning.problem.line,
            warning.problem.column,
            warning.problem.path,
            warning.problem.message,
        )
        for warning in warnings
    ] == [
        (
            Level.WARNING,
            "plain_text",
            3,
            29,
            "authorization_servers[0].introspection_endpoint",
            "tokens and the client's credentials cross the network in plain text; use https://",
        ),
        (Level.NOTE, "public", 8, 5, "rules[0]", "everybody is allowed: all methods of /a/**"),
        (
            Level.NOTE,
            "weaker_in_other_letters",
            9,
            11,
            "rules[0].path",
            (
                "/a/B would match it; rules for the other letter case have other conditions, "
                "which it needs too if the app ignores case"
            ),
        ),
        (
            Level.WARNING,
            "weaker_around",
            12,
            11,
            "rules[1].path",
            (
                '/a/b/ matches "open" (there), which does not require a token; '
                "an app may treat both as the same: let its path be /a/b/**"
            ),
        ),
        (
            Level.NOTE,
            "methods_left_out",
            13,
            5,
            "rules[1].methods",
            'no rule matches POST, PUT, PATCH or DELETE of /a/b: denied, though "open" (there) allows it around there',
        ),
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("", []),
        ("mode: enforce\n", []),
        (
            "mode: report\n",
            [(15, "mode", "no request is refused: denied requests are forwarded, counted as would_deny")],
        ),
        ("    mode: enforce\n", []),
        (
            "    mode: report\n",
            [(15, "rules[1].mode", '"shut" refuses no request: denied requests are forwarded, counted as would_deny')],
        ),
        ("    mode: enforce\nmode: report\n", [(16, "mode", EXCEPT_ONE)]),
    ],
)
def test_report_mode_is_one_warning(tmp_path: Path, change: str, expected: list[tuple[int, str, str]]) -> None:
    """At the rule that sets it, or for the whole configuration, so that nobody forgets it."""
    warnings, _ = warnings_of(tmp_path, CONFIG.replace("ENDPOINT", "https://auth.example.org/x") + change)
    reports = [warning for warning in warnings if warning.code == "report_only"]
    assert [(warning.problem.line, warning.problem.path, warning.problem.message) for warning in reports] == expected
    assert all(warning.level is Level.WARNING for warning in reports)


FIRST = "and rules that name none use only the first"
SERVERS = """\
  - {introspection_endpoint: https://a.b/c, client_id: e, client_secret: {env: S}, name: used}
  - {introspection_endpoint: https://a.b/d, client_id: e, client_secret: {env: S}, name: spare}
upstreams:
  shop: {url: http://127.0.0.1:1}
  spare: {url: http://127.0.0.1:2}
"""


@pytest.mark.parametrize(
    ("rule", "expected"),
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
def test_unused_entries_are_warnings(tmp_path: Path, rule: str, expected: list[tuple[int, str, str]]) -> None:
    """Either a rule has the wrong name, or the entry is not needed."""
    text = f"""\
upstream: {{url: http://127.0.0.1:8090}}
authorization_servers:
  - {{introspection_endpoint: https://a.b/x, client_id: e, client_secret: {{env: S}}}}
{SERVERS}\
rules:
  - {{name: a, path: /a, authenticated: true, {rule}}}
"""
    warnings, _ = warnings_of(tmp_path, text)
    unused = [warning for warning in warnings if warning.code == "unused"]
    assert [(warning.problem.line, warning.problem.path, warning.problem.message) for warning in unused] == expected
    warnings, _ = warnings_of(tmp_path, f"{text}mode: report\n")
    assert ("upstream" in {warning.problem.path for warning in warnings if warning.code == "unused"}) is False


def test_unused_scope_sets_and_report_mode_by_default_are_warnings(tmp_path: Path) -> None:
    """Each is reported once, at its own position."""
    more = "scope_sets: {a: [x], b: [y]}\nrule_defaults: {mode: report, any_scope: [$a]}\n"
    warnings, _ = warnings_of(tmp_path, CONFIG.replace("ENDPOINT", "https://auth.example.org/x") + more)
    assert [
        (warning.code, warning.problem.line, warning.problem.path, warning.problem.message)
        for warning in warnings
        if warning.code in ("unused", "report_only")
    ] == [
        ("unused", 15, "scope_sets.b", "no rule has $b among its scopes"),
        (
            "report_only",
            16,
            "rule_defaults.mode",
            "rules without a mode refuse no request: denied requests are forwarded, counted as would_deny",
        ),
    ]


@pytest.mark.parametrize(
    ("endpoint", "warned"),
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
def test_plain_text_off_the_machine_is_a_warning(tmp_path: Path, endpoint: str, warned: bool) -> None:
    """The connection carries tokens and the client's credentials."""
    warnings, _ = warnings_of(tmp_path, CONFIG.replace("ENDPOINT", endpoint))
    assert ("plain_text" in {warning.code for warning in warnings}) == warned


@pytest.mark.parametrize(
    ("settings", "path", "crossing"),
    [
        (
            "https://auth.example.org/x\n    issuer: i\n    verify: jwt_then_introspect\n    jwks_uri: http://a.b/keys",
            "jwks_uri",
            "the keys that verify tokens cross",
        ),
        (
            "https://auth.example.org/x\n    own_token: {token_endpoint: 'http://a.b/token'}",
            "own_token.token_endpoint",
            "the client's credentials and its access token cross",
        ),
        (
            "https://auth.example.org/x\n    issuer: http://a.b\n    own_token: {}",
            "issuer",
            "the metadata that says where to send tokens and credentials crosses",
        ),
    ],
)
def test_every_url_that_tokens_depend_on_is_checked(tmp_path: Path, settings: str, path: str, crossing: str) -> None:
    """An attacker who changes keys can issue tokens; one who changes metadata receives them."""
    warnings, _ = warnings_of(tmp_path, CONFIG.replace("ENDPOINT", settings))
    plain = [(warning.problem.path, warning.problem.message) for warning in warnings if warning.code == "plain_text"]
    assert plain == [(f"authorization_servers[0].{path}", f"{crossing} the network in plain text; use https://")]


def test_an_issuer_whose_metadata_is_not_fetched_is_only_a_name(tmp_path: Path) -> None:
    """If every endpoint is set, no connection is made to the issuer."""
    warnings, _ = warnings_of(
        tmp_path, CONFIG.replace("ENDPOINT", "https://auth.example.org/x\n    issuer: http://a.b")
    )
    assert "plain_text" not in {warning.code for warning in warnings}


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
    ("rule", "audiences", "expected"),
    [
        pytest.param("authenticated: true", ([], []), [3], id="none, at the server that is asked"),
        pytest.param("authenticated: true, authorization_server: [b, a]", ([], []), [3, 4], id="none at both"),
        pytest.param("authenticated: true, authorization_server: [b, a]", (["x"], []), [4], id="none at one"),
        pytest.param("authenticated: true", (["x"], []), [], id="the server's"),
        pytest.param("audience: [x]", ([], []), [], id="the rule's"),
        pytest.param("public: true", ([], []), [], id="nobody needs a token"),
    ],
)
def test_accepting_any_audience_is_a_warning(
    tmp_path: Path, rule: str, audiences: tuple[list[str], list[str]], expected: list[int]
) -> None:
    """One warning for a server, however many rules use it."""
    text = AUDIENCES.replace("RULE", rule)
    for name, audience in zip("AB", audiences, strict=True):
        text = text.replace(f"AUDIENCE_{name}", f"audience: [{', '.join(audience)}]")
    warnings, _ = warnings_of(tmp_path, text)
    assert [warning.problem.line for warning in warnings if warning.code == "any_audience"] == expected


@pytest.mark.parametrize(
    ("settings", "upstream", "own"),
    [
        pytest.param("listener: {address: ':8090'}", "http://127.0.0.1:8090", "listener.address, :8090", id="anywhere"),
        pytest.param(
            "listener: {address: '127.0.0.1:8090'}",
            "http://localhost:8090",
            "listener.address, 127.0.0.1:8090",
            id="name",
        ),
        pytest.param(
            "admin: {address: '10.0.0.1:80'}", "http://10.0.0.1", "admin.address, 10.0.0.1:80", id="default port"
        ),
        pytest.param("listener: {address: '10.0.0.1:8090'}", "http://127.0.0.1:8090", None, id="another address"),
        pytest.param("listener: {address: ':8091'}", "http://127.0.0.1:8090", None, id="another port"),
        pytest.param("listener: {address: ':8090'}", "http://app:8090", None, id="another host"),
        pytest.param("listener: {address: ':8090'}", "unix:/run/app.sock", None, id="socket"),
    ],
)
def test_an_upstream_that_is_the_enforcer_is_a_warning(
    tmp_path: Path, settings: str, upstream: str, own: str | None
) -> None:
    """Each request would come back to the enforcer until its head is too large."""
    text = CONFIG.replace("ENDPOINT", "https://as/x").replace("http://127.0.0.1:8090", upstream) + settings + "\n"
    warnings, _ = warnings_of(tmp_path, text)
    assert [
        (warning.problem.line, warning.problem.path, warning.problem.message)
        for warning in warnings
        if warning.code == "own_address"
    ] == ([] if own is None else [(1, "upstream.url", f"is the enforcer's own {own}; name the app's address")])


def test_a_token_limit_above_the_limit_of_a_head_is_a_warning(tmp_path: Path) -> None:
    """A token is part of the head."""
    text = CONFIG.replace("ENDPOINT", "https://as/x") + "limits: {token: 64KiB, head: 32KiB}\n"
    warnings, _ = warnings_of(tmp_path, text)
    assert [warning.problem.path for warning in warnings if warning.code == "token_limit"] == ["limits.token"]


@pytest.mark.parametrize(
    ("dpop", "claims", "expected"),
    [
        ("{}", "{}", []),
        ("{challenge: true}", "{}", ["dpop"]),
        ("{}", "{cnf.jkt: k}", ["rules[0]"]),
        ("{max_age: 30s}", "{cnf.jkt: k}", ["dpop"]),
        ("{challenge: true, origins: ['https://api.example.org']}", "{cnf.jkt: k}", []),
    ],
)
def test_expecting_proofs_without_origins_is_a_warning(
    tmp_path: Path, dpop: str, claims: str, expected: list[str]
) -> None:
    """Only proofs for localhost would be accepted."""
    text = AUDIENCES.replace("RULE", f"authenticated: true, claims: {claims}") + f"dpop: {dpop}\n"
    text = text.replace("AUDIENCE_A", "audience: [a]").replace("AUDIENCE_B", "audience: [b]")
    warnings, _ = warnings_of(tmp_path, text)
    assert [warning.problem.path for warning in warnings if warning.code == "no_origins"] == expected


def test_an_issuer_that_no_server_of_the_rule_has_is_a_warning(tmp_path: Path) -> None:
    """No token can have it: the signature of a JWT is verified with the keys of its issuer."""
    text = CONFIG.replace("ENDPOINT", "https://auth.example.org/x\n    issuer: https://auth.example.org")
    warnings, _ = warnings_of(tmp_path, f"{text}    issuer: [https://auth.example.org, https://other.example.org]\n")
    (warning,) = [warning for warning in warnings if warning.code == "unknown_issuer"]
    assert (warning.problem.path, warning.problem.message) == (
        "rules[1].issuer[1]",
        'no authorization server of the rule has the issuer "https://other.example.org": its tokens are denied',
    )


@pytest.mark.parametrize(
    ("proxies", "condition", "expected"),
    [
        ("[]", "addresses: [10.0.0.0/8]", [("no_trusted_proxies", "rules[1].addresses")]),
        ("[]", "any_of: [{addresses: [10.0.0.0/8]}]", [("no_trusted_proxies", "rules[1].any_of[0].addresses")]),
        ("[192.0.2.1]", "addresses: [10.0.0.0/8]", []),
        ("[10.0.0.1]", "addresses: [192.0.2.7, 10.0.0.0/8]", [("address_of_proxy", "rules[1].addresses[1]")]),
        ("[10.0.0.0/8]", "addresses: [10.1.0.0/16]", [("address_of_proxy", "rules[1].addresses[0]")]),
    ],
)
def test_addresses_that_a_proxy_may_have_are_a_warning(
    tmp_path: Path, proxies: str, condition: str, expected: list[tuple[str, str]]
) -> None:
    """The address of a client behind a proxy is only known from the proxy."""
    text = CONFIG.replace("ENDPOINT", "https://auth.example.org/x")
    text = f"forwarding: {{trusted_proxies: {proxies}}}\n{text}    {condition}\n"
    warnings, _ = warnings_of(tmp_path, text)
    codes = ("no_trusted_proxies", "address_of_proxy")
    assert [(warning.code, warning.problem.path) for warning in warnings if warning.code in codes] == expected
