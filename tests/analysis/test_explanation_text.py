"""An explanation in words: the exact text."""

from typing import Any

import pytest
from harness.policies import NOW, REFUSALS, explained, oracle, policy

from enforcer.analysis.evaluator import PolicyRequest
from enforcer.analysis.explain import UnverifiedToken, explain
from enforcer.analysis.explanation_text import write
from enforcer.errors import IntrospectionFailure
from enforcer.proxy.messages import responses

SHOP = policy(
    {"name": "read", "path": "/shop/**", "methods": ["GET"], "scopes": ["shop.read"]},
    {"name": "write", "path": "/shop/**", "methods": ["POST", "PUT"], "scopes": ["shop.read", "shop.write"]},
    {"name": "item", "path": "/shop/items/{id}", "methods": ["GET"], "any_scope": ["items.read", "shop.read"]},
    {"name": "item here", "path": "/shop/items/{id}", "methods": ["GET"], "host": "app.example.org", "public": True},
    {"name": "featured", "path": "/shop/items/featured", "public": True},
    {
        "name": "tenant",
        "path": "/tenants/{tenant}/reports",
        "issuer": ["https://as.example.org"],
        "audience": ["reports"],
        "client_ids": ["web", "batch"],
        "claims": {"tenant": "{tenant}", "realm.roles": ["admin", "auditor"], "level": 2},
    },
    {"name": "stock", "path": "/stock/{id}", "methods": ["GET"], "public": True, "upstream": "warehouse"},
    {"name": "sizes", "path": "/sizes", "methods": ["PUT"], "scopes": ["s"], "cors_preflight": "allow"},
    {"name": "basket", "path": "/basket", "scopes": ["basket"], "mode": "report"},
)

PUBLIC = """\
POST /shop/items/featured
path: /shop/items/featured

rules that match this path, the most specific first:
  ✓  "featured"   rules.yaml:5  /shop/items/featured  chosen
  ✗  "item"       rules.yaml:3  /shop/items/{id}      less specific than /shop/items/featured
  ✗  "read"       rules.yaml:1  /shop/**              less specific than /shop/items/featured
  ✗  "write"      rules.yaml:2  /shop/**              less specific than /shop/items/featured
  ✗  "item here"  rules.yaml:4  /shop/items/{id}      not for no host: for app.example.org

conditions of rule "featured":
  ✓  public  needed: nothing  there: not checked

decision: allow, public
answer: the app's
"""

METHOD = """\
DELETE /shop/items/7?x=1
path: /shop/items/7

rules that match this path, the most specific first:
  ✗  "item"       rules.yaml:3  /shop/items/{id}  not for DELETE: for GET
  ✗  "read"       rules.yaml:1  /shop/**          less specific than /shop/items/{id}
  ✗  "write"      rules.yaml:2  /shop/**          less specific than /shop/items/{id}
  ✗  "item here"  rules.yaml:4  /shop/items/{id}  not for no host: for app.example.org

decision: deny, no_rule
answer: 403, no rule allows this request
"""

HOST = """\
HEAD /shop/items/7  host app.example.org:443
path: /shop/items/7

rules that match this path, the most specific first:
  ✗  "item"       rules.yaml:3  /shop/items/{id}  rule "item here" has a more specific host or method
  ✓  "item here"  rules.yaml:4  /shop/items/{id}  chosen
  ✗  "read"       rules.yaml:1  /shop/**          less specific than /shop/items/{id}
  ✗  "write"      rules.yaml:2  /shop/**          less specific than /shop/items/{id}

conditions of rule "item here":
  ✓  public  needed: nothing  there: not checked

decision: allow, public
answer: the app's
"""

NO_TOKEN = """\
GET /shop/items/7  host localhost
path: /shop/items/7

rules that match this path, the most specific first:
  ✓  "item"       rules.yaml:3  /shop/items/{id}  chosen
  ✗  "read"       rules.yaml:1  /shop/**          less specific than /shop/items/{id}
  ✗  "write"      rules.yaml:2  /shop/**          less specific than /shop/items/{id}
  ✗  "item here"  rules.yaml:4  /shop/items/{id}  not for host localhost: for app.example.org

conditions of rule "item":
  ✗  token      needed: an access token               there: none
  ✗  state      needed: active                        there: nothing
  ✗  any_scope  needed: one of items.read, shop.read  there: unknown

decision: deny, missing_token
answer: 401, an access token is needed
  WWW-Authenticate: Bearer
"""

SCOPE = """\
PUT /shop
path: /shop

rules that match this path, the most specific first:
  ✗  "read"   rules.yaml:1  /shop/**  not for PUT: for GET
  ✓  "write"  rules.yaml:2  /shop/**  chosen

conditions of rule "write":
  ✓  token   needed: an access token               there: one
  ✓  state   needed: active                        there: active
  ✓  time    needed: valid now                     there: expires in 60 s
  ✗  scopes  needed: all of shop.read, shop.write  there: other, shop.read

decision: deny, insufficient_scope
answer: 403, the token lacks a scope; needed: shop.read shop.write
  WWW-Authenticate: Bearer error="insufficient_scope", scope="shop.read shop.write"
"""

