"""`enforcer redirect`."""

from __future__ import annotations

import sys

import click

from enforcer.kubernetes.redirect import RedirectError, redirect

_PORT = click.IntRange(1, 65535)


@click.command(name="redirect")
@click.argument("app_port", type=_PORT)
@click.argument("listen_port", type=_PORT)
def command(app_port: int, listen_port: int) -> None:
    """Have the kernel redirect what comes from outside for TCP port APP_PORT to LISTEN_PORT, in this network.

    It is what the init container of a sidecar in mode transparent does, and needs NET_ADMIN there. Outside of a pod's
    network it redirects the host's own port. It lasts as long as the network, or until it is undone, with nftables' own
    tool: nft delete table inet enforcer. Exit codes: 0 it is redirected, 1 it is not, 2 wrong use.

    \b
    Examples:
      enforcer redirect 8080 15080
    """
    if app_port == listen_port:
        raise click.BadParameter("the two ports are the same", param_hint="LISTEN_PORT")
    try:
        redirect(app_port, listen_port)
    except RedirectError as error:
        click.echo(f"{error}; NET_ADMIN and Linux 5.2 or later are needed", err=True)
        sys.exit(1)
