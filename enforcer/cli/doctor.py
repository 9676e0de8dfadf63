"""`enforcer doctor`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click
import uvloop

from enforcer.analysis.lint import Level
from enforcer.cli._policy import loaded_policy
from enforcer.config.load import Loaded, load_with_document
from enforcer.config.merged_document import MergedDocument
from enforcer.config.model import Config
from enforcer.config.validate.warnings import find_warnings
from enforcer.doctor.diagnosis import Finding, Verdict
from enforcer.doctor.examination import Report, examine
from enforcer.settings.addresses import parse_address, parse_url

_SIGNS: Final = {Verdict.RIGHT: ("✓", "green"), Verdict.WARNING: ("!", "yellow"), Verdict.WRONG: ("✗", "red")}


@click.command(name="doctor")
@click.argument("config", type=click.Path(path_type=Path), default=Path("config.yaml"))
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
@click.option(
    "--front-proxy",
    metavar="URL",
    help="Try the proxy at this URL, which asks the decision API, instead of the servers. Stop the enforcer before.",
)
@click.option(
    "--echo", metavar="ADDRESS", help="With --front-proxy: listen on this address, to which the proxy forwards."
)
def command(config: Path, as_json: bool, front_proxy: str | None, echo: str | None) -> None:
    """Try each authorization server and upstream of CONFIG (default: config.yaml) as `run` would.

    Prints a line for each check: passed (✓), warning (!) or failed (✗), with advice. Authorization servers get an
    introspection request for a made-up token, upstreams get GET /. The warnings of `check` come first.

    With --front-proxy, the doctor takes the enforcer's place at the addresses of `decision`, and the app's place at
    --echo. It sends requests with unusual paths and forged fields through the proxy, and finds those that are forwarded
    in another form than they were decided on, or without a decision, also during an outage.

    Exit codes: 0 no check failed, 1 a check failed, 2 wrong usage or an invalid configuration.

    \b
    Examples:
      enforcer doctor
      enforcer doctor --json /etc/enforcer/config.yaml
      enforcer doctor --front-proxy http://gateway:8080/api --echo 127.0.0.1:8090 config.yaml
    """
    loaded, document = load_with_document(config, os.environ)
    warnings = _warnings(loaded, document)
    if front_proxy is None and echo is None:
        reports = asyncio.run(examine(loaded.config))
    else:
        reports = [_examine_front_proxy(loaded.config, front_proxy, echo)]
    right = all(report.right for report in reports)
    if as_json:
        servers = [asdict(report) for report in reports]
        members = {"right": right, "configuration": [asdict(each) for each in warnings], "servers": servers}
        click.echo(json.dumps(members, indent=2))
    else:
        _show([*([Report("configuration", str(config), tuple(warnings))] if warnings else []), *reports])
    sys.exit(0 if right else 1)


def _examine_front_proxy(config: Config, url: str | None, echo: str | None) -> Report:
    # Imported here, because it is most of the program.
    from enforcer.doctor.front_proxy.examination import examine_front_proxy

    if url is None or echo is None:
        raise click.UsageError("--front-proxy and --echo need each other")
    if not config.decision:
        raise click.UsageError("the configuration has no listener of the decision API (`decision`)")
    try:
        parse_url(url)
        parse_address(echo)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return uvloop.run(examine_front_proxy(config, url, echo))


def _warnings(loaded: Loaded, document: MergedDocument) -> list[Finding]:
    """Return the warnings of `check`: the fault may lie in the configuration, and not in a server."""
    findings = find_warnings(loaded.config, document, loaded_policy(loaded, document).policy)
    problems = [each.problem for each in findings if each.level is Level.WARNING]
    return [Finding(problem.path, Verdict.WARNING, problem.message) for problem in problems]


def _show(reports: Sequence[Report]) -> None:
    # click removes colours if the output is not a terminal, but does not know https://no-color.org.
    colour = False if os.environ.get("NO_COLOR") else None
    for report in reports:
        click.echo(click.style(f"{report.server}, {report.url}", bold=True), color=colour)
        for finding in report.findings:
            click.echo(f"  {_line(finding)}", color=colour)


def _line(finding: Finding) -> str:
    sign, colour = _SIGNS[finding.verdict]
    advice = f"; {finding.advice}" if finding.advice else ""
    return f"{click.style(sign, fg=colour)} {finding.what}: {finding.found}{advice}"
