"""Envoy's messages: which request a CheckRequest describes, and how it is answered."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from harness.envoy import check_request, check_response, decode, part

from enforcer.decision_api.grpc.check import read_check, read_service, write_allowed, write_denied, write_health
from enforcer.errors import MalformedRequestError
from enforcer.proxy.messages.forwarding import Forwarding
from enforcer.proxy.messages.head import RequestHead
from enforcer.proxy.messages.responses import Refusal
from enforcer.settings.forwarding import ForwardingSettings
from enforcer.settings.limits import Limits
from enforcer.wire.fields import FieldKind

DER = bytes(range(200))
PEM = b"-----BEGIN CERTIFICATE-----\n%b-----END CERTIFICATE-----\n" % base64.encodebytes(DER)


def head(data: bytes, **limits: Any) -> RequestHead:
    return read_check(data, Forwarding(ForwardingSettings()), replace(Limits(), **limits))


def special(described: RequestHead, kind: FieldKind) -> list[tuple[bytes, bytes]]:
    return list((described.special or {}).get(kind, ()))


@pytest.mark.parametrize("raw", [True, False])
def test_the_request_of_the_client_is_read(raw: bool) -> None:
    """Method, path with query, host, fields, scheme and address; with and without `encode_raw_headers`."""
    fields = [(b"Authorization", b"Bearer t"), (b"X-T", b"1"), (b"X-Auth-Subject", b"root")]
    described = head(check_request(b"DELETE", b"/a%20b?c=d", b"app:80", fields, scheme=b"https", raw=raw))
    assert (described.method, described.target, described.host) == (b"DELETE", b"/a%20b?c=d", b"app:80")
    assert (described.authorization, described.authorizations) == (b"Bearer t", 1)
    assert [described.lines[index] for index in range(0, len(described.lines), 4)] == [
        b"Host",
        b"authorization",
        b"x-t",
    ]
    assert special(described, FieldKind.DROP) == [(b"x-auth-subject", b"root")]
    expected = [(b"X-Forwarded-For", b"192.0.2.1"), (b"X-Forwarded-Proto", b"https")]
    assert special(described, FieldKind.FORWARDED) == expected


def test_a_repeated_field_is_repeated_if_envoy_sends_fields_as_sent() -> None:
    """Two credentials are refused; joined by Envoy, they are one that cannot be read."""
    fields = [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")]
    assert head(check_request(b"GET", b"/", b"app", fields)).authorizations == 2
    assert head(check_request(b"GET", b"/", b"app", fields, raw=False)).authorization == b"Bearer a,Bearer b"


def test_the_client_is_the_peer_that_envoy_sees() -> None:
    """It is the last of the chain, whatever the client wrote; scheme and host of the client are not believed."""
    fields = [(b"x-forwarded-for", b"198.51.100.1"), (b"x-forwarded-proto", b"https"), (b"x-forwarded-host", b"other")]
    described = head(check_request(b"GET", b"/", b"app", fields, address=b"2001:db8::1"))
    expected = [(b"X-Forwarded-For", b"198.51.100.1, 2001:db8::1"), (b"X-Forwarded-Proto", b"http")]
    assert special(described, FieldKind.FORWARDED) == expected


def test_the_certificate_is_envoys_attribute_and_no_field() -> None:
    """A client may send Client-Cert."""
    forged = [(b"client-cert", b":Zm9yZ2Vk:")]
    described = head(check_request(b"GET", b"/", b"app", forged, certificate=quote_from_bytes(PEM).encode()))
    assert special(described, FieldKind.CERTIFICATE) == [(b"Client-Cert", b":%b:" % base64.b64encode(DER))]
    assert special(head(check_request(b"GET", b"/", b"app", forged)), FieldKind.CERTIFICATE) == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"method": b""}, 501),
        ({"method": b"FETCH"}, 501),
        ({"path": b""}, 400),
        ({"host": b""}, 400),
        ({"host": b"a b"}, 400),
        ({"scheme": b""}, 400),
        ({"scheme": b"gopher"}, 400),
        ({"fields": [(b"a b", b"c")]}, 400),
        ({"fields": [(b"a", b"b\r\nc: d")]}, 400),
        ({"certificate": b"PEM"}, 400),
        ({"certificate": b"-----BEGIN CERTIFICATE-----A-----END CERTIFICATE-----"}, 400),
    ],
)
def test_a_message_that_describes_no_request_is_refused(changes: dict[str, Any], status: int) -> None:
    """Nothing has a default: not GET, and not the path `/`."""
    parts: dict[str, Any] = {"method": b"GET", "path": b"/", "host": b"app", **changes}
    with pytest.raises(MalformedRequestError) as fault:
        head(check_request(**parts))
    assert fault.value.status == status


def test_a_client_behind_a_unix_socket_is_unknown() -> None:
    """Envoy has no address of it, and X-Forwarded-For may be the client's own."""
    described = head(check_request(b"GET", b"/", b"app", [(b"x-forwarded-for", b"10.0.0.1")], address=b""))
    assert special(described, FieldKind.FORWARDED)[0] == (b"X-Forwarded-For", b"10.0.0.1, unknown")


