"""The sidecar as Kubernetes is told of it: its container, its volumes, its label; and nothing of the pod around it.

The one source of truth: the injector, the webhook, the library chart and the kustomize component must write an equal
container for equal settings. A setting that is left out has its default here.

1. The command is `enforcer`, whatever the image's entry point; `args` begin with `run`.
2. One policy file serves everywhere: where the enforcer listens, and where the app is, is said by `--set`.
3. Probes go to the admin port by its number: it has started and is ready when `/readyz` says so, it lives as `/livez`.
4. A native one is told by its hook that the pod ends, since it gets SIGTERM only after the app has ended.
5. All that Pod Security *restricted* asks for stands at the container, whatever the pod says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from enforcer.kubernetes import names

Object = dict[str, Any]


class Mode(StrEnum):
    """How requests come to the enforcer instead of the app."""

    PORT = "port"
    """The enforcer has a port of its own, and takes over the name of the app's."""
    LOOPBACK = "loopback"
    """The app listens on 127.0.0.1, and the enforcer on the pod's addresses, both on the same port."""
    TRANSPARENT = "transparent"
    """The enforcer has a port of its own, and the pod's network leads the app's port there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Quantities; what is None is left out. No limit on CPU: it would make every request wait."""

    cpu_request: str | None = "100m"
    memory_request: str | None = "128Mi"
    cpu_limit: str | None = None
    memory_limit: str | None = "256Mi"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccountToken:
    """A token of the pod's service account, for the authorization server: who it is for, and its life in seconds."""

    audience: str
    expiration_seconds: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """One sidecar: `image` with its tag, `policy` and `credentials` the names of a ConfigMap and a Secret."""

    image: str
    image_pull_policy: str = "IfNotPresent"
    mode: Mode
    native: bool
    """Whether it is an init container that stays (Kubernetes 1.29), which starts before the app and ends after it."""
    app_port: int
    port_name: str | None = None
    """In mode `port`: what Services call the protected port."""
    upstream_scheme: str = "http"
    listen_port: int = names.LISTEN_PORT
    admin_port: int = names.ADMIN_PORT
    policy: str
    policy_key: str = names.POLICY_KEY
    credentials: str
    user: int | None = 65532
    """User and group; None leaves them to the cluster, as OpenShift wants it."""
    resources: Resources = field(default_factory=Resources)
    log_level: str | None = None
    log_format: str | None = None
    drain_seconds: int = 20
    """How long running requests may take after SIGTERM."""
    wait_before_exit_seconds: int = 5
    """How long clients are still served after the pod began to end: until no Service leads there any more."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """More for `--set`: the dotted path of a setting, and its value as YAML on one line."""
    probes: str | None = None
    """JSON of the probes that the enforcer executes for the kubelet."""
    app_metrics: str | None = None
    """URL of the app's own metrics, where the admin side passes them on."""
    service_account_token: ServiceAccountToken | None = None


def container(sidecar: Sidecar) -> Object:
    """Write the container; native ones belong among the init containers, all others among the containers."""
    written: Object = {
        "name": names.CONTAINER,
        "image": sidecar.image,
        "imagePullPolicy": sidecar.image_pull_policy,
        "command": ["enforcer"],
        "args": _arguments(sidecar),
        "env": _environment(sidecar),
        "ports": _ports(sidecar),
        "startupProbe": _probe(sidecar, "/readyz", periodSeconds=1, timeoutSeconds=3, failureThreshold=60),
        "livenessProbe": _probe(sidecar, "/livez", periodSeconds=10, timeoutSeconds=3, failureThreshold=3),
        "readinessProbe": _probe(sidecar, "/readyz", periodSeconds=5, timeoutSeconds=3, failureThreshold=2),
        "resources": _resources(sidecar.resources),
        "securityContext": _security_context(sidecar.user),
        "volumeMounts": _mounts(sidecar),
    }
    if sidecar.native:
        # SIGTERM comes after the app has ended; hooks are run at once.
        written["lifecycle"] = {"preStop": {"exec": {"command": ["enforcer", "drain"]}}}
        written["restartPolicy"] = "Always"
    return written


