"""Warnings about objects around an injected workload that were written for an app without an enforcer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from enforcer.kubernetes.annotations import is_ours
from enforcer.kubernetes.inject.objects import services
from enforcer.kubernetes.inject.pod.pod_template import Injected
from enforcer.kubernetes.inject.report import Line, Result, called
from enforcer.kubernetes.selectors import selects
from enforcer.kubernetes.sidecar import LABELS
from enforcer.kubernetes.verify.network_policies import is_network_policy
from enforcer.kubernetes.workloads import Workload
from enforcer.yamltext.objects import Object, identity, items, section

_MONITORING: Final = "monitoring.coreos.com/"
_NEEDS_TOKEN: Final = "where metrics now need a token: give it one (authorization), or add a rule for its path"  # noqa: S105


def surroundings(injected: Injected, objects: Sequence[Object], selecting: Sequence[Object]) -> Iterator[Line]:
    """Yield the warnings; `selecting` are the Services that select the pods, as they were before the injection."""
    workload = injected.plan.workload
    own = f"{workload.kind.lower()}/{workload.name}"
    near = [obj for obj in objects if services.may_share_namespace(identity(obj)[1], workload.namespace)]
    if section(workload.spec, "resources"):
        resources = injected.sidecar.resources
        usage = f"{resources.cpu_request or 'no'} CPU and {resources.memory_request or 'no'} memory"
        yield Line(own, Result.WARNING, f"its pod-level resources must suffice for the enforcer, too: {usage}")
    for policy in near:
        if is_network_policy(policy) and not is_ours(policy) and _limits_egress(policy, workload):
            message = f"limits the egress of {own}: it must admit DNS and the authorization server for the enforcer"
            yield Line(called(policy), Result.WARNING, message)
    yield from _monitors(injected, near, selecting)
    for service in selecting:
        annotations = section(service, "metadata", "annotations")
        if annotations.get("prometheus.io/scrape") == "true" and _scrapes(service, annotations, injected):
            yield Line(called(service), Result.WARNING, f"prometheus.io/scrape leads to the enforcer, {_NEEDS_TOKEN}")
    annotations = section(workload.template, "metadata", "annotations")
    if annotations.get("prometheus.io/scrape") == "true" and "prometheus.io/port" not in annotations:
        message = f"prometheus.io/scrape without a port has the enforcer's port scraped, {_NEEDS_TOKEN}"
        yield Line(own, Result.WARNING, message)


def _limits_egress(policy: Object, workload: Workload) -> bool:
    spec = section(policy, "spec")
    types = spec.get("policyTypes")
    limits = "Egress" in types if isinstance(types, list) else bool(items(spec, "egress"))
    if not limits or not selects(section(spec, "podSelector"), {**workload.labels, **LABELS}):
        return False
    return not any(not rule.get("to") and not rule.get("ports") for rule in items(spec, "egress"))


def _monitors(injected: Injected, near: Sequence[Object], selecting: Sequence[Object]) -> Iterator[Line]:
    for monitor in near:
        if not str(monitor.get("apiVersion")).startswith(_MONITORING):
            continue
        selector = section(monitor, "spec", "selector")
        match monitor.get("kind"):
            case "ServiceMonitor":
                endpoints = items(section(monitor, "spec"), "endpoints")
                chosen = [each for each in selecting if selects(selector, section(each, "metadata", "labels"))]
                scraped = any(_endpoint_leads(each, service, injected) for each in endpoints for service in chosen)
            case "PodMonitor" if selects(selector, injected.plan.workload.labels):
                endpoints = items(section(monitor, "spec"), "podMetricsEndpoints")
                scraped = any(_is_protected(_port_of(each), injected) for each in endpoints)
            case _:
                continue
        if scraped:
            yield Line(called(monitor), Result.WARNING, f"scrapes port {injected.plan.port}, {_NEEDS_TOKEN}")


def _endpoint_leads(endpoint: Object, service: Object, injected: Injected) -> bool:
    if "targetPort" in endpoint:
        return _is_protected(endpoint["targetPort"], injected)
    leading = (target for target in services.destinations(service) if target.entry.get("name") == endpoint.get("port"))
    return any(_is_protected(target.port, injected) for target in leading)


def _port_of(endpoint: Object) -> Any:
    return next((endpoint[key] for key in ("port", "portNumber", "targetPort") if key in endpoint), None)


def _is_protected(port: Any, injected: Injected) -> bool:
    protected = injected.plan.port
    return port is not None and port in (protected.name, protected.number)


def _scrapes(service: Object, annotations: Object, injected: Injected) -> bool:
    """Return whether the annotations of a Service have the protected port scraped."""
    wanted = annotations.get("prometheus.io/port")
    targets = (target for target in services.destinations(service) if wanted in (None, str(target.entry.get("port"))))
    return wanted == str(injected.plan.port.number) or any(_is_protected(target.port, injected) for target in targets)
