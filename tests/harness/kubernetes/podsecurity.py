"""The checks of Pod Security at level *restricted*, which includes *baseline*.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/, as of Kubernetes 1.34.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_CAPABILITIES = {"NET_BIND_SERVICE"}
_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret")
}
_SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}
_HANDLERS = ("livenessProbe", "readinessProbe", "startupProbe")

Object = Mapping[str, Any]


def pods(thing: Object) -> Iterator[Object]:
    """Yield the pods or pod templates in an object."""
    spec = thing.get("spec") or {}
    match thing["kind"]:
        case "Pod":
            yield thing
        case "CronJob":
            yield spec["jobTemplate"]["spec"]["template"]
        case "List":
            for item in thing["items"]:
                yield from pods(item)
        case "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "Job":
            yield spec["template"]


def violations(pod: Object) -> Iterator[str]:
    """Yield each check that a pod or pod template fails, with the container's name if it concerns a container."""
    spec = pod["spec"]
    yield from _of_pod(pod, spec)
    context = spec.get("securityContext") or {}
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(key) or ():
            for violation in _of_container(container, context):
                yield f"{container['name']}: {violation}"


def _of_pod(pod: Object, spec: Object) -> Iterator[str]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield key
    context = spec.get("securityContext") or {}
    yield from _of_context(context)
    for sysctl in context.get("sysctls") or ():
        if sysctl["name"] not in _SYSCTLS:
            yield f"sysctl {sysctl['name']}"
    for volume in spec.get("volumes") or ():
        if kinds := set(volume) - {"name"} - _VOLUMES:
            yield f"volume {volume['name']} is of {', '.join(sorted(kinds))}"
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    for name, value in annotations.items():
        if name.startswith("container.apparmor.security.beta.kubernetes.io/") and value == "unconfined":
            yield name


def _of_container(container: Object, pod: Object) -> Iterator[str]:
    own = container.get("securityContext") or {}
    yield from _of_context(own)
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    capabilities = own.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield "does not drop all capabilities"
    if added := set(capabilities.get("add") or ()) - _CAPABILITIES:
        yield f"adds the capability {', '.join(sorted(added))}"
    if own.get("procMount") not in (None, "Default"):
        yield "procMount"
    if (own["runAsNonRoot"] if own.get("runAsNonRoot") is not None else pod.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot is not true"
    if (own.get("seccompProfile") or pod.get("seccompProfile") or {}).get("type") not in (
        "RuntimeDefault",
        "Localhost",
    ):
        yield "seccompProfile is not RuntimeDefault or Localhost"
    for port in container.get("ports") or ():
        if port.get("hostPort"):
            yield f"hostPort {port['hostPort']}"
    lifecycle = container.get("lifecycle") or {}
    for name, handler in [*((key, container.get(key)) for key in _HANDLERS), *lifecycle.items()]:
        for action in ("httpGet", "tcpSocket"):
            if ((handler or {}).get(action) or {}).get("host"):
                yield f"{name} names a host"


def _of_context(context: Object) -> Iterator[str]:
    """Yield the failed checks that apply to the security context of both pods and containers."""
    if context.get("runAsUser") == 0:
        yield "runAsUser is 0"
    if (context.get("seccompProfile") or {}).get("type") == "Unconfined":
        yield "seccompProfile is Unconfined"
    if (context.get("appArmorProfile") or {}).get("type") == "Unconfined":
        yield "appArmorProfile is Unconfined"
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield "hostProcess"
    options = context.get("seLinuxOptions") or {}
    if options.get("type", "") not in _SELINUX_TYPES or options.get("user") or options.get("role"):
        yield "seLinuxOptions"
