"""Sends probes through a front proxy, and returns the findings; in sequence, so that each is seen apart."""

from __future__ import annotations

import asyncio
import logging
import secrets
from functools import partial
from typing import Final

from enforcer.clients import OWN
from enforcer.config.model import Config
from enforcer.doctor.diagnosis import Finding, is_right
from enforcer.doctor.examination import Report
from enforcer.doctor.front_proxy import judgement
from enforcer.doctor.front_proxy.probes import (
    MARKER_FIELD,
    Observation,
    Probe,
    forged_probes,
    naming_probes,
    path_probes,
    plain_probe,
)
from enforcer.doctor.front_proxy.stand_ins import Answers, StandIns
from enforcer.doctor.recorder import outcome_of
from enforcer.errors import UpstreamError
from enforcer.server.requests import make_endpoint
from enforcer.settings.connections.addresses import parse_url
from enforcer.settings.connections.pool import PoolSettings
from enforcer.wire.http_client import HttpClient
from enforcer.wire.pool import Pool
from enforcer.wire.ticker import Ticker

_log: Final = logging.getLogger("enforcer")

_TIMEOUT: Final = 30.0
"""Seconds for a response: a proxy must give up waiting for an answer before."""
_MAX_BODY: Final = 64 * 1024
"""Bytes of a response that are read. Bounds memory."""


async def examine_front_proxy(config: Config, url: str, echo: str) -> Report:
    """Examine the proxy at `url`, which asks at the addresses of `config.decision` and forwards to `echo`.

    Raises ValueError if the URL or the address is not one, and AddressError if an address is in use.
    """
    marker = secrets.token_hex(8).encode()
    stand_ins = StandIns(config, marker)
    level = _log.level
    _log.setLevel(logging.CRITICAL)  # the faults that the probes cause on purpose would be between the findings
    try:
        await stand_ins.listen(echo)
        examination = _Examination(config, url, marker, stand_ins)
        try:
            findings = await examination.findings()
        finally:
            examination.close()
    finally:
        stand_ins.close()
        _log.setLevel(level)
    return Report("front proxy", url, tuple(findings))


class _Examination:
    def __init__(self, config: Config, url: str, marker: bytes, stand_ins: StandIns) -> None:
        location = parse_url(url)
        loop = asyncio.get_running_loop()
        self._config = config
        self._prefix = location.target.partition("?")[0].rstrip("/").encode()
        self._host = location.authority.encode()
        self._marker = marker
        self._stand_ins = stand_ins
        self._ticker = Ticker(loop)
        pool = Pool(make_endpoint(location, None), PoolSettings(), self._ticker, loop)
        self._client = HttpClient(pool, timeout=_TIMEOUT, max_body=_MAX_BODY)

    def close(self) -> None:
        """End the connections to the front proxy."""
        self._client.pool.abort()
        self._ticker.stop()

    async def findings(self) -> list[Finding]:
        """Send all probes; the first one must be forwarded."""
        prefix, marker, identity = self._prefix, self._marker, tuple(self._config.forwarding.identity)
        plain, paths = plain_probe(prefix, marker), path_probes(prefix, marker)
        first = await self._send(plain, Answers.ALLOW)
        listeners = {settings.address: settings.contract for settings in self._config.decision}
        findings = [judgement.of_first(first, listeners, admitted=self._stand_ins.admits)]
        if not is_right(findings):
            return findings
        contract = listeners[first.asked[-1].address]
        findings += judgement.of_paths(await self._send_all(paths, Answers.ALLOW), contract)
        forged = await self._send_all(forged_probes(prefix, marker, identity), Answers.ALLOW)
        findings += judgement.of_forged(forged, first.asked[-1], contract, identity)
        findings.append(judgement.of_naming(await self._send_all(naming_probes(prefix, marker), Answers.ALLOW)))
        findings += judgement.of_refusals(await self._send_all([plain, *paths], Answers.DENY), contract)
        with_token = plain_probe(prefix, marker, (b"Authorization", b"Bearer enforcer-doctor"))
        findings.append(judgement.of_outage(await self._send(with_token, Answers.DENY), contract))
        findings.append(judgement.of_silence(await self._send(plain, Answers.NONE), contract))
        return findings

    async def _send_all(self, probes: list[Probe], answers: Answers) -> list[Observation]:
        return [await self._send(probe, answers) for probe in probes]

    async def _send(self, probe: Probe, answers: Answers) -> Observation:
        stand_ins = self._stand_ins
        stand_ins.answers = answers
        stand_ins.take()
        before = stand_ins.allowed
        fields = ((b"Host", self._host), (MARKER_FIELD, self._marker), *probe.fields)
        lines = b"".join(b"%b: %b\r\n" % field for field in fields)
        request = b"GET %b HTTP/1.1\r\n%b\r\n" % (probe.target, lines)
        result = await outcome_of(partial(self._client.send, request, OWN))
        asked, arrived = stand_ins.take()
        allowed = stand_ins.allowed > before
        if isinstance(result, UpstreamError):
            return Observation(probe, 0, {}, result.detail, asked, arrived, allowed)
        sent = {name.lower(): result.field(name.lower()) for name in result.lines[::4]}
        return Observation(probe, result.status, sent, "", asked, arrived, allowed)
