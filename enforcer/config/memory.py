"""The memory that a configuration allows: the sum of every table, queue and buffer that outlives a request.

Requests in flight come on top: `limits.head` for a connection while it sends a request head, and about 320 KiB for each
connection while it streams a body. The chart's memory limits are at least this sum with the default settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from enforcer.config.document import MAX_VALUES
from enforcer.config.model import Config

PROCESS: Final = 64 * 1024**2
"""Bytes of an idle process: the interpreter, its modules, and tables of a fixed size."""
_VALUE: Final = 512
"""Bytes of a value of the configuration, with what is built from it."""
_INACTIVE: Final = 384
"""Bytes of a cached inactive token."""
_PROOF: Final = 128
"""Bytes of a remembered DPoP proof."""
_LIMITED: Final = 384
"""Bytes of a client whose unseen tokens, or wrong proofs, are counted."""
_CONNECTION: Final = 4096
"""Bytes of an idle connection without TLS."""
_TLS: Final = 40 * 1024
"""Bytes of an idle connection with TLS, in addition."""


def memory_bounds(config: Config, values: int) -> Mapping[str, int]:
    """Return the largest size of each part, in bytes, by the setting that bounds it.

    `values` is the number of values in the configuration; a reload may read up to `MAX_VALUES` beside it.
    """
    limits, connections = config.limits, config.limits.connections
    return {
        "process": PROCESS,
        "configuration": (values + MAX_VALUES) * _VALUE,
        "cache.memory": config.cache.memory,
        "cache.negative_entries": config.cache.negative_entries * _INACTIVE,
        "dpop.replays": config.dpop.replays * _PROOF,
        "limits.unseen_tokens.addresses": 2 * limits.unseen_tokens.addresses * _LIMITED,
        "admin.denials_memory": 0 if config.admin.credential is None else config.admin.denials_memory,
        "log.backlog_memory": 0 if config.log.decisions == "none" else config.log.backlog_memory,
        "log.buffer": config.log.buffer,
        "limits.connections": connections * (_CONNECTION + (0 if config.listener.tls is None else _TLS)),
    }
