"""`enforcer demo`."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, NamedTuple

import click
import yaml

from enforcer.cli._options import config_option
from enforcer.config.load import load

if TYPE_CHECKING:
    import httpx

# The enforcer's client in the registration that the demo's authorization server is shipped with.
_SECRET: Final = {"ENFORCER_CLIENT_SECRET": "service-client-jwt-secret"}
_START_TIMEOUT: Final = 30.0
"""Seconds for a process to become ready: many times as long as on a slow machine."""
_POLL_INTERVAL: Final = 0.05  # seconds

_GRACE: Final = 10.0
"""Seconds for a process to end after SIGINT, before SIGKILL. None of ours needs as long."""
_LAST_LINES: Final = 10
"""Lines of its log that are shown if a process ends early."""

_PORT: Final = click.IntRange(0, 65535)


class Child:
    """A Python module that runs as a child process, with its output in a file.

    It leads its own process group, so that Ctrl-C in the terminal reaches only the command, which then stops it.
    """

    def __init__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                process_group=0,
            )

    @property
    def outcome(self) -> str | None:
        """A text that says how the process ended; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"

    def last_lines(self) -> str:
        """Return the last lines of its log, indented."""
        lines = self._log.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:]
        return "\n".join(f"  {line}" for line in lines) or "  (nothing)"

    def stop(self) -> None:
        """Stop the process with SIGINT, or with SIGKILL if it does not end in time."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class _Ports(NamedTuple):
    """Ports by the names of the options; 0 is any free port."""

    port: int
    admin_port: int
    auth_port: int
    app_port: int


class _Component(NamedTuple):
    """One of the three processes: its address as shown, and a URL that returns 200 once it is ready."""

    name: str
    address: str
    ready_url: str
    process: Child


@click.command(name="demo")
@click.option("--once", is_flag=True, help="Stop after the walk; exit with 0 if every step was right, else with 1.")
@click.option("--port", type=_PORT, default=8091, show_default=True, help="Port of the enforcer; 0 for any free port.")
@click.option("--admin-port", type=_PORT, default=9091, show_default=True, help="Port of the enforcer's admin server.")
@click.option("--auth-port", type=_PORT, default=8085, show_default=True, help="Port of the authorization server.")
@click.option("--app-port", type=_PORT, default=8090, show_default=True, help="Port of the country app.")
@config_option("The enforcer's configuration; its addresses are replaced by those of the demo.")
def command(once: bool, config: Path, **ports: int) -> None:
    """Start an authorization server, an app and the enforcer in front of it, and send them some requests.

    Each step shows the request, the response, and whether it is as expected. The processes then run until Ctrl-C.

    Exit codes: 0 stopped, 1 a step of --once failed or a process ended, 2 wrong usage or an invalid configuration.

    \b
    Examples:
      enforcer demo
      enforcer demo --once
      enforcer demo --port 8191 --auth-port 0 --app-port 0
    """
    if os.environ.get("NO_COLOR"):
        click.get_current_context().color = False
    _check_prerequisites(config)
    load(config, {**os.environ, **_SECRET})
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
            # Not raised as an exception, which directly after a fork would leave a child process running.
            signal.signal(number, lambda received, _: stopped.append(received))
    right = _play(config, _choose(_Ports(**ports)), once, lambda: bool(stopped))
    sys.exit(0 if right or not once else 1)


def _check_prerequisites(config: Path) -> None:
    """Raise ClickException if something is missing that only the demo needs."""
    if find_spec("pycountry") is None:
        raise click.ClickException("the country app needs more packages: pip install 'token-enforcer[demo]'")
    if not config.exists():
        raise click.ClickException(
            f"{config} does not exist: run the demo in a clone of the repository, whose config.yaml it uses, or name "
            "another configuration of the same app (--config)"
        )


def _play(config: Path, ports: _Ports, once: bool, stopped: Callable[[], bool]) -> bool:
    """Run the demo until it ends or is stopped. Returns whether every step was as expected."""
    import httpx

    from enforcer.cli._walk import Walk, show

    enforcer = f"http://localhost:{ports.port}"
    issuer = f"http://localhost:{ports.auth_port}/ms-auth-server"
    with ExitStack() as resources:
        resources.callback(click.echo, "\nAll three are stopped")
        # Ignore proxies of the environment, because the servers are on loopback.
        client = resources.enter_context(httpx.Client(trust_env=False, timeout=10.0))
        folder = Path(resources.enter_context(TemporaryDirectory(prefix="enforcer-demo-")))
        click.echo(f"Starting, with logs in {folder}:")
        components = _start(resources, folder, config, ports)
        for component in components:
            _await(component, client, stopped)
            if stopped():
                return False
            click.echo(f"  {component.name}: {component.address}")
        right = show(Walk(client, enforcer, issuer).steps(), stopped)
        if not once and not stopped():
            click.echo(_TRY.format(issuer=issuer, enforcer=enforcer))
        while True:
            for component in components:
                _check_running(component)
            if once or stopped():
                return right
            time.sleep(_POLL_INTERVAL)


_TRY: Final = """
Try it yourself:
  TOKEN=$(curl -s -d grant_type=client_credentials -d scope=country.read \\
          -d client_id=user-client-opaque -d client_secret=user-client-secret \\
          {issuer}/oauth2/token | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')
  curl -i -H "Authorization: Bearer $TOKEN" {enforcer}/ms-system/country/code/NZL

Ctrl-C stops all three."""


def _choose(ports: _Ports) -> _Ports:
    """Check that every port is free, and choose the ports that are 0. Nothing has been started yet."""
    chosen = []
    with ExitStack() as listeners:
        for name, port in ports._asdict().items():
            try:
                listener = listeners.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError as error:
                reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
                another = f"--{name.replace('_', '-')} N, or make demo {name.upper()}=N"
                raise click.ClickException(f"port {port} {reason}; choose another: {another}") from None
            chosen.append(listener.getsockname()[1])
    return _Ports(*chosen)


def _start(resources: ExitStack, folder: Path, config: Path, ports: _Ports) -> list[_Component]:
    """Start all three processes. Closing `resources` stops them, the enforcer first."""
    adapted = folder / "config.yaml"
    adapted.write_text(_with_addresses(config, ports), "utf-8")

    def child(module: str, *arguments: str, **environment: str) -> Child:
        process = Child([module, *arguments], folder / f"{module}.log", environment)
        resources.callback(process.stop)
        return process

    auth = f"http://localhost:{ports.auth_port}"
    app = f"http://127.0.0.1:{ports.app_port}"
    admin = f"http://localhost:{ports.admin_port}"
    return [
        _Component(
            "the authorization server",
            f"{auth}/ms-auth-server",
            f"{auth}/.well-known/oauth-authorization-server/ms-auth-server",
            child("authserver", "--port", str(ports.auth_port)),
        ),
        _Component(
            "the country app",
            f"{app}, only for the enforcer",
            f"{app}/ms-system/country",
            child("country_app", "--port", str(ports.app_port)),
        ),
        _Component(
            "the enforcer",
            f"http://localhost:{ports.port}, metrics at {admin}/metrics",
            f"{admin}/readyz",
            child("enforcer", "run", str(adapted), **_SECRET),
        ),
    ]


def _with_addresses(config: Path, ports: _Ports) -> str:
    document = yaml.safe_load(config.read_text("utf-8"))
    server, *others = document["authorization_servers"]
    endpoint = f"http://127.0.0.1:{ports.auth_port}/ms-auth-server/oauth2/introspect"
    document |= {
        "listener": {**document.get("listener", {}), "address": f"127.0.0.1:{ports.port}"},
        "admin": {**document.get("admin", {}), "address": f"127.0.0.1:{ports.admin_port}"},
        "upstream": {**document["upstream"], "url": f"http://127.0.0.1:{ports.app_port}"},
        "authorization_servers": [{**server, "introspection_endpoint": endpoint}, *others],
    }
    return yaml.safe_dump(document, sort_keys=False)


def _await(component: _Component, client: httpx.Client, stopped: Callable[[], bool]) -> None:
    import httpx

    deadline = time.monotonic() + _START_TIMEOUT
    while not stopped():
        _check_running(component)
        try:
            if client.get(component.ready_url).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            log = component.process.last_lines()
            raise click.ClickException(
                f"{component.name} is not ready after {_START_TIMEOUT:.0f} s; the end of its log:\n{log}"
            )
        time.sleep(_POLL_INTERVAL)


def _check_running(component: _Component) -> None:
    if outcome := component.process.outcome:
        log = component.process.last_lines()
        raise click.ClickException(f"{component.name} {outcome}; the end of its log:\n{log}")