def redirect(sidecar: Sidecar) -> Object:
    """Write the init container of mode `transparent`; it needs more than Pod Security *baseline* allows."""
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
    """Write what the container mounts: the policy and the credentials as folders, so that they follow changes."""
    written: list[Object] = [
        {"name": names.POLICY_VOLUME, "configMap": {"name": sidecar.policy}},
        {"name": names.CREDENTIALS_VOLUME, "secret": {"secretName": sidecar.credentials}},
        {"name": names.TEMPORARY_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
    ]
    if (token := sidecar.service_account_token) is not None:
        source = {
            "audience": token.audience,
            "expirationSeconds": token.expiration_seconds,
            "path": names.TOKEN_KEY,
        }
        written.append({"name": names.TOKEN_VOLUME, "projected": {"sources": [{"serviceAccountToken": source}]}})
    return written


LABELS: Final[Mapping[str, str]] = {names.INJECTED: "true"}
"""Labels of a pod that has the sidecar; PodMonitors, NetworkPolicies and the admission policy select by them."""


def pod_annotations(app: str, policy_checksum: str | None = None) -> dict[str, str]:
    """Write the annotations of a pod that has the sidecar, beside the status; `app` is the app's container.

    Those of kubectl, which keep `kubectl logs` and `exec` with the app, are for pods that say nothing there.
    """
    written = {
        "kubectl.kubernetes.io/default-container": app,
        "kubectl.kubernetes.io/default-logs-container": app,
    }
    if policy_checksum is not None:
        written[names.POLICY_CHECKSUM] = policy_checksum
    return written


def listener(sidecar: Sidecar) -> str:
    """Return where it listens: on the app's port of the pod's addresses, else on its own of all."""
    return f"[$(POD_IPS)]:{sidecar.app_port}" if sidecar.mode is Mode.LOOPBACK else f":{sidecar.listen_port}"


def _arguments(sidecar: Sidecar) -> list[str]:
    # The last one counts, so that nothing else can say where it listens and where it forwards to.
    settings = {name: _literal(value) for name, value in sidecar.settings.items()}
    if sidecar.log_level is not None:
        settings["log.level"] = sidecar.log_level
    if sidecar.log_format is not None:
        settings["log.format"] = sidecar.log_format
    settings |= {
        "timeouts.shutdown_delay": f"{sidecar.wait_before_exit_seconds}s",
        "timeouts.drain": f"{sidecar.drain_seconds}s",
        "listener.address": listener(sidecar),
        "admin.address": f":{sidecar.admin_port}",
        "upstream.url": f"{sidecar.upstream_scheme}://127.0.0.1:{sidecar.app_port}",
    }
    file = f"{names.POLICY_FOLDER}/{sidecar.policy_key}"
    return ["run", file, *(f"--set={name}={value}" for name, value in settings.items())]


def _literal(text: str) -> str:
    # In arguments and environment variables Kubernetes puts the variable X in for $(X), and $ for $$.
    return text.replace("$", "$$")


def _environment(sidecar: Sidecar) -> list[Object]:
    files = {"ENFORCER_CLIENT_ID_FILE": names.CLIENT_ID_KEY, "ENFORCER_CLIENT_SECRET_FILE": names.CLIENT_SECRET_KEY}
    written: list[Object] = [
        {"name": name, "value": f"{names.CREDENTIALS_FOLDER}/{key}"} for name, key in files.items()
    ]
    if sidecar.mode is Mode.LOOPBACK:
        # All of them, since the app on 127.0.0.1 leaves those of both IP families to the enforcer.
        written.append({"name": "POD_IPS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}})
    more = {names.PROBES: sidecar.probes, names.APP_METRICS: sidecar.app_metrics}
    written.extend({"name": name, "value": _literal(value)} for name, value in more.items() if value is not None)
    return written


def _ports(sidecar: Sidecar) -> list[Object]:
    admin = {"name": names.ADMIN_PORT_NAME, "containerPort": sidecar.admin_port, "protocol": "TCP"}
    if sidecar.mode is Mode.LOOPBACK:
        # The app declares the port, under the name that it has; twice would be refused or warned about.
        return [admin]
    name = sidecar.port_name if sidecar.mode is Mode.PORT and sidecar.port_name else names.LISTEN_PORT_NAME
    return [{"name": name, "containerPort": sidecar.listen_port, "protocol": "TCP"}, admin]


def _probe(sidecar: Sidecar, path: str, **times: int) -> Object:
    return {"httpGet": {"path": path, "port": sidecar.admin_port}, **times}


def _resources(resources: Resources) -> Object:
    requests = {"cpu": resources.cpu_request, "memory": resources.memory_request}
    limits = {"cpu": resources.cpu_limit, "memory": resources.memory_limit}
    both = {"requests": requests, "limits": limits}
    set_ = {
        key: {name: quantity for name, quantity in part.items() if quantity is not None} for key, part in both.items()
    }
    return {key: part for key, part in set_.items() if part}


def _security_context(user: int | None) -> Object:
    who = {} if user is None else {"runAsUser": user, "runAsGroup": user}
    return {
        "runAsNonRoot": True,
        **who,
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
