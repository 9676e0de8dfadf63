"""The command line, `python -m authserver`."""

import errno
import ipaddress
import logging
import re
import signal
import socket
import sqlite3
import sys
from contextlib import ExitStack
from pathlib import Path

import click
import uvicorn
from starlette.applications import Starlette

from authserver.app import build
from authserver.clients import Clients, ClientsError, packaged_clients, parse_clients
from authserver.store import open_store

log = logging.getLogger("authserver")

GRACE = 5
"""Seconds that requests have to finish after a stop signal. They take milliseconds; a stuck one must not block it."""

EXAMPLES = """\
\b
Examples:
  python -m authserver
  python -m authserver --clients my-clients.yaml --database tokens.sqlite3
  python -m authserver --port 8185 --log-level warning
\b
Get a token and introspect it:
  curl -d grant_type=client_credentials -d scope=country.read \\
       -d client_id=user-client-opaque -d client_secret=user-client-secret \\
       http://localhost:8085/ms-auth-server/oauth2/token
  curl -d client_id=service-client-jwt -d client_secret=service-client-jwt-secret -d token=… \\
       http://localhost:8085/ms-auth-server/oauth2/introspect
"""


def _issuer(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    # RFC 8414 §2: no query and no fragment. A trailing slash would give one issuer two names.
    if value is not None and not re.fullmatch(r"https?://[\w.-]+(:\d{1,5})?(/[\w.~-]+)*", value, re.ASCII):
        raise click.BadParameter("not an http or https URL without query, fragment and trailing slash")
    return value


@click.command(epilog=EXAMPLES, context_settings={"max_content_width": 120})
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8085,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0: any free port.",
)
@click.option(
    "--issuer",
    callback=_issuer,
    metavar="URL",
    help="Issuer identifier in tokens and metadata; the endpoints are below its path.  "
    "[default: http://localhost:PORT/ms-auth-server]",
)
@click.option(
    "--clients",
    "clients_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file with the registered clients.  [default: the file in the package]",
)
@click.option(
    "--database",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="SQLite file for tokens and the signing key, created if it is missing.  [default: in memory]",
)
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Lowest level of messages to log, on standard error.",
)
def main(
    host: str, port: int, issuer: str | None, clients_file: Path | None, database: Path | None, log_level: str
) -> None:
    """Run an OAuth 2.0 authorization server, for development and tests only.

    It supports the client credentials grant, introspection and revocation, and publishes its keys and metadata.

    The secrets of its default clients are published with its source code. It is meant for loopback; elsewhere, register
    your own clients with --clients.
    """
    for stop in (signal.SIGTERM, signal.SIGINT):
        # uvicorn finishes the running requests, then raises the signal again, which is a successful exit here.
        signal.signal(stop, lambda *_: sys.exit(0))
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        clients = parse_clients(clients_file.read_bytes(), str(clients_file)) if clients_file else packaged_clients()
    except ClientsError as error:
        raise click.UsageError("the clients file is not valid\n" + "\n".join(error.problems)) from None
    with ExitStack() as resources:
        listener = resources.enter_context(_listen(host, port))
        port = listener.getsockname()[1]
        issuer = issuer or f"http://localhost:{port}/ms-auth-server"
        try:
            store = resources.enter_context(open_store(database))
        except (OSError, sqlite3.Error) as error:
            raise click.BadParameter(
                f"{database}: {getattr(error, 'strerror', None) or error}", param_hint="--database"
            ) from None
        app = build(clients, store, issuer)
        log.info("listening on %s port %d as %s", host, port, issuer)
        if not is_loopback(listener.getsockname()[0]):
            _warn_of_published_secrets(clients)
        _serve(app, listener)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise click.ClickException(f"port {port} of {host} is in use; choose another with --port") from None
        raise click.ClickException(
            f"cannot listen on port {port} of {host}: {error.strerror}; choose others with --host and --port"
        ) from None


def is_loopback(address: str) -> bool:
    """Return whether an IPv4 or IPv6 address can be reached only from the same machine."""
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def _warn_of_published_secrets(clients: Clients) -> None:
    published = {client.secret for client in packaged_clients().values()}
    if affected := [client.client_id for client in clients.values() if client.secret in published]:
        log.warning(
            "for development only: the secrets of these clients are published with the source code: %s. Every program "
            "that reaches this port can get and introspect tokens with them. Register your own clients with --clients, "
            "or listen on loopback with --host 127.0.0.1",
            ", ".join(affected),
        )


def _serve(app: Starlette, listener: socket.socket) -> None:
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(prog_name="python -m authserver")
