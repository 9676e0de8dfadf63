"""`enforcer demo`."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, NamedTuple

import click
import yaml

from enforcer.cli.children import Child
from enforcer.cli.mistakes import refuse
from enforcer.config.load import load
from enforcer.errors import ConfigError

if TYPE_CHECKING:
    import httpx

    from enforcer.cli.walk import Step

# The enforcer's own client, as the authorization server's packaged registration has it.
_SECRET: Final = {"ENFORCER_CLIENT_SECRET": "service-client-jwt-secret"}
_PATIENCE: Final = 30.0
"""Seconds until a process that is not ready is taken to be broken: many times what a slow machine needs."""
_PAUSE: Final = 0.05  # seconds between two looks

_PORT: Final = click.IntRange(0, 65535)


class _Ports(NamedTuple):
    """Named as the options are; 0 stands for any free one."""

    port: int
    admin_port: int
    auth_port: int
    app_port: int


@click.command(name="demo")
@click.option("--once", is_flag=True, help="End after the walk: with 0 if every step was right, else with 1.")
@click.option("--port", type=_PORT, default=8091, show_default=True, help="Port of the enforcer; 0 for any free one.")
@click.option("--admin-port", type=_PORT, default=9091, show_default=True, help="Port of the enforcer's admin side.")
@click.option("--auth-port", type=_PORT, default=8085, show_default=True, help="Port of the authorization server.")
@click.option("--app-port", type=_PORT, default=8090, show_default=True, help="Port of the country app.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("config.yaml"),
    show_default=True,
    help="The enforcer's configuration; its addresses are replaced by those of the demo.",
)
def command(once: bool, config: Path, **ports: int) -> None:
    """Start an authorization server, an app and the enforcer in front of it, and play a walk through them.

    Each step shows what is asked, what comes back, and whether it is right. The three then stay up until Ctrl-C.

    \b
    Examples:
      enforcer demo
      enforcer demo --once
      enforcer demo --port 8191 --auth-port 0 --app-port 0
    """
    if os.environ.get("NO_COLOR"):
        click.get_current_context().color = False
    try:
        load(config, {**os.environ, **_SECRET})
    except ConfigError as error:
        refuse(error)
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Noted, not raised: an exception just behind a fork would leave a process that nobody stops.
        signal.signal(number, lambda received, _: stopped.append(received))
    right = _play(config, _choose(_Ports(**ports)), once, lambda: bool(stopped))
    sys.exit(0 if right else 1)


def _play(config: Path, ports: _Ports, once: bool, stopped: Callable[[], bool]) -> bool:
    try:
        import httpx

        from enforcer.cli.walk import Walk
    except ImportError:
        raise click.ClickException("the demo needs more packages: pip install 'token-enforcer[demo]'") from None
    issuer = f"http://localhost:{ports.auth_port}/ms-auth-server"
    app = f"http://127.0.0.1:{ports.app_port}"
    enforcer = f"http://localhost:{ports.port}"
    admin = f"http://localhost:{ports.admin_port}"
    metadata = f"http://localhost:{ports.auth_port}/.well-known/oauth-authorization-server/ms-auth-server"
    with ExitStack() as resources:
        # Loopback is reached directly, whatever proxy the environment names.
        client = resources.enter_context(httpx.Client(trust_env=False, timeout=10.0))
        folder = Path(resources.enter_context(TemporaryDirectory(prefix="enforcer-demo-")))
        replaced = folder / "config.yaml"
        replaced.write_text(_with_addresses(config, ports), "utf-8")

        def start(name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Child:
            child = Child(name, arguments, folder / f"{arguments[0]}.log", environment or {})
            resources.callback(child.stop)
            return child

        click.echo(f"Starting, with logs in {folder}:")
        children = {
            metadata: start("the authorization server", "authserver", "--port", str(ports.auth_port)),
            f"{app}/ms-system/country": start("the country app", "country_app", "--port", str(ports.app_port)),
            f"{admin}/readyz": start("the enforcer", "enforcer", "run", str(replaced), environment=_SECRET),
        }
        places = (issuer, f"{app}, for the enforcer alone", f"{enforcer}, metrics at {admin}/metrics")
        for (url, child), place in zip(children.items(), places, strict=True):
            _await(url, child, client, stopped)
            click.echo(f"  {child.name}: {place}")
        steps: list[Step] = []
        walk = Walk(client, enforcer, issuer).steps()
        while not stopped() and (step := next(walk, None)) is not None:
            steps.append(step)
            _show(len(steps), step)
        wrong = sum(not step.right for step in steps)
        click.echo()
        click.echo(_verdict(f"{wrong} of {len(steps)} steps are wrong" if wrong else "All steps are right", not wrong))
        if not once:
            click.echo(_TRY.format(issuer=issuer, enforcer=enforcer))
        while not stopped():
            for child in children.values():
                _check(child)
            if once:
                return not wrong
            time.sleep(_PAUSE)
        click.echo("Stopping")
        return not wrong and not once


_TRY: Final = """
Try it yourself:
  TOKEN=$(curl -s -d grant_type=client_credentials -d scope=country.read \\
          -d client_id=user-client-opaque -d client_secret=user-client-secret \\
          {issuer}/oauth2/token | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')
  curl -i -H "Authorization: Bearer $TOKEN" {enforcer}/ms-system/country/code/NZL

Ctrl-C stops all three."""


def _choose(ports: _Ports) -> _Ports:
    """See that every port is free, and find those that are left to us; nothing has been started yet."""
    chosen = []
    with ExitStack() as held:
        for name, port in ports._asdict().items():
            try:
                listener = held.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError as error:
                why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
                option = name.replace("_", "-")
                raise click.ClickException(
                    f"port {port} {why}; choose another with: enforcer demo --{option} N, or: make demo {name.upper()}=N"
                ) from None
            chosen.append(listener.getsockname()[1])
    return _Ports(*chosen)


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


def _await(url: str, child: Child, client: httpx.Client, stopped: Callable[[], bool]) -> None:
    """Wait until a process answers well."""
    import httpx

    deadline = time.monotonic() + _PATIENCE
    while not stopped():
        _check(child)
        try:
            if client.get(url).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise click.ClickException(
                f"{child.name} is not ready after {_PATIENCE:.0f} s; it said last:\n{child.last_lines()}"
            )
        time.sleep(_PAUSE)


def _check(child: Child) -> None:
    if child.end is not None:
        raise click.ClickException(f"{child.name} {child.end}; it said last:\n{child.last_lines()}")


def _show(number: int, step: Step) -> None:
    click.echo()
    click.echo(click.style(f"{number}. {step.title}", bold=True))
    click.echo(f"   $ {step.request}")
    for line in step.answer:
        click.echo(f"   {line}")
    if step.right:
        click.echo("   " + _verdict(", ".join(check.what for check in step.checks), True))
    for check in step.checks:
        if not check.right:
            click.echo(f"   {_verdict(str(check), False)}")


def _verdict(text: str, right: bool) -> str:
    return click.style(f"✓ {text}", fg="green") if right else click.style(f"✗ {text}", fg="red")
