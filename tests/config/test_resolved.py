"""Rules with the issuer and audience of their authorization servers filled in."""

from collections.abc import Callable

import pytest

from enforcer.config.load import Loaded
from enforcer.config.model import Config
from enforcer.config.resolved import issuer_scopes, resolved_rules, scope_claims
from enforcer.tokens.issuers import IssuerScope

RULES = """\
  - {name: own, path: /own, issuer: [https://other.example.org], authenticated: true}
  - {name: public, path: /public, public: true}
  - {name: second, path: /second, authenticated: true, authorization_server: second}
"""
SECOND = """\
  - {name: second, introspection_endpoint: http://127.0.0.1:2/x, client_id: e, client_secret: {env: SECRET}}
"""


@pytest.mark.parametrize("issuer", ["https://as.example.org", None])
def test_a_rule_requires_the_issuer_of_its_authorization_server(
    loads: Callable[..., Loaded], issuer: str | None
) -> None:
    """Except for a rule with an issuer of its own, and a public one."""
    named = {"client_id: enforcer": f"issuer: {issuer}, client_id: enforcer"} if issuer else {}
    config = loads(RULES, {**named, "rules:\n": f"{SECOND}rules:\n"}).config
    assert {rule.name: rule.issuer for rule in resolved_rules(config)} == {
        "all": (issuer,) if issuer else (),
        "own": ("https://other.example.org",),
        "public": (),
        "second": (),
    }


SERVERS = """\
  - {name: a, issuer: A, audience: [x, y], CLIENT}
  - {name: b, issuer: B, audience: [y, z], CLIENT}
  - {name: c, CLIENT}
rules:
  - {name: first, path: /1, authenticated: true}
  - {name: own, path: /2, authenticated: true, audience: [w], issuer: [I]}
  - {name: two, path: /3, authenticated: true, authorization_server: [b, a]}
  - {name: unknown, path: /4, authenticated: true, authorization_server: c}
  - {name: some unknown, path: /5, authenticated: true, authorization_server: [a, c]}
  - {name: public, path: /6, public: true}
  - {name: nobody, path: /7, nobody: true}
"""


def servers(loads: Callable[..., Loaded]) -> Config:
    client = (
        "introspection_endpoint: http://127.0.0.1:8085/introspect, client_id: enforcer, client_secret: {env: SECRET}"
    )
    replaced = f"  - {{{client}}}\nrules:\n  - {{name: all, path: /**, authenticated: true}}\n"
    return loads(changed={replaced: SERVERS.replace("CLIENT", client)}).config


def test_a_rule_requires_issuer_and_audience_of_its_authorization_servers(loads: Callable[..., Loaded]) -> None:
    """Of all of them, except if it has its own; if one server has no issuer or audience, the rule requires none."""
    required = {rule.name: (rule.issuer, rule.audience) for rule in resolved_rules(servers(loads))}
    assert required == {
        "first": (("A",), ("x", "y")),
        "own": (("I",), ("w",)),
        "two": (("B", "A"), ("y", "z", "x")),
        "unknown": ((), ()),
        "some unknown": ((), ()),
        "public": ((), ()),
        "nobody": ((), ()),
    }


def test_each_server_knows_the_issuers_of_the_others(loads: Callable[..., Loaded]) -> None:
    """So that it never receives their tokens; a server without `issuer` has no issuer of its own."""
    assert issuer_scopes(servers(loads)) == {
        "a": IssuerScope("A", frozenset({"B"})),
        "b": IssuerScope("B", frozenset({"A"})),
        "c": IssuerScope(None, frozenset({"A", "B"})),
    }


def test_the_claims_with_the_scopes_are_those_of_the_server_with_the_issuer(loads: Callable[..., Loaded]) -> None:
    """Otherwise of the rule's first server; without a rule, of the first of all."""
    client = "introspection_endpoint: http://127.0.0.1:8085/introspect, client_id: enforcer"
    second = SECOND.replace("second,", "second, issuer: B, scope_claims: [b],")
    config = loads(
        "  - {name: two, path: /3, authenticated: true, authorization_server: [default, second]}\n"
        "  - {name: second, path: /4, authenticated: true, authorization_server: second}\n",
        {client: f"issuer: A, scope_claims: [a], {client}", "rules:\n": f"{second}rules:\n"},
    ).config
    rules = {rule.name: rule for rule in config.rules}

    def read(rule: str, issuer: str | None) -> frozenset[str]:
        return scope_claims(config, rules.get(rule), issuer).read({"a": "of-a", "b": "of-b"})

    assert [read("two", issuer) for issuer in ("A", "B", "C", None)] == [{"of-a"}, {"of-b"}, {"of-a"}, {"of-a"}]
    assert [read("second", "A"), read("none", "B")] == [{"of-b"}, {"of-a"}]
