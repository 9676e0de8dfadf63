"""The sidecar in Kubernetes' terms: its container, volumes and labels, independent of the pod around it.

This is the single source of truth: the injector, the webhook, the library chart and the kustomize component must write
an equal container for equal settings. The defaults are here.

1. The command is `enforcer`, whatever the image's entry point; `args` begin with `run`.
2. The same policy file works everywhere: `--set` arguments say where the enforcer listens and where the app is.
3. Probes use the number of the admin port: `/readyz` for startup and readiness, `/livez` for liveness.
4. A native sidecar learns from its preStop hook that the pod is ending: it gets SIGTERM only after the app has ended.
5. The container itself sets everything that Pod Security *restricted* requires, whatever the pod sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Final

from enforcer.kubernetes import names
from enforcer.yamltext.objects import Object


class Mode(StrEnum):
    """The way in which requests reach the enforcer instead of the app."""

    PORT = "port"
    """The enforcer has its own port and takes over the name of the app's port."""
    LOOPBACK = "loopback"
    """The app listens on 127.0.0.1 and the enforcer on the pod's addresses, both on the same port."""
    TRANSPARENT = "transparent"
    """The enforcer has its own port, and the pod's network redirects the app's port to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Resource quantities; None omits one. Default: no CPU limit, because throttling would delay every request."""

    cpu_request: str | None = "100m"
    memory_request: str | None = "128Mi"
    cpu_limit: str | None = None
    memory_limit: str | None = "768Mi"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccountToken:
    """A token of the pod's service account for the authorization server: its audience and its lifetime."""

    audience: str
    expiration_seconds: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSettings:
    """The settings that the container takes over as they are. `image` includes the tag."""

    image: str
    image_pull_policy: str = "IfNotPresent"
    mode: Mode = Mode.PORT
    upstream_scheme: str | None = None
    """`http` or `https`; None for the protocol that manifests reveal, or http if they do not."""
    listen_port: int = names.LISTEN_PORT
    admin_port: int = names.ADMIN_PORT
    policy_key: str = names.POLICY_KEY
    user: int | None = 65532
    """User and group ID; None leaves the choice to the cluster, as OpenShift requires."""
    resources: Resources = field(default_factory=Resources)
    log_level: str | None = None
    log_format: str | None = None
    drain_seconds: int = 20
    """Timeout of running requests after SIGTERM."""
    wait_before_exit_seconds: int = 5
    """Seconds for which new requests are served after the pod began to end: until Services send it no more requests."""
    service_account_token: ServiceAccountToken | None = None
    allow_report_mode: bool = True
    """False makes the enforcer refuse a policy that uses report mode."""

    def of_container(self) -> dict[str, Any]:
        """Return these settings by name, without those of subclasses."""
        return {setting.name: getattr(self, setting.name) for setting in fields(ContainerSettings)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar(ContainerSettings):
    """One sidecar. `policy` and `credentials` name a ConfigMap and a Secret."""

    native: bool
    """True for a native sidecar (Kubernetes 1.29), an init container that starts before the app and ends after it."""
    app_port: int
    port_name: str | None = None
    """In mode `port`: the name by which Services find the protected port."""
    policy: str
    credentials: str
    settings: Mapping[str, str] = field(default_factory=dict)
    """More `--set` arguments: the dotted key of a setting, and its value as YAML on one line."""
    probes: str | None = None
    """The probes that the enforcer executes for the kubelet, as JSON."""
    upstream_protocol: str | None = None
    """The protocol that the app is spoken to in, as `upstream.protocol` names it; None leaves it to the policy."""
    app_metrics: str | None = None
    """URL of the app's own metrics, which the admin server serves; None if it does not."""


def container(sidecar: Sidecar) -> Object:
    """Write the container. A native sidecar belongs in `initContainers`, a classic one in `containers`."""
    written: Object = {
        "name": names.CONTAINER,
        "image": sidecar.image,
        "imagePullPolicy": sidecar.image_pull_policy,
        "command": ["enforcer"],
        "args": _arguments(sidecar),
        "env": _environment(sidecar),
        "ports": _ports(sidecar),
        "startupProbe": _probe(sidecar, names.READY_PATH, periodSeconds=1, timeoutSeconds=3, failureThreshold=60),
        "livenessProbe": _probe(sidecar, "/livez", periodSeconds=10, timeoutSeconds=3, failureThreshold=3),
        "readinessProbe": _probe(sidecar, names.READY_PATH, periodSeconds=5, timeoutSeconds=3, failureThreshold=2),
        "resources": _resources(sidecar.resources),
        "securityContext": _security_context(sidecar.user),
        "volumeMounts": _mounts(sidecar),
    }
    if sidecar.native:
        # SIGTERM comes only after the app has ended; the hook runs as soon as the pod begins to end.
        written["lifecycle"] = {"preStop": {"exec": {"command": ["enforcer", "drain"]}}}
        written["restartPolicy"] = "Always"
    return written


def redirect(sidecar: Sidecar) -> Object:
    """Write the init container of mode `transparent`; it needs a capability that Pod Security *baseline* forbids."""
    return {
        "name": names.REDIRECT,
        "image": sidecar.image,
        "imagePullPolicy": sidecar.image_pull_policy,
        "command": ["enforcer"],
        "args": ["redirect", str(sidecar.app_port), str(sidecar.listen_port)],
        "resources": _resources(Resources(cpu_request="10m", memory_request="32Mi", memory_limit="64Mi")),
        "securityContext": {
            **_security_context(0),
            "runAsNonRoot": False,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
        },
    }


def volumes(sidecar: Sidecar) -> list[Object]:
    """Write the volumes: policy and credentials as folders, because a single mounted file is never updated."""
    written: list[Object] = [
        {"name": names.POLICY_VOLUME, "configMap": {"name": sidecar.policy}},
        {"name": names.CREDENTIALS_VOLUME, "secret": {"secretName": sidecar.credentials}},
        {"name": names.TEMPORARY_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
    ]
    if (token := sidecar.service_account_token) is not None:
        source = {"audience": token.audience, "expirationSeconds": token.expiration_seconds, "path": names.TOKEN_KEY}
        written.append({"name": names.TOKEN_VOLUME, "projected": {"sources": [{"serviceAccountToken": source}]}})
    return written


LABELS: Final[Mapping[str, str]] = {names.INJECTED: "true"}
"""Labels of an injected pod; PodMonitors, NetworkPolicies and the admission policy select by them."""


def pod_annotations(app: str, policy_checksum: str | None = None) -> dict[str, str]:
    """Write the annotations of an injected pod, except the status; `app` is the name of the app's container.

    kubectl's annotations keep `kubectl logs` and `kubectl exec` on the app's container; a pod may have its own.
    """
    written = {"kubectl.kubernetes.io/default-container": app, "kubectl.kubernetes.io/default-logs-container": app}
    if policy_checksum is not None:
        written[names.POLICY_CHECKSUM] = policy_checksum
    return written


def listener(sidecar: Sidecar) -> str:
    """Return the listener's address: the app's port on the pod's addresses, or the enforcer's own port on all."""
    return f"[$(POD_IPS)]:{sidecar.app_port}" if sidecar.mode is Mode.LOOPBACK else f":{sidecar.listen_port}"


def _arguments(sidecar: Sidecar) -> list[str]:
    # The last --set of a key wins: nothing can override the addresses, or allow a report mode that is forbidden.
    settings = {name: _literal(value) for name, value in sidecar.settings.items()}
    if sidecar.log_level is not None:
        settings["log.level"] = sidecar.log_level
    if sidecar.log_format is not None:
        settings["log.format"] = sidecar.log_format
    if not sidecar.allow_report_mode:
        settings["allow_report_mode"] = "false"
    if sidecar.upstream_protocol is not None:
        settings.setdefault("upstream.protocol", sidecar.upstream_protocol)
    settings |= {
        "timeouts.shutdown_delay": f"{sidecar.wait_before_exit_seconds}s",
        "timeouts.drain": f"{sidecar.drain_seconds}s",
        "listener.address": listener(sidecar),
        "admin.address": f":{sidecar.admin_port}",
        "upstream.url": f"{sidecar.upstream_scheme or 'http'}://127.0.0.1:{sidecar.app_port}",
    }
    file = f"{names.POLICY_FOLDER}/{sidecar.policy_key}"
    return ["run", file, *(f"--set={name}={value}" for name, value in settings.items())]


def _literal(text: str) -> str:
    # In arguments and environment variables, Kubernetes expands $(X) to the variable X, and $$ to $.
    return text.replace("$", "$$")


def _environment(sidecar: Sidecar) -> list[Object]:
    files = {"ENFORCER_CLIENT_ID_FILE": names.CLIENT_ID_KEY, "ENFORCER_CLIENT_SECRET_FILE": names.CLIENT_SECRET_KEY}
    written: list[Object] = [
        {"name": name, "value": f"{names.CREDENTIALS_FOLDER}/{key}"} for name, key in files.items()
    ]
    if sidecar.mode is Mode.LOOPBACK:
        # All addresses: an app on 127.0.0.1 leaves those of both IP families to the enforcer.
        written.append({"name": "POD_IPS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}})
    more = {names.PROBES: sidecar.probes, names.APP_METRICS: sidecar.app_metrics}
    written.extend({"name": name, "value": _literal(value)} for name, value in more.items() if value is not None)
    return written


def _ports(sidecar: Sidecar) -> list[Object]:
    admin = {"name": names.ADMIN_PORT_NAME, "containerPort": sidecar.admin_port, "protocol": "TCP"}
    if sidecar.mode is Mode.LOOPBACK:
        # The app declares its port, under its name; declaring it twice causes a warning or a rejection.
        return [admin]
    name = sidecar.port_name if sidecar.mode is Mode.PORT and sidecar.port_name else names.LISTEN_PORT_NAME
    return [{"name": name, "containerPort": sidecar.listen_port, "protocol": "TCP"}, admin]


def _probe(sidecar: Sidecar, path: str, **times: int) -> Object:
    return {"httpGet": {"path": path, "port": sidecar.admin_port}, **times}


def _resources(resources: Resources) -> Object:
    requests = {"cpu": resources.cpu_request, "memory": resources.memory_request}
    limits = {"cpu": resources.cpu_limit, "memory": resources.memory_limit}
    both = {"requests": requests, "limits": limits}
    present = {
        key: {name: quantity for name, quantity in part.items() if quantity is not None} for key, part in both.items()
    }
    return {key: part for key, part in present.items() if part}


def _security_context(user: int | None) -> Object:
    ids = {} if user is None else {"runAsUser": user, "runAsGroup": user}
    return {
        "runAsNonRoot": True,
        **ids,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _mounts(sidecar: Sidecar) -> list[Object]:
    folders = {names.POLICY_VOLUME: names.POLICY_FOLDER, names.CREDENTIALS_VOLUME: names.CREDENTIALS_FOLDER}
    if sidecar.service_account_token is not None:
        folders[names.TOKEN_VOLUME] = names.TOKEN_FOLDER
    written: list[Object] = [{"name": name, "mountPath": folder, "readOnly": True} for name, folder in folders.items()]
    return [*written, {"name": names.TEMPORARY_VOLUME, "mountPath": "/tmp"}]  # noqa: S108 - a volume of its own