CLAIMS = """\
GET /tenants/a%20b/reports
path: /tenants/a b/reports

rules that match this path, the most specific first:
  ✓  "tenant"  rules.yaml:6  /tenants/{tenant}/reports  chosen

conditions of rule "tenant":
  ✓  token               needed: an access token                    there: one
  ✓  state               needed: active                             there: active
  ✗  time                needed: valid now                          there: expired 5 s ago
  ✗  possession          needed: a DPoP proof by its key (cnf.jkt)  there: none
  ✓  issuer              needed: https://as.example.org             there: https://as.example.org
  ✗  audience            needed: reports                            there: none
  ✗  client_ids          needed: one of web, batch                  there: none
  ✗  claims.tenant       needed: "a b", the path's {tenant}         there: "acme\\u202e"
  ✓  claims.realm.roles  needed: one of "admin", "auditor"          there: ["user", "auditor"]
  ✗  claims.level        needed: 2                                  there: none

decision: deny, expired_token
answer: 401, the token has expired
  WWW-Authenticate: Bearer error="invalid_token"
"""

REPORTED = """\
PUT /basket
path: /basket

rules that match this path, the most specific first:
  ✓  "basket"  rules.yaml:9  /basket  chosen

conditions of rule "basket":
  ✗  token   needed: an access token  there: none
  ✗  state   needed: active           there: nothing
  ✗  scopes  needed: basket           there: unknown

decision: would_deny, missing_token
answer: the app's (report mode)
enforced: 401, an access token is needed
  WWW-Authenticate: Bearer
"""

UPSTREAM = """\
GET /stock/7
path: /stock/7

rules that match this path, the most specific first:
  ✓  "stock"  rules.yaml:7  /stock/{id}  chosen

conditions of rule "stock":
  ✓  public  needed: nothing  there: not checked

decision: allow, public
answer: that of upstream warehouse
"""

PREFLIGHT = """\
OPTIONS /sizes  preflight for PUT
path: /sizes

rules that match this path, the most specific first:
  ✓  "sizes"  rules.yaml:8  /sizes  chosen

conditions of rule "sizes":
  ✓  cors_preflight  needed: allow  there: a preflight, without a token

decision: allow, preflight
answer: the app's
"""

OTHER_PREFLIGHT = """\
OPTIONS /sizes  preflight for DELETE
path: /sizes

rules that match this path, the most specific first:
  ✗  "sizes"  rules.yaml:8  /sizes  not for OPTIONS: for PUT

decision: deny, no_rule
answer: 403, no rule allows this request
"""

NOWHERE = """\
GET /shops
path: /shops

no rule matches this path

decision: deny, no_rule
answer: 403, no rule allows this request
"""

AMBIGUOUS = """\
GET /shop/..%2fadmin
path: /shop/..%2Fadmin

readings of this path, as far as rules tell them apart:
  /shop/..%2Fadmin  rule "read"
  /shop/…           rule "read"
  /…                no rule
the readings of the path lead to rule "read" and no rule

decision: deny, ambiguous_path
answer: 400, the path can be read in ways that different rules apply to
"""


CLAIMED = {
    "exp": NOW - 5,
    "cnf": {"jkt": "x"},
    "iss": "https://as.example.org",
    "tenant": "acme\u202e",
    "realm": {"roles": ["user", "auditor"]},
}


@pytest.mark.parametrize(
    ("request_", "claims", "host", "text"),
    [
        ("POST /shop/items/featured", None, "", PUBLIC),
        ("DELETE /shop/items/7?x=1", None, "", METHOD),
        ("HEAD /shop/items/7", None, "app.example.org:443", HOST),
        ("GET /shop/items/7", None, "localhost", NO_TOKEN),
        ("PUT /shop", {"scope": "shop.read other", "exp": NOW + 60}, "", SCOPE),
        ("GET /tenants/a%20b/reports", CLAIMED, "", CLAIMS),
        ("PUT /basket", None, "", REPORTED),
        ("GET /stock/7", None, "", UPSTREAM),
        ("GET /shops", {}, "", NOWHERE),
        ("GET /shop/..%2fadmin", {}, "", AMBIGUOUS),
    ],
)
def test_an_explanation_is_written_line_by_line(
    request_: str, claims: dict[str, Any] | None, host: str, text: str
) -> None:
    """Path, rules, conditions, decision and response."""
    assert write(explained(SHOP, request_, claims, host)) == text


@pytest.mark.parametrize(("asked", "text"), [("PUT", PREFLIGHT), ("DELETE", OTHER_PREFLIGHT)])
def test_a_preflight_is_explained_by_its_requested_method(asked: str, text: str) -> None:
    """If its rule allows preflights; otherwise it is an ordinary OPTIONS request."""
    request = PolicyRequest("OPTIONS", "/sizes", preflight=asked)
    assert write(explain(SHOP, request, oracle(None), NOW, REFUSALS)) == text


def test_a_failed_verification_is_written() -> None:
    """With the response that the client gets."""
    unknown = UnverifiedToken(IntrospectionFailure.TIMEOUT, responses.not_verified(5))
    explanation = explain(SHOP, PolicyRequest("GET", "/shop"), lambda _: unknown, NOW, REFUSALS)
    assert write(explanation).splitlines()[-8:] == [
        'conditions of rule "read":',
        "  ✓  token   needed: an access token  there: one",
        "  ✗  state   needed: active           there: unknown",
        "  ✗  scopes  needed: shop.read        there: unknown",
        "",
        "decision: error, introspection_timeout",
        "answer: 503, the authorization server could not verify the token",
        "  Retry-After: 5",
    ]
