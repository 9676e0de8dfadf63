"""The reason of a rejected JWT: in the log, in a metric, and for `enforcer why`."""

from __future__ import annotations

import json
import urllib.request

from harness.clients import Client
from harness.configs import config
from harness.issuers import running_issuer
from harness.processes import enforcer
from harness.servers import echo_server
from harness.signing import sign
from harness.usage import metric
from harness.waiting import TIMEOUT


def test_the_reason_of_a_rejected_jwt_is_shown_to_operators_and_not_to_clients() -> None:
    """One line in the log, however many requests there are; the client learns only that the token is invalid."""
    with running_issuer() as issuer, echo_server() as app:
        text = config(
            f"http://127.0.0.1:{app.port}",
            1,
            authorization_servers=[{"issuer": issuer.url, "verify": "jwt"}],
            rules=[{"name": "all", "path": "/**", "authenticated": True}],
            admin={"credential": {"env": "ADMIN"}},
        )
        claims = {"iss": issuer.url, "sub": "joe", "exp": 9_999_999_999}
        with enforcer(text, {"ADMIN": "operator"}) as process, Client(process.port) as client:
            client.token = issuer.jwt()
            assert client.request("GET", "/thing").status == 200
            for number in range(3):
                header = {"alg": "ES256", "typ": "JWT", "kid": "a"}
                client.token = sign(header, {**claims, "jti": str(number)}, issuer.key, "ES256").decode()
                response = client.request("GET", "/thing", [("X-Request-Id", "asked")])
                assert response.status == 401
                assert b"jwt" not in response.body
            request = urllib.request.Request(
                f"http://127.0.0.1:{process.admin_port}/decisions/asked", headers={"Authorization": "Bearer operator"}
            )
            with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
                denial = json.loads(reply.read())["decisions"][0]
            (state,) = [condition for condition in denial["conditions"] if condition["name"] == "state"]
            assert state["there"].startswith("rejected, wrong_typ: its typ is not at+jwt")
            assert metric(process, 'enforcer_jwt_rejected_total{reason="wrong_typ",server="default"}') == 3
            assert process.stop() == 0
            log = process.log()
        assert "a JWT is rejected: wrong_typ, authorization server default: its typ is not at+jwt" in log
        assert log.count("WARNING enforcer.tokens: a JWT is rejected") <= 2
