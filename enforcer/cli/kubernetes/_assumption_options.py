"""Options of the commands that verify objects: facts that the objects do not show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def assumption_options(function: F) -> F:
    """Add the options for images, ports and networks, as `images`, `accepted` and `no_network_policies`."""
    image = click.option(
        "--image",
        "images",
        multiple=True,
        metavar="IMAGE",
        help="An image that is the enforcer, besides those called token-enforcer. Repeatable.",
    )
    accept = click.option(
        "--accept",
        "accepted",
        multiple=True,
        metavar="PORT[/udp]",
        help="Name or number of a port that may be open beside the protected one, such as metrics. Repeatable.",
    )
    text = "Assume that the network enforces no NetworkPolicies."
    return image(accept(click.option("--no-network-policies", is_flag=True, help=text)(function)))
