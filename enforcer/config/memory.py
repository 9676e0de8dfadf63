"""The memory that a configuration allows: the sum of every table, queue and buffer, requests in flight included.

The chart's memory limits are more than this sum with the default settings, since the allocator keeps some memory free.
The buffers of the sockets, in the kernel, come on top; the kernel shrinks them if it must.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from enforcer.config.documents.document import MAX_VALUES
from enforcer.config.model import Config
from enforcer.config.resolved import upstreams
from enforcer.settings.connections.pool import PoolSettings

PROCESS: Final = 64 * 1024**2
"""Bytes of an idle process: the interpreter, its modules, and tables of a fixed size."""
_VALUE: Final = 512
"""Bytes of a value of the configuration, with what is built from it."""
_SERIES: Final = 3072
"""Bytes of the counters of a rule, an upstream or an authorization server, with the usual methods and statuses."""
_INACTIVE: Final = 384
"""Bytes of a cached inactive token."""
_PROOF: Final = 128
"""Bytes of a remembered DPoP proof."""
_LIMITED: Final = 384
"""Bytes of a client, or a network, whose unseen tokens, or wrong proofs, are counted."""
_KNOWN: Final = 512
"""Bytes of a client of an authorization server: its requests in flight and its share."""
_POOLED: Final = 20 * 1024
"""Bytes of a pooled connection, with the body that it may have to send again."""
_TLS: Final = 40 * 1024
"""Bytes of a pooled connection with TLS, in addition."""
_WAITING: Final = 1024
"""Bytes of a request that waits for a connection, besides its head."""
_ADMIN: Final = 128 * 1024
"""Bytes of a connection to the admin server, with its request."""


def memory_bounds(config: Config, values: int) -> Mapping[str, int]:
    """Return the largest size of each part, in bytes, by the setting that bounds it.

    `values` is the number of values in the configuration; a reload may read up to `MAX_VALUES` beside it.
    """
    limits, apps, servers = config.limits, upstreams(config).values(), config.authorization_servers
    return {
        "process": PROCESS,
        "configuration": (values + MAX_VALUES) * _VALUE,
        "metrics": (len(config.rules) + len(apps) + len(servers)) * _SERIES,
        "cache.memory": config.cache.memory,
        "cache.negative_entries": config.cache.negative_entries * _INACTIVE,
        "dpop.replays": config.dpop.replays * _PROOF,
        "dpop.keys": config.dpop.keys,
        # Of unseen tokens and of wrong proofs, by client and by network.
        "limits.unseen_tokens.addresses": 4 * limits.unseen_tokens.addresses * _LIMITED,
        "limits.connection_memory": limits.connection_memory,
        "limits.held_input": limits.held_input,
        "upstreams.pool": sum(
            _pool(app.pool, 0, app.streams.connections, secure=app.url.startswith("https://")) for app in apps
        ),
        "authorization_servers.pool": sum(
            _pool(server.pool, server.pool.head + server.max_answer, 0, secure=True) for server in servers
        ),
        "authorization_servers.breaker.clients": sum(server.breaker.clients for server in servers) * _KNOWN,
        "admin.connections": config.admin.connections * _ADMIN,
        "admin.denials_memory": 0 if config.admin.credential is None else config.admin.denials_memory,
        "log.backlog_memory": 0 if config.log.decisions == "none" else config.log.backlog_memory,
        "log.buffer": config.log.buffer,
    }


def _pool(settings: PoolSettings, response: int, streams: int, *, secure: bool) -> int:
    """Return the bytes of a pool with `streams` whose connections hold up to `response` bytes of a response each."""
    connection = _POOLED + response + (_TLS if secure else 0)
    return (settings.connections + streams) * connection + settings.queue * _WAITING
