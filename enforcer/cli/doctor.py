"""`enforcer doctor`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
import uvloop

from enforcer.analysis.evaluator import Policy
from enforcer.analysis.lint import Level
from enforcer.cli._policy import loaded_policy
from enforcer.config.load import Loaded, load_with_document
from enforcer.config.merged_document import MergedDocument
from enforcer.config.model import Config
from enforcer.config.validate.warnings import find_warnings
from enforcer.doctor.diagnosis import Finding, Verdict, is_right
from enforcer.doctor.examination import Report, examine
from enforcer.doctor.token.token_check import check_token
from enforcer.settings.connections.addresses import parse_address, parse_url
from enforcer.tokens import bearer

_SIGNS: Final = {Verdict.RIGHT: ("✓", "green"), Verdict.WARNING: ("!", "yellow"), Verdict.WRONG: ("✗", "red")}
_MAX_TOKEN: Final = 1024 * 1024
"""Bytes of the token's file that are read. Bounds memory."""


@click.command(name="doctor")
@click.argument("config", type=click.Path(path_type=Path), default=Path("config.yaml"))
@click.option(
    "--token-file",
    type=click.File("rb"),
    metavar="FILE",
    help="Try the access token in this file, too; - reads it from standard input.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
@click.option(
    "--front-proxy",
    metavar="URL",
    help="Try the proxy at this URL, which asks the decision API, instead of the servers. Stop the enforcer before.",
)
@click.option(
    "--echo", metavar="ADDRESS", help="With --front-proxy: listen on this address, to which the proxy forwards."
)
def command(
    config: Path, token_file: BinaryIO | None, as_json: bool, front_proxy: str | None, echo: str | None
) -> None:
    """Try each authorization server and upstream of CONFIG (default: config.yaml) as `run` would.

    Prints a line for each check: passed (✓), warning (!) or failed (✗), with advice. Authorization servers get an
    introspection request for a made-up token, upstreams get GET /. The warnings of `check` come first.

    With --token-file, a real token is verified as a request with it would be, since some faults appear only with an
    active token. A line for each claim says how it is read, and the last ones which rules its scopes meet. Neither the
    token nor its subject is printed.

    With --front-proxy, the doctor takes the enforcer's place at the addresses of `decision`, and the app's place at
    --echo. It sends requests with unusual paths and forged fields through the proxy, and finds those that are forwarded
    in another form than they were decided on, or without a decision, also during an outage.

    Exit codes: 0 no check failed, 1 a check failed, 2 wrong usage or an invalid configuration.

    \b
    Examples:
      enforcer doctor
      enforcer doctor --json /etc/enforcer/config.yaml
      enforcer doctor --token-file token.txt
      get-token | enforcer doctor --token-file - config.yaml
      enforcer doctor --front-proxy http://gateway:8080/api --echo 127.0.0.1:8090 config.yaml
    """
    if token_file is not None and front_proxy is not None:
        raise click.UsageError("--token-file cannot be combined with --front-proxy")
    token = None if token_file is None else _read_token(token_file)
    loaded, document = load_with_document(config, os.environ)
    policy = loaded_policy(loaded, document).policy
    warnings = _warnings(loaded, document, policy)
    about_token: list[Finding] = []
    if front_proxy is None and echo is None:
        reports = asyncio.run(examine(loaded.config))
        if token is not None:
            about_token = asyncio.run(check_token(loaded.config, policy, token))
    else:
        reports = [_examine_front_proxy(loaded.config, front_proxy, echo)]
    right = all(report.right for report in reports) and is_right(about_token)
    if as_json:
        servers = [asdict(report) for report in reports]
        members = {"right": right, "configuration": _as_json(warnings), "servers": servers}
        click.echo(json.dumps({**members, "token": _as_json(about_token)}, indent=2))
    else:
        configuration = Report("configuration", str(config), tuple(warnings))
        about = Report("token", "verified as for a request", tuple(about_token))
        _show([report for report in (configuration, *reports, about) if report.findings])
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


def _read_token(file: BinaryIO) -> bytes:
    """Return the token in a file."""
    data = file.read(_MAX_TOKEN).strip()
    if data.lower().startswith(b"bearer "):
        raise click.UsageError("--token-file: expected the access token only, without the word Bearer")
    if data.startswith(b"{"):
        raise click.UsageError("--token-file: expected an access token, found JSON: write only its access_token there")
    if not data:
        raise click.UsageError("--token-file: the file is empty")
    if not bearer.is_b64token(data):
        raise click.UsageError("--token-file: expected one access token (RFC 6750 §2.1) and nothing else")
    return data


def _as_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [asdict(finding) for finding in findings]


def _warnings(loaded: Loaded, document: MergedDocument, policy: Policy) -> list[Finding]:
    """Return the warnings of `check`: the fault may lie in the configuration, and not in a server."""
    findings = find_warnings(loaded.config, document, policy)
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
