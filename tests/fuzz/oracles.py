"""Invariants of every outcome, checked without the enforcer's own code."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote_to_bytes

import h11
from harness.attack_policy import CLAIMS
from harness.dataplane import OWN_HOST, PEER, Arrived, Outcome
from harness.heads import field_values, is_unambiguous, reaches_admin

from enforcer.errors import MalformedRequestError
from enforcer.wire import target as wire_target

_TOKEN_NEEDED = {
    (b"admin", None): b"ADM",
    (b"api", b"GET"): b"[RN]",
    (b"api", b"HEAD"): b"[RN]",
    (b"api", b"POST"): b"W",
}
_IDENTITY = {"x-auth-subject": "sub", "x-auth-client": "client_id", "x-auth-scope": "scope"}
_NOT_IN_TRAILERS = re.compile(
    rb"x-auth-(subject|client|scope)|x-forwarded.*|forwarded|authorization|host|content-length|transfer-encoding"
    rb"|connection|te|upgrade|dpop|client-cert"
)
_SET_BY_ENFORCER = ("x-forwarded-proto", "x-forwarded-host", "via")


def of_request(sent: bytes, outcome: Outcome) -> Iterator[str]:
    """Yield each property that an outcome of these bytes violates."""
    yield from outcome.faults
    for head in outcome.heads:
        yield from _of_head(sent, head)
    for request in outcome.arrived:
        for name, _ in request.trailers:
            if _NOT_IN_TRAILERS.fullmatch(re.sub(rb"[^a-z0-9]", b"-", name.lower())):
                yield f"a trailer that frames, routes or identifies: {name!r}"
    if not outcome.ended and not outcome.waits and math.isinf(outcome.deadline):
        yield "a connection that waits for its client has no deadline"
    if outcome.answered and not outcome.answered.startswith(b"HTTP/1.1 "):
        yield f"the response begins with {outcome.answered[:40]!r}"
    if re.search(rb"(?:R|W|X|N|K|C|ADM)~[0-9]", outcome.answered):
        yield "a response of the enforcer has a token"
    if re.search(rb"HTTP/1\.1 500 ", outcome.answered):
        yield "an internal error"


def of_frames(outcome: Outcome) -> Iterator[str]:
    """Yield each property that an outcome of an HTTP/2 connection violates."""
    yield from outcome.faults
    for head in outcome.heads:
        yield from _of_head(head.split(b" ", 2)[1], head)
    answered = outcome.answered
    while answered and not answered.startswith(b"HTTP/1.1 "):
        size = 9 + int.from_bytes(answered[:3])
        if len(answered) < size or size > 9 + 16_384:
            yield f"a frame that is not whole, or too large: {answered[:40]!r}"
            return
        answered = answered[size:]


def of_packets(whole: Outcome, cut: Outcome) -> Iterator[str]:
    """Yield the difference that other packet boundaries made.

    A connection may end earlier, after a refusal whose body is still missing.
    """
    fewer, more = sorted((whole, cut), key=lambda outcome: len(outcome.arrived))
    if fewer.arrived != more.arrived[: len(fewer.arrived)] or (fewer.arrived != more.arrived and not fewer.ended):
        yield f"packets make a difference: {_lines(whole.arrived)} and {_lines(cut.arrived)}"


def of_target(raw: bytes) -> Iterator[str]:
    """Yield each property that the parsed form of a request target violates."""
    try:
        target = wire_target.parse(raw)
    except MalformedRequestError:
        return
    if not raw.endswith(target.origin_form.removeprefix(b"/")):
        yield "the forwarded target is not the sent one"
    path = target.origin_form.partition(b"?")[0]
    if b"/" + b"/".join(target.segments) != unquote_to_bytes(path):
        yield "the segments are not the path's"
    if target.ambiguous:
        return
    for segment in target.segments:
        if re.search(rb"[\x00-\x1f\x7f/\\%;?#]", segment) or segment in (b".", b".."):
            yield f"an ambiguous segment: {segment!r}"
        if segment.decode("utf-8", "replace").encode() != segment:
            yield f"a segment that is not UTF-8: {segment!r}"
    if b"" in target.segments[:-1]:
        yield "an empty segment"


def of_response(odd: Outcome, even: Outcome) -> Iterator[str]:
    """Yield each property that the clients' responses violate, whatever the upstream sent.

    The first of `odd`'s two requests got the upstream's arbitrary response; the second one, and `even`'s only one, a
    known response.
    """
    yield from odd.faults
    yield from even.faults
    if b"X-Even: y\r\n" not in even.answered or even.answered.count(b"HTTP/1.1 ") != 1:
        yield f"another client's response: {even.answered!r}"
    try:
        responses = _responses(odd.answered)
    except h11.RemoteProtocolError as error:
        yield f"a response that a client cannot parse: {error}: {odd.answered!r}"
        return
    if len(responses) < 2 and not odd.ended and not odd.waits:
        yield f"no response, and no end: {odd.answered!r}"
    if len(responses) == 2 and responses[1] != [(b"X-Even", b"y"), (b"Content-Length", b"0")]:
        yield f"the response to another request: {odd.answered!r}"


def _responses(received: bytes) -> list[list[tuple[bytes, bytes]]]:
    """Return the fields of each complete response, as h11 reads them."""
    wire = h11.Connection(h11.CLIENT, max_incomplete_event_size=2**20)
    if received:  # h11 takes empty data for the end of the connection
        wire.receive_data(received)
    responses: list[list[tuple[bytes, bytes]]] = []
    fields: list[tuple[bytes, bytes]] = []
    for _ in range(2):
        wire.send(h11.Request(method="GET", target="/", headers=[("Host", "app")]))
        wire.send(h11.EndOfMessage())
        while (event := wire.next_event()) is not h11.NEED_DATA and event is not h11.PAUSED:
            if isinstance(event, h11.Response):
                fields = list(event.headers.raw_items())
            elif isinstance(event, h11.EndOfMessage):
                responses.append(fields)
                break
        if wire.our_state is not h11.DONE or wire.their_state is not h11.DONE:
            break
        wire.start_next_cycle()
    return responses


def _of_head(sent: bytes, head: bytes) -> Iterator[str]:
    method, target, _ = head.split(b" ", 2)
    if not is_unambiguous(head):
        yield f"an ambiguous head: {head!r}"
    if reaches_admin(head):
        yield f"a request for /admin without a token for it: {head!r}"
    if not _is_permitted(method, target, field_values(head, "authorization")):
        yield f"a request that no rule allows: {head!r}"
    if target not in sent and target != b"/":
        yield f"a target that was not sent: {target!r}"
    claims = _claims(field_values(head, "authorization"))
    for name, claim in _IDENTITY.items():
        values = field_values(head, name)
        if values and values != [str(claims.get(claim)).encode()]:
            yield f"an identity field that is not the token's: {name}: {values!r}"
    if field_values(head, "client-cert") or field_values(head, "client-cert-chain"):
        yield f"a forged certificate field: {head!r}"
    if field_values(head, "x-forwarded-for") != [PEER.encode()]:
        yield f"a forged address: {head!r}"
    for name in _SET_BY_ENFORCER:
        # An HTTP/1.0 request may have no Host; the app then gets its own
        absent = name == "x-forwarded-host" and field_values(head, "host") == [OWN_HOST]
        if len(field_values(head, name)) != 1 and name != "via" and not (absent and not field_values(head, name)):
            yield f"a field of the enforcer that is missing or repeated: {name}: {head!r}"


def _claims(credentials: list[bytes]) -> Mapping[str, object]:
    match = re.fullmatch(rb"(?i:bearer) +([A-Z]+)(?:~.*)?", credentials[0]) if len(credentials) == 1 else None
    return CLAIMS.get(match[1].decode(), {}) if match else {}


def _is_permitted(method: bytes, target: bytes, tokens: list[bytes]) -> bool:
    first = unquote_to_bytes(target.partition(b"?")[0].split(b"/")[1])
    if first == b"public":
        return method != b"CONNECT"
    needed = _TOKEN_NEEDED.get((first, None)) or _TOKEN_NEEDED.get((first, method))
    if needed is None or len(tokens) != 1:
        return False
    return re.match(rb"(?i:bearer) +%b(~|$)" % needed, tokens[0]) is not None


def _lines(arrived: list[Arrived]) -> list[bytes]:
    return [request.head.partition(b"\r\n")[0] for request in arrived]
