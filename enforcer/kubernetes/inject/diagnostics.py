"""Diagnostics of an injected workload: the way of requests, warnings, and what it needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from enforcer.kubernetes import names
from enforcer.kubernetes.inject.objects import services
from enforcer.kubernetes.inject.pod.pod_template import Injected
from enforcer.kubernetes.inject.pod.ports import declared
from enforcer.kubernetes.inject.report import Line, Result, called
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.workloads import containers
from enforcer.yamltext.objects import Object, section


def summary(injected: Injected) -> str:
    """Return the way of requests to the enforcer in one line; a verification tells whether there is another."""
    sidecar, port = injected.sidecar, injected.plan.port
    kind = "native sidecar" if sidecar.native else "classic sidecar"
    match sidecar.mode:
        case Mode.PORT:
            return f"mode port, port {port}→{sidecar.listen_port}, {kind}"
        case Mode.LOOPBACK:
            return f"mode loopback, port {port} on the pod's addresses, app on 127.0.0.1, {kind}"
        case Mode.TRANSPARENT:
            return f"mode transparent, port {port}→{sidecar.listen_port} by a redirect in the pod's network, {kind}"


def diagnose(
    injected: Injected, policy: Object | None, objects: Sequence[Object], selecting: Sequence[Object]
) -> Iterator[Line]:
    """Yield warnings and notes; `selecting` are the Services that select the pods, as they were before."""
    workload, number = injected.plan.workload, injected.plan.port.number
    own = f"{workload.kind.lower()}/{workload.name}"
    yield from (Line(own, Result.WARNING, text) for text in _warnings(injected))
    yield from (Line(own, Result.NOTE, text) for text in _needs(injected, policy, objects, selecting))
    if injected.sidecar.mode is not Mode.PORT:
        return
    for service in filter(services.is_headless, selecting):
        message = (
            f"headless: clients choose the port themselves, and port {number} is closed to them; "
            "use --mode loopback or transparent"
        )
        yield Line(called(service), Result.WARNING, message)


def _warnings(injected: Injected) -> Iterator[str]:
    workload, settings = injected.plan.workload, injected.plan.settings
    sidecar, port = injected.sidecar, injected.plan.port
    if sidecar.mode is Mode.PORT and not workload.labels:
        yield "its pods have no labels that a NetworkPolicy could select"
    if sidecar.mode is Mode.LOOPBACK and not sidecar.native:
        yield "the app may start before a classic sidecar and listen on the pod's addresses; a native one starts first"
    yield from _of_https(injected)
    ports = [other for container in containers(workload.spec) for other in declared(container)]
    if ports and port.number not in (other.number for other in ports):
        yield f"no container declares port {port.number}; declared: {', '.join(map(str, ports))}"
    annotations = section(workload.template, "metadata", "annotations")
    if annotations.get("prometheus.io/port") == str(port.number) and not settings.scrape_passthrough:
        yield f"prometheus.io/port is {port.number}, where metrics now need a token; use --scrape=passthrough"
    if sidecar.mode is not Mode.PORT and not settings.rewrite_probes:
        yield f"its probes are not rewritten ({names.PREFIX}skip-probe-rewrite), so the enforcer refuses them"


def _of_https(injected: Injected) -> Iterator[str]:
    finding = injected.plan.protocol
    if not finding.is_tls:
        return
    yield (
        f"the app speaks HTTPS, because {finding.clue}: the enforcer verifies its certificate (upstream.tls.ca and "
        "upstream.tls.server_name in the policy), and clients need http:// unless the policy has listener.tls"
    )


def _needs(
    injected: Injected, policy: Object | None, objects: Sequence[Object], selecting: Sequence[Object]
) -> Iterator[str]:
    plan, sidecar = injected.plan, injected.sidecar
    if sidecar.mode is Mode.LOOPBACK and not plan.settings.app_env and not plan.settings.app_args:
        yield f"the app must listen on 127.0.0.1:{sidecar.app_port} (--app-env, --app-arg), or it cannot start"
    if sidecar.mode is Mode.TRANSPARENT:
        yield f"the init container {names.REDIRECT} needs NET_ADMIN, which Pod Security baseline forbids"
    if sidecar.mode is Mode.PORT and not selecting:
        labels = ",".join(f"{name}={value}" for name, value in plan.workload.labels.items())
        target = f'"{plan.port.name}"' if plan.port.name else f"{sidecar.listen_port}"
        yield f"any Service that selects {labels or 'its pods'} must use targetPort {target}"
    if sidecar.upstream_protocol is not None:
        yield f"the enforcer speaks HTTP/2 ({sidecar.upstream_protocol}) with the app, because {plan.protocol.clue}"
    for port, finding in plan.others:
        if policy is not None and not finding.speaks_http1:
            yield f"port {port} of {port.container} is left alone and stays open, because it is {finding}"
    if policy is not None:
        yield f"{called(policy)} needs a network plugin that enforces it; nodes can still connect"
    if plan.policy_checksum is None:
        yield f"needs configmap/{sidecar.policy} with the policy as {sidecar.policy_key}"
    if not any(services.is_named(obj, "Secret", sidecar.credentials, plan.workload.namespace) for obj in objects):
        yield f"needs secret/{sidecar.credentials} with {names.CLIENT_ID_KEY} and {names.CLIENT_SECRET_KEY}"
