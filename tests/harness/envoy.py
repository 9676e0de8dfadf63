"""Envoy's messages, encoded and decoded independently of the enforcer: a few lines of Protocol Buffers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


def varint(value: int) -> bytes:
    """Encode a number."""
    head = b""
    while value > 127:
        head, value = head + bytes((value % 128 + 128,)), value // 128
    return head + bytes((value,))


def part(number: int, value: bytes | int) -> bytes:
    """Encode a field."""
    if isinstance(value, int):
        return varint(number * 8) + varint(value)
    return varint(number * 8 + 2) + varint(len(value)) + value


Fields = Iterable[tuple[bytes, bytes]]


def check_request(
    method: bytes,
    path: bytes,
    host: bytes,
    fields: Fields = (),
    *,
    address: bytes = b"192.0.2.1",
    scheme: bytes = b"http",
    certificate: bytes = b"",
    raw: bool = True,
) -> bytes:
    """Encode the CheckRequest that Envoy sends of a request; `raw` as with `encode_raw_headers`."""
    pairs = [(b":method", method), (b":path", path), (b":authority", host), (b":scheme", scheme)]
    pairs += [(name.lower(), value) for name, value in fields]
    if raw:
        entries = b"".join(part(1, part(1, name) + part(3, value)) for name, value in pairs)
        headers = part(13, entries)
    else:
        joined: dict[bytes, bytes] = {}
        for name, value in pairs:
            joined[name] = joined[name] + b"," + value if name in joined else value
        headers = b"".join(part(3, part(1, name) + part(2, value)) for name, value in joined.items())
    http = part(1, b"7") + part(2, method) + headers + part(4, path) + part(5, host) + part(6, scheme)
    http += part(9, 2**64 - 1) + part(10, b"HTTP/1.1")
    peer = part(1, part(1, part(2, address) + part(3, 40_000)))
    peer += part(5, certificate) if certificate else b""
    request = part(4, part(1, part(1, 1_800_000_000)) + part(2, http))
    extensions = part(10, part(1, b"virtual_host") + part(2, b"app"))
    return part(1, part(1, peer) + part(2, part(2, b"app")) + request + extensions)


@dataclass
class CheckResponse:
    """A CheckResponse: the code of the call's status, and what Envoy does."""

    code: int = 0
    status: int | None = None
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    removed: list[bytes] = field(default_factory=list)
    response_fields: list[tuple[bytes, bytes]] = field(default_factory=list)


def decode(data: bytes) -> Mapping[int, list[Any]]:
    """Return the values of a message by field number: numbers, and bytes."""
    values: dict[int, list[Any]] = {}
    while data:
        tag, data = _number(data)
        if tag % 8 == 0:
            value, data = _number(data)
            values.setdefault(tag // 8, []).append(value)
        else:
            assert tag % 8 == 2
            size, data = _number(data)
            values.setdefault(tag // 8, []).append(data[:size])
            data = data[size:]
    return values


def _number(data: bytes) -> tuple[int, bytes]:
    value, place = 0, 1
    for index, byte in enumerate(data):
        value += byte % 128 * place
        place *= 128
        if byte < 128:
            return value, data[index + 1 :]
    raise AssertionError("cut short")


def check_response(data: bytes) -> CheckResponse:
    """Decode a CheckResponse."""
    answer = decode(data)
    status = decode(answer[1][0])
    response = CheckResponse(code=status.get(1, [0])[0])
    if 2 in answer:
        denied = decode(answer[2][0])
        response.status = decode(denied[1][0])[1][0]
        response.fields = [_option(option) for option in denied.get(2, [])]
        response.body = denied.get(3, [b""])[0]
    else:
        allowed = decode(answer[3][0])
        response.fields = [_option(option) for option in allowed.get(2, [])]
        response.removed = allowed.get(5, [])
        response.response_fields = [_option(option) for option in allowed.get(6, [])]
    return response


def _option(data: bytes) -> tuple[bytes, bytes]:
    option = decode(data)
    assert option[3] == [2], "the field is overwritten"
    header = decode(option[1][0])
    return header[1][0], header[2][0]
