"""The grammar of HTTP fields (RFC 9110 §5), as far as a proxy must read them."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from enum import IntEnum
from typing import Final
from urllib.parse import quote

OWS = b" \t"
"""RFC 9110 §5.6.3: optional whitespace around a value. `bytes.strip` without it would strip more."""
# RFC 9110 §5.6.2
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110 §7.2, RFC 3986 §3.2.2; no percent-encoding and no userinfo: no client needs them in Host, and parsers differ
HOST = re.compile(rb"(?:[A-Za-z0-9_][A-Za-z0-9\-._]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")

METHODS = frozenset(
    "DELETE GET HEAD POST PUT CONNECT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND "  # noqa: SIM905
    "REBIND UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PATCH PURGE "
    "MKCALENDAR LINK UNLINK SOURCE QUERY".split()
)
"""The methods that the parser of HTTP/1.1 knows; a request with another one is answered 501, over HTTP/2 too."""

# RFC 9110 §7.6.1; Proxy-* as every proxy has treated them since RFC 2616 §13.5.1
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection "
    b"te transfer-encoding upgrade".split()
)

FOLD = bytes(ord(b"-") if not chr(byte).isalnum() or byte > 127 else ord(chr(byte).lower()) for byte in range(256))
"""For `bytes.translate`: folds a field name as the laxest app may read it: to lower case, and all but letters and
digits to a hyphen, since CGI-like interfaces turn `X-Auth-Subject` and `X_Auth_Subject` into the same variable."""

_READABLE: Final = re.compile(r"[A-Za-z0-9-]+")


class FieldKind(IntEnum):
    """The treatment of a field of a client's request."""

    PASS = 0
    DROP = 1
    HOST = 2
    AUTHORIZATION = 3
    CONTENT_LENGTH = 4
    TRANSFER_ENCODING = 5
    CONNECTION = 6
    UPGRADE = 7
    TE = 8
    EXPECT = 9
    FORWARDED = 10  # one of FORWARDING_FIELDS: dropped, or kept and added to if the peer is trusted
    MAX_FORWARDS = 11
    PROOF = 12  # DPoP: forwarded if Authorization is, to which it belongs
    CERTIFICATE = 13  # Client-Cert: dropped, but read if the peer is trusted to have set it
    DESTINATION = 14  # names a second target, which is authorized too
    METHOD_OVERRIDE = 15  # names another method, which is authorized too


READ_FIELDS: Final = {
    b"host": FieldKind.HOST,
    b"authorization": FieldKind.AUTHORIZATION,
    b"content-length": FieldKind.CONTENT_LENGTH,
    b"transfer-encoding": FieldKind.TRANSFER_ENCODING,
    b"connection": FieldKind.CONNECTION,
    b"upgrade": FieldKind.UPGRADE,
    b"te": FieldKind.TE,
    b"expect": FieldKind.EXPECT,
    b"dpop": FieldKind.PROOF,
    b"client-cert": FieldKind.CERTIFICATE,
    b"max-forwards": FieldKind.MAX_FORWARDS,
    b"destination": FieldKind.DESTINATION,
    b"x-http-method-override": FieldKind.METHOD_OVERRIDE,
    b"x-http-method": FieldKind.METHOD_OVERRIDE,
    b"x-method-override": FieldKind.METHOD_OVERRIDE,
}
"""The fields that the enforcer reads, by lower-case name."""
FORWARDING_FIELDS: Final = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"}
    | {b"x-forwarded-port", b"x-forwarded-prefix"}
)
"""The fields that are kept if a trusted proxy sends them: it can write them, and only it knows the address,
scheme, host, port and path prefix that the client used.

A proxy may pass on the others of that prefix (X-Forwarded-User, -Email, -Groups, -Uri, …) as any client sent them.
"""
# Fields whose names begin like this, or are listed below, name another target, client or user. An app that honours them
# would serve another request than the one that was authorized.
_OVERRIDING: Final = (b"x-forwarded", b"x-original-", b"x-rewrite-", b"x-override-", b"x-remote-", b"remote-")
_OVERRIDES: Final = frozenset(
    b"client-cert-chain x-host x-real-ip client-ip x-client-ip "
    b"x-cluster-client-ip true-client-ip cf-connecting-ip fastly-client-ip wl-proxy-client-ip x-forward-for "
    b"x-forwarder-for x-originating-ip x-proxyuser-ip http2-settings".split()
) | {b"proxy"}  # CGI turns it into the environment variable HTTP_PROXY (CVE-2016-5385)
SECRET_FIELD: Final = b"x-enforcer-secret"
"""The field with the secret by which the decision API knows its callers: never forwarded, and in no log."""


def field_kind(name: bytes) -> FieldKind:
    """Return the kind of a field by its name as the client spelled it."""
    folded = name.translate(FOLD)
    special = folded in READ_FIELDS or folded in HOP_BY_HOP
    forwarded = folded in FORWARDING_FIELDS
    if _overrides(folded):
        return FieldKind.DROP
    if (special or forwarded) and name.lower() != folded:
        return FieldKind.DROP  # `Content_Length` is another field, but an app may take it for Content-Length
    if forwarded:
        return FieldKind.FORWARDED
    return READ_FIELDS.get(folded, FieldKind.DROP if special else FieldKind.PASS)


