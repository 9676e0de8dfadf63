"""Chooses the port to protect: the one that clients of the app request over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from enforcer.kubernetes import names
from enforcer.kubernetes.inject.pod.ports import Port, declared
from enforcer.kubernetes.inject.pod.protocols import Finding, Protocol, Target, find_protocol, is_probed
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.verify.pods import unreadable_parts
from enforcer.kubernetes.workloads import NotInjectableError, Reason, containers
from enforcer.yamltext.objects import Object, items


class Candidate(NamedTuple):
    """A port that may be protected, with its protocol."""

    port: Port
    finding: Finding


class Choice(NamedTuple):
    """The port to protect with its protocol, and the declared TCP ports of the pod that are not protected."""

    port: Port
    finding: Finding
    others: tuple[Candidate, ...]


def choose_port(spec: Object, settings: Settings, targets: Sequence[Target]) -> Choice:
    """Choose the port to protect; raises NotInjectableError. `targets` are the ports of the Services in the input.

    The user's setting comes first. Otherwise it is the HTTP port to which a Service leads; of several, the one not
    for metrics or probes, then the one that is certainly HTTP. A guess among equal ports would be wrong half of the
    time, so it is an error.
    """
    for part in unreadable_parts(spec, frozenset({names.CONTAINER})):
        raise NotInjectableError(Reason.UNREADABLE, part)
    candidates = [Candidate(port, find_protocol(spec, port, targets)) for port in _candidates(spec, settings, targets)]
    if settings.port is not None:
        port = _wanted(spec, settings, settings.port, [candidate.port for candidate in candidates])
        chosen = Candidate(port, find_protocol(spec, port, targets))
    else:
        _check_any(spec, candidates)
        chosen = _best(spec, [each for each in candidates if each.finding.can_be_protected], targets)
    every = [port for container in containers(spec) for port in declared(container)]
    others = tuple(Candidate(port, find_protocol(spec, port, targets)) for port in every if not _same(port, chosen))
    return Choice(chosen.port, chosen.finding, others)


def _same(port: Port, chosen: Candidate) -> bool:
    return port.number == chosen.port.number


def _candidates(spec: Object, settings: Settings, targets: Sequence[Target]) -> list[Port]:
    """Return the declared ports, and those that are not declared but that Services lead to by number."""
    eligible = _eligible(spec, settings)
    ports = [port for container in eligible for port in declared(container)]
    numbers = dict.fromkeys(target.port for target in targets if isinstance(target.port, int))
    leading = [target for target in targets if any(target.leads_to(port) for port in ports)]
    if len(eligible) == 1 and not leading:
        ports += [Port(str(eligible[0].get("name")), number, None) for number in numbers]
    if ports or settings.port is not None or not targets:
        return ports
    return [_wanted(spec, settings, targets[0].port, ports)]


def _eligible(spec: Object, settings: Settings) -> list[Object]:
    """Return the containers whose ports may be protected: the one that the settings name, or all."""
    every = containers(spec)
    if settings.container is None:
        return every
    eligible = [container for container in every if container.get("name") == settings.container]
    if not eligible:
        known = ", ".join(str(container.get("name")) for container in every)
        raise NotInjectableError(Reason.BAD_SETTING, f"no container is called {settings.container}; there are: {known}")
    return eligible


def _wanted(spec: Object, settings: Settings, port: Any, candidates: Sequence[Port]) -> Port:
    if matching := [candidate for candidate in candidates if port in (candidate.name, candidate.number)]:
        if len(matching) > 1:
            raise _ambiguous(matching)
        return matching[0]
    if isinstance(port, str):
        known = ", ".join(map(str, candidates)) or "none"
        raise NotInjectableError(Reason.BAD_SETTING, f"no TCP port is called {port}; there are: {known}")
    eligible = _eligible(spec, settings)
    if len(eligible) > 1:
        known = ", ".join(str(container.get("name")) for container in eligible)
        message = f"no container declares port {port}; choose its container (--container): {known}"
        raise NotInjectableError(Reason.AMBIGUOUS_PORT, message)
    return Port(str(eligible[0].get("name")), port, None)


def _ambiguous(ports: Sequence[Port]) -> NotInjectableError:
    known = ", ".join(f"{port} of {port.container}" for port in ports)
    message = f"it has several ports; choose one (--port, --container): {known}"
    return NotInjectableError(Reason.AMBIGUOUS_PORT, message)


def _check_any(spec: Object, candidates: Sequence[Candidate]) -> None:
    """Raise NotInjectableError if no port speaks HTTP, or only one for metrics beside the app's own protocol."""
    if not candidates:
        if any(items(container, "ports") for container in containers(spec)):
            raise NotInjectableError(Reason.UDP_ONLY, "left alone, because it serves no HTTP: it has only UDP ports")
        raise NotInjectableError(Reason.NO_PORT, "no TCP port")
    usable = [finding for _, finding in candidates if finding.can_be_protected]
    if usable and not all(finding.auxiliary for finding in usable):
        return
    rest = [each for each in candidates if not each.finding.can_be_protected]
    if not rest:
        return
    protocols = {finding.protocol for _, finding in rest}
    named = ", ".join(f"port {port} is {finding}" for port, finding in rest)
    reason = Reason.API_SERVER if Protocol.API_SERVER in protocols else Reason.NOT_HTTP
    raise NotInjectableError(reason, f"left alone, because it serves no HTTP: {named}; --port protects it nevertheless")


_ORDER: Final = (Protocol.HTTP, Protocol.UNKNOWN, Protocol.HTTPS, Protocol.HTTP2, Protocol.HTTP2_TLS)
"""The protocols that can be protected. Of two ports, one for HTTP/1.1 has more clients than one for gRPC."""


def _best(spec: Object, usable: Sequence[Candidate], targets: Sequence[Target]) -> Candidate:
    """Return the single best candidate; raises NotInjectableError if there is none."""

    def rank(candidate: Candidate) -> tuple[bool, bool, int, bool]:
        port, finding = candidate
        led = any(target.leads_to(port) for target in targets)
        if finding.auxiliary:
            return (not led, True, 0, False)
        certainty = _ORDER.index(finding.protocol)
        return (not led, False, certainty, not is_probed(spec, port))

    best = min(map(rank, usable))
    equal = [candidate for candidate in usable if rank(candidate) == best]
    if equal[0].finding.is_http2:
        # A port called `http-metrics` may have more than metrics, if a Service leads to it.
        leads = [each for each in usable if any(target.leads_to(each.port) for target in targets)]
        equal += [each for each in leads if each.finding.auxiliary]
    if len(equal) > 1:
        raise _ambiguous([candidate.port for candidate in equal])
    return equal[0]
