"""The servers that are measured, and what stands behind them."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import LOAD_CPU, MEASURED_CPU, BenchError, running
from bench.usage import tree

HERE = Path(__file__).parent
BACKEND, SINK = 18000, 18001
TARGET = "/ms-system/country/code/AUS"
AUTHORIZED = {"Authorization": f"Bearer {'fm8DH_ofCQnIhhbn' * 8}"}  # as long as an opaque token is
LARGE = "/large/file"
LARGE_SIZE = 1 << 30

_PATIENCE = 20.0  # seconds for a server to start
_SYSTEM = f"{os.environ.get('PATH', '')}:/usr/sbin"  # where Debian has servers; not on every user's path


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run keeps its files, and the virtual environment that it uses."""

    folder: Path
    venv: Path

    def command(self, name: str) -> str:
        """Return the path of a command: the virtual environment's, or the system's."""
        return shutil.which(name, path=f"{self.venv / 'bin'}:{_SYSTEM}") or name

    def configure(self, name: str, port: int) -> str:
        """Write a peer's configuration with this run's folder and ports, and return its path."""
        text = (HERE / "peers" / name).read_text()
        for mark, value in {"DIR": self.folder, "PORT": port, "BACKEND": BACKEND, "SINK": SINK}.items():
            text = text.replace(f"@{mark}@", str(value))
        path = self.folder / name
        path.write_text(text)
        return str(path)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that can be measured: what it is called, where it listens, and the command that runs it."""

    name: str
    port: int
    command: Callable[[Place, int], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_path: str = TARGET
    ready_port: int | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs: its processes, and how long it took to be ready."""

    server: Server
    pids: list[int]
    ready_after: float

    @property
    def url(self) -> str:
        """Where the load goes."""
        return f"http://127.0.0.1:{self.server.port}{TARGET}"


def _nginx(place: Place, configuration: str) -> list[str]:
    # Workers of a server that root starts run as another user otherwise, who may not enter the folder.
    user = ["-g", "user root;"] if os.geteuid() == 0 else []
    return [place.command("nginx"), "-e", "stderr", "-c", configuration, *user]


def _njs(place: Place, port: int) -> list[str]:
    place.configure("introspect.js", port)
    return _nginx(place, place.configure("njs.conf", port))


def _apache(place: Place, port: int) -> list[str]:
    return [place.command("apache2"), "-f", place.configure("apache.conf", port), "-D", "FOREGROUND"]


def _envoy(place: Place, port: int) -> list[str]:
    limits = ["--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]
    return [place.command("envoy"), "-c", place.configure("envoy.yaml", port), *limits]


def _naive(place: Place, port: int) -> list[str]:
    place.configure("naive.py", port)
    quiet = ["--no-access-log", "--log-level", "warning"]
    return [
        place.command("uvicorn"),
        "naive:app",
        "--port",
        str(port),
        "--loop",
        "uvloop",
        "--http",
        "httptools",
        *quiet,
    ]


NGINX = Server("nginx", 18011, lambda place, port: _nginx(place, place.configure("nginx.conf", port)))
NJS = Server("njs", 18012, _njs)
ENVOY = Server("envoy", 18013, _envoy)
APACHE = Server("apache", 18014, _apache)
NAIVE = Server("naive", 18015, _naive, {"BACKEND": str(BACKEND)})


def enforcer(rules: int = 10, app: int = BACKEND, port: int = 18016, *, limits: object = None) -> Server:
    """Return the enforcer with default settings but for `limits`, so many rules, and the app on a port.

    Its admin side listens on `port` + 1.
    """

    def command(place: Place, port: int) -> list[str]:
        path = place.folder / f"enforcer-{port}.yaml"
        path.write_text(json.dumps(_configuration(rules, app, port, limits or {})))  # JSON is YAML
        return [place.command("enforcer"), "run", str(path)]

    return Server("enforcer", port, command, {"ENFORCER_CLIENT_SECRET": "bench"}, "/readyz", port + 1)


def _configuration(rules: int, app: int, port: int, limits: object) -> dict[str, object]:
    own = [
        {"name": "read countries", "path": "/ms-system/country/**", "methods": ["GET"], "scopes": ["country.read"]},
        {"name": "read large files", "path": "/large/**", "methods": ["GET"], "scopes": ["country.read"]},
        {"name": "send large files", "path": "/sink/**", "methods": ["PUT"], "scopes": ["country.read"]},
    ]
    others = [
        {
            "name": f"rule {number}",
            "path": f"/ms-system/service-{number % 100}/items-{number}/{{id}}",
            "methods": ["GET"],
            "scopes": [f"service.{number % 100}.read"],
        }
        for number in range(rules - len(own))
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
        "rules": own + others,
        "limits": limits,
    }


@contextmanager
def behind(place: Place) -> Iterator[None]:
    """Run what stands behind every measured server: an app and authorization server, and a taker of uploads."""
    large, buffer = place.folder / LARGE.lstrip("/"), bytearray(1 << 20)
    large.parent.mkdir()
    with large.open("wb") as file:
        file.truncate(LARGE_SIZE)
    with large.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass  # a hole becomes memory when it is first read, and the first server measured is not to pay for that
    backend = Server("backend", BACKEND, lambda place, port: _nginx(place, place.configure("backend.conf", port)))
    sink = Server("sink", SINK, lambda place, port: [place.command("python"), str(HERE / "sink.py"), str(port)])
    with serving(place, backend, LOAD_CPU), serving(place, sink, LOAD_CPU):
        yield


@contextmanager
def serving(place: Place, server: Server, cpu: int = MEASURED_CPU) -> Iterator[Running]:
    """Run a server until the block ends; it is ready when the block begins."""
    if _answers(server):
        raise BenchError(f"port {server.port} is taken; the benchmark needs 18000 to 18019 for itself")
    log = place.folder / f"{server.name}-{server.port}.log"
    command = server.command(place, server.port)
    started = time.perf_counter()
    with running(command, cpu, log, server.environment) as process:
        deadline = started + _PATIENCE
        while not _answers(server):
            if process.poll() is not None or time.perf_counter() > deadline:
                raise BenchError(f"{server.name} does not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.002)
        ready_after = time.perf_counter() - started
        try:
            yield Running(server, tree(process.pid), ready_after)
        except BenchError as error:
            if said := log.read_text(errors="replace"):
                error.add_note(f"last words of {server.name}:\n{said[-2000:]}")
            raise


def _answers(server: Server) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", server.ready_port or server.port, timeout=2)
    try:
        connection.request("GET", server.ready_path, headers=AUTHORIZED)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
