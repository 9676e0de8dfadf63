"""Verifies a real token as the enforcer would, and reports how each part of it is read.

1. The token is sent only to servers that requests with it cause the enforcer to ask, in the same order.
2. Nothing is cached, and no finding contains the token.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from enforcer.analysis.evaluator import Policy
from enforcer.clients import OWN
from enforcer.config.model import Config
from enforcer.config.resolved import issuer_scopes, servers_for
from enforcer.counters import IntrospectionMetrics
from enforcer.doctor.diagnosis import Finding, wrong
from enforcer.doctor.recorder import Recorder, outcome_of
from enforcer.doctor.token import claims, outcome, rules
from enforcer.doctor.token.claims import TokenMembers
from enforcer.doctor.token.outcome import Verification
from enforcer.server.sources import SourceBuilder
from enforcer.settings.authorization_server import AuthorizationServer
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.issuers import IssuerScope, choose
from enforcer.tokens.lookup import Lookup
from enforcer.wire.ticker import Ticker

_log: Final = logging.getLogger("enforcer")


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A server that may be asked, and the tokens that may be sent to it."""

    server: AuthorizationServer
    scope: IssuerScope


async def check_token(config: Config, policy: Policy, token: bytes) -> list[Finding]:
    """Verify a b64token (RFC 6750 §2.1), and return the findings; `policy` is the configuration's."""
    findings = []
    if len(token) > config.limits.token:
        text = f"{len(token)} bytes, and limits.token is {config.limits.token}: requests with it are answered 431"
        findings.append(wrong("size", text, "raise limits.token, and limits.head with it"))
    candidates = _candidates(config, policy, token)
    if not candidates:
        return [*findings, outcome.no_server(token)]
    for index, candidate in enumerate(candidates):
        verification = await _verify(candidate, token)
        if isinstance(verification.outcome, ActiveToken) or index == len(candidates) - 1:
            return [*findings, *_describe(config, policy, verification)]
        findings += outcome.findings(replace(verification, later=True))
    return findings


def _candidates(config: Config, policy: Policy, token: bytes) -> Sequence[_Candidate]:
    """Return the servers that the enforcer may send the token to, in the order of the rules."""
    scopes = issuer_scopes(config)
    protecting = [rule for _, rule in policy.rules if not (rule.public or rule.nobody)]
    # Requests that match no rule are verified by the first server.
    orders = [(servers_for(config, rule), rule.ask_in_order) for rule in protecting]
    chosen: dict[str, _Candidate] = {}
    for servers, in_order in orders or [(config.authorization_servers[:1], False)]:
        candidates = [_Candidate(server, scopes[server.name]) for server in servers]
        for candidate in choose(token, candidates, in_order=in_order):
            chosen.setdefault(candidate.server.name, candidate)
    return list(chosen.values())


async def _verify(candidate: _Candidate, token: bytes) -> Verification:
    loop = asyncio.get_running_loop()
    ticker, recorder = Ticker(loop), Recorder()
    server = candidate.server
    builder = SourceBuilder(server, {}, IntrospectionMetrics(), ticker, loop, observe=recorder.observe)
    source = builder.source(candidate.scope)
    try:
        with _without_log():
            result = await outcome_of(partial(source.introspect, Lookup(token, OWN)))
    finally:
        source.close()
        recorder.close()
        ticker.stop()
    return Verification(token, server, result, recorder.last("introspection_endpoint"))


@contextmanager
def _without_log() -> Iterator[None]:
    """Keep what is logged from standard error, since the findings have it."""
    handler = logging.NullHandler()
    _log.addHandler(handler)
    try:
        yield
    finally:
        _log.removeHandler(handler)


def _describe(config: Config, policy: Policy, verification: Verification) -> list[Finding]:
    accepting = rules.rules_for(config, policy, verification.server)
    members = TokenMembers(
        verification.members(), verification.server, time.time(), verification.signed, rules.required_scopes(accepting)
    )
    findings = outcome.findings(verification)
    if members.members:
        findings += claims.findings(members)
    if isinstance(verification.outcome, ActiveToken):
        findings += rules.findings(accepting, verification.outcome)
    return findings
