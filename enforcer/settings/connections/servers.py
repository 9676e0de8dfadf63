"""Listeners of the enforcer, and the upstreams that it forwards to."""

from __future__ import annotations

from dataclasses import dataclass, field

from enforcer.settings.connections.addresses import Address, Server
from enforcer.settings.connections.http2 import Http2Settings, UpstreamProtocol
from enforcer.settings.connections.pool import PoolSettings, StreamSettings
from enforcer.settings.connections.tls import ClientTLS, ServerTLS
from enforcer.settings.external import SecretElsewhere
from enforcer.units import Bytes, Count, Seconds, Section, Switch


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener(Section):
    """The listener for clients."""

    address: Address = "0.0.0.0:8091"
    """Address and port; port 0 selects a free port. `:8091` is every address of both IP families, and
    `[10.0.0.1,fd00::1]:8091` is those two. The default is all interfaces, because clients come from other hosts."""
    tls: ServerTLS | None = None
    """Serve TLS. Default: plain text."""
    http2: Switch = True
    """Whether clients may speak HTTP/2, beside HTTP/1.1: on TLS as they choose (ALPN), on plain text if they begin with
    it (prior knowledge). gRPC needs it."""

    def __post_init__(self) -> None:
        if self.tls is not None:
            self.tls.context.set_alpn_protocols(["h2", "http/1.1"] if self.http2 else ["http/1.1"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin(Section):
    """The listener of the admin server: health and metrics."""

    address: Address = "127.0.0.1:9091"
    """Address and port; port 0 selects a free port. The default is loopback, because everybody who can connect can read
    the metrics."""
    credential: SecretElsewhere | None = None
    """Credential that `Authorization: Bearer` must carry to ask why a request was denied, or to drop cached results; by
    where it is stored. Default: both are refused to everybody."""
    hosts: tuple[str, ...] = ()
    """Names by which the admin server is reached, besides addresses, names without a dot, and names that end with
    `.svc`, `.local`, `.internal` or `.localhost`, which are always accepted. A request with another Host is refused: it
    may come from a web page that makes an operator's browser send it (DNS rebinding)."""
    connections: Count = 64
    """Maximum number of connections. For one more, the oldest of the client with the most ends, one without a request
    if there is one. Bounds memory and descriptors, which are reserved for it."""
    timeout: Seconds = 30.0
    """How long a connection may wait for a request, and how long a request may take; a relayed probe may take its own
    timeout. Cuts clients that stall."""
    wrong_credentials: Count = 10
    """Wrong credentials that a client may send at once, and one more a second; then its requests with a credential are
    answered 429. Cuts guessing."""
    denials: Count = 256
    """Number of recent denials to look up (`GET /decisions/ID`); none without `credential`."""
    denials_memory: Bytes = 1024**2
    """Maximum memory of these denials; the oldest are dropped first. Bounds memory, however long the paths are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream(Section):
    """The app that allowed requests are forwarded to."""

    url: Server
    """Address of the app: `http://host:port`, `https://host:port` or `unix:/path/to.sock`. It has no path, because
    requests keep theirs."""
    tls: ClientTLS | None = None
    """Verification of an `https://` app. Default: the system's certificate authorities."""
    protocol: UpstreamProtocol = "http1"
    """Protocol that the app is spoken to in: `http1` is HTTP/1.1, `h2` is HTTP/2 on `https://`, and `h2c` is HTTP/2 on
    plain text, as most gRPC servers in a cluster expect. With `auto`, an `https://` app chooses (ALPN), and any other
    is spoken to in HTTP/1.1. WebSockets need `http1`."""
    http2: Http2Settings = field(default_factory=Http2Settings)
    """Limits of an HTTP/2 connection to the app."""
    pool: PoolSettings = field(default_factory=PoolSettings)
    """Limits and timeouts of the connections to the app."""
    streams: StreamSettings = field(default_factory=StreamSettings)
    """Streams, which are counted apart from short exchanges."""

    def __post_init__(self) -> None:
        secure = self.url.startswith("https://")
        if self.tls is not None and not secure:
            raise ValueError("tls is only for https://")
        if self.protocol == "h2" and not secure:
            raise ValueError("protocol h2 is only for https://; plain text has h2c")
        if self.protocol == "h2c" and secure:
            raise ValueError("protocol h2c is plain text; https:// has h2")
