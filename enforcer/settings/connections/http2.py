"""HTTP/2 towards a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from enforcer.units import Bytes, Count, Section

UpstreamProtocol = Literal["http1", "h2", "h2c", "auto"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Http2Settings(Section):
    """Limits of an HTTP/2 connection to an app; a request has a stream of its own on it."""

    streams: Count = 100
    """Maximum number of concurrent requests on a connection, if the app does not permit fewer; more open another
    connection. `pool.connections` limits the requests on all connections."""
    fields: Count = 256
    """Maximum number of fields in a response head or trailer section; with more, the request is answered 502. Twice as
    many end the connection before they are read. Bounds work."""
    window: Bytes = 65536
    """Maximum size of what the app may send of a response body before its client has taken the earlier part. Bounds
    memory; a larger one is faster if the app is far away."""
    unread: Bytes = 1024**2
    """Maximum size of what is sent to an app that does not read it; more ends the connection. An app can cause frames
    without any request, such as those that answer its PING. Bounds memory."""
