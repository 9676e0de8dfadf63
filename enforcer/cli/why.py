"""`enforcer why`."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import quote

import click

from enforcer.cli._errors import refuse
from enforcer.cli._policy import config_option
from enforcer.config.load import load
from enforcer.errors import ConfigError
from enforcer.settings.addresses import EVERYWHERE, parse_address
from enforcer.settings.servers import Admin

_PATIENCE: Final = 5.0
"""Seconds that the enforcer has to answer."""
_MOST: Final = 16 * 1024**2
"""Bytes of its answer that are read."""


@click.command(name="why")
@click.argument("request_id", metavar="REQUEST-ID")
@config_option
@click.option("--admin", metavar="URL", help="Where its admin side is, unless at admin.address: http://10.0.0.1:9091")
@click.option("--json", "as_json", is_flag=True, help="Print what it says as one JSON object.")
def command(request_id: str, config: Path, admin: str | None, as_json: bool) -> None:
    """Ask a running enforcer why it refused the request whose refusal had this X-Request-Id.

    Where its admin side is, and the credential to ask with, is what the configuration says. It remembers the last
    refusals, as many as admin.denials says.

    Exit codes: 0 it knows, 1 it does not remember such a request, 2 wrong use, or it cannot be asked.

    \b
    Examples:
      enforcer why 0af7651916cd43dd
      enforcer why 0af7651916cd43dd --config /etc/enforcer/config.yaml --admin http://10.0.0.1:9091
    """
    try:
        settings = load(config, os.environ).config.admin
    except ConfigError as error:
        refuse(error)
    if settings.credential is None:
        _end(f"{config}: admin.credential is not set: nobody can ask (set it to {{file: PATH}} or {{env: NAME}})")
    base = (admin or _url(settings)).rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise click.UsageError("--admin: expected a URL such as http://10.0.0.1:9091")
    told = _asked(f"{base}/decisions/{quote(request_id)}", settings.credential.reveal())
    if told is None:
        click.echo(f"{base}: no refusal with this id is remembered", err=True)
        sys.exit(1)
    click.echo(json.dumps(told, indent=2) if as_json else _written(told), nl=as_json)


def _url(settings: Admin) -> str:
    hosts, port = parse_address(settings.address)
    host = "127.0.0.1" if hosts[0] in EVERYWHERE else hosts[0]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _asked(url: str, credential: str) -> Any:
    """Return what it says of the id in `url`, or None where it does not remember it."""
    asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {credential}"})  # noqa: S310 - checked above
    # No proxy of the environment's: it would see the credential.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=_PATIENCE) as answer:
            return json.loads(answer.read(_MOST))
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        _end(f"{url}: {error.code} {error.reason}{': is the credential that of this enforcer?' * (error.code == 401)}")
    except (OSError, ValueError) as error:
        _end(f"{url}: {error}")


def _written(told: Any) -> str:
    """Put what it says into words."""
    from pydantic import TypeAdapter

    from enforcer.analysis.denial_report import Hindsight, explained
    from enforcer.analysis.explanation_text import write
    from enforcer.analysis.rule_yaml import printable

    denials = TypeAdapter(tuple[Hindsight, ...]).validate_python(told["decisions"])
    return "\n".join(f"{printable(one.time)}\n{write(explained(one))}" for one in denials)


def _end(why: str) -> NoReturn:
    click.echo(why, err=True)
    sys.exit(2)
