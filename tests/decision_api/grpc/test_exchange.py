"""The gRPC call, on HTTP/2 connections of an independent client."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Coroutine, Mapping
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from harness.carriers import CALLER
from harness.dataplane import DataPlane
from harness.envoy import CheckResponse, Fields, check_request, check_response, decode, part
from harness.http2 import Http2Client, Http2Script

from enforcer.tokens.jwt.jws import sha256_base64url

CHECK, HEALTH = "/envoy.service.auth.v3.Authorization/Check", "/grpc.health.v1.Health/Check"
SERVICE = b"envoy.service.auth.v3.Authorization"
GRPC = (("content-type", "application/grpc"), ("te", "trailers"))
TOKEN = (b"authorization", b"Bearer R~1")


def framed(message: bytes, flag: int = 0) -> bytes:
    return bytes((flag,)) + len(message).to_bytes(4, "big") + message


class Bed:
    """A data plane, and its door for gRPC."""

    def __init__(self, listener: Mapping[str, Any] | None = None, **changes: Any) -> None:
        self.plane = DataPlane(**changes)
        self.door = self.plane.door(contract="envoy-grpc", **(listener or {"trusted_proxies": [CALLER]}))

    async def call(
        self, path: str, *bodies: bytes, fields: tuple[tuple[str, str], ...] = GRPC, address: str = CALLER
    ) -> Http2Client:
        """Make a call for each body on one connection, and return the client with the responses."""
        client = Http2Client()
        for body in bodies:
            client.request("POST", path, *fields, body=body)
        outcome = await self.plane.run([client.take()], door=self.door, address=address)
        assert (outcome.faults, outcome.arrived) == ([], [])
        client.receive(outcome.answered)
        return client

    async def check(self, message: bytes, address: str = CALLER) -> CheckResponse:
        client = await self.call(CHECK, framed(message), address=address)
        assert (client.statuses[1], client.heads[1]["content-type"]) == (200, "application/grpc")
        assert client.trailers[1] == {"grpc-status": "0"}
        body = client.bodies[1]
        assert body[:5] == framed(body[5:])[:5]
        return check_response(body[5:])

    async def ask(self, method: bytes, path: bytes, fields: Fields = (), **peer: Any) -> CheckResponse:
        return await self.check(check_request(method, path, b"app", fields, **peer))


def play(script: Coroutine[Any, Any, None]) -> None:
    asyncio.run(script)


def test_an_allowed_request_sets_the_identity_fields_and_removes_every_other_spelling() -> None:
    """Envoy sends all fields of the client, so each spelling is known."""

    async def script() -> None:
        bed = Bed()
        forged = [(b"x_auth_subject", b"root"), (b"x-auth-scope", b"admin"), (b"x-original-url", b"/admin")]
        answer = await bed.ask(b"GET", b"/api/x?q=1", [TOKEN, *forged])
        assert (answer.code, answer.status) == (0, None)
        identity = {b"X-Auth-Subject": b"reader", b"X-Auth-Client": b"reading", b"X-Auth-Scope": b"read"}
        assert dict(answer.fields) == identity
        assert answer.removed == [b"x_auth_subject", b"x-original-url"]
        public = await bed.ask(b"GET", b"/public/x", forged)
        assert public.fields == []
        own = [name.lower() for name in identity]
        assert public.removed == [*own, b"x_auth_subject", b"x-original-url"]
        assert dict(bed.door.settings.metrics.results) == {"allow": 2}
        assert bed.door.settings.metrics.ignored == {"x-original-url": 2}
        bed.plane.close()

    play(script())


@pytest.mark.parametrize(
    ("method", "path", "fields", "status", "challenge"),
    [
        (b"GET", b"/api/x", [], 401, b"Bearer"),
        (b"POST", b"/api/x", [TOKEN], 403, b'Bearer error="insufficient_scope", scope="write"'),
        (b"GET", b"/public/../admin", [], 400, None),
        (b"GET", b"/none", [], 403, None),
        (b"GET", b"/api/x", [TOKEN, (b"x-http-method-override", b"DELETE")], 403, None),
        (b"FETCH", b"/public/x", [], 501, None),
    ],
)
def test_a_denial_has_status_challenge_and_body(
    method: bytes, path: bytes, fields: Fields, status: int, challenge: bytes | None
) -> None:
    """As by the proxy."""

    async def script() -> None:
        bed = Bed()
        answer = await bed.ask(method, path, fields)
        sent = dict(answer.fields)
        assert (answer.status, sent.get(b"www-authenticate")) == (status, challenge)
        assert json.loads(answer.body)["status"] == status
        bed.plane.close()

    play(script())


def test_an_outage_is_a_response_and_not_an_error_of_the_call() -> None:
    """An error would open, with Envoy's `failure_mode_allow`."""

    async def script() -> None:
        bed = Bed()
        bed.plane.introspect = lambda _: {"error": "server_error"}
        answer = await bed.ask(b"GET", b"/api/x", [TOKEN])
        assert (answer.status, int(dict(answer.fields)[b"retry-after"]) > 0) == (503, True)
        bed.plane.close()

    play(script())


