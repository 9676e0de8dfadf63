"""The doctor's requests are those of the enforcer, byte by byte, whatever the settings are."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from harness.certificates import Authority
from harness.clients import Client
from harness.configs import config
from harness.issuers import Issuer, running_issuer
from harness.processes import enforcer
from harness.signing import key, text
from harness.upstreams import Incoming, upstream
from harness.waiting import eventually

from enforcer.cli._policy import loaded_policy
from enforcer.config.load import load_with_document
from enforcer.doctor.examination import examine
from enforcer.doctor.token.token_check import check_token

SECRET = {"client_secret": {"env": "SECRET"}}
_VARYING = re.compile(rb"((?:^|&)(?:token|client_assertion)=)[^&]*")
"""The parameters of a form that differ in each request: the token, and the assertion with its `jti`."""


@pytest.mark.parametrize(
    "settings",
    [
        {**SECRET},
        {**SECRET, "client_authentication": "client_secret_post"},
        {**SECRET, "verify": "jwt_then_introspect"},
        {**SECRET, "own_token": {"scopes": ["introspect", "more"]}},
        {**SECRET, "signed_answers": True},
        {"client_authentication": "private_key_jwt", "client_key": {"env": "KEY"}},
        {"client_authentication": "tls_client_auth"},
    ],
    ids=lambda settings: " ".join(map(str, settings)),
)
def test_the_doctor_sends_what_the_enforcer_sends(settings: dict[str, Any], tmp_path: Path) -> None:
    """For metadata, keys, our own access token, and introspection, also of a real token: head and form."""
    mutual = settings.get("client_authentication") == "tls_client_auth"
    authority = Authority(tmp_path)
    tls = authority.server_context("localhost", require_client_certificate=True) if mutual else None
    with upstream(Incoming.respond) as app, running_issuer(tls=tls) as issuer:
        issuer.signs_responses = "signed_answers" in settings
        server = {"issuer": issuer.url, "client_id": "enforcer", **settings}
        if mutual:
            certificate, private = authority.issue("enforcer")
            server["tls"] = {"ca": str(authority.ca), "certificate": str(certificate), "key": str(private)}
        file = tmp_path / "config.yaml"
        file.write_text(config(app.url, 1, authorization_servers=[server]))
        environment = {"SECRET": "s3cret", "KEY": text(key("ES256", 7).as_dict(private=True)).decode()}
        with enforcer(file, environment) as proxy, Client(proxy.port, token="unknown") as client:
            assert client.request("GET", "/").status == 401
            if {"verify", "signed_answers"} & set(settings):
                assert eventually(lambda: issuer.paths["/keys"])
        serving = _requests(issuer)
        loaded, document = load_with_document(file, environment)
        assert all(report.right for report in asyncio.run(examine(loaded.config)))
        assert _requests(issuer) == serving
        asyncio.run(check_token(loaded.config, loaded_policy(loaded, document).policy, b"unknown"))
        for_keys = {request for request in serving if request[0].startswith(b"GET /keys ")}
        # An opaque token needs no keys, unless the response is signed.
        assert _requests(issuer) | for_keys == serving


def _requests(issuer: Issuer) -> set[tuple[bytes, bytes]]:
    """Return the requests since the last call, without what differs in each of them."""
    requests, issuer.server.requests = issuer.server.requests, []
    return {(_fixed_length(head), _VARYING.sub(rb"\1", body)) for head, body in requests}


def _fixed_length(head: bytes) -> bytes:
    head = re.sub(rb"Authorization: Bearer own\d+", b"Authorization: Bearer own", head)
    return re.sub(rb"Content-Length: \d+", b"Content-Length:", head)
