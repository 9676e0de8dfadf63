"""Reports whether clients can bypass the enforcer, from a verification of the output, not from the plan behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from enforcer.kubernetes.inject.manifest_set import ManifestSet
from enforcer.kubernetes.inject.pod.pod_template import Injected, Version
from enforcer.kubernetes.inject.report import Result
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.verify.enforcers import repository
from enforcer.kubernetes.verify.object_set import Assumptions
from enforcer.kubernetes.verify.verdicts import FAILS, Finding, PortFinding, verify
from enforcer.yamltext.objects import Object, identity, section


def report_bypasses(manifests: ManifestSet, injections: Mapping[int, Injected], oldest: Version) -> None:
    """Complete the report of the injected workloads, which are given by their index.

    The images are trusted, because the settings name them; a patched container may have another.
    """
    images = frozenset(repository(injected.sidecar.image) for injected in injections.values())
    for finding in verify(manifests.objects_after(), Assumptions(images=images, oldest=oldest)):
        if finding.index in injections:
            manifests.extend(finding.index, Result.INJECTED, bypass(finding))
            if injections[finding.index].sidecar.mode is Mode.PORT:
                manifests.extend(finding.index, Result.INJECTED, _SAFER)
            for result, detail in bypass_lines(finding):
                manifests.report(finding.index, result, detail)


_SAFER: Final = "safer: --mode loopback, if the app can listen on 127.0.0.1"


def verify_pod(pod: Object, namespace: Object, image: str, oldest: Version) -> Finding:
    """Return the finding on a pod in its Namespace: no Services and NetworkPolicies are known."""
    name, typed = identity(namespace)[0], {**pod, "apiVersion": "v1", "kind": "Pod"}
    typed["metadata"] = {**section(pod, "metadata"), "namespace": name}
    objects = [typed, {**namespace, "apiVersion": "v1", "kind": "Namespace"}]
    (finding,) = verify(objects, Assumptions(images=frozenset({repository(image)}), oldest=oldest))
    return finding


def bypass(finding: Finding) -> str:
    """Return whether the bypass around the enforcer is closed, and under which conditions.

    If another port of the app is open, the text names the protected ones: it says nothing about the other.
    """
    ports = [port for port in finding.ports if _is_protected(port, finding)]
    if finding.faults or not ports or any(port.opening is not None for port in ports):
        return "bypass open"
    conditions = dict.fromkeys(condition for port in ports for condition in port.conditions)
    is_whole = all(port.opening is None or _is_for_monitoring(port) for port in finding.ports)
    numbers = ", ".join(str(port.port.endpoint.number) for port in ports)
    bypassing = "bypass" if is_whole else f"bypass of port {numbers}"
    reason = f"if {' and '.join(conditions)}" if conditions else "by the kernel"
    return f"{bypassing} closed {reason}"


def bypass_lines(finding: Finding) -> Iterator[tuple[Result, str]]:
    """Yield a warning for each bypass, and for each other port of the app."""
    faults = finding.faults if finding.protected else ("none of its containers is recognized as the enforcer",)
    yield from ((Result.WARNING, f"clients can bypass the enforcer: {fault}") for fault in faults)
    for port in finding.ports:
        if not _is_protected(port, finding):
            result = Result.NOTE if _is_for_monitoring(port) else Result.WARNING
            closed = f"closed if {' and '.join(port.conditions)}"
            yield result, f"{port.port} is not protected: {closed if port.opening is None else f'open {port.opening}'}"
        elif port.opening is not None:
            yield Result.WARNING, f"clients can bypass the enforcer: {port.port} is open {port.opening}"
    yield from ((Result.WARNING, note) for note in finding.notes if note.endswith(FAILS))


def _is_for_monitoring(port: PortFinding) -> bool:
    """Return whether a port is for metrics, and open to the monitoring namespace only, which is on purpose."""
    return port.limited and "metrics" in port.port.name


def _is_protected(port: PortFinding, finding: Finding) -> bool:
    return port.port.endpoint.protocol == "TCP" and port.port.endpoint.number in finding.protected
