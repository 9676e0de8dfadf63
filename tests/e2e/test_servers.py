"""Several authorization servers behind one enforcer; each records the requests that it gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from harness.clients import Client
from harness.configs import config
from harness.issuers import Issuer, running_issuer
from harness.processes import enforcer
from harness.servers import echo_server
from harness.waiting import eventually
from joserfc.jwk import ECKey

METADATA = "/.well-known/oauth-authorization-server"
RULES = [
    {"name": "ann", "path": "/ann", "authenticated": True},
    {"name": "bob", "path": "/bob", "authenticated": True, "authorization_server": "b"},
    {"name": "both", "path": "/both", "authenticated": True, "authorization_server": ["a", "b"]},
    {"name": "each", "path": "/each", "authenticated": True, "authorization_server": ["a", "b"], "ask_in_order": True},
]


class Stack:
    """Two authorization servers, of which a is the first, an enforcer, and a client."""

    def __init__(self, a: Issuer, b: Issuer, client: Client) -> None:
        self.a = a
        self.b = b
        self._client = client

    def get(self, path: str, token: str) -> int:
        """Return the status of a request."""
        self._client.token = token
        return self._client.request("GET", path).status

    def statuses(self, token: str) -> list[int]:
        """Return the statuses of a request for each rule, twice."""
        return [self.get(str(rule["path"]), token) for rule in (*RULES, *RULES)]


@contextmanager
def _stack(verify: str = "introspect", *, issuers: bool = True, **settings: Any) -> Iterator[Stack]:
    def server(name: str, issuer: Issuer) -> dict[str, Any]:
        client = {"client_id": f"enforcer-{name}", "client_secret": {"env": f"SECRET_{name.upper()}"}}
        location = {"introspection_endpoint": f"{issuer.url}/introspect"} if not issuers else {"issuer": issuer.url}
        return {"name": name, "verify": verify, **location, **({} if verify == "jwt" else client), **settings}

    with (
        echo_server() as app,
        running_issuer({"opaque-of-a": {"sub": "ann"}}) as a,
        running_issuer({"opaque-of-b": {"sub": "bob"}}) as b,
        enforcer(
            config(
                f"http://127.0.0.1:{app.port}", 1, authorization_servers=[server("a", a), server("b", b)], rules=RULES
            ),
            {"SECRET_A": "secret-of-a", "SECRET_B": "secret-of-b"},
        ) as proxy,
        Client(proxy.port) as client,
    ):
        yield Stack(a, b, client)


OK = 200
NO = 401


def test_each_token_is_sent_to_the_server_that_issued_it() -> None:
    """A JWT goes to its issuer; an opaque token to the first server, and to the second if the rule allows it."""
    with _stack() as stack:
        jwt_a, jwt_b, stranger = stack.a.jwt(), stack.b.jwt(), stack.a.jwt(iss="https://elsewhere.example")
        stack.a.tokens[jwt_a] = {"sub": "ann"}
        stack.b.tokens[jwt_b] = {"sub": "bob"}
        #                                       /ann  /bob  /both /each
        assert stack.statuses("opaque-of-a") == [OK, NO, OK, OK] * 2
        assert stack.statuses("opaque-of-b") == [NO, OK, NO, OK] * 2
        assert stack.statuses(jwt_a) == [OK, NO, OK, OK] * 2
        assert stack.statuses(jwt_b) == [NO, OK, OK, OK] * 2
        assert stack.statuses(stranger) == [NO, NO, NO, NO] * 2
        assert stack.statuses(jwt_b + "x") == [NO, NO, NO, NO] * 2
        # A rule with `authorization_server: b` sends b every opaque token.
        assert stack.a.introspected_tokens == ["opaque-of-a", "opaque-of-b", jwt_a]
        assert stack.b.introspected_tokens == ["opaque-of-a", "opaque-of-b", jwt_b, jwt_b + "x"]


def test_each_secret_is_sent_only_to_its_server() -> None:
    """In metadata and introspection requests alike."""
    with _stack(client_authentication="client_secret_post") as stack:
        for token in ("opaque-of-a", "opaque-of-b", "junk"):
            stack.statuses(token)
        for issuer, own in ((stack.a, "a"), (stack.b, "b")):
            assert {(form["client_id"][0], form["client_secret"][0]) for form in issuer.forms} == {
                (f"enforcer-{own}", f"secret-of-{own}")
            }
            assert issuer.paths[METADATA] == 1


@pytest.mark.parametrize("verify", ["jwt", "jwt_then_introspect"])
def test_signed_tokens_are_verified_with_their_issuers_keys(verify: str) -> None:
    """Keys of one server verify no token of the other, and no JWT is sent to a server."""
    with _stack(verify) as stack:
        forged = stack.a.jwt(iss=stack.b.url)
        stack.b.key = ECKey.generate_key("P-256")
        assert stack.statuses(stack.a.jwt()) == [OK, NO, OK, OK] * 2
        assert stack.statuses(stack.b.jwt()) == [NO, OK, OK, OK] * 2
        assert stack.statuses(forged) == [NO, NO, NO, NO] * 2
        assert stack.a.introspected_tokens == stack.b.introspected_tokens == []


def test_a_server_does_not_speak_for_the_other() -> None:
    """A response of b about a token of issuer a does not count."""
    with _stack() as stack:
        stack.b.tokens["claimed"] = {"sub": "ann", "iss": stack.a.url}
        assert stack.statuses("claimed") == [NO, NO, NO, NO] * 2


def test_an_outage_of_one_server_does_not_affect_the_other() -> None:
    """Its tokens get 503; with `ask_in_order`, a token that it may know is not refused with 401."""
    with _stack(breaker={"failures": 1000}) as stack:
        assert eventually(lambda: stack.get("/ann", "opaque-of-a") == OK)
        stack.a.statuses["/introspect"] = "503 Down"
        assert stack.get("/ann", "another-of-a") == 503
        assert stack.get("/bob", "opaque-of-b") == OK
        assert stack.get("/each", "opaque-of-b") == OK
        assert stack.get("/each", "another-of-a") == 503
        assert stack.get("/ann", "opaque-of-a") == OK


def test_without_known_issuers_only_rules_select_the_server() -> None:
    """Then a JWT is treated as any other token."""
    with _stack(issuers=False) as stack:
        jwt_a = stack.a.jwt()
        stack.a.tokens[jwt_a] = {"sub": "ann"}
        assert stack.statuses(jwt_a) == [OK, NO, OK, OK] * 2
        assert stack.a.introspected_tokens == [jwt_a]
        assert stack.b.introspected_tokens == [jwt_a]


def test_the_audience_of_each_server_is_its_own() -> None:
    """An audience of one server does not apply to tokens of the other."""
    with _stack(audience=["for-a"]) as stack:
        stack.a.tokens["right"] = {"aud": ["for-a", "x"]}
        stack.a.tokens["wrong"] = {"aud": "for-b"}
        assert stack.statuses("right") == [OK, NO, OK, OK] * 2
        assert stack.statuses("wrong") == [NO, NO, NO, NO] * 2
        assert stack.statuses("opaque-of-a") == [NO, NO, NO, NO] * 2
