"""The loads of the benchmark."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import decisions, h2load, loads, wrk
from bench.results import Results
from bench.servers import OPTIONAL, RunningServer, Server, Workspace


def test_many_connections_are_1000_and_the_enforcer_has_its_default_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They are open before the measurement begins; the limits of the enforcer are not raised."""
    commands: list[list[str]] = []

    @contextmanager
    def checked(workspace: Workspace, server: Server) -> Iterator[RunningServer]:
        server.command(workspace, server.port)
        yield RunningServer(server, [], 0.0)

    class H2load:
        """Ends at once, with two responses in the log."""

        def __init__(self, command: list[str], **_: object) -> None:
            commands.append(command)
            (log,) = (argument.partition("=")[2] for argument in command if argument.startswith("--log-file="))
            Path(log).write_text("1\t200\t310\n2\t200\t42\n")

        def __enter__(self) -> H2load:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def communicate(self) -> tuple[str, str]:
            return "", ""

    monkeypatch.setattr(loads, "_checked", checked)
    monkeypatch.setattr(subprocess, "Popen", H2load)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    run = loads.Round(0, 4, Workspace(tmp_path, tmp_path), Results())
    loads.LOADS["many"](run)

    ports = [int(command[-1].split("/")[2].partition(":")[2]) for command in commands]
    assert ports == [18011, 18011, 18016, 18016]
    assert all({"--h1", "-c1000", "-D4", "--warm-up-time=2"} <= set(command) for command in commands[1::2])
    assert set(run.results.samples["many"]) == {"nginx", "enforcer"}
    (settings,) = tmp_path.glob("enforcer-*.yaml")
    assert json.loads(settings.read_text())["limits"] == {}


def test_decisions_are_measured_beside_proxied_requests_of_the_same_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By contract; each door is checked first, and has the fields that its contract needs."""
    doors: list[tuple[int, bool]] = []

    @contextmanager
    def checked(workspace: Workspace, server: Server) -> Iterator[RunningServer]:
        server.command(workspace, server.port)
        yield RunningServer(server, [], 0.0)

    monkeypatch.setattr(loads, "_checked", checked)
    monkeypatch.setattr(decisions, "check", lambda door: doors.append((door.server.port, bool(door.server.fields))))
    monkeypatch.setattr(wrk, "load", lambda *_, **__: wrk.TrafficSample(1.0, 1.0, 1.0, 2.0, 0, 1))
    monkeypatch.setattr(h2load, "decide", lambda *_: wrk.TrafficSample(1.0, 3.0, 1.0, 2.0, 0, 1))
    run = loads.Round(0, 1, Workspace(tmp_path, tmp_path), Results())
    loads.LOADS["decision"](run)
    loads.LOADS["decision-grpc"](run)

    assert doors == [(18016, False), (18027, False), (18028, True)]
    assert set(run.results.samples["decision"]) == {"proxied", "contract request", "contract nginx"}
    assert set(run.results.samples["decision-grpc"]) == {"HTTP", "gRPC"}
    (settings,) = tmp_path.glob("enforcer-*.yaml")
    contracts = [listener["contract"] for listener in json.loads(settings.read_text())["decision"]]
    assert contracts == ["request", "nginx", "envoy-grpc"]


def test_grpc_calls_are_measured_beside_proxies_that_only_forward(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """To an app that speaks only HTTP/2."""

    @contextmanager
    def serving(workspace: Workspace, server: Server) -> Iterator[RunningServer]:
        server.command(workspace, server.port)
        yield RunningServer(server, [], 0.0)

    monkeypatch.setattr(loads, "serving", serving)
    monkeypatch.setattr(h2load, "call", lambda *_: wrk.TrafficSample(1.0, 3.0, 1.0, 2.0, 0, 1))
    run = loads.Round(0, 1, Workspace(tmp_path, tmp_path), Results())
    loads.LOADS["grpc"](run)

    assert set(run.results.samples["grpc"]) == {"nginx", "enforcer", "envoy"}
    (settings,) = tmp_path.glob("enforcer-*.yaml")
    assert json.loads(settings.read_text())["upstream"] == {"url": "http://127.0.0.1:18002", "protocol": "h2c"}


def test_a_proxy_that_is_not_installed_is_named_and_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are measured, an installed one of the optional ones too; a later round does not say it again."""
    measured: list[str] = []

    @contextmanager
    def checked(workspace: Workspace, server: Server) -> Iterator[RunningServer]:
        measured.append(server.name)
        yield RunningServer(server, [], 0.0)

    monkeypatch.setattr(loads, "_checked", checked)
    monkeypatch.setattr(wrk, "load", lambda server, seconds: wrk.TrafficSample(1.0, 1.0, 1.0, 2.0, 0, 1))
    monkeypatch.setattr(Workspace, "has", lambda workspace, program: program == "caddy")
    for number in range(2):
        loads.LOADS["cached"](loads.Round(number, 4, Workspace(tmp_path, tmp_path), Results()))

    assert {"nginx", "enforcer", "caddy"} <= set(measured)
    assert not {"skipper", "oathkeeper", "heimdall"} & set(measured)
    lines = [line for line in capsys.readouterr().out.splitlines() if "not measured" in line]
    assert lines == ["not measured, because not installed: skipper, oathkeeper, heimdall"]


@pytest.mark.parametrize("server", OPTIONAL, ids=lambda server: server.name)
def test_the_configuration_of_an_optional_proxy_has_no_mark_left(server: Server, tmp_path: Path) -> None:
    """Its command names the program and the files of this run."""
    command = server.command(Workspace(tmp_path, tmp_path), server.port)
    assert Path(command[0]).name == server.program
    texts = [path.read_text() for path in tmp_path.iterdir()]
    assert texts
    assert [text for text in texts if re.search("@[A-Z]+@", text)] == []
    assert any(str(server.port) in text for text in (*texts, *command))
