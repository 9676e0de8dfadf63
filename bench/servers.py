"""The measured servers, and the servers behind them: app, authorization server and upload sink."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.processes import LOAD_CPU, MEASURED_CPU, BenchError, running
from bench.usage import tree

HERE = Path(__file__).parent
BACKEND, SINK, GRPC = 18000, 18001, 18002
TARGET = "/ms-system/country/code/AUS"
CALL = "/bench.Country/Get"
"""The gRPC method that is called."""
DECISION_PORTS = {"request": 18027, "nginx": 18028, "envoy-grpc": 18029}
"""The ports of the enforcer's decision API, by contract."""
AUTHORIZED = {"Authorization": f"Bearer {'fm8DH_ofCQnIhhbn' * 8}"}  # as long as an opaque token is
INACTIVE = {"Authorization": f"Bearer {'inactive' * 16}"}  # of the same length; peers/authorization_server.js knows it
LARGE = "/large/file"
LARGE_SIZE = 1 << 30

_ENVOY_LIMITS = ("--concurrency", "1", "--log-level", "error", "--disable-hot-restart")
_TIMEOUT = 20.0  # seconds for a server to start
# Debian installs servers in /usr/sbin, which is not on every user's PATH.
_SYSTEM = f"{os.environ.get('PATH', '')}:/usr/sbin"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder with the files of a run, and the virtual environment that the run uses."""

    folder: Path
    venv: Path

    def command(self, name: str) -> str:
        """Return the path of a command in the virtual environment or the system, or its bare name if there is none."""
        return shutil.which(name, path=f"{self.venv / 'bin'}:{_SYSTEM}") or name

    def has(self, program: str) -> bool:
        """Return whether a command is installed."""
        return Path(self.command(program)).is_absolute()

    def configure(self, name: str, port: int) -> str:
        """Write the configuration `name` from peers/ with this run's folder and ports, and return its path."""
        text = (HERE / "peers" / name).read_text()
        for mark, value in {"DIR": self.folder, "PORT": port, "BACKEND": BACKEND, "SINK": SINK, "GRPC": GRPC}.items():
            text = text.replace(f"@{mark}@", str(value))
        path = self.folder / name
        path.write_text(text)
        return str(path)


