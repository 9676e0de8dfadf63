"""The addresses that are listened on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from enforcer.server.listening import AddressError, bind, name_of

SETTING = "admin.address in config.yaml"


@contextmanager
def bound(address: str) -> Iterator[list[socket.socket]]:
    """Listen on an address until the block ends."""
    sockets = bind(address, SETTING)
    try:
        yield sockets
    finally:
        for one in sockets:
            one.close()


def peer(port: int, host: str) -> str:
    """Return who a server on a port sees when a host connects to itself."""
    with socket.create_connection((host, port), 5) as client:
        return str(client.getsockname()[0])


def accepted(listening: socket.socket) -> str:
    """Return who has connected."""
    listening.settimeout(5)
    connection, address = listening.accept()
    connection.close()
    return str(address[0])


def test_every_address_is_one_port_of_both_families() -> None:
    """A client of IPv4 is seen by its own address, not by one that IPv6 made of it."""
    with bound(":0") as (four, six):
        (_, port), (_, other, *_) = four.getsockname(), six.getsockname()
        assert port == other
        assert name_of([four, six]) == f"0.0.0.0:{port}, [::]:{port}"
        assert peer(port, "127.0.0.1") == accepted(four) == "127.0.0.1"
        assert peer(port, "::1") == accepted(six) == "::1"


def test_every_address_is_that_of_ipv4_where_there_is_no_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that was started without it."""

    class OnlyFour(socket.socket):
        def __init__(self, family: int = -1, *more: int) -> None:
            super().__init__(family, *more)
            if family == socket.AF_INET6:
                self.close()
                raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", OnlyFour)
    with bound(":0") as sockets:
        assert [one.family for one in sockets] == [socket.AF_INET]
    with pytest.raises(AddressError, match="Address family not supported"):
        bind("[::1]:0", SETTING)


def test_several_addresses_share_the_port() -> None:
    """Those of a pod, of both families."""
    with bound("[127.0.0.1,::1]:0") as sockets:
        assert len({one.getsockname()[1] for one in sockets}) == 1
        assert name_of(sockets) == "127.0.0.1:{0}, [::1]:{0}".format(sockets[0].getsockname()[1])


def test_an_address_that_is_taken_is_told_and_none_is_kept() -> None:
    """With the setting that chooses another; the one before it in the list is free again."""
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        address = f"[127.0.0.1,127.0.0.2]:{port}"
        with pytest.raises(AddressError) as refused:
            bind(address, SETTING)
        assert str(refused.value) == (
            f"cannot listen on {address}: it is in use; choose another with admin.address in config.yaml"
        )
        with bound(f"127.0.0.1:{port}"):
            pass
