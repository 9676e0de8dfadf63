"""Checks of authorization servers: discovery, keys, signed responses, and our own access token."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from harness.certificates import Authority, file_of
from harness.issuers import Issuer, running_issuer
from harness.signing import key, text

from enforcer.doctor.authorization_server_check import AuthorizationServerCheck
from enforcer.doctor.diagnosis import Finding, Verdict
from enforcer.secret import Secret
from enforcer.settings.authorization_server import AuthorizationServer, OwnTokenSettings
from enforcer.settings.connections.tls import ClientTLS
from enforcer.settings.jwt import JwtSettings

METADATA = "/.well-known/oauth-authorization-server"
PRIVATE = Secret(text(key("ES256", 7).as_dict(private=True)).decode())
CONNECTION = ["name", "TCP"]
TIMES = ["clock", "answer time"]


def check(issuer: Issuer, secret: str = "s3cret", **changes: Any) -> list[Finding]:
    client = {} if changes.get("verify") == "jwt" else {"client_id": "enforcer", "client_secret": Secret(secret)}
    return asyncio.run(
        AuthorizationServerCheck(
            AuthorizationServer(**{"issuer": issuer.url, "timeout": 20.0, **client, **changes})
        ).findings()
    )


def names(findings: list[Finding]) -> list[str]:
    return [finding.what for finding in findings]


def finding(name: str, findings: list[Finding]) -> Finding:
    return next(each for each in findings if each.what == name)


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
def test_everything_that_the_settings_use_is_tried_once(
    changes: dict[str, Any], steps: list[str], paths: dict[str, int]
) -> None:
    """Metadata first, because it names the endpoints; a connection to the same origin is probed only once."""
    with running_issuer() as issuer:
        findings = check(issuer, **changes)
        assert names(findings) == [*CONNECTION, *steps]
        assert wrong(findings) == []
        assert issuer.paths == {METADATA: 1, **paths}


def test_if_every_endpoint_is_set_metadata_is_compared_last() -> None:
    """It is not needed, so that a failure is only a warning."""
    with running_issuer() as issuer:
        findings = check(issuer, introspection_endpoint=f"{issuer.url}/introspect")
        assert names(findings) == [*CONNECTION, "credentials", *TIMES, "metadata"]
        issuer.statuses[METADATA] = "500 Down"
        findings = check(issuer, introspection_endpoint=f"{issuer.url}/introspect")
        assert wrong(findings) == []


def test_discovered_endpoints_are_listed() -> None:
    """So that an operator can compare them with the server's documentation."""
    with running_issuer() as issuer:
        details = finding("metadata", check(issuer, verify="jwt_then_introspect")).found
        url = issuer.url
        assert details == (
            f"issuer matches the server's metadata; introspection_endpoint is {url}/introspect; jwks_uri is {url}/keys"
        )


def test_without_metadata_nothing_else_can_be_tried() -> None:
    """The finding lists the URLs that were tried."""
    with running_issuer() as issuer:
        issuer.statuses[METADATA] = "404 Not Found"
        findings = check(issuer)
        (last,) = wrong(findings)
        assert names(findings) == [*CONNECTION, "metadata"]
        assert last[1].startswith(f"none at {issuer.url}{METADATA}, {issuer.url}/.well-known/openid-configuration")
        assert issuer.forms == []


def test_a_server_that_is_down_is_reported() -> None:
    """As a failed connection step, not only as missing metadata."""
    with running_issuer() as issuer:
        url = issuer.url
    server = AuthorizationServer(issuer=url, client_id="a", client_secret=Secret("b"))
    findings = asyncio.run(AuthorizationServerCheck(server).findings())
    assert names(findings) == [*CONNECTION, "metadata"]
    assert [subject for subject, _ in wrong(findings)] == ["TCP", "metadata"]


def test_openid_metadata_is_found_too() -> None:
    """If the URL of RFC 8414 returns something else."""
    with running_issuer() as issuer:
        issuer.metadata_paths = ("/.well-known/openid-configuration",)
        issuer.statuses[METADATA] = "200 OK"
        assert wrong(check(issuer)) == []