def test_an_upgrade_is_known() -> None:
    """A cookie is accepted from fewer pages with it."""
    fields = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
    assert head(check_request(b"GET", b"/", b"app", fields)).upgrade == b"websocket"
    assert head(check_request(b"GET", b"/", b"app")).upgrade is None


@pytest.mark.parametrize(
    ("parts", "refused"), [({7: b""}, False), ({7: b"a=b"}, False), ({7: b"a=c"}, True), ({8: b"part"}, True)]
)
def test_the_query_is_that_of_the_path(parts: dict[int, bytes], refused: bool) -> None:
    """Envoy leaves both attributes empty. Another caller may not, and forward what the path does not have."""
    attributes = decode(decode(check_request(b"GET", b"/x?a=b", b"app"))[1][0])
    request = decode(attributes[4][0])
    http = request[2][0] + b"".join(part(number, value) for number, value in parts.items())
    data = part(1, part(4, part(2, http)))
    if refused:
        with pytest.raises(MalformedRequestError):
            head(data)
    else:
        assert head(data).target == b"/x?a=b"


@pytest.mark.parametrize("raw", [True, False])
def test_a_move_has_one_destination(raw: bool) -> None:
    """Without `encode_raw_headers`, Envoy joins repeated fields, of which an app may take any."""

    def status(*destinations: bytes) -> int | None:
        fields = [(b"destination", destination) for destination in destinations]
        try:
            refusal = head(check_request(b"MOVE", b"/a", b"app", fields, raw=raw)).refusal
        except MalformedRequestError as error:
            return error.status
        return None if refusal is None else refusal.status

    assert [status(), status(b"/b"), status(b"/b", b"/admin")] == [400, None, 400]
    assert status(b"/b,/c") == (None if raw else 400)


@pytest.mark.parametrize("data", [b"", part(1, b""), part(1, 5), check_request(b"GET", b"/", b"app") * 2])
def test_another_message_is_refused(data: bytes) -> None:
    """Also two of them, which would be merged by the format's own rules."""
    with pytest.raises(MalformedRequestError):
        head(data)


def test_the_limits_of_a_request_are_those_of_the_proxy() -> None:
    """431 and 414, as if the client had sent it to the proxy."""
    many = [(b"x-%d" % number, b"v") for number in range(20)]
    for data, status in (
        (check_request(b"GET", b"/" + b"a" * 100, b"app"), 414),
        (check_request(b"GET", b"/", b"app", many), 431),
        (check_request(b"GET", b"/", b"app", [(b"x", b"v" * 2000)]), 431),
    ):
        refusal = head(data, target=64, fields=16, head=1024).refusal
        assert refusal is not None
        assert refusal.status == status


def test_the_answer_to_an_allowed_request() -> None:
    """Fields are overwritten, so that the client's own do not stay beside them."""
    data = write_allowed([(b"X-Auth-Subject", b"alice")], [b"x_auth_subject"], [(b"X-Would-Deny", b"no_rule")])
    answer = check_response(data)
    assert (answer.code, answer.status, answer.fields) == (0, None, [(b"X-Auth-Subject", b"alice")])
    assert (answer.removed, answer.response_fields) == ([b"x_auth_subject"], [(b"X-Would-Deny", b"no_rule")])


@pytest.mark.parametrize(("status", "code"), [(401, 16), (403, 7), (400, 7), (429, 7), (503, 14)])
def test_the_answer_to_a_denied_request(status: int, code: int) -> None:
    """Status, challenges and body of the refusal; an outage is one, too."""
    refusal = Refusal(status, "why", challenges=("Bearer", "DPoP"), retry_after=3)
    answer = check_response(write_denied(refusal, b"7f"))
    assert (answer.code, answer.status, answer.body) == (code, status, refusal.body)
    assert answer.fields == [
        *((b"www-authenticate", b"Bearer"), (b"www-authenticate", b"DPoP"), (b"retry-after", b"3")),
        *((b"content-type", b"application/problem+json"), (b"cache-control", b"no-store"), (b"x-request-id", b"7f")),
    ]


def test_health() -> None:
    """grpc.health.v1."""
    assert (read_service(b""), read_service(part(1, b"a"))) == (b"", b"a")
    assert [decode(write_health(serving=serving))[1] for serving in (True, False)] == [[1], [2]]
