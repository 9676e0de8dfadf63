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

from enforcer.analysis.evaluator import PolicyRequest, RoutedRequest
from enforcer.analysis.explain import EvidenceSource, TokenEvidence, UnverifiedToken, explain
from enforcer.analysis.explanation_text import write
from enforcer.analysis.policy_tests import TokenFacts, assumed
from enforcer.cli._options import config_option
from enforcer.cli._policy import LoadedPolicy, open_policy
from enforcer.config.resolved import servers_for
from enforcer.errors import IntrospectionFailure
from enforcer.proxy.messages import responses
from enforcer.settings.connections.addresses import is_ip
from enforcer.tokens import bearer
from enforcer.tokens.bearer import DPoPToken, NoToken
from enforcer.tokens.documents.strict_json import read_value
from enforcer.tokens.verifier import VerificationFailure
from enforcer.wire.fields import METHODS


@click.command(name="explain")
@click.argument("method")
@click.argument("target", metavar="PATH")
@config_option()
@click.option("--host", default="", help="Host of the request.")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="Header field. Repeatable.")
@click.option("--address", default="", help="Address of the client.")
@click.option("--preflight", default="", metavar="METHOD", help="Treat OPTIONS as the CORS preflight of this method.")
@click.option(
    "--token", help="Introspect this access token at the authorization server; - reads it from standard input."
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="SCOPE",
    help="Scopes of an assumed token, separated by spaces, in the claim that scope_claims says. Repeatable.",
)
@click.option(
    "--claim",
    "claims",
    multiple=True,
    metavar="NAME=VALUE",
    help="Claim of the token; VALUE is JSON, otherwise a string. Repeatable.",
)
@click.option("--client-id", help="Client that the token was issued to.")
@click.option("--subject", "sub", help="Subject of the token.")
@click.option("--audience", "aud", multiple=True, help="Audience of the token. Repeatable.")
@click.option("--issuer", "iss", help="Issuer of the token.")
@click.option("--certificate", default="", metavar="X5T", help="Thumbprint of the client certificate.")
@click.option("--proof", default="", metavar="JKT", help="Send a DPoP proof with the key of this thumbprint.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    method: str,
    target: str,
    config: Path,
    host: str,
    headers: tuple[str, ...],
    address: str,
    preflight: str,
    token: str | None,
    certificate: str,
    proof: str,
    as_json: bool,
    **facts: Any,
) -> None:
    """Show how the enforcer decides the request METHOD PATH, and why.

    The request has the token of --token, or an assumed token with the properties of the other options, or no token.

    Exit codes: 0 allowed, 1 denied (also if the rule only reports), 2 wrong usage or an invalid configuration.

    \b
    Examples:
      enforcer explain GET /ms-system/country/code/AUS
      enforcer explain POST /ms-system/country --scope "country.read country.write" --audience user-client-opaque
      enforcer explain GET /ms-system/country --token - < token.txt
      enforcer explain GET /ms-system/country --scope country.read --claim 'cnf={"jkt": "k"}' --proof k
      enforcer explain OPTIONS /ms-system/country --preflight PUT
    """
    describes_token = any(value not in (None, ()) for value in facts.values())
    if method not in METHODS and (method.startswith("/") or method.upper() in METHODS):
        raise click.UsageError("METHOD comes before PATH, in capitals: enforcer explain GET /path")
    if token is not None and describes_token:
        raise click.UsageError("--token cannot be combined with options that describe an assumed token")
    if proof and token is None and not describes_token:
        raise click.UsageError("--proof needs a token")
    if preflight and (method != "OPTIONS" or token is not None or describes_token):
        raise click.UsageError("--preflight is for OPTIONS, and a preflight has no token")
    if address and not is_ip(address):
        raise click.UsageError(f"--address: expected an IP address, such as 192.0.2.7, found {address}")
    loaded = open_policy(config, with_secrets=token is not None)
    now = time.time()
    if token is not None:
        evidence = _introspected(loaded, sys.stdin.read().strip() if token == "-" else token)  # noqa: S105 - no password
    else:
        evidence = assumed(_facts(**facts) if describes_token else None, loaded.policy, now)
    request = PolicyRequest(
        *(method, target, host, certificate, proof, preflight),
        headers=tuple(_header(text) for text in headers),
        address=address,
    )
    explanation = explain(loaded.policy, request, evidence, now, loaded.refusals)
    click.echo(json.dumps(asdict(explanation), indent=2) if as_json else write(explanation), nl=as_json)
    sys.exit(0 if explanation.judgement.decision == "allow" else 1)


def _facts(scopes: tuple[str, ...], claims: tuple[str, ...], **facts: Any) -> TokenFacts:
    try:
        pairs = [_claim(text) for text in claims]
        members = dict(pairs)
        if len(members) != len(pairs):
            raise click.UsageError("--claim: a claim is given twice")
        return TokenFacts(scope=" ".join(scopes), claims=members, **facts)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _claim(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"--claim {text}: expected NAME=VALUE")
    try:
        return name, read_value(value.encode("utf-8", "surrogatepass"))
    except ValueError as error:
        if value[:1] in ("{", "["):
            raise ValueError(f"--claim {name}: {error}") from None
        return name, value


def _introspected(loaded: LoadedPolicy, token: str) -> EvidenceSource:
    """Introspect the token at the rule's authorization servers, if the enforcer would."""
    from enforcer.server.verifiers import verify_once

    def evidence(located: RoutedRequest) -> TokenEvidence:
        if located.entry is None or located.entry.rule.public:
            return NoToken.MISSING  # the enforcer does not read the token
        if located.sent is not None:
            return located.sent
        scheme = b"DPoP " if located.proof else b"Bearer "
        parsed = bearer.parse(scheme + token.encode("utf-8", "surrogatepass"), 1)
        if isinstance(parsed, DPoPToken):
            parsed = parsed.token
        if isinstance(parsed, NoToken):
            return parsed
        if len(parsed) > loaded.config.limits.token:
            return UnverifiedToken(None, responses.TOKEN_TOO_LARGE)
        rule = located.entry.rule
        result = asyncio.run(verify_once(loaded.config, rule, parsed))
        if isinstance(result, VerificationFailure):
            names = ", ".join(server.name for server in servers_for(loaded.config, rule))
            click.echo(f"authorization server {names}: {result.detail}", err=True)
            reason = result.reason if isinstance(result.reason, IntrospectionFailure) else None
            return UnverifiedToken(reason, responses.not_verified(result.retry_after), result.detail)
        return result

    return evidence


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name:
        raise click.BadParameter(f"expected NAME:VALUE, found {text!r}", param_hint="--header")
    return name, value.strip()