def test_an_endpoint_that_is_not_published_is_wrong() -> None:
    """The other steps are tried anyway."""
    with running_issuer() as issuer:
        issuer.metadata["jwks_uri"] = None
        findings = check(issuer, verify="jwt_then_introspect")
        assert wrong(findings) == [("metadata", "the server publishes no jwks_uri")]
        assert finding("credentials", findings).verdict is Verdict.RIGHT


def test_metadata_of_another_issuer_is_not_used() -> None:
    """No credentials are sent to its endpoints."""
    with running_issuer() as issuer:
        issuer.metadata["issuer"] = "http://localhost:1"
        findings = check(issuer)
        assert wrong(findings) == [("metadata", "the server's issuer is http://localhost:1")]
        assert issuer.forms == []


def test_a_refused_own_token_is_distinguished_from_a_refused_introspection() -> None:
    """In the first case the client is wrong, in the second its scopes."""
    with running_issuer() as issuer:
        own = OwnTokenSettings(scopes=("introspect",))
        issuer.accepts = lambda head, form: "token" in form
        findings = check(issuer, own_token=own)
        assert wrong(findings) == [("own token", "refused (401, invalid_client) with client_secret_basic")]
        issuer.accepts = lambda head, form: "token" not in form
        findings = check(issuer, own_token=own)
        assert finding("own token", findings).found == "issued, for 600 s"
        assert wrong(findings) == [("credentials", "refused (401, invalid_client) with own_token")]
        assert issuer.authorization_fields[-1] == "Bearer own1"
        assert "own1" not in repr(findings)


@pytest.mark.parametrize("own_token", [None, OwnTokenSettings()])
def test_the_other_way_to_send_the_secret_is_tried(own_token: OwnTokenSettings | None) -> None:
    """At the introspection endpoint, or at the token endpoint if the enforcer has an own token."""
    with running_issuer() as issuer:
        issuer.accepts = lambda head, form: "client_secret" in form or b"Bearer" in head
        findings = check(issuer, own_token=own_token)
        advice = finding("credentials" if own_token is None else "own token", findings).advice
        assert advice == "set client_authentication: client_secret_post, which the server accepts"


def test_keys_for_other_algorithms_are_wrong() -> None:
    """They cannot verify tokens with the configured algorithms."""
    with running_issuer() as issuer:
        issuer.key = key("EdDSA")
        findings = check(issuer, verify="jwt", jwt=JwtSettings(algorithms=("ES256",)))
        assert wrong(findings) == [("keys", "1 key, for Ed25519, EdDSA")]


def test_a_signed_introspection_response_is_verified() -> None:
    """With the server's keys, which are checked too."""
    with running_issuer() as issuer:
        issuer.signs_responses = True
        findings = check(issuer, signed_answers=True)
        assert names(findings) == [*CONNECTION, "metadata", "credentials", *TIMES, "keys"]
        assert wrong(findings) == []
        issuer.signs_responses = False
        assert wrong(check(issuer, signed_answers=True)) == [
            ("credentials", "its signed response: malformed (RFC 9701)")
        ]
        issuer.signs_responses = True
        issuer.statuses["/keys"] = "500 Down"
        assert [subject for subject, _ in wrong(check(issuer, signed_answers=True))] == ["credentials", "keys"]


def test_a_client_certificate_is_sent(tmp_path: Path) -> None:
    """RFC 8705 §2, to the endpoints for mutual TLS (§5)."""
    authority = Authority(tmp_path)
    certificate, private = authority.issue("enforcer")
    tls = ClientTLS(ca=file_of(authority.ca), certificate=file_of(certificate), key=file_of(private))
    with (
        running_issuer(tls=authority.server_context("localhost")) as issuer,
        running_issuer(tls=authority.server_context("localhost", require_client_certificate=True)) as mutual,
    ):
        issuer.metadata["mtls_endpoint_aliases"] = {"introspection_endpoint": f"{mutual.url}/introspect"}
        findings = check(issuer, client_secret=None, client_authentication="tls_client_auth", tls=tls)
        assert finding("credentials", findings).verdict is Verdict.RIGHT
        assert mutual.paths == {"/introspect": 1}
        assert issuer.paths == {METADATA: 1}
