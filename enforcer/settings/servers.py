"""Where the enforcer listens, and the upstreams that it forwards to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from enforcer.settings.addresses import Address, Server
from enforcer.settings.external import SecretElsewhere
from enforcer.settings.pool import PoolSettings
from enforcer.settings.tls import ClientTLS, ServerTLS
from enforcer.units import CLOSED, Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where clients connect."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    address: Address = "0.0.0.0:8091"
    """Address and port; port 0 takes a free one. `:8091` is every address of both IP families, and
    `[10.0.0.1,fd00::1]:8091` are those two. All interfaces, since clients come from elsewhere."""
    tls: ServerTLS | None = None
    """Serve TLS; plain text unless set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """Where the operator's side listens: health and metrics."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    address: Address = "127.0.0.1:9091"
    """Address and port; port 0 takes a free one. Loopback, since whoever reaches it reads the metrics."""
    credential: SecretElsewhere | None = None
    """What `Authorization: Bearer` must carry to ask why a request was refused, or have remembered answers forgotten,
    by where it is kept; both are refused to everybody unless set."""
    denials: Count = 256
    """Denials that can be asked about (`GET /decisions/ID`), the last so many; none without `credential`. Bounds
    memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The app that allowed requests are forwarded to."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    url: Server
    """Where the app listens: `http://host:port`, `https://host:port` or `unix:/path/to.sock`. It has no path, since
    requests keep theirs."""
    tls: ClientTLS | None = None
    """How an `https://` app is verified; by the system's authorities unless set."""
    pool: PoolSettings = field(default_factory=PoolSettings)
    """Limits and times of the connections to the app."""

    def __post_init__(self) -> None:
        if self.tls is not None and not self.url.startswith("https://"):
            raise ValueError("tls is for https:// alone")
