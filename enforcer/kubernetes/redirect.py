"""Redirects a TCP port in the pod's network, with nftables over netlink, because the image contains no `nft`.

One table, `enforcer`, for IPv4 and IPv6 (Linux 5.2), redirects connections from outside of the pod to another port.
Connections within the pod are not redirected, so that the enforcer reaches the app. The messages are those of
linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

from enforcer.errors import EnforcerError

_TABLE: Final = b"enforcer\0"
_CHAIN: Final = b"prerouting\0"
_INET: Final = 1  # NFPROTO_INET
_SUBSYSTEM: Final = 10  # NFNL_SUBSYS_NFTABLES
_BEGIN, _END, _ERROR = 0x10, 0x11, 2
_NEW_TABLE, _DELETE_TABLE, _NEW_CHAIN, _NEW_RULE = 0, 2, 3, 6
_REQUEST, _ACKNOWLEDGE, _CREATE = 1, 4, 0x400
_NETFILTER: Final = 12  # NETLINK_NETFILTER
_REGISTER: Final = 1
_BEFORE_FILTERS: Final = -100 & 0xFFFFFFFF  # NF_IP_PRI_NAT_DST
_L4_PROTOCOL: Final = 16  # NFT_META_L4PROTO
_TRANSPORT_HEADER: Final = 2
_TIMEOUT: Final = 5.0
"""Timeout for the kernel's acknowledgements, in seconds."""


class RedirectError(EnforcerError):
    """The kernel did not redirect the port."""


def redirect(app_port: int, listen_port: int) -> None:
    """Redirect connections from one port to another, replacing a former redirect; raises RedirectError."""
    sent = batch(app_port, listen_port)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as netlink:
            netlink.settimeout(_TIMEOUT)
            netlink.bind((0, 0))
            netlink.sendall(b"".join(sent))
            # Every message is acknowledged, except the two that begin and end the batch.
            acknowledged = 0
            while acknowledged < len(sent) - 2:
                data, sender = netlink.recvfrom(65536)
                # Other processes can send messages to the socket, too; the kernel's port ID is 0 (netlink(7)).
                if sender == (0, 0):
                    acknowledged += _count_acknowledged(data)
    except OSError as error:
        raise RedirectError(f"the kernel did not redirect port {app_port}: {error.strerror or error}") from None


def batch(app_port: int, listen_port: int) -> list[bytes]:
    """Write the messages of one transaction: it replaces the table, with one chain and one rule."""
    table = _attribute(1, _TABLE)
    hook = _nested(4, _number(1, 0), _number(2, _BEFORE_FILTERS))
    chain = _attribute(1, _TABLE) + _attribute(3, _CHAIN) + hook + _attribute(7, b"nat\0")
    rule = _attribute(1, _TABLE) + _attribute(2, _CHAIN) + _nested(4, *_expressions(app_port, listen_port))
    return [
        _message(_BEGIN, 0, 0, b""),
        _message(_message_type(_NEW_TABLE), _CREATE | _ACKNOWLEDGE, 1, table),
        _message(_message_type(_DELETE_TABLE), _ACKNOWLEDGE, 2, table),
        _message(_message_type(_NEW_TABLE), _CREATE | _ACKNOWLEDGE, 3, table),
        _message(_message_type(_NEW_CHAIN), _CREATE | _ACKNOWLEDGE, 4, chain),
        _message(_message_type(_NEW_RULE), _CREATE | _ACKNOWLEDGE, 5, rule),
        _message(_END, 0, 6, b""),
    ]


def _expressions(app_port: int, listen_port: int) -> list[bytes]:
    def compared(value: bytes) -> bytes:
        return _expression(b"cmp\0", _number(1, _REGISTER), _number(2, 0), _nested(3, _attribute(1, value)))

    return [
        _expression(b"meta\0", _number(1, _REGISTER), _number(2, _L4_PROTOCOL)),
        compared(bytes((socket.IPPROTO_TCP,))),
        # The destination port: two bytes, after the source port
        _expression(b"payload\0", _number(1, _REGISTER), _number(2, _TRANSPORT_HEADER), _number(3, 2), _number(4, 2)),
        compared(app_port.to_bytes(2, "big")),
        _expression(b"immediate\0", _number(1, _REGISTER), _nested(2, _attribute(1, listen_port.to_bytes(2, "big")))),
        _expression(b"redir\0", _number(1, _REGISTER)),
    ]


def _expression(name: bytes, *data: bytes) -> bytes:
    return _nested(1, _attribute(1, name), _nested(2, *data))


def _message_type(kind: int) -> int:
    return _SUBSYSTEM << 8 | kind


def _message(kind: int, flags: int, number: int, attributes: bytes) -> bytes:
    is_batch_mark = kind in (_BEGIN, _END)
    body = struct.pack(">BBH", 0 if is_batch_mark else _INET, 0, _SUBSYSTEM if is_batch_mark else 0) + attributes
    return struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | flags, number, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, value.to_bytes(4, "big"))


def _nested(kind: int, *attributes: bytes) -> bytes:
    return _attribute(kind | 0x8000, b"".join(attributes))


def _count_acknowledged(data: bytes) -> int:
    """Return the number of acknowledged messages; raises OSError for one that failed."""
    acknowledged = offset = 0
    while offset + 20 <= len(data):
        size, kind = struct.unpack_from("=IH", data, offset)
        if kind == _ERROR:
            (code,) = struct.unpack_from("=i", data, offset + 16)
            if code:
                raise OSError(-code, os.strerror(-code))
            acknowledged += 1
        offset += max(size + (-size % 4), 20)
    return acknowledged
