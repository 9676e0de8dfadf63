"""What the doctor finds at authorization servers that are discovered, verified by keys, or asked with an own token."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from harness.certificates import Authority
from harness.issuers import Issuer, running_issuer
from harness.signing import key, text

from enforcer.doctor.authorization_server_check import AuthorizationServerCheck
from enforcer.doctor.diagnosis import Finding, Verdict
from enforcer.secret import Secret
from enforcer.settings.authorization_server import AuthorizationServer, OwnTokenSettings
from enforcer.settings.jwt import JwtSettings
from enforcer.settings.tls import ClientTLS

METADATA = "/.well-known/oauth-authorization-server"
PRIVATE = Secret(text(key("ES256", 7).as_dict(private=True)).decode())
WAY = ["name", "TCP"]
TIMES = ["clock", "answer time"]


def visited(issuer: Issuer, secret: str = "s3cret", **changes: Any) -> list[Finding]:
    client = {} if changes.get("verify") == "jwt" else {"client_id": "enforcer", "client_secret": Secret(secret)}
    return asyncio.run(
        AuthorizationServerCheck(AuthorizationServer(**{"issuer": issuer.url, **client, **changes})).findings()
    )


def whats(findings: list[Finding]) -> list[str]:
    return [finding.what for finding in findings]


def the(what: str, findings: list[Finding]) -> Finding:
    return next(finding for finding in findings if finding.what == what)


def wrong(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.what, finding.found) for finding in findings if finding.verdict is Verdict.WRONG]


@pytest.mark.parametrize(
    ("changes", "steps", "paths"),
    [
        ({}, ["metadata", "credentials", *TIMES], {"/introspect": 1}),
        ({"verify": "jwt"}, ["metadata", "keys", *TIMES], {"/keys": 1}),
        (
            {"verify": "jwt_then_introspect"},
            ["metadata", "credentials", *TIMES, "keys"],
            {"/keys": 1, "/introspect": 1},
        ),
        (
            {"own_token": OwnTokenSettings()},
            ["metadata", "own token", *TIMES, "credentials"],
            {"/token": 1, "/introspect": 1},
        ),
        (
            {"client_authentication": "private_key_jwt", "client_secret": None, "client_key": PRIVATE},
            ["metadata", "credentials", *TIMES],
            {"/introspect": 1},
        ),
    ],
)
def test_each_thing_that_the_settings_use_is_tried_once(
    changes: dict[str, Any], steps: list[str], paths: dict[str, int]
) -> None:
    """Metadata first, since it tells the rest; a way that several take is looked at once."""
    with running_issuer() as issuer:
        found = visited(issuer, **changes)
        assert whats(found) == [*WAY, *steps]
        assert wrong(found) == []
        assert issuer.paths == {METADATA: 1, **paths}


def test_where_all_is_set_metadata_is_only_compared_and_last() -> None:
    """It is not needed."""
    with running_issuer() as issuer:
        found = visited(issuer, introspection_endpoint=f"{issuer.url}/introspect")
        assert whats(found) == [*WAY, "credentials", *TIMES, "metadata"]
        issuer.statuses[METADATA] = "500 Down"
        found = visited(issuer, introspection_endpoint=f"{issuer.url}/introspect")
        assert wrong(found) == []


def test_the_endpoints_that_were_found_are_said() -> None:
    """To be compared with what the server's people say."""
    with running_issuer() as issuer:
        told = the("metadata", visited(issuer, verify="jwt_then_introspect")).found
        url = issuer.url
        assert told == (
            f"issuer is as the server says; introspection_endpoint is {url}/introspect; jwks_uri is {url}/keys"
        )


def test_without_metadata_nothing_else_can_be_tried() -> None:
    """It is said what to do about it, and where it was looked for."""
    with running_issuer() as issuer:
        issuer.statuses[METADATA] = "404 Not Found"
        found = visited(issuer)
        (last,) = wrong(found)
        assert whats(found) == [*WAY, "metadata"]
        assert last[1].startswith(f"none at {issuer.url}{METADATA}, {issuer.url}/.well-known/openid-configuration")
        assert issuer.forms == []


def test_a_server_that_is_down_is_said_to_be() -> None:
    """As a step on the way, and not only as metadata that is missing."""
    with running_issuer() as issuer:
        url = issuer.url
    server = AuthorizationServer(issuer=url, client_id="a", client_secret=Secret("b"))
    found = asyncio.run(AuthorizationServerCheck(server).findings())
    assert whats(found) == [*WAY, "metadata"]
    assert [what for what, _ in wrong(found)] == ["TCP", "metadata"]


