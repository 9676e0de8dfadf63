"""Diagnostics of an injected workload: what closes the bypass around the enforcer, warnings, and what it needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from enforcer.kubernetes import names
from enforcer.kubernetes.annotations import is_ours
from enforcer.kubernetes.inject import services
from enforcer.kubernetes.inject.networkpolicies import is_network_policy, reopens
from enforcer.kubernetes.inject.pod.ports import Port, declared
from enforcer.kubernetes.inject.report import Line, Result, called
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.sidecar import Mode, Sidecar
from enforcer.kubernetes.workloads import Workload, containers
from enforcer.yamltext.objects import Object, identity, section


@dataclass(frozen=True, slots=True)
class Injected:
    """An injected workload: as it was before, its `template` with the sidecar, and the `network_policy`, if any."""

    workload: Workload
    settings: Settings
    sidecar: Sidecar
    port: Port
    template: Object
    network_policy: Object | None
    policy_known: bool


def summary(injected: Injected) -> str:
    """Return one line that says how the workload is protected."""
    sidecar, port = injected.sidecar, injected.port
    kind = "native sidecar" if sidecar.native else "classic sidecar"
    match sidecar.mode:
        case Mode.PORT:
            closed = f"closed by {called(injected.network_policy)}" if injected.network_policy else "open"
            return f"port {port}→{sidecar.listen_port}, {kind}, bypass {closed}"
        case Mode.LOOPBACK:
            return f"port {port} on the pod's addresses, app on 127.0.0.1, {kind}, bypass closed by the kernel"
        case Mode.TRANSPARENT:
            return f"port {port}→{sidecar.listen_port} by a redirect in the pod's network, {kind}, bypass closed by it"


def diagnose(injected: Injected, objects: Sequence[Object], selecting: Sequence[Object]) -> Iterator[Line]:
    """Yield warnings and notes; `selecting` are the Services that select the pods, as they were before."""
    own = f"{injected.workload.kind.lower()}/{injected.workload.name}"
    yield from (Line(own, Result.WARNING, text) for text in _warnings(injected))
    yield from (Line(own, Result.NOTE, text) for text in _needs(injected, objects, selecting))
    for service in selecting:
        if injected.sidecar.mode is Mode.PORT and services.is_headless(service):
            message = (
                f"headless: clients choose the port themselves, and port {injected.port.number} is closed to them; "
                "use --mode loopback or transparent"
            )
            yield Line(called(service), Result.WARNING, message)
    if injected.sidecar.mode is Mode.PORT:
        labels = section(injected.template, "metadata", "labels")
        for obj in (obj for obj in objects if is_network_policy(obj) and not is_ours(obj)):
            if reopens(obj, injected.workload, injected.port, labels):
                message = f"lets clients reach port {injected.port.number} of {own}, bypassing the enforcer"
                yield Line(called(obj), Result.WARNING, message)


def _warnings(injected: Injected) -> Iterator[str]:
    sidecar, port, policy = injected.sidecar, injected.port, injected.network_policy
    if sidecar.mode is Mode.PORT and policy is None:
        why = "" if injected.workload.labels else "; its pods have no labels that a NetworkPolicy could select"
        yield f"port {port.number} can still be reached at the pods' addresses, bypassing the enforcer{why}"
    if sidecar.mode is Mode.LOOPBACK and not sidecar.native:
        yield "the app may start before a classic sidecar and listen on the pod's addresses; a native one starts first"
    ports = [other for container in containers(injected.workload.spec) for other in declared(container)]
    if ports and port.number not in (other.number for other in ports):
        yield f"no container declares port {port.number}; declared: {', '.join(map(str, ports))}"
    for other in ports:
        if other.number != port.number and not (policy and other.name and "metrics" in other.name):
            end = f"{called(policy)} closes it" if policy else "clients can reach it without the enforcer"
            yield f"port {other} of {other.container} is not protected: {end}"
    annotations = section(injected.workload.template, "metadata", "annotations")
    if annotations.get("prometheus.io/port") == str(port.number) and not injected.settings.scrape_passthrough:
        yield f"prometheus.io/port is {port.number}, where metrics now need a token; use --scrape=passthrough"
    if sidecar.mode is not Mode.PORT and not injected.settings.rewrite_probes:
        yield f"its probes are not rewritten ({names.PREFIX}skip-probe-rewrite), so the enforcer refuses them"


def _needs(injected: Injected, objects: Sequence[Object], selecting: Sequence[Object]) -> Iterator[str]:
    sidecar = injected.sidecar
    if sidecar.mode is Mode.LOOPBACK and not injected.settings.app_env and not injected.settings.app_args:
        yield f"the app must listen on 127.0.0.1:{sidecar.app_port} (--app-env, --app-arg), or it cannot start"
    if sidecar.mode is Mode.TRANSPARENT:
        yield f"the init container {names.REDIRECT} needs NET_ADMIN, which Pod Security baseline forbids"
    if sidecar.mode is Mode.PORT:
        labels = ",".join(f"{name}={value}" for name, value in injected.workload.labels.items())
        target = f'"{injected.port.name}"' if injected.port.name else f"{sidecar.listen_port}"
        if not selecting:
            yield f"any Service that selects {labels or 'its pods'} must use targetPort {target}"
    if injected.network_policy is not None:
        yield f"{called(injected.network_policy)} needs a network plugin that enforces it; nodes can still connect"
    if not injected.policy_known:
        yield f"needs configmap/{sidecar.policy} with the policy as {sidecar.policy_key}"
    if not any(_is(obj, "Secret", sidecar.credentials, injected.workload) for obj in objects):
        yield f"needs secret/{sidecar.credentials} with {names.CLIENT_ID_KEY} and {names.CLIENT_SECRET_KEY}"


def _is(obj: Object, kind: str, name: str, workload: Workload) -> bool:
    same = (obj.get("kind"), identity(obj)[0]) == (kind, name)
    return same and services.may_share_namespace(identity(obj)[1], workload.namespace)
