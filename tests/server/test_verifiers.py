"""What tells each rule what tokens are worth, and a question asked once, against servers that keep what they saw."""

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
from enforcer.server.verifiers import NoResult, verify_once
from enforcer.tokens.introspection.response import ActiveToken

SECRETS = {"SECRET": "s3cret"}


@pytest.fixture
def a() -> Iterator[Issuer]:
    with running_issuer({"of a": {}, "of-a": {"sub": "ann", "aud": "for a"}}) as issuer:
        yield issuer


@pytest.fixture
def b() -> Iterator[Issuer]:
    with running_issuer({"of-b": {"sub": "bob", "aud": "for b"}}) as issuer:
        yield issuer


class Asked:
    """A configuration with two servers and one rule; `ask` tells whose a token is, or why nobody knows."""

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
        (judged,) = resolved_rules(loaded)
        told = asyncio.run(verify_once(loaded, judged, token.encode()))
        if isinstance(told, NoResult):
            return told.error.reason
        return told.subject if isinstance(told, ActiveToken) else False


@pytest.fixture
def asked(tmp_path: Path, a: Issuer, b: Issuer) -> Asked:
    return Asked(tmp_path, a, b)


BOTH = {"authorization_server": ["a", "b"]}
IN_ORDER = {**BOTH, "ask_in_order": True}


@pytest.mark.parametrize(
    ("token", "rule", "told", "shown"),
    [
        ("of-a", {}, "ann", (1, 0)),
        ("of-b", {}, False, (1, 0)),
        ("of-b", {"authorization_server": "b"}, "bob", (0, 1)),
        ("of-b", BOTH, False, (1, 0)),
        ("of-b", IN_ORDER, "bob", (1, 1)),
        ("of-a", IN_ORDER, "ann", (1, 0)),
    ],
)
def test_a_question_goes_where_it_goes_when_serving(
    token: str, rule: dict[str, Any], told: object, shown: tuple[int, int], asked: Asked, a: Issuer, b: Issuer
) -> None:
    """The rule's server, or its servers in their order."""
    assert asked(token, rule) == told
    assert (len(a.introspected_tokens), len(b.introspected_tokens)) == shown


def test_so_does_one_about_a_jwt(asked: Asked, a: Issuer, b: Issuer) -> None:
    """To its issuer alone; or to nobody, where that verifies by keys."""
    token = b.jwt(sub="bob")
    b.tokens[token] = {"sub": "bob"}
    assert asked(token, BOTH) == "bob"
    assert (a.introspected_tokens, b.introspected_tokens) == ([], [token])
    assert asked(token, BOTH, b={"verify": "jwt", "client_id": None, "client_secret": None}) == "bob"
    assert (a.introspected_tokens, b.introspected_tokens) == ([], [token])


def test_why_nobody_knows_is_told_with_the_time_to_wait(asked: Asked, a: Issuer) -> None:
    """That of the server that was asked."""
    a.statuses["/introspect"] = "503 Down"
    loaded = asked.loaded({}, a={"retry_after": "7s"})
    (judged,) = resolved_rules(loaded)
    told = asyncio.run(verify_once(loaded, judged, b"of-a"))
    assert isinstance(told, NoResult)
    assert (told.error.reason, told.retry_after) == (IntrospectionFailure.UNAVAILABLE, 7)


@pytest.mark.parametrize(
    ("rule", "audiences", "of_a", "of_b"),
    [
        pytest.param({}, ("for a", "for b"), "ann", "bob", id="each for its own"),
        pytest.param({}, ("for a", "for a"), "ann", False, id="one that b is not for"),
        pytest.param({}, ("for b", "for a"), False, False, id="each for the other's"),
        pytest.param({"audience": ["for b"]}, ("for a", "for a"), "ann", "bob", id="the rule's is for it to judge"),
        pytest.param({"audience": ["for b"]}, ("for b", "for a"), False, "bob", id="also where a server has it too"),
    ],
)
def test_each_server_is_held_to_its_own_audience(
    rule: dict[str, Any], audiences: tuple[str, str], of_a: object, of_b: object, asked: Asked
) -> None:
    """Where a rule takes several, what one's tokens must be for does not do for the other's."""
    servers = {name: {"audience": [audience]} for name, audience in zip("ab", audiences, strict=True)}
    assert asked("of-a", {**IN_ORDER, **rule}, **servers) == of_a
    assert asked("of-b", {**IN_ORDER, **rule}, **servers) == of_b
