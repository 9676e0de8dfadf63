"""The header fields that the upstream receives from the enforcer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from enforcer.units import Section, Switch

IGNORED_UPGRADES: Final = re.compile(r"(?:h2c?|http|tls)(?:/.*)?")
"""Protocols that are never asked for. The requests within another version of HTTP would not be authorized."""
_PROTOCOL: Final = re.compile(r"[a-z0-9!#$%&'*+\-.^_`|~]+(?:/[a-z0-9!#$%&'*+\-.^_`|~]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardingSettings(Section):
    """The header fields that the upstream receives from the enforcer, and never from a client."""

    identity: Mapping[str, str] = field(
        default_factory=lambda: {"X-Auth-Subject": "sub", "X-Auth-Client": "client_id", "X-Auth-Scope": "scope"}
    )
    """Field name: the claim that it carries; a dotted name, or a JSON pointer (`/a/b`), reaches into nested claims. A
    client's own field of that name, in any spelling, is always removed. If the token has no such claim, the field is
    absent. A string is written as it is, a list of strings with commas, anything else as JSON behind `json:`, and
    `scope` as scopes with spaces; docs/identity-fields.md has the details."""
    authorization: Literal["pass", "remove"] = "pass"
    """Whether the upstream receives the Authorization field."""
    chain: Literal["x-forwarded", "forwarded", "none"] = "x-forwarded"
    """Fields with the client's address: X-Forwarded-For, -Proto and -Host with X-Real-IP, or Forwarded (RFC 7239), or
    not at all."""
    upgrades: tuple[str, ...] = ("websocket",)
    """Protocols that a connection may be upgraded to (RFC 9110 §7.8), in lower case: it becomes a tunnel, whose bytes
    nobody reads. Of a client's list, the first of these is asked for; a request for only others is answered 501. Offers
    of another version of HTTP, or of TLS, are ignored: such a request is an ordinary one."""
    via: Switch = False
    """Whether the upstream receives `Via: 1.1 enforcer` (RFC 9110 §7.6.3). Off, because some servers do not compress a
    response to a request with Via: nginx with its default `gzip_proxied`, for one."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks (10.0.0.0/8) of proxies in front of the enforcer. Their Forwarded or X-Forwarded-For,
    -Proto, -Host, -Port and -Prefix are kept and extended, so each proxy must set or remove all of them. Those of other
    clients are removed, and so is every other field of that kind, such as X-Forwarded-User, from any peer. A trusted
    proxy speaks for its clients: with `client_cert`, a client's certificate is the one that the proxy reports, and the
    proxy's own certificate counts for no client."""
    client_cert: Switch = False
    """Whether the Client-Cert field (RFC 9440) of a trusted proxy names the client's certificate, for certificate-bound
    tokens (RFC 8705). Enable it only if every trusted proxy removes this field from client requests; otherwise any
    client could claim any certificate. The upstream never receives the field."""
    end_with_token: Switch = True
    """Whether a stream or tunnel ends when its token expires."""

    def __post_init__(self) -> None:
        for protocol in self.upgrades:
            if not _PROTOCOL.fullmatch(protocol) or IGNORED_UPGRADES.fullmatch(protocol):
                raise ValueError(f"upgrades: {protocol!r} is not a protocol for a tunnel, in lower case")
