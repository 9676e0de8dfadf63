"""The rules as they are judged."""

from collections.abc import Callable

import pytest

from enforcer.config.effective import effective_rules
from enforcer.config.load import Loaded

RULES = """\
  - {name: own, path: /own, issuer: [https://other.example.org], authenticated: true}
  - {name: public, path: /public, public: true}
  - {name: second, path: /second, authenticated: true, authorization_server: second}
"""
SECOND = """\
  - {name: second, introspection_endpoint: http://127.0.0.1:2/x, client_id: e, client_secret: {env: SECRET}}
"""


@pytest.mark.parametrize("issuer", ["https://as.example.org", None])
def test_a_rule_needs_the_issuer_of_its_authorization_server(loads: Callable[..., Loaded], issuer: str | None) -> None:
    """Unless it names one itself, or is public."""
    named = {"client_id: enforcer": f"issuer: {issuer}, client_id: enforcer"} if issuer else {}
    config = loads(RULES, {**named, "rules:\n": f"{SECOND}rules:\n"}).config
    assert {rule.name: rule.issuer for rule in effective_rules(config)} == {
        "all": (issuer,) if issuer else (),
        "own": ("https://other.example.org",),
        "public": (),
        "second": (),
    }
