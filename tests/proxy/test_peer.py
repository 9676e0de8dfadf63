"""The other end of a client connection: whom it speaks for, and how it is described to the upstream."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from harness.playbook import Pipe, head

from enforcer.proxy.messages.forwarding import Forwarding
from enforcer.proxy.messages.head import RequestHead
from enforcer.proxy.peer import Peer
from enforcer.settings.forwarding import ForwardingSettings
from enforcer.tokens.jwt.jws import sha256_base64url

STRANGER = Forwarding(ForwardingSettings())
TRUSTED = Forwarding(ForwardingSettings(trusted_proxies=("192.0.2.0/24",), client_cert=True))
CHAIN = ((b"X-Forwarded-For", b"198.51.100.7"), (b"X-Forwarded-Proto", b"https"), (b"X-Forwarded-Host", b"app"))
CERTIFICATE = b"DER"


class Connected(Pipe):
    """A transport from 192.0.2.1, under TLS if it has a certificate."""

    def __init__(self, certificate: bytes | None = None) -> None:
        super().__init__()
        self.certificate = certificate

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object" and self.certificate is not None:
            return self
        return super().get_extra_info(name, default)

    def getpeercert(self, binary_form: bool) -> bytes | None:
        return self.certificate


def with_chain(*more: tuple[bytes, bytes]) -> RequestHead:
    return head(b"GET", b"/a?b", *CHAIN, *more)


@pytest.mark.parametrize(
    ("forwarding", "address", "origin"),
    [(STRANGER, "192.0.2.1", (b"http", [b"localhost"])), (TRUSTED, "198.51.100.7", (b"https", [b"localhost", b"app"]))],
)
def test_only_a_trusted_proxy_speaks_for_its_clients(
    forwarding: Forwarding, address: str, origin: tuple[bytes, list[bytes]]
) -> None:
    """Address, scheme and host of the client's request."""
    peer = Peer(Connected(), forwarding)
    assert peer.client(with_chain(), forwarding) == address
    assert peer.origin(with_chain(), forwarding) == origin


@pytest.mark.parametrize(
    ("forwarding", "fields", "address"),
    [
        (STRANGER, (), "192.0.2.1"),
        (STRANGER, ((b"X-Forwarded-For", b"198.51.100.7"),), "192.0.2.1"),
        (TRUSTED, ((b"X-Forwarded-For", b"198.51.100.7"),), "198.51.100.7"),
        (TRUSTED, ((b"X-Forwarded-For", b"198.51.100.7, 192.0.2.9"),), "198.51.100.7"),
        (TRUSTED, (), ""),
        (TRUSTED, ((b"Forwarded", b"for=198.51.100.7"),), ""),
        (TRUSTED, ((b"X-Forwarded-For", b""),), ""),
        (TRUSTED, ((b"X-Forwarded-For", b"192.0.2.9"),), ""),
    ],
)
def test_the_address_of_a_client_that_no_trusted_proxy_names_is_unknown(
    forwarding: Forwarding, fields: tuple[tuple[bytes, bytes], ...], address: str
) -> None:
    """The proxy's own address would meet conditions for the network that the proxy is in."""
    peer = Peer(Connected(), forwarding)
    assert peer.known_address(head(b"GET", b"/a", *fields), forwarding) == address


def test_a_request_is_described_to_the_upstream() -> None:
    """A stranger's own fields are dropped, a trusted proxy's are added to."""
    ours = (
        b"X-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\n"
        b"X-Forwarded-Proto: http\r\nX-Forwarded-Host: localhost\r\n"
    )
    assert Peer(Connected(), STRANGER).forwarding_fields(with_chain(), STRANGER) == ours
    assert Peer(Connected(), TRUSTED).forwarding_fields(with_chain(), TRUSTED) == (
        b"X-Forwarded-For: 198.51.100.7, 192.0.2.1\r\nX-Real-IP: 198.51.100.7\r\n"
        b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: app\r\n"
    )


def test_the_fields_of_the_last_host_are_remembered_for_the_next_request() -> None:
    """Not those with a trusted proxy's own fields, nor those of other settings."""
    peer = Peer(Connected(), TRUSTED)
    plain = RequestHead(b"GET", b"/", b"localhost", [])
    first = peer.forwarding_fields(plain, TRUSTED)
    assert peer.forwarding_fields(plain, TRUSTED) is first
    assert peer.forwarding_fields(with_chain(), TRUSTED) != first
    assert peer.forwarding_fields(RequestHead(b"GET", b"/", b"other", []), TRUSTED) != first
    other = Forwarding(ForwardingSettings(chain="none"))
    assert peer.forwarding_fields(plain, other) == b""
    peer.use(other)
    assert peer.forwarding_fields(plain, other) == b""
    assert peer.forwarding_fields(plain, TRUSTED) == first


def test_a_certificate_is_the_clients_own_or_what_a_trusted_proxy_says() -> None:
    """RFC 9440: never the proxy's own, and never what a stranger claims."""
    claimed = with_chain((b"Client-Cert", b":" + b64encode(CERTIFICATE) + b":"))
    plain = with_chain()
    assert Peer(Connected(b"own"), STRANGER).thumbprint(claimed, STRANGER) == sha256_base64url(b"own")
    assert Peer(Connected(), STRANGER).thumbprint(claimed, STRANGER) == ""
    assert Peer(Connected(b"proxy"), TRUSTED).thumbprint(claimed, TRUSTED) == sha256_base64url(CERTIFICATE)
    assert Peer(Connected(b"proxy"), TRUSTED).thumbprint(plain, TRUSTED) == ""
