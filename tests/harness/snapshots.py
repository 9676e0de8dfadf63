"""Real snapshots, whose servers are never contacted, for tests of code that only reads a snapshot."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from enforcer.config.load import load
from enforcer.proxy.snapshot import Snapshot
from enforcer.server.assembly import assemble
from enforcer.server.resources import SharedResources
from enforcer.telemetry import Telemetry
from enforcer.wire.ticker import Ticker
from harness.configs import config

_CLOSED_PORT = 9


def snapshot(*, resources: SharedResources | None = None, **changes: Any) -> Snapshot:
    """Return a snapshot of the base configuration with `changes` (see `harness.configs.config`).

    Snapshots with the same `resources` are those before and after a reload.
    """
    telemetry = Telemetry("tested")
    telemetry.begin()
    loop = asyncio.new_event_loop()
    ticker = Ticker(loop)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "config.yaml"
            path.write_text(config(f"http://127.0.0.1:{_CLOSED_PORT}", _CLOSED_PORT, **changes))
            loaded = load(path, {"ENFORCER_CLIENT_SECRET": "secret"})
        return assemble(loaded.config, (resources or SharedResources()).scope(), telemetry, ticker, loop)[0]
    finally:
        ticker.stop()
        loop.close()
