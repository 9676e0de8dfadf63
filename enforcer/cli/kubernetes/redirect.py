"""`enforcer redirect`: redirects a port in a pod's network."""

from __future__ import annotations

import sys

import click

from enforcer.kubernetes.redirect import RedirectError, redirect

_PORT = click.IntRange(1, 65535)


@click.command(name="redirect")
@click.argument("app_port", type=_PORT)
@click.argument("listen_port", type=_PORT)
def command(app_port: int, listen_port: int) -> None:
    """Redirect TCP connections from outside for APP_PORT to LISTEN_PORT, in the current network namespace.

    The init container of a sidecar in mode transparent runs this command; it needs the capability NET_ADMIN. Outside of
    a pod it redirects the host's own port. The redirect lasts as long as the network namespace, or until
    this command removes it: nft delete table inet enforcer.

    Exit codes: 0 success, 1 the redirect failed, 2 usage error.

    \b
    Examples:
      enforcer redirect 8080 15080
    """
    if app_port == listen_port:
        raise click.BadParameter("the two ports are equal", param_hint="LISTEN_PORT")
    try:
        redirect(app_port, listen_port)
    except RedirectError as error:
        click.echo(f"{error}; this needs NET_ADMIN and Linux 5.2 or later", err=True)
        sys.exit(1)