@dataclass(frozen=True, slots=True)
class Build:
    """An earlier build of the enforcer: the name of its results, and the folder that it is installed in."""

    name: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Server:
    """A server that can be measured: its name, its port, the command that runs it, and a URL that shows it is ready.

    `authorizes` is False for a proxy that only forwards, and passes requests without a token too. `program` is the
    command of a proxy that is measured only if it is installed; empty if the benchmark installs it.
    """

    name: str
    port: int
    command: Callable[[Workspace, int], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_path: str = TARGET
    ready_port: int | None = None
    authorizes: bool = True
    program: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Fields that each request needs."""
    http2: bool = False
    """It speaks only HTTP/2, and is ready as soon as it accepts connections."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A running server: its process IDs, and the seconds until it was ready."""

    server: Server
    pids: list[int]
    ready_after: float

    @property
    def url(self) -> str:
        """The URL that the load requests."""
        return f"http://127.0.0.1:{self.server.port}{TARGET}"

    def deciding(self, contract: str) -> RunningServer:
        """Return the decision API of a running `enforcer(decision=True)`, with the fields of a contract."""
        fields = {"X-Original-Method": "GET", "X-Original-URI": TARGET} if contract == "nginx" else {}
        return replace(self, server=replace(self.server, port=DECISION_PORTS[contract], fields=fields))


def _nginx(workspace: Workspace, configuration: str) -> list[str]:
    # Started by root, nginx would run its workers as another user, who may not read the folder.
    user = ["-g", "user root;"] if os.geteuid() == 0 else []
    return [workspace.command("nginx"), "-e", "stderr", "-c", configuration, *user]


def _njs(workspace: Workspace, port: int) -> list[str]:
    workspace.configure("introspect.js", port)
    return _nginx(workspace, workspace.configure("njs.conf", port))


def _backend(workspace: Workspace, port: int) -> list[str]:
    workspace.configure("authorization_server.js", port)
    return _nginx(workspace, workspace.configure("backend.conf", port))


def _apache(workspace: Workspace, port: int) -> list[str]:
    return [workspace.command("apache2"), "-f", workspace.configure("apache.conf", port), "-D", "FOREGROUND"]


def _envoy(workspace: Workspace, port: int) -> list[str]:
    return [workspace.command("envoy"), "-c", workspace.configure("envoy.yaml", port), *_ENVOY_LIMITS]


def _grpc_envoy(workspace: Workspace, port: int) -> list[str]:
    return [workspace.command("envoy"), "-c", workspace.configure("grpc-envoy.yaml", port), *_ENVOY_LIMITS]


def _caddy(workspace: Workspace, port: int) -> list[str]:
    return [workspace.command("caddy"), "run", "--config", workspace.configure("caddy.json", port)]


def _skipper(workspace: Workspace, port: int) -> list[str]:
    routes = ["-routes-file", workspace.configure("skipper.eskip", port), "-address", f"127.0.0.1:{port}"]
    quiet = ["-access-log-disabled", "-application-log-level", "ERROR", "-support-listener", "127.0.0.1:18026"]
    return [workspace.command("skipper"), *routes, *quiet]


def _oathkeeper(workspace: Workspace, port: int) -> list[str]:
    workspace.configure("oathkeeper-rules.json", port)
    return [workspace.command("oathkeeper"), "serve", "--config", workspace.configure("oathkeeper.yaml", port)]


def _heimdall(workspace: Workspace, port: int) -> list[str]:
    workspace.configure("heimdall-rules.yaml", port)
    configuration = workspace.configure("heimdall.yaml", port)
    return [workspace.command("heimdall"), "serve", "proxy", "--insecure", "--config", configuration]


def _naive(workspace: Workspace, port: int) -> list[str]:
    workspace.configure("naive.py", port)
    quiet = ["--no-access-log", "--log-level", "warning"]
    return [
        workspace.command("uvicorn"),
        "naive:app",
        "--port",
        str(port),
        "--loop",
        "uvloop",
        "--http",
        "httptools",
        *quiet,
    ]


NGINX = Server(
    "nginx", 18011, lambda workspace, port: _nginx(workspace, workspace.configure("nginx.conf", port)), authorizes=False
)
NJS = Server("njs", 18012, _njs)
ENVOY = Server("envoy", 18013, _envoy, authorizes=False)
APACHE = Server("apache", 18014, _apache)
NAIVE = Server("naive", 18015, _naive, {"BACKEND": str(BACKEND)})
_ONE_CPU = {"GOMAXPROCS": "1"}  # Go counts the machine's CPUs, and a measured server has one
GRPC_NGINX = Server(
    "nginx",
    18030,
    lambda workspace, port: _nginx(workspace, workspace.configure("grpc-nginx.conf", port)),
    authorizes=False,
    http2=True,
)
GRPC_ENVOY = Server("envoy", 18031, _grpc_envoy, authorizes=False, http2=True)
OPTIONAL = (
    Server("caddy", 18020, _caddy, _ONE_CPU, authorizes=False, program="caddy"),
    Server("skipper", 18021, _skipper, _ONE_CPU, program="skipper"),
    Server("oathkeeper", 18022, _oathkeeper, _ONE_CPU, program="oathkeeper"),
    Server("heimdall", 18023, _heimdall, _ONE_CPU, program="heimdall"),
)
"""Proxies that are measured if they are installed: neither Debian nor the package index has them."""


def enforcer(
    rules: int = 10,
    app: int = BACKEND,
    port: int = 18016,
    *,
    limits: object = None,
    build: Build | None = None,
    decision: bool = False,
    protocol: str = "http1",
) -> Server:
    """Return an enforcer with default settings except `limits`, with `rules` rules, and the app on port `app`.

    Its admin server listens on `port` + 1. `build` is an earlier build to run; default: the working tree's. With
    `decision`, it has the decision API as well, on DECISION_PORTS. `protocol` is that of the app.
    """

    def command(workspace: Workspace, port: int) -> list[str]:
        path = workspace.folder / f"enforcer-{port}.yaml"
        settings = _enforcer_settings(rules, app, port, limits or {})
        if protocol != "http1":
            settings["upstream"] = {"url": f"http://127.0.0.1:{app}", "protocol": protocol}
        if decision:
            settings["decision"] = [
                {"address": f"127.0.0.1:{number}", "contract": contract, "trusted_proxies": ["127.0.0.1"]}
                for contract, number in DECISION_PORTS.items()
            ]
        path.write_text(json.dumps(settings))  # JSON is YAML
        return [workspace.command("python"), "-m", "enforcer", "run", str(path)]

    environment = {"ENFORCER_CLIENT_SECRET": "bench", "PYTHONSAFEPATH": "1"}
    if build is None:
        return Server("enforcer", port, command, environment, "/readyz", port + 1)
    return Server(build.name, port, command, {**environment, "PYTHONPATH": str(build.folder)}, "/readyz", port + 1)


def _enforcer_settings(rules: int, app: int, port: int, limits: object) -> dict[str, object]:
    used = [
        {"name": "read countries", "path": "/ms-system/country/**", "methods": ["GET"], "scopes": ["country.read"]},
        {"name": "read large files", "path": "/large/**", "methods": ["GET"], "scopes": ["country.read"]},
        {"name": "send large files", "path": "/sink/**", "methods": ["PUT"], "scopes": ["country.read"]},
        {"name": "call", "path": "/bench.Country/**", "methods": ["POST"], "scopes": ["country.read"]},
    ]
    unused = [
        {
            "name": f"rule {number}",
            "path": f"/ms-system/service-{number % 100}/items-{number}/{{id}}",
            "methods": ["GET"],
            "scopes": [f"service.{number % 100}.read"],
        }
        for number in range(rules - len(used))
    ]
    return {
        "listener": {"address": f"127.0.0.1:{port}"},
        "admin": {"address": f"127.0.0.1:{port + 1}"},
        "upstream": {"url": f"http://127.0.0.1:{app}"},
        "authorization_servers": [
            {
                "introspection_endpoint": f"http://127.0.0.1:{BACKEND}/introspect",
                "client_id": "bench",
                "client_secret": {"env": "ENFORCER_CLIENT_SECRET"},
            }
        ],
        "rules": used + unused,
        "limits": limits,
    }


@contextmanager
def behind(workspace: Workspace) -> Iterator[None]:
    """Run the servers behind every measured server: one for app and authorization server, and the upload sink."""
    large, buffer = workspace.folder / LARGE.lstrip("/"), bytearray(1 << 20)
    large.parent.mkdir()
    with large.open("wb") as file:
        file.truncate(LARGE_SIZE)
    with large.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass  # the first read of a sparse file allocates its pages, which would slow the first server
    backend = Server("backend", BACKEND, _backend)
    sink = Server("sink", SINK, lambda workspace, port: [workspace.command("python"), str(HERE / "sink.py"), str(port)])
    with serving(workspace, backend, LOAD_CPU), serving(workspace, sink, LOAD_CPU):
        yield


@contextmanager
def serving(workspace: Workspace, server: Server, cpu: int = MEASURED_CPU) -> Iterator[RunningServer]:
    """Run a server until the block ends; the block begins when it is ready.

    Raises BenchError if the port is in use or the server does not become ready.
    """
    if _is_ready(server):
        raise BenchError(f"port {server.port} is in use; the benchmark uses the ports 18000 to 18031")
    log = workspace.folder / f"{server.name}-{server.port}.log"
    command = server.command(workspace, server.port)
    started = time.perf_counter()
    with running(command, cpu, log, server.environment) as process:
        deadline = started + _TIMEOUT
        while not _is_ready(server):
            if process.poll() is not None or time.perf_counter() > deadline:
                raise BenchError(f"{server.name} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.002)
        ready_after = time.perf_counter() - started
        try:
            yield RunningServer(server, tree(process.pid), ready_after)
        except BenchError as error:
            if output := log.read_text(errors="replace"):
                error.add_note(f"last output of {server.name}:\n{output[-2000:]}")
            raise


def _is_ready(server: Server) -> bool:
    if server.http2:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", server.port)) == 0
    connection = http.client.HTTPConnection("127.0.0.1", server.ready_port or server.port, timeout=2)
    try:
        connection.request("GET", server.ready_path, headers=AUTHORIZED)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
