"""The messages by which the kernel is asked to redirect a port; that it does is tried by `make e2e-pods`."""

from __future__ import annotations

import errno
import struct

import pytest

from enforcer.kubernetes.redirect import _count_acknowledged, batch


def sizes(attributes: bytes) -> list[int]:
    """Return the sizes that attributes say they have; they follow each other at multiples of four."""
    found = []
    while attributes:
        (size,) = struct.unpack_from("=H", attributes)
        assert 4 <= size <= len(attributes)
        found.append(size)
        attributes = attributes[size + (-size % 4) :]
    return found


def test_every_message_is_as_long_as_it_says() -> None:
    """The kernel reads one after the other; so do its attributes stand."""
    for number, message in enumerate(batch(8080, 15080)):
        size, _, flags, sequence, _ = struct.unpack_from("=IHHII", message)
        assert size == len(message)
        assert size % 4 == 0
        assert flags & 1
        assert sequence == number
        sizes(message[20:])


def test_the_ports_are_in_network_order() -> None:
    """One is compared with what came, the other takes its place."""
    rule = batch(8080, 15080)[-2]
    before, _, behind = rule.partition((8080).to_bytes(2, "big"))
    assert b"payload\0" in before
    assert b"immediate\0" in behind
    assert (15080).to_bytes(2, "big") in behind
    assert behind.count(b"redir\0") == 1


def answer(code: int) -> bytes:
    return struct.pack("=IHHIIi", 36, 2, 0, 1, 0, code) + bytes(16)


def test_acknowledgements_are_counted_and_a_refusal_is_told() -> None:
    """An answer is an error whose code is nothing; several may come at once."""
    assert _count_acknowledged(answer(0) + answer(0)) == 2
    assert _count_acknowledged(b"") == 0
    with pytest.raises(OSError, match="Operation not permitted") as refused:
        _count_acknowledged(answer(0) + answer(-errno.EPERM))
    assert refused.value.errno == errno.EPERM
