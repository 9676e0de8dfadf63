"""The netlink messages that redirect a port; `make e2e-pods` tests their effect in a kernel."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from enforcer.kubernetes.redirect import RedirectError, _count_acknowledged, batch, redirect


def sizes(attributes: bytes) -> list[int]:
    """Return the declared sizes of attributes, which are aligned to four bytes."""
    declared = []
    while attributes:
        (size,) = struct.unpack_from("=H", attributes)
        assert 4 <= size <= len(attributes)
        declared.append(size)
        attributes = attributes[size + (-size % 4) :]
    return declared


def test_every_message_has_its_declared_length() -> None:
    """The kernel finds the next message, and the next attribute, by this length."""
    for number, message in enumerate(batch(8080, 15080)):
        size, _, flags, sequence, _ = struct.unpack_from("=IHHII", message)
        assert size == len(message)
        assert size % 4 == 0
        assert flags & 1
        assert sequence == number
        sizes(message[20:])


def test_the_ports_are_in_network_order() -> None:
    """The rule compares the destination port with the app's port, and replaces it by the enforcer's."""
    rule = batch(8080, 15080)[-2]
    before, _, behind = rule.partition((8080).to_bytes(2, "big"))
    assert b"payload\0" in before
    assert b"immediate\0" in behind
    assert (15080).to_bytes(2, "big") in behind
    assert behind.count(b"redir\0") == 1


def acknowledgement(code: int) -> bytes:
    return struct.pack("=IHHIIi", 36, 2, 0, 1, 0, code) + bytes(16)


def test_acknowledgements_are_counted_and_errors_are_raised() -> None:
    """An acknowledgement is an error message with code 0; several may arrive together."""
    assert _count_acknowledged(acknowledgement(0) + acknowledgement(0)) == 2
    assert _count_acknowledged(b"") == 0
    with pytest.raises(OSError, match="Operation not permitted") as refused:
        _count_acknowledged(acknowledgement(0) + acknowledgement(-errno.EPERM))
    assert refused.value.errno == errno.EPERM


class Kernel:
    """A netlink socket whose other end responds with `messages`, each a datagram and its sender's port ID."""

    def __init__(self, *messages: tuple[bytes, int]) -> None:
        self._messages = list(messages)
        self.received = b""

    def __call__(self, *_: object) -> Kernel:
        return self

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def settimeout(self, seconds: float) -> None:
        pass

    def bind(self, address: tuple[int, int]) -> None:
        pass

    def sendall(self, data: bytes) -> None:
        self.received += data

    def recvfrom(self, size: int) -> tuple[bytes, tuple[int, int]]:
        if not self._messages:
            raise TimeoutError("timed out")
        data, sender = self._messages.pop(0)
        return data, (sender, 0)


def test_only_the_kernel_acknowledges_a_redirect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every message but the two that enclose the batch; what another process sends to the socket does not count."""
    kernel = Kernel((acknowledgement(0) * 3, 0), (acknowledgement(-errno.EPERM), 4711), (acknowledgement(0) * 2, 0))
    monkeypatch.setattr(socket, "socket", kernel)
    redirect(8080, 15080)
    assert kernel.received == b"".join(batch(8080, 15080))


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([(acknowledgement(-errno.EPERM), 0)], "Operation not permitted"),
        ([(acknowledgement(0) * 4, 0), (acknowledgement(0), 4711)], "timed out"),
    ],
)
def test_a_redirect_that_the_kernel_does_not_acknowledge_is_an_error(
    monkeypatch: pytest.MonkeyPatch, messages: list[tuple[bytes, int]], reason: str
) -> None:
    """It names the port and the reason: without the redirect, requests would reach the app past the enforcer."""
    monkeypatch.setattr(socket, "socket", Kernel(*messages))
    with pytest.raises(RedirectError, match=f"^the kernel did not redirect port 8080: {reason}$"):
        redirect(8080, 15080)
