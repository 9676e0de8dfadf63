"""What must hold of every outcome, told by other means than the enforcer's own."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

import h11
from harness.dataplane import OWN_HOST, PEER, Arrived, Outcome
from harness.heads import field_values, is_unambiguous, reaches_admin

from enforcer.errors import MalformedRequestError
from enforcer.wire import target as wire_target

_SCOPE_NEEDED = {(b"admin", None): b"ADM", (b"api", b"GET"): b"R", (b"api", b"HEAD"): b"R", (b"api", b"POST"): b"W"}
_IDENTITY = {"x-auth-subject": b"subject", "x-auth-client": None, "x-auth-scope": re.compile(rb"read|write|admin")}
_NOT_IN_TRAILERS = re.compile(
    rb"x-auth-(subject|client|scope)|x-forwarded.*|forwarded|authorization|host|content-length|transfer-encoding"
    rb"|connection|te|upgrade|dpop|client-cert"
)
_OURS = ("x-forwarded-proto", "x-forwarded-host", "via")


def of_request(sent: bytes, outcome: Outcome) -> Iterator[str]:
    """Tell what does not hold of what became of a client's bytes."""
    yield from outcome.faults
    for head in outcome.heads:
        yield from _of_head(sent, head)
    for request in outcome.arrived:
        for name, _ in request.trailers:
            if _NOT_IN_TRAILERS.fullmatch(re.sub(rb"[^a-z0-9]", b"-", name.lower())):
                yield f"a trailer that frames, routes or identifies: {name!r}"
    if not outcome.ended and not outcome.waits and math.isinf(outcome.deadline):
        yield "a connection that waits for its client has no end"
    if outcome.answered and not outcome.answered.startswith(b"HTTP/1.1 "):
        yield f"the answer begins with {outcome.answered[:40]!r}"
    if re.search(rb"(?:R|W|X|N|K|C|ADM)~[0-9]", outcome.answered):
        yield "an answer of the enforcer's holds a token"
    if re.search(rb"HTTP/1\.1 500 ", outcome.answered):
        yield "an internal error"


def of_packets(whole: Outcome, cut: Outcome) -> Iterator[str]:
    """Tell what differs when the same bytes come in other packets.

    A connection may end earlier: behind a refusal of a body that is not there yet, or where too many requests wait.
    """
    fewer, more = sorted((whole, cut), key=lambda outcome: len(outcome.arrived))
    if fewer.arrived != more.arrived[: len(fewer.arrived)] or (fewer.arrived != more.arrived and not fewer.ended):
        yield f"packets make a difference: {_lines(whole.arrived)} and {_lines(cut.arrived)}"


def of_target(raw: bytes) -> Iterator[str]:
    """Tell what does not hold of how a request-target is read."""
    try:
        target = wire_target.parse(raw)
    except MalformedRequestError:
        return
    if not raw.endswith(target.origin_form.removeprefix(b"/")):
        yield "what is forwarded is not what was sent"
    path = target.origin_form.partition(b"?")[0]
    if b"/" + b"/".join(target.segments) != unquote_to_bytes(path):
        yield "the segments are not the path's"
    for segment in target.segments:
        if re.search(rb"[\x00-\x1f\x7f/\\%;?#]", segment) or segment in (b".", b".."):
            yield f"a segment that another could read differently: {segment!r}"
        if segment.decode("utf-8", "replace").encode() != segment:
            yield f"a segment that is not UTF-8: {segment!r}"
    if b"" in target.segments[:-1]:
        yield "an empty segment"


def of_answer(odd: Outcome, even: Outcome) -> Iterator[str]:
    """Tell what does not hold of what clients get, whatever the upstream answers.

    The first of `odd`'s two requests got that answer; of the other, and of `even`'s only one, the answer is known.
    """
    yield from odd.faults
    yield from even.faults
    if b"X-Even: y\r\n" not in even.answered or even.answered.count(b"HTTP/1.1 ") != 1:
        yield f"another client's answer: {even.answered!r}"
    try:
        answers = _answers(odd.answered)
    except h11.RemoteProtocolError as error:
        yield f"an answer that a client cannot read: {error}: {odd.answered!r}"
        return
    if len(answers) < 2 and not odd.ended and not odd.waits:
        yield f"no answer, and no end: {odd.answered!r}"
    if len(answers) == 2 and answers[1] != [(b"X-Even", b"y"), (b"Content-Length", b"0")]:
        yield f"the answer to another request: {odd.answered!r}"


def _answers(received: bytes) -> list[list[tuple[bytes, bytes]]]:
    """Return the fields of the answers that are whole, as an HTTP/1.1 that is not ours reads them."""
    wire = h11.Connection(h11.CLIENT, max_incomplete_event_size=2**20)
    if received:  # to h11, nothing is the end
        wire.receive_data(received)
    answers: list[list[tuple[bytes, bytes]]] = []
    fields: list[tuple[bytes, bytes]] = []
    for _ in range(2):
        wire.send(h11.Request(method="GET", target="/", headers=[("Host", "app")]))
        wire.send(h11.EndOfMessage())
        while (event := wire.next_event()) is not h11.NEED_DATA and event is not h11.PAUSED:
            if isinstance(event, h11.Response):
                fields = list(event.headers.raw_items())
            elif isinstance(event, h11.EndOfMessage):
                answers.append(fields)
                break
        if wire.our_state is not h11.DONE or wire.their_state is not h11.DONE:
            break
        wire.start_next_cycle()
    return answers


def _of_head(sent: bytes, head: bytes) -> Iterator[str]:
    method, target, _ = head.split(b" ", 2)
    if not is_unambiguous(head):
        yield f"a head that another could read differently: {head!r}"
    if reaches_admin(head):
        yield f"a request for /admin without leave: {head!r}"
    if not _is_permitted(method, target, field_values(head, "authorization")):
        yield f"a request that no rule allows: {head!r}"
    if target not in sent and target != b"/":
        yield f"a target that was not sent: {target!r}"
    for name, wanted in _IDENTITY.items():
        for value in (values := field_values(head, name)):
            if wanted is None or not re.fullmatch(wanted, value):
                yield f"an identity of the client's own making: {name}: {value!r}"
        if len(values) > 1:
            yield f"two identities: {name}: {values!r}"
    if field_values(head, "client-cert") or field_values(head, "client-cert-chain"):
        yield f"a certificate of the client's own making: {head!r}"
    if field_values(head, "x-forwarded-for") != [PEER.encode()]:
        yield f"an address of the client's own making: {head!r}"
    for name in _OURS:
        # An HTTP/1.0 client may name no host, and the app is then told its own
        absent = name == "x-forwarded-host" and field_values(head, "host") == [OWN_HOST]
        if len(field_values(head, name)) != 1 and name != "via" and not (absent and not field_values(head, name)):
            yield f"a field that is set here, twice or not at all: {name}: {head!r}"


def _is_permitted(method: bytes, target: bytes, tokens: list[bytes]) -> bool:
    first = unquote_to_bytes(target.partition(b"?")[0].split(b"/")[1])
    if first == b"public":
        return method != b"CONNECT"
    needed = _SCOPE_NEEDED.get((first, None)) or _SCOPE_NEEDED.get((first, method))
    if needed is None or len(tokens) != 1:
        return False
    return re.match(rb"(?i:bearer) +%b(~|$)" % needed, tokens[0]) is not None


def _lines(arrived: list[Arrived]) -> list[bytes]:
    return [request.head.partition(b"\r\n")[0] for request in arrived]
