"""Requests to the decision API, as each proxy writes them of its client's request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from enforcer.proxy.messages.forwarding import Forwarding
from enforcer.proxy.messages.head import HeadBuilder, RequestHead
from enforcer.settings.forwarding import ForwardingSettings
from enforcer.settings.limits import Limits

CALLER = "198.51.100.9"
"""The address of the proxy that asks."""

Fields = Iterable[tuple[bytes, bytes]]


def _write(method: bytes, target: bytes, fields: Fields) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (method, target), *(b"%b: %b" % field for field in fields)]
    return b"\r\n".join([*lines, b"", b""])


def nginx(method: bytes, target: bytes, host: bytes, fields: Fields, client: bytes = b"192.0.2.1") -> bytes:
    """Return nginx's subrequest."""
    own = [(b"X-Original-Method", method), (b"X-Original-URI", target), (b"X-Forwarded-For", client)]
    own += [(b"X-Forwarded-Proto", b"http")]
    return _write(b"GET", b"/decide", [(b"Host", host), *fields, *own])


def haproxy(method: bytes, target: bytes, host: bytes, fields: Fields, client: bytes = b"192.0.2.1") -> bytes:
    """Return the request of HAProxy's Lua script."""
    own = [(b"x-original-method", method), (b"x-original-uri", target), (b"x-forwarded-for", client)]
    own += [(b"x-forwarded-host", host), (b"x-forwarded-proto", b"http")]
    return _write(b"HEAD", b"/", [(b"host", b"127.0.0.1:8092"), *fields, *own])


def ingress_nginx(method: bytes, target: bytes, host: bytes, fields: Fields, client: bytes = b"192.0.2.1") -> bytes:
    """Return the subrequest of ingress-nginx."""
    own = [(b"X-Original-Method", method), (b"X-Original-URL", b"http://%b%b" % (host, target))]
    own += [(b"X-Forwarded-For", client), (b"X-Sent-From", b"nginx-ingress-controller")]
    return _write(b"GET", b"/", [(b"Host", b"enforcer"), *fields, *own])


def forwarded(method: bytes, target: bytes, host: bytes, fields: Fields, client: bytes = b"192.0.2.1") -> bytes:
    """Return the request of Traefik or Caddy."""
    own = [(b"X-Forwarded-Method", method), (b"X-Forwarded-Uri", target), (b"X-Forwarded-Host", host)]
    own += [(b"X-Forwarded-For", client), (b"X-Forwarded-Proto", b"http"), (b"X-Forwarded-Port", b"80")]
    return _write(b"GET", b"/", [(b"Host", b"enforcer"), *fields, *own])


def request(method: bytes, target: bytes, host: bytes, fields: Fields, client: bytes = b"192.0.2.1") -> bytes:
    """Return the request of Envoy's HTTP service."""
    own = [(b"content-length", b"0"), (b"x-forwarded-for", client), (b"x-forwarded-proto", b"http")]
    return _write(method, target, [(b"host", host), *fields, *own])


CARRIERS: Mapping[str, Callable[[bytes, bytes, bytes, Fields], bytes]] = {
    "nginx": nginx,
    "haproxy": haproxy,
    "ingress-nginx": ingress_nginx,
    "forwarded": forwarded,
    "request": request,
}
"""The writers, by contract."""

_FORWARDING = Forwarding(ForwardingSettings())


def parse(data: bytes) -> RequestHead:
    """Return the head of a carrier, as the connection reads it."""
    start, *lines = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    method, target, _ = start.split(b" ")
    builder = HeadBuilder(_FORWARDING)
    builder.on_url(target)
    for line in lines:
        name, _, value = line.partition(b": ")
        builder.on_header(name, value)
    return builder.build_special(method, True, Limits(), False, "1.1", False)