def test_a_peer_that_may_not_ask_is_answered_403_but_for_health() -> None:
    """The kubelet and load balancers ask for the health."""

    async def script() -> None:
        bed = Bed()
        message = check_request(b"GET", b"/public/x", b"app")
        assert (await bed.check(message, address="203.0.113.66")).status == 403
        client = await bed.call(HEALTH, framed(b""), address="203.0.113.66")
        assert (client.bodies[1], client.trailers[1]["grpc-status"]) == (framed(part(1, 1)), "0")
        bed.plane.close()

    play(script())


def test_a_certificate_bound_token_needs_the_certificate_that_envoy_reports() -> None:
    """RFC 8705; the setting `forwarding.client_cert` is about fields, and is not needed."""

    async def script() -> None:
        der = b"certificate"
        bed = Bed()
        bed.plane.introspect = lambda _: {"active": True, "scope": "read", "cnf": {"x5t#S256": sha256_base64url(der)}}
        pem = b"-----BEGIN CERTIFICATE-----\n%b\n-----END CERTIFICATE-----\n" % b64encode(der)
        encoded = quote_from_bytes(pem).encode()
        assert (await bed.ask(b"GET", b"/api/x", [TOKEN], certificate=encoded)).status is None
        assert (await bed.ask(b"GET", b"/api/x", [TOKEN])).status == 401
        forged = (b"client-cert", b":%b:" % b64encode(der))
        assert (await bed.ask(b"GET", b"/api/x", [TOKEN, forged])).status == 401
        bed.plane.close()

    play(script())


def test_report_mode_notes_the_reason_in_the_response_of_the_app() -> None:
    """The call has a place for fields of the response."""

    async def script() -> None:
        bed = Bed(mode="report", would_deny_field="X-Would-Deny")
        answer = await bed.ask(b"GET", b"/api/x")
        assert (answer.code, answer.response_fields) == (0, [(b"X-Would-Deny", b"missing_token")])
        bed.plane.close()

    play(script())


def test_calls_of_a_connection_are_independent() -> None:
    """A malformed message is answered 400, and the others as they are."""

    async def script() -> None:
        bed = Bed()
        messages = [check_request(b"GET", path, b"app") for path in (b"/public/x", b"/api/x", b"/public/y")]
        client = await bed.call(CHECK, framed(messages[0]), framed(b"\x0a"), framed(messages[1]), framed(messages[2]))
        answers = [check_response(client.bodies[number][5:]).status for number in (1, 3, 5, 7)]
        assert answers == [None, 400, 401, None]
        bed.plane.close()

    play(script())


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/envoy.service.auth.v2.Authorization/Check", framed(b""), "12"),
        ("/grpc.health.v1.Health/Watch", framed(b""), "12"),
        (CHECK, b"", "3"),
        (CHECK, b"\0\0\0", "3"),
        (CHECK, framed(b"")[:-1] + b"\x05", "3"),
        (CHECK, framed(b"") * 2, "3"),
        (CHECK, framed(b"", 1), "12"),
        (CHECK, framed(bytes(2048)), "8"),
        (HEALTH, framed(part(1, b"other")), "5"),
        (HEALTH, framed(b"\x0a"), "3"),
    ],
)
def test_a_call_that_is_none_is_an_error_of_the_call(path: str, body: bytes, code: str) -> None:
    """Unknown methods, compressed messages, and bytes that are not one message."""

    async def script() -> None:
        bed = Bed({"trusted_proxies": [CALLER], "message": "1KiB"})
        client = await bed.call(path, body)
        assert (client.trailers[1]["grpc-status"], client.bodies.get(1)) == (code, None)
        bed.plane.close()

    play(script())


def test_health_is_not_serving_while_draining() -> None:
    """Envoy then sends its calls to another replica."""

    async def run() -> None:
        bed = Bed()
        script = Http2Script(door=bed.door)
        for serving in (1, 2):
            number = script.client.request("POST", HEALTH, *GRPC, body=framed(part(1, SERVICE)))
            await script.exchange()
            assert decode(script.client.bodies[number][5:]) == {1: [serving]}
            script.playbook.registry.draining = True
        bed.plane.close()

    play(run())
