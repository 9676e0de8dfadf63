"""`enforcer run`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from enforcer.cli._options import overrides_option
from enforcer.config.overrides import Override
from enforcer.server.serve import run


@click.command(name="run")
@click.argument("config", type=click.Path(path_type=Path), default=Path("config.yaml"))
@overrides_option
def command(config: Path, overrides: Sequence[Override]) -> None:
    """Serve with CONFIG (default: config.yaml) until SIGTERM or Ctrl-C.

    Exit codes: 0 stopped by a signal, 1 an address cannot be listened on, 2 wrong usage or an invalid configuration.

    \b
    Examples:
      enforcer run
      ENFORCER_CLIENT_SECRET=… enforcer run /etc/enforcer/config.yaml
      enforcer run --set listener.address=:8091 --set log.level=debug
    """
    run(config, os.environ, overrides)