def _overrides(folded: bytes) -> bool:
    return (
        folded in _OVERRIDES
        or folded == SECRET_FIELD
        or (folded.startswith(_OVERRIDING) and folded not in FORWARDING_FIELDS)
    )


def why_unreadable(name: str) -> str | None:
    """Return why no condition can read a field; None if conditions can."""
    if not _READABLE.fullmatch(name):
        return f"{name}: a field's name has letters, digits and hyphens"
    sent = name.encode()
    if field_kind(sent) == FieldKind.PASS:
        return None
    if _overrides(sent.translate(FOLD)):
        return f"no condition can read {name}: the enforcer removes it, because it can name another target or client"
    return f"no condition can read {name}: the enforcer reads or removes it itself"


MAX_MEMBERS: Final = 128
"""Most members of a list of tokens."""

_PRINTABLE = "".join(chr(byte) for byte in range(0x20, 0x7F) if byte != ord("%"))


def fold(name: str) -> bytes:
    """Return a field name as the laxest app may read it."""
    return name.encode("ascii").translate(FOLD)


def host_name(host: bytes) -> bytes:
    """Return the name or address in a Host field's value: in lower case, without port and final dot (the DNS root)."""
    name = host[: host.find(b"]") + 1] if host.startswith(b"[") else host.partition(b":")[0]
    return name.lower().removesuffix(b".")


def canonical_origin(origin: bytes) -> bytes:
    """Return an origin (RFC 6454 §6.2) as browsers write it: in lower case, without a default port."""
    lower = origin.lower()
    if lower.startswith(b"https://"):
        return lower.removesuffix(b":443")
    return lower.removesuffix(b":80") if lower.startswith(b"http://") else lower


def parse_tokens(value: bytes) -> tuple[bytes, ...] | None:
    """Read a comma-separated list of tokens (RFC 9110 §5.6.1), lower-cased; None if it is not such a list.

    A list with more than `MAX_MEMBERS` is not read: no message has as many fields, so no Connection field needs them.
    """
    if value.count(b",") >= MAX_MEMBERS:
        return None
    members = [member for part in value.split(b",") if (member := part.strip(OWS))]
    if not all(map(TOKEN.fullmatch, members)):
        return None
    return tuple(member.lower() for member in members)


def byte_sequence(value: bytes) -> bytes | None:
    """Read a byte sequence (RFC 9651 §4.2.7), only as servers write it; None if it is not one."""
    encoded = value.strip(OWS)
    if len(encoded) < 2 or not encoded.startswith(b":") or not encoded.endswith(b":"):
        return None
    try:
        return base64.b64decode(encoded[1:-1], validate=True)
    except ValueError:
        return None


def quoted_string(text: str) -> str:
    """Quote a text (RFC 9110 §5.6.4); raises ValueError if a quoted-string cannot contain it."""
    if not text.isascii() or not text.isprintable():
        raise ValueError("only printable ASCII can be quoted")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parameters(pairs: Iterable[tuple[str, str]]) -> str:
    """Join auth-params (RFC 9110 §11.2), each value quoted."""
    return ", ".join(f"{name}={quoted_string(value)}" for name, value in pairs)


def field_value(text: str) -> bytes:
    """Encode any text as one field value: printable ASCII as it is, all else (and `%`) as percent-encoded UTF-8.

    A claim is not trusted: a line break in it must not begin a new field. Leading and trailing spaces, which a parser
    would drop, are encoded too.
    """
    if text.isascii() and text.isprintable() and "%" not in text and text == text.strip(" "):
        return text.encode("ascii")
    encoded = quote(text, safe=_PRINTABLE, errors="surrogatepass")
    inner = encoded.strip(" ")
    lead = len(encoded) - len(encoded.lstrip(" "))
    trail = len(encoded) - len(inner) - lead
    return ("%20" * lead + inner + "%20" * trail).encode("ascii")


def without_named(lines: list[bytes], options: bytes, *, keeps_upgrade: bool = False) -> list[bytes]:
    """Remove the fields that Connection lists (RFC 9110 §7.6.1), or none if its value is malformed.

    Content-Length stays, since nothing else would frame the body; with `keeps_upgrade`, Upgrade stays too.
    """
    named = frozenset(parse_tokens(options) or ()) - {b"content-length"}
    if keeps_upgrade:
        named -= {b"upgrade"}
    return without(lines, named)


def without_length(lines: list[bytes]) -> list[bytes]:
    """Remove Content-Length from a message without a body (RFC 9110 §8.6): a client may wait for one."""
    return without(lines, frozenset({b"content-length"}))


def without(lines: list[bytes], names: frozenset[bytes]) -> list[bytes]:
    """Remove the fields with these lower-case names; `lines` are in pieces, four to a field."""
    remaining: list[bytes] = []
    for index in range(0, len(lines), 4):
        if lines[index].lower() not in names:
            remaining += lines[index : index + 4]
    return remaining


def is_event_stream(lines: list[bytes]) -> bool:
    """Return whether a response is a stream of server-sent events (WHATWG HTML §9.2); `lines` are in pieces."""
    for index in range(0, len(lines), 4):
        name = lines[index]
        if name.lower() == b"content-type":
            return lines[index + 2].partition(b";")[0].strip(OWS).lower() == b"text/event-stream"
    return False
