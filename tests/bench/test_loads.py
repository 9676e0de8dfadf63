"""The loads of the benchmark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import loads, wrk
from bench.results import Results
from bench.servers import RunningServer, Server, Workspace


def test_many_connections_are_1000_and_the_enforcer_has_its_default_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The warm-up has as many; the limits of the enforcer are not raised."""
    loaded: list[tuple[str, int]] = []

    @contextmanager
    def checked(workspace: Workspace, server: Server) -> Iterator[RunningServer]:
        server.command(workspace, server.port)
        yield RunningServer(server, [], 0.0)

    def load(server: RunningServer, _: int, *, connections: int) -> wrk.TrafficSample:
        loaded.append((server.server.name, connections))
        return wrk.TrafficSample(1.0, 1.0, 1.0, 2.0, 0, 1)

    monkeypatch.setattr(loads, "_checked", checked)
    monkeypatch.setattr(wrk, "load", load)
    run = loads.Round(0, 4, Workspace(tmp_path, tmp_path), Results())
    loads.LOADS["many"](run)

    assert loaded == [("nginx", 1000), ("nginx", 1000), ("enforcer", 1000), ("enforcer", 1000)]
    assert set(run.results.samples["many"]) == {"nginx", "enforcer"}
    (settings,) = tmp_path.glob("enforcer-*.yaml")
    assert json.loads(settings.read_text())["limits"] == {}