def test_the_openid_metadata_is_found_too() -> None:
    """Where the standard's place has something else."""
    with running_issuer() as issuer:
        issuer.metadata_paths = ("/.well-known/openid-configuration",)
        issuer.statuses[METADATA] = "200 OK"
        assert wrong(visited(issuer)) == []


def test_an_endpoint_that_the_server_has_not_is_said() -> None:
    """And what can be tried is."""
    with running_issuer() as issuer:
        issuer.metadata["jwks_uri"] = None
        found = visited(issuer, verify="jwt_then_introspect")
        assert wrong(found) == [("metadata", "the server names no jwks_uri")]
        assert the("credentials", found).verdict is Verdict.RIGHT


def test_metadata_of_another_is_not_followed() -> None:
    """No credentials go there."""
    with running_issuer() as issuer:
        issuer.metadata["issuer"] = "http://localhost:1"
        found = visited(issuer)
        assert wrong(found) == [("metadata", "the server calls itself http://localhost:1")]
        assert issuer.forms == []


def test_no_token_for_us_is_told_from_a_token_that_may_not_introspect() -> None:
    """In the one case the client is wrong, in the other its scopes."""
    with running_issuer() as issuer:
        own = OwnTokenSettings(scopes=("introspect",))
        issuer.accepts = lambda head, form: "token" in form
        found = visited(issuer, own_token=own)
        assert wrong(found) == [("own token", "refused (401, invalid_client) with client_secret_basic")]
        issuer.accepts = lambda head, form: "token" not in form
        found = visited(issuer, own_token=own)
        assert the("own token", found).found == "given, for 600 s"
        assert wrong(found) == [("credentials", "refused (401, invalid_client) with own_token")]
        assert issuer.authorization_fields[-1] == "Bearer own1"
        assert "own1" not in repr(found)


@pytest.mark.parametrize("own_token", [None, OwnTokenSettings()])
def test_the_other_way_to_show_the_secret_is_tried_where_it_is_shown(own_token: OwnTokenSettings | None) -> None:
    """Be that at the introspection endpoint, or where our token is got."""
    with running_issuer() as issuer:
        issuer.accepts = lambda head, form: "client_secret" in form or b"Bearer" in head
        found = visited(issuer, own_token=own_token)
        advised = the("credentials" if own_token is None else "own token", found).advice
        assert advised == "set client_authentication: client_secret_post, which the server accepts"


def test_keys_that_verify_nothing_are_wrong() -> None:
    """For the algorithms of the settings."""
    with running_issuer() as issuer:
        issuer.key = key("EdDSA")
        found = visited(issuer, verify="jwt", jwt=JwtSettings(algorithms=("ES256",)))
        assert wrong(found) == [("keys", "1 key, for Ed25519, EdDSA")]


def test_an_answer_that_is_to_be_signed_is_verified() -> None:
    """By the keys, which are looked at too."""
    with running_issuer() as issuer:
        issuer.signs_responses = True
        found = visited(issuer, signed_answers=True)
        assert whats(found) == [*WAY, "metadata", "credentials", *TIMES, "keys"]
        assert wrong(found) == []
        issuer.signs_responses = False
        assert wrong(visited(issuer, signed_answers=True)) == [
            ("credentials", "its signed answer: malformed (RFC 9701)")
        ]
        issuer.signs_responses = True
        issuer.statuses["/keys"] = "500 Down"
        assert [what for what, _ in wrong(visited(issuer, signed_answers=True))] == ["credentials", "keys"]


def test_a_certificate_is_shown_on_the_way(tmp_path: Path) -> None:
    """RFC 8705 §2, at the endpoints that are for such clients (§5)."""
    authority = Authority(tmp_path)
    certificate, private = authority.issue("enforcer")
    tls = ClientTLS(ca=authority.ca, certificate=certificate, key=private)  # type: ignore[arg-type]
    with (
        running_issuer(tls=authority.server_context("localhost")) as issuer,
        running_issuer(tls=authority.server_context("localhost", require_client_certificate=True)) as mutual,
    ):
        issuer.metadata["mtls_endpoint_aliases"] = {"introspection_endpoint": f"{mutual.url}/introspect"}
        found = visited(issuer, client_secret=None, client_authentication="tls_client_auth", tls=tls)
        assert the("credentials", found).verdict is Verdict.RIGHT
        assert mutual.paths == {"/introspect": 1}
        assert issuer.paths == {METADATA: 1}
