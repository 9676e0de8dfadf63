"""Several authorization servers behind one enforcer, each of which keeps what it was shown."""

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

METADATA = "/.well-known/oauth-authorization-server"
RULES = [
    {"name": "ann", "path": "/ann", "authenticated": True},
    {"name": "bob", "path": "/bob", "authenticated": True, "authorization_server": "b"},
    {"name": "both", "path": "/both", "authenticated": True, "authorization_server": ["a", "b"]},
    {
        "name": "each",
        "path": "/each",
        "authenticated": True,
        "authorization_server": ["a", "b"],
        "ask_in_order": True,
    },
]


class Bed:
    """Two authorization servers, and an enforcer whose first one is a."""

    def __init__(self, a: Issuer, b: Issuer, client: Client) -> None:
        self.a = a
        self.b = b
        self._client = client

    def get(self, path: str, token: str) -> int:
        self._client.token = token
        return self._client.request("GET", path).status

    def everywhere(self, token: str) -> list[int]:
        """Ask under each rule, twice."""
        return [self.get(rule["path"], token) for rule in (*RULES, *RULES)]  # type: ignore[arg-type]


@contextmanager
def _bed(verify: str = "introspect", *, issuers: bool = True, **settings: Any) -> Iterator[Bed]:
    def server(name: str, issuer: Issuer) -> dict[str, Any]:
        client = {"client_id": f"enforcer-{name}", "client_secret": {"env": f"SECRET_{name.upper()}"}}
        asked = {"introspection_endpoint": f"{issuer.url}/introspect"} if not issuers else {"issuer": issuer.url}
        return {"name": name, "verify": verify, **asked, **({} if verify == "jwt" else client), **settings}

    with (
        echo_server() as app,
        running_issuer({"opaque-of-a": {"sub": "ann"}}) as a,
        running_issuer({"opaque-of-b": {"sub": "bob"}}) as b,
        enforcer(
            config(
                f"http://127.0.0.1:{app.port}",
                1,
                authorization_servers=[server("a", a), server("b", b)],
                rules=RULES,
            ),
            {"SECRET_A": "secret-of-a", "SECRET_B": "secret-of-b"},
        ) as proxy,
        Client(proxy.port) as client,
    ):
        yield Bed(a, b, client)


OK = 200
NO = 401


def test_each_token_is_shown_to_the_server_that_issued_it() -> None:
    """A JWT to its issuer, an opaque one to the first, and on to the second where the rule says so; never otherwise."""
    with _bed() as bed:
        jwt_a, jwt_b, stranger = bed.a.jwt(), bed.b.jwt(), bed.a.jwt(iss="https://elsewhere.example")
        bed.a.tokens[jwt_a] = {"sub": "ann"}
        bed.b.tokens[jwt_b] = {"sub": "bob"}
        #                                       /ann  /bob  /both /each
        assert bed.everywhere("opaque-of-a") == [OK, NO, OK, OK] * 2
        assert bed.everywhere("opaque-of-b") == [NO, OK, NO, OK] * 2
        assert bed.everywhere(jwt_a) == [OK, NO, OK, OK] * 2
        assert bed.everywhere(jwt_b) == [NO, OK, OK, OK] * 2
        assert bed.everywhere(stranger) == [NO, NO, NO, NO] * 2
        assert bed.everywhere(jwt_b + "x") == [NO, NO, NO, NO] * 2
        # b is shown an opaque token of a by the rule that asks it alone.
        assert bed.a.introspected_tokens == ["opaque-of-a", "opaque-of-b", jwt_a]
        assert bed.b.introspected_tokens == ["opaque-of-a", "opaque-of-b", jwt_b, jwt_b + "x"]


def test_each_secret_is_shown_to_its_server_alone() -> None:
    """In metadata and introspection alike."""
    with _bed(client_authentication="client_secret_post") as bed:
        for token in ("opaque-of-a", "opaque-of-b", "junk"):
            bed.everywhere(token)
        for issuer, own in ((bed.a, "a"), (bed.b, "b")):
            assert {(form["client_id"][0], form["client_secret"][0]) for form in issuer.forms} == {
                (f"enforcer-{own}", f"secret-of-{own}")
            }
            assert issuer.paths[METADATA] == 1


@pytest.mark.parametrize("verify", ["jwt", "jwt_then_introspect"])
def test_signed_tokens_are_verified_by_their_issuers_keys(verify: str) -> None:
    """The keys of one server make no token of the other, and no JWT is shown to anybody."""
    with _bed(verify) as bed:
        forged = bed.a.jwt(iss=bed.b.url)
        bed.b.key = bed.a.key.generate_key("P-256")  # type: ignore[call-arg, arg-type]
        assert bed.everywhere(bed.a.jwt()) == [OK, NO, OK, OK] * 2
        assert bed.everywhere(bed.b.jwt()) == [NO, OK, OK, OK] * 2
        assert bed.everywhere(forged) == [NO, NO, NO, NO] * 2
        assert bed.a.introspected_tokens == bed.b.introspected_tokens == []


def test_a_server_does_not_speak_for_the_other() -> None:
    """That b calls an opaque token one of a's is no judgement of it."""
    with _bed() as bed:
        bed.b.tokens["claimed"] = {"sub": "ann", "iss": bed.a.url}
        assert bed.everywhere("claimed") == [NO, NO, NO, NO] * 2


def test_an_outage_of_one_is_none_of_the_other() -> None:
    """Its tokens are 503; and in order, what it may know is not called worthless."""
    with _bed(breaker={"failures": 1000}) as bed:
        assert eventually(lambda: bed.get("/ann", "opaque-of-a") == OK)
        bed.a.statuses["/introspect"] = "503 Down"
        assert bed.get("/ann", "another-of-a") == 503
        assert bed.get("/bob", "opaque-of-b") == OK
        assert bed.get("/each", "opaque-of-b") == OK
        assert bed.get("/each", "another-of-a") == 503
        assert bed.get("/ann", "opaque-of-a") == OK


def test_servers_of_whom_no_issuer_is_known_are_told_apart_by_the_rules_alone() -> None:
    """Then a JWT is a token like any other."""
    with _bed(issuers=False) as bed:
        jwt_a = bed.a.jwt()
        bed.a.tokens[jwt_a] = {"sub": "ann"}
        assert bed.everywhere(jwt_a) == [OK, NO, OK, OK] * 2
        assert bed.a.introspected_tokens == [jwt_a]
        assert bed.b.introspected_tokens == [jwt_a]


def test_the_audience_of_each_server_is_its_own() -> None:
    """That of one does not do for the tokens of the other."""
    with _bed(audience=["for-a"]) as bed:
        bed.a.tokens["right"] = {"aud": ["for-a", "x"]}
        bed.a.tokens["wrong"] = {"aud": "for-b"}
        assert bed.everywhere("right") == [OK, NO, OK, OK] * 2
        assert bed.everywhere("wrong") == [NO, NO, NO, NO] * 2
        assert bed.everywhere("opaque-of-a") == [NO, NO, NO, NO] * 2
