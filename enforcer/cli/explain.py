"""`enforcer explain`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from enforcer.analysis.evaluator import Located, Request, shown
from enforcer.analysis.explain import Oracle, Shown, Unknown, explain
from enforcer.analysis.explanation_text import write
from enforcer.analysis.policy_tests import Facts
from enforcer.cli._policy import Opened, config_option, open_policy
from enforcer.config.resolved import servers_for
from enforcer.proxy import refusals
from enforcer.tokens import bearer
from enforcer.tokens.bearer import DPoPToken, NoToken
from enforcer.tokens.introspection.response import VerificationResult
from enforcer.wire.fields import METHODS


@click.command(name="explain")
@click.argument("method")
@click.argument("target", metavar="PATH")
@config_option
@click.option("--host", default="", help="Host that the request is for.")
@click.option("--preflight", default="", metavar="METHOD", help="Take OPTIONS for the CORS preflight of this method.")
@click.option("--token", help="Ask the authorization server about this access token; - reads it from standard input.")
@click.option("--scope", help="Scopes of a token, with blanks between them.")
@click.option("--claim", "claims", multiple=True, metavar="NAME=VALUE", help="Claim of it; VALUE as JSON, else text.")
@click.option("--client-id", help="Client that it was given to.")
@click.option("--subject", help="Its subject.")
@click.option("--audience", multiple=True, help="An audience of it.")
@click.option("--issuer", help="Its issuer.")
@click.option("--certificate", default="", metavar="X5T", help="Thumbprint of the certificate that its sender shows.")
@click.option("--proof", default="", metavar="JKT", help="Send it with a DPoP proof by the key of this thumbprint.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    method: str,
    target: str,
    config: Path,
    host: str,
    preflight: str,
    token: str | None,
    certificate: str,
    proof: str,
    as_json: bool,
    **facts: Any,
) -> None:
    """Tell how the enforcer decides about METHOD PATH, and why.

    The request has the token of --token, or one with the facts that the other options state, or, without any, none.
    Exit codes: 0 it is allowed, 1 it is not (though forwarded where the rule only reports), 2 wrong use or a wrong
    configuration.

    \b
    Examples:
      enforcer explain GET /ms-system/country/code/AUS
      enforcer explain POST /ms-system/country --scope "country.read country.write" --audience user-client-opaque
      enforcer explain GET /ms-system/country --token - < token.txt
      enforcer explain GET /ms-system/country --scope country.read --claim 'cnf={"jkt": "k"}' --proof k
      enforcer explain OPTIONS /ms-system/country --preflight PUT
    """
    stated = any(value not in (None, ()) for value in facts.values())
    if method not in METHODS and (method.startswith("/") or method.upper() in METHODS):
        raise click.UsageError("METHOD comes before PATH, in capitals: enforcer explain GET /path")
    if token is not None and stated:
        raise click.UsageError("--token says all of a token; leave it, or the options that state facts, out")
    if proof and token is None and not stated:
        raise click.UsageError("--proof proves nothing without a token")
    if preflight and (method != "OPTIONS" or token is not None or stated):
        raise click.UsageError("--preflight is for OPTIONS, and a preflight has no token")
    opened = open_policy(config, with_secrets=token is not None)
    now = time.time()
    if token is not None:
        evidence = _asked(opened, sys.stdin.read().strip() if token == "-" else token)  # noqa: S105 - no password
    else:
        evidence = _stated(_facts(**facts).answer(now) if stated else None)
    request = Request(method, target, host, certificate, proof, preflight)
    explanation = explain(opened.policy, request, evidence, now, opened.refusals)
    click.echo(json.dumps(asdict(explanation), indent=2) if as_json else write(explanation), nl=as_json)
    sys.exit(0 if explanation.judgement.decision == "allow" else 1)


def _facts(
    scope: str | None,
    claims: tuple[str, ...],
    client_id: str | None,
    subject: str | None,
    audience: tuple[str, ...],
    issuer: str | None,
) -> Facts:
    try:
        read = dict(_claim(text) for text in claims)
        return Facts(scope=scope or "", client_id=client_id, sub=subject, iss=issuer, aud=audience, claims=read)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _claim(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"--claim {text}: expected NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _stated(answer: VerificationResult | None) -> Oracle:
    return lambda located: shown(answer, located.target.query)


def _asked(opened: Opened, token: str) -> Oracle:
    """Ask the rule's authorization servers, where the enforcer would."""
    from enforcer.server.verifiers import NoAnswer, ask

    def evidence(located: Located) -> Shown:
        if located.entry is None or located.entry.rule.public:
            return NoToken.MISSING  # whatever the request shows, it is not looked at
        scheme = b"DPoP " if located.proof else b"Bearer "
        read = bearer.parse(scheme + token.encode("utf-8", "surrogatepass"), 1, located.target.query)
        if isinstance(read, DPoPToken):
            read = read.token
        if isinstance(read, NoToken):
            return read
        if len(read) > opened.config.limits.token:
            return Unknown(None, refusals.TOKEN_TOO_LARGE)
        rule = located.entry.rule
        told = asyncio.run(ask(opened.config, rule, read))
        if isinstance(told, NoAnswer):
            names = ", ".join(server.name for server in servers_for(opened.config, rule))
            click.echo(f"authorization server {names}: {told.error}", err=True)
            return Unknown(told.error.reason, refusals.introspection_failed(told.retry_after))
        return told

    return evidence
