"""`enforcer why`."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import quote

import click

from enforcer.cli._options import config_option
from enforcer.config.load import load
from enforcer.settings.connections.addresses import EVERYWHERE, parse_address, with_port
from enforcer.settings.connections.servers import Admin

if TYPE_CHECKING:
    from enforcer.analysis.denial_report import DenialReport

_TIMEOUT: Final = 5.0
"""Seconds for the enforcer's response."""
_MAX_BODY: Final = 16 * 1024**2
"""Bytes of the response that are read. Bounds memory."""


@click.command(name="why")
@click.argument("request_id", metavar="REQUEST-ID")
@config_option()
@click.option(
    "--admin", metavar="URL", help="URL of the admin server, such as http://10.0.0.1:9091.  [default: admin.address]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(request_id: str, config: Path, admin: str | None, as_json: bool) -> None:
    """Ask a running enforcer why it refused the request with this X-Request-Id (a field of the refusal).

    The address of the admin server and the credential come from the configuration. The enforcer keeps only the last
    denials (admin.denials).

    Exit codes: 0 found, 1 no recent denial has this id, 2 wrong usage, or the enforcer cannot be asked.

    \b
    Examples:
      enforcer why 0af7651916cd43dd
      enforcer why 0af7651916cd43dd --config /etc/enforcer/config.yaml --admin http://10.0.0.1:9091
    """
    settings = load(config, os.environ).config.admin
    if settings.credential is None:
        _end(f"{config}: admin.credential is not set; set it to {{file: PATH}} or {{env: NAME}}")
    base = (admin or _url(settings)).rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise click.UsageError("--admin: expected a URL such as http://10.0.0.1:9091")
    report = _fetch(f"{base}/decisions/{quote(request_id)}", settings.credential.reveal())
    if report is None:
        click.echo(f"{base}: no recent denial has this id", err=True)
        sys.exit(1)
    click.echo(json.dumps(report, indent=2) if as_json else _as_text(report), nl=as_json)


def _url(settings: Admin) -> str:
    hosts, port = parse_address(settings.address)
    host = "127.0.0.1" if hosts[0] in EVERYWHERE else hosts[0]
    return f"http://{with_port(host, port)}"


def _fetch(url: str, credential: str) -> Any:
    """Return the denials from the admin server; None if it knows none with this id."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {credential}"})  # noqa: S310 - checked above
    # Ignore proxies of the environment, which would see the credential.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT) as response:
            return json.loads(response.read(_MAX_BODY))
    except urllib.error.HTTPError as error:
        error.close()  # else its socket stays open until the garbage collector runs
        if error.code == 404:
            return None
        _end(f"{url}: {error.code} {error.reason}{': is this the credential of this enforcer?' * (error.code == 401)}")
    except urllib.error.URLError as error:
        reason = error.reason.strerror if isinstance(error.reason, OSError) else None
        _end(f"{url}: {reason or error.reason}: is the enforcer running, with this admin.address?")
    except (OSError, ValueError) as error:
        _end(f"{url}: {error}")


def _as_text(report: Any) -> str:
    """Return the denials as text."""
    from pydantic import TypeAdapter

    from enforcer.analysis.denial_report import DenialReport, to_explanation
    from enforcer.analysis.explanation_text import write
    from enforcer.analysis.rule_yaml import printable

    denials = TypeAdapter(tuple[DenialReport, ...]).validate_python(report["decisions"])
    return "\n".join(f"{printable(_sender(denial))}\n{write(to_explanation(denial))}" for denial in denials)


def _sender(denial: DenialReport) -> str:
    """Return when a denied request came, and from whom."""
    subject = f", subject {denial.subject}" if denial.subject else ""
    return f"{denial.time}  from {denial.client or 'unknown'}{subject}"


def _end(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(2)
