"""The verifiers of rules, and a single verification, against servers that record introspection requests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.configs import config
from harness.issuers import Issuer, running_issuer

from enforcer.config.load import load
from enforcer.config.model import Config
from enforcer.config.resolved import resolved_rules
from enforcer.errors import IntrospectionFailure
from enforcer.server.verifiers import verify_once
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.verifier import VerificationFailure

SECRETS = {"SECRET": "s3cret"}


@pytest.fixture
def a() -> Iterator[Issuer]:
    with running_issuer({"of a": {}, "of-a": {"sub": "ann", "aud": "for a"}}) as issuer:
        yield issuer


@pytest.fixture
def b() -> Iterator[Issuer]:
    with running_issuer({"of-b": {"sub": "bob", "aud": "for b"}}) as issuer:
        yield issuer


class VerifyOnce:
    """A configuration with two servers and one rule. A call returns a token's subject, False, or a failure's reason."""

    def __init__(self, folder: Path, a: Issuer, b: Issuer) -> None:
        self._folder = folder
        self._issuers = {"a": a, "b": b}

    def loaded(self, rule: dict[str, Any], **servers: dict[str, Any]) -> Config:
        client = {"client_id": "enforcer", "client_secret": {"env": "SECRET"}}
        settings = [
            {"name": name, "issuer": issuer.url, **client, **servers.get(name, {})}
            for name, issuer in self._issuers.items()
        ]
        rules = [{"name": "all", "path": "/**", "authenticated": True, **rule}]
        path = self._folder / "config.yaml"
        path.write_text(config("http://127.0.0.1:1", 1, authorization_servers=settings, rules=rules))
        return load(path, SECRETS).config

    def __call__(self, token: str, rule: dict[str, Any], **servers: dict[str, Any]) -> object:
        loaded = self.loaded(rule, **servers)
        (resolved,) = resolved_rules(loaded)
        result = asyncio.run(verify_once(loaded, resolved, token.encode()))
        if isinstance(result, VerificationFailure):
            return result.reason
        return result.subject if isinstance(result, ActiveToken) else False


@pytest.fixture
def verify(tmp_path: Path, a: Issuer, b: Issuer) -> VerifyOnce:
    return VerifyOnce(tmp_path, a, b)


BOTH = {"authorization_server": ["a", "b"]}
IN_ORDER = {**BOTH, "ask_in_order": True}


@pytest.mark.parametrize(
    ("token", "rule", "expected", "requests"),
    [
        ("of-a", {}, "ann", (1, 0)),
        ("of-b", {}, False, (1, 0)),
        ("of-b", {"authorization_server": "b"}, "bob", (0, 1)),
        ("of-b", BOTH, False, (1, 0)),
        ("of-b", IN_ORDER, "bob", (1, 1)),
        ("of-a", IN_ORDER, "ann", (1, 0)),
    ],
)
def test_an_opaque_token_goes_to_the_servers_of_the_rule(
    token: str,
    rule: dict[str, Any],
    expected: object,
    requests: tuple[int, int],
    verify: VerifyOnce,
    a: Issuer,
    b: Issuer,
) -> None:
    """To its only server, or to its servers in order if `ask_in_order` is set."""
    assert verify(token, rule) == expected
    assert (len(a.introspected_tokens), len(b.introspected_tokens)) == requests


def test_a_jwt_goes_to_its_issuer(verify: VerifyOnce, a: Issuer, b: Issuer) -> None:
    """Only there; to no server if the issuer's keys verify it."""
    token = b.jwt(sub="bob")
    b.tokens[token] = {"sub": "bob"}
    assert verify(token, BOTH) == "bob"
    assert (a.introspected_tokens, b.introspected_tokens) == ([], [token])
    assert verify(token, BOTH, b={"verify": "jwt", "client_id": None, "client_secret": None}) == "bob"
    assert (a.introspected_tokens, b.introspected_tokens) == ([], [token])


def test_a_failure_has_a_reason_and_a_retry_time(verify: VerifyOnce, a: Issuer) -> None:
    """The retry time of the server that failed."""
    a.statuses["/introspect"] = "503 Down"
    loaded = verify.loaded({}, a={"retry_after": "7s"})
    (resolved,) = resolved_rules(loaded)
    result = asyncio.run(verify_once(loaded, resolved, b"of-a"))
    assert isinstance(result, VerificationFailure)
    assert (result.reason, result.retry_after) == (IntrospectionFailure.UNAVAILABLE, 7)


@pytest.mark.parametrize(
    ("rule", "audiences", "of_a", "of_b"),
    [
        pytest.param({}, ("for a", "for b"), "ann", "bob", id="each for its own"),
        pytest.param({}, ("for a", "for a"), "ann", False, id="one that b is not for"),
        pytest.param({}, ("for b", "for a"), False, False, id="each for the other's"),
        pytest.param(
            {"audience": ["for b"]}, ("for a", "for a"), "ann", "bob", id="the rule's audience is checked by the rule"
        ),
        pytest.param({"audience": ["for b"]}, ("for b", "for a"), False, "bob", id="also where a server has it too"),
    ],
)
def test_each_server_is_held_to_its_own_audience(
    rule: dict[str, Any], audiences: tuple[str, str], of_a: object, of_b: object, verify: VerifyOnce
) -> None:
    """If a rule has several servers, the audience of one does not apply to the tokens of another."""
    servers = {name: {"audience": [audience]} for name, audience in zip("ab", audiences, strict=True)}
    assert verify("of-a", {**IN_ORDER, **rule}, **servers) == of_a
    assert verify("of-b", {**IN_ORDER, **rule}, **servers) == of_b
