"""The contracts: which request a proxy asks about."""

from __future__ import annotations

import json

import pytest
from harness.carriers import CARRIERS, parse

from enforcer.decision_api.contracts import CONTRACTS, foreign_fields, read, refused
from enforcer.proxy.messages.head import RequestHead
from enforcer.proxy.messages.responses import TOO_LARGE
from enforcer.settings.limits import Limits
from enforcer.wire.fields import FieldKind

NAMES = sorted(CONTRACTS)
LIMITS = Limits(target=64)


def judged(name: str, carrier: bytes) -> RequestHead:
    return read(CONTRACTS[name], parse(carrier), LIMITS)


def status(head: RequestHead) -> int | None:
    return None if head.refusal is None else head.refusal.status


def fault(head: RequestHead) -> str:
    assert head.refusal is not None
    detail: str = json.loads(head.refusal.render(b"", close=False, head_only=False).partition(b"\r\n\r\n")[2])["detail"]
    return detail


def forwarding(head: RequestHead) -> dict[bytes, bytes]:
    return {name.lower(): value for name, value in (head.special or {}).get(FieldKind.FORWARDED, ())}


@pytest.mark.parametrize("name", NAMES)
def test_the_request_of_the_client_is_read(name: str) -> None:
    """Method, target with query, host, credentials, address and scheme; the carrier's own are not looked at."""
    carrier = CARRIERS[name](b"DELETE", b"/a%20b?c=d", b"app:8080", [(b"Authorization", b"Bearer t"), (b"X-T", b"1")])
    head = judged(name, carrier)
    assert (head.refusal, head.method, head.target, head.host) == (None, b"DELETE", b"/a%20b?c=d", b"app:8080")
    assert (head.authorization, head.authorizations) == (b"Bearer t", 1)
    assert b"X-T" in head.lines
    assert forwarding(head)[b"x-forwarded-for"] == b"192.0.2.1"
    assert forwarding(head).get(b"x-forwarded-proto", b"http") == b"http"


@pytest.mark.parametrize(
    ("name", "field"),
    [
        *((name, field) for name in ("nginx", "haproxy") for field in (b"x-original-method", b"x-original-uri")),
        *(("ingress-nginx", field) for field in (b"x-original-method", b"x-original-url")),
        ("haproxy", b"x-forwarded-host"),
        *(("forwarded", field) for field in (b"x-forwarded-method", b"x-forwarded-uri", b"x-forwarded-host")),
    ],
)
@pytest.mark.parametrize("count", [0, 2])
def test_a_field_of_the_contract_is_needed_once(name: str, field: bytes, count: int) -> None:
    """None of them has a default, and of two neither is chosen."""
    start, *lines = CARRIERS[name](b"GET", b"/a", b"app", []).split(b"\r\n")
    of_contract = [line for line in lines if line.lower().startswith(field + b":")]
    others = [line for line in lines if line not in of_contract]
    head = judged(name, b"\r\n".join([start, *of_contract * count, *others]))
    assert status(head) == 400
    assert fault(head) == f"{field.decode()}: {'repeated' if count else 'missing'}"


@pytest.mark.parametrize("name", NAMES)
def test_fields_of_other_contracts_are_ignored(name: str) -> None:
    """The client may have sent them, and the proxy does not remove what it does not know."""
    every = {
        *(b"X-Original-Method", b"X-Original-URI", b"X-Original-URL"),
        *(b"X-Forwarded-Method", b"X-Forwarded-Uri", b"X-Rewrite-URL"),
    }
    contract = CONTRACTS[name]
    forged = [(field, b"/admin") for field in every if field.lower() not in (contract.method, contract.target)]
    forged += [(b"X_Original_URI", b"/admin"), (b"X-Forwarded_Uri", b"/admin")]
    head = judged(name, CARRIERS[name](b"GET", b"/a", b"app", forged))
    assert (head.refusal, head.method, head.target, head.host) == (None, b"GET", b"/a", b"app")


FOREIGN = {
    "nginx": [b"x-original-url", b"x-forwarded-method", b"x-forwarded-uri"],
    "haproxy": [b"x-original-url", b"x-forwarded-method", b"x-forwarded-uri"],
    "ingress-nginx": [b"x-forwarded-method", b"x-forwarded-uri"],  # it sets X-Original-URI itself
    "forwarded": [b"x-original-method", b"x-original-uri", b"x-original-url"],
    "request": [b"x-original-method", b"x-original-uri", b"x-original-url", b"x-forwarded-method", b"x-forwarded-uri"],
}


@pytest.mark.parametrize("name", NAMES)
def test_fields_of_other_contracts_are_known(name: str) -> None:
    """They are a sign of a wrong contract, or of a forgery. Other spellings of any of them are only the latter."""
    contract = CONTRACTS[name]
    assert foreign_fields(contract, parse(CARRIERS[name](b"GET", b"/a", b"app", []))) == []
    sent = [(field, b"/b") for field in FOREIGN[name]]
    sent += [(b"X_Forwarded_Uri", b"/b"), (b"X-Forwarded-Host", b"b"), (b"X-Rewrite-URL", b"/b"), (b"X-T", b"1")]
    head = parse(CARRIERS[name](b"GET", b"/a", b"app", sent))
    assert foreign_fields(contract, head) == [*FOREIGN[name], b"x-forwarded-uri"]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("forwarded", "haproxy")])
