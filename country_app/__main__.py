"""The command line, `python -m country_app`."""

import errno
import logging
import signal
import socket
import sqlite3
import sys
from contextlib import ExitStack
from pathlib import Path

import click
import uvicorn
from starlette.applications import Starlette

from country_app.app import build
from country_app.store import open_store

GRACE = 5
"""Seconds that requests have to finish after a stop signal. They take milliseconds; a stuck one must not block it."""

EXAMPLES = """\
\b
Examples:
  python -m country_app
  python -m country_app --port 8190 --database countries.sqlite3
\b
Get one country:
  curl http://127.0.0.1:8090/ms-system/country/code/AUS
"""


@click.command(epilog=EXAMPLES, context_settings={"max_content_width": 120})
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8090,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0: any free port.",
)
@click.option(
    "--database",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="SQLite file for the countries, created if it is missing.  [default: in memory]",
)
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Lowest level of messages to log, on standard error.",
)
def main(host: str, port: int, database: Path | None, log_level: str) -> None:
    """Run an app that lists, shows, creates, replaces and deletes countries, for development and tests only.

    It starts with the countries of ISO 3166-1. Every client that reaches its port can change them.
    """
    for stop in (signal.SIGTERM, signal.SIGINT):
        # uvicorn finishes the running requests, then raises the signal again, which is a successful exit here.
        signal.signal(stop, lambda *_: sys.exit(0))
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with ExitStack() as resources:
        listener = resources.enter_context(_listen(host, port))
        try:
            store = resources.enter_context(open_store(database))
        except sqlite3.Error as error:
            raise click.BadParameter(f"{database}: {error}", param_hint="--database") from None
        logging.getLogger("country_app").info("listening on %s port %d", host, listener.getsockname()[1])
        _serve(build(store), listener)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise click.ClickException(f"port {port} of {host} is in use; choose another with --port") from None
        raise click.ClickException(
            f"cannot listen on port {port} of {host}: {error.strerror}; choose others with --host and --port"
        ) from None


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
    main(prog_name="python -m country_app")