def test_a_host_that_the_proxy_does_not_set_is_not_believed(name: str) -> None:
    """Only `forwarded` and `haproxy` have X-Forwarded-Host; a client's own passes many proxies."""
    head = judged(name, CARRIERS[name](b"GET", b"/a", b"app", [(b"X-Forwarded-Host", b"other")]))
    assert b"x-forwarded-host" not in forwarding(head)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", [b"FETCH", b"get", b"GE T"])
def test_an_unknown_method_is_answered_as_by_the_proxy(name: str, method: bytes) -> None:
    """The proxy's parser knows a list of methods, and so do all doors."""
    if name == "request":
        method = b"FETCH"
    assert status(judged(name, CARRIERS[name](method, b"/a", b"app", []))) == 501


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("method", "fields"), [(b"MOVE", []), (b"COPY", []), (b"POST", [(b"X-HTTP-Method-Override", b"move")])]
)
def test_a_move_without_its_destination_is_refused(name: str, method: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    """The proxy may not pass the field on, and forward it: then a target would not be decided on."""
    head = judged(name, CARRIERS[name](method, b"/a", b"app", fields))
    assert (status(head), fault(head)) == (400, "Destination: missing; the proxy must pass it on")
    destination = (b"Destination", b"http://app/b")
    assert judged(name, CARRIERS[name](method, b"/a", b"app", [*fields, destination])).refusal is None


@pytest.mark.parametrize("name", NAMES)
def test_a_destination_that_may_be_two_is_refused(name: str) -> None:
    """HAProxy's script and Envoy join repeated fields, of which an app may take any; the others pass them as sent."""
    joined = judged(name, CARRIERS[name](b"MOVE", b"/a", b"app", [(b"Destination", b"/b, /admin/c")]))
    assert status(joined) == (400 if name in ("haproxy", "request") else None)
    twice = judged(name, CARRIERS[name](b"MOVE", b"/a", b"app", [(b"Destination", b"/b"), (b"Destination", b"/c")]))
    assert status(twice) == 400


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("nginx", "request")])
@pytest.mark.parametrize("host", [b"", b"a b", b"user@app", b"app:port"])
def test_a_host_that_is_none_is_refused(name: str, host: bytes) -> None:
    """By the other contracts Host is the carrier's own, which the connection has checked."""
    assert status(judged(name, CARRIERS[name](b"GET", b"/a", host, []))) == 400


def test_a_long_target_is_answered_as_by_the_proxy() -> None:
    """It is in a field, so the limit on the carrier's own target does not see it."""
    assert status(judged("nginx", CARRIERS["nginx"](b"GET", b"/" + b"a" * 64, b"app", []))) == 414


@pytest.mark.parametrize("url", [b"/a", b"ftp://app/a", b"http://app", b"http:///a", b"http://user@app/a"])
def test_the_url_of_ingress_nginx_has_scheme_host_and_path(url: bytes) -> None:
    """Nothing of it is assumed."""
    carrier = b"GET / HTTP/1.1\r\nHost: e\r\nX-Original-Method: GET\r\nX-Original-URL: %b\r\n\r\n" % url
    assert status(judged("ingress-nginx", carrier)) == 400


@pytest.mark.parametrize(
    ("schemes", "expected"),
    [
        *(([], None), ([b"https"], b"https"), ([b"WSS"], b"https"), ([b"ws"], b"http")),
        *(([b"http", b"https"], 400), ([b"gopher"], 400)),
    ],
)
def test_the_scheme_is_one(schemes: list[bytes], expected: bytes | int | None) -> None:
    """Traefik writes `wss` for an upgrade, whose DPoP proof is for https. Of two, the client may have sent one."""
    fields = [(b"X-Forwarded-Proto", scheme) for scheme in schemes]
    names = ((b"Host", b"app"), (b"X-Original-Method", b"GET"), (b"X-Original-URI", b"/a"), *fields)
    carrier = b"GET / HTTP/1.1\r\n" + b"".join(b"%b: %b\r\n" % field for field in names) + b"\r\n"
    head = judged("nginx", carrier)
    assert (status(head) or forwarding(head).get(b"x-forwarded-proto")) == expected


def test_what_belongs_to_the_connection_is_the_carriers() -> None:
    """Its body is read, and its end decides whether the connection stays open."""
    start, *lines = CARRIERS["nginx"](b"GET", b"/a", b"app", []).split(b"\r\n")
    carrier = parse(b"\r\n".join([start, b"Content-Length: 5", *lines]))
    head = read(CONTRACTS["nginx"], carrier, LIMITS)
    assert (head.has_body, head.framing, head.keep_alive) == (True, b"Content-Length: 5\r\n", True)


def test_each_part_of_a_head_is_the_clients_or_the_carriers() -> None:
    """A part that is added to heads must be considered here: a rule may depend on it."""
    of_client = {"authorization", "authorizations", "host", "lines", "method", "refusal", "special", "target"}
    of_connection = {"chunked", "expects_continue", "framing", "has_body", "http10", "keep_alive", "length", "upgrade"}
    not_forwarded = {"last_hop"}  # Max-Forwards: the caller forwards, and counts
    parts = {name for name in dir(RequestHead) if not name.startswith("_")} - {"memory"}
    assert parts == of_client | of_connection | not_forwarded


def test_nothing_is_believed_of_a_refused_carrier() -> None:
    """Its address is that of its connection."""
    carrier = parse(CARRIERS["nginx"](b"DELETE", b"/a", b"app", []))
    head = refused(carrier, TOO_LARGE)
    assert (head.refusal, head.method, head.target, forwarding(head)) == (TOO_LARGE, b"GET", b"/decide", {})
