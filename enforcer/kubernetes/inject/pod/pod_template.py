"""Puts the sidecar into a pod template.

1. The app never keeps the port name that Services use: of two ports with the same name, a Service finds the one of a
   container that is not an init container, which would be the app, and the enforcer would be bypassed.
2. Every change is recorded in the template's status annotation, and nothing else changes.
3. No template is half protected: if a step is impossible, NotInjectableError is raised and nothing is returned.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Final

from enforcer.kubernetes import names
from enforcer.kubernetes.annotations import Status
from enforcer.kubernetes.inject.pod import probes
from enforcer.kubernetes.inject.pod.choice import Candidate
from enforcer.kubernetes.inject.pod.ports import (
    Port,
    check_host_port,
    check_name,
    check_own_names,
    check_port,
    declared,
    new_name,
    port_names,
)
from enforcer.kubernetes.inject.pod.protocols import NO_CLUE, Finding, find_protocol
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.sidecar import LABELS, Mode, Sidecar, container, pod_annotations, redirect, volumes
from enforcer.kubernetes.workloads import NotInjectableError, Reason, Workload, containers
from enforcer.yamltext.json_diff import PatchError, patched
from enforcer.yamltext.objects import Object, items, section

Version = tuple[int, int]
NATIVE: Final[Version] = (1, 29)
"""The first version with native sidecars."""
SLEEP: Final[Version] = (1, 30)
"""The first version whose API servers keep preStop hooks that sleep. 1.29 has the field, and drops it by default."""
NAMED: Final[Version] = (1, 32)
"""The first version in which a Service finds a native sidecar by its port's name (kubernetes#127958)."""
MARGIN: Final = 20
"""Seconds for the app, and after it a native sidecar, to end before they are killed."""
APP_EXTRA_WAIT: Final = 2
"""Seconds that the app serves longer than the enforcer accepts requests: the last ones still need a response."""
APP_METRICS_PATH: Final = "/app-metrics"
"""Path of the app's own metrics on the admin server."""
_DEFAULT_GRACE: Final = 30
"""Kubernetes' default for terminationGracePeriodSeconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The context of an injection, `by` the value of the annotation `injected-by`."""

    version: Version
    """The oldest version of Kubernetes to support."""
    package: str
    """The version of the enforcer."""
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that an injection needs; `port.name` is the name that Services use, if any."""

    workload: Workload
    settings: Settings
    port: Port
    context: Context
    native: bool
    policy_checksum: str | None = None
    protocol: Finding = NO_CLUE
    others: tuple[Candidate, ...] = ()
    """The app's other TCP ports, which are not protected."""
    options: Mapping[str, str] = field(default_factory=dict)
    """The options that the status carries to the next injection."""


@dataclass(frozen=True, slots=True)
class Injected:
    """An injection that was made: its plan, and the `template` with the sidecar."""

    plan: Plan
    sidecar: Sidecar
    template: Object


def choose_native(workload: Workload, settings: Settings, version: Version, named: bool) -> bool:
    """Return whether to use a native sidecar; `named` if a Service uses the port's name. Raises NotInjectableError.

    Before Kubernetes 1.32 a Service does not find a native sidecar by name. A classic sidecar would keep a Job's pods
    from completing.
    """
    reachable = version >= (NAMED if named else NATIVE)
    native = reachable if settings.native is None else settings.native
    needed = f"{'.'.join(map(str, NAMED if named else NATIVE))} (--kube-version)"
    if native and not reachable:
        why = "a Service's named targetPort finds no native sidecar" if named else "there are no native sidecars"
        raise NotInjectableError(Reason.NEEDS_NATIVE, f"before Kubernetes {needed} {why}")
    if workload.ends and not native:
        message = f"a classic sidecar would keep its pods from completing; a native one needs Kubernetes {needed}"
        raise NotInjectableError(Reason.NEEDS_NATIVE, message)
    return native


def make_sidecar(plan: Plan) -> Sidecar:
    """Return the sidecar, without the app's probes; raises NotInjectableError."""
    settings, port = plan.settings, plan.port
    if settings.mode is Mode.LOOPBACK and port.number < 1024:
        message = (
            f"the enforcer runs unprivileged and cannot listen on port {port.number}; use mode port or transparent"
        )
        raise NotInjectableError(Reason.PRIVILEGED_PORT, message)
    scheme = settings.upstream_scheme or ("https" if plan.protocol.is_tls else "http")
    http2 = "h2" if scheme == "https" else "h2c"
    return Sidecar(
        **{**settings.of_container(), "upstream_scheme": scheme},
        upstream_protocol=http2 if plan.protocol.is_http2 else None,
        native=plan.native,
        app_port=port.number,
        port_name=port.name,
        policy=settings.policy or f"{plan.workload.name}-enforcer",
        credentials=settings.credentials or f"{plan.workload.name}-enforcer",
        settings=settings.config,
        app_metrics=_app_metrics(plan),
    )


def inject(plan: Plan) -> Injected:
    """Put the sidecar into the workload's template; raises NotInjectableError."""
    sidecar = make_sidecar(plan)
    own = {sidecar.admin_port} if sidecar.mode is Mode.LOOPBACK else {sidecar.listen_port, sidecar.admin_port}
    check_port(plan.workload.spec, plan.port, own)
    check_own_names(plan.workload.spec, plan.port)
    if sidecar.mode is Mode.PORT:
        check_host_port(plan.workload.spec, plan.port)
        check_name(plan.workload.spec, plan.port)
    return Injected(plan, sidecar, _Injection(sidecar, plan).injected())


class _Injection:
    """The injection of one template; `undo` and `empty` collect the status."""

    def __init__(self, sidecar: Sidecar, plan: Plan) -> None:
        self.template = deepcopy(plan.workload.template)
        self.spec: Object = self.template["spec"]
        self.sidecar = sidecar
        self.plan = plan
        self.settings = plan.settings
        self.undo: dict[str, Any] = {}
        self.empty: dict[str, Any] = {}

    def injected(self) -> Object:
        """Make all changes and return the template."""
        self._rename_port()
        stored = self._take_over_probes()
        self._set_up_app()
        self._extend_grace()
        written = self._container(replace(self.sidecar, probes=probes.as_text(stored)))
        self._add(written)
        self._add_pull_secret()
        self._annotate(written)
        return self.template

    def _part(self, parent: Object, key: str, kind: type, where: str) -> Any:
        """Return a part, created if it is missing; the former value of an empty part is recorded in the status."""
        if not parent.get(key):
            if key in parent:
                self.empty[where] = deepcopy(parent[key])
            parent[key] = kind() if parent.get(key) is None else parent[key]
        return parent[key]

    def _rename_port(self) -> None:
        port = self.plan.port
        if self.sidecar.mode is not Mode.PORT or port.name is None:
            return
        index, app = next(pair for pair in enumerate(self.spec["containers"]) if pair[1].get("name") == port.container)
        if not any(entry.get("name") == port.name for entry in items(app, "ports")):
            return
        name = new_name(f"app-{port.name}", port_names(self.spec))
        ports = [{**entry, "name": name} if entry.get("name") == port.name else entry for entry in app["ports"]]
        self.spec["containers"][index] = probes.renamed({**app, "ports": ports}, port.name, name)
        self.undo["renamed"] = {port.name: name}

    def _take_over_probes(self) -> probes.Stored:
        stored: probes.Stored = {}
        if self.sidecar.mode is Mode.PORT or not self.settings.rewrite_probes:
            return stored
        for key in ("containers", "initContainers"):
            for index, each in enumerate(items(self.spec, key)):
                # A native sidecar with a probe on a classic enforcer, which starts later, would wait for it forever.
                if key == "containers" or (each.get("restartPolicy") == "Always" and self.sidecar.native):
                    affects = self._affects(each)
                    self.spec[key][index] = probes.taken_over(each, self.sidecar.admin_port, affects, stored)
        return stored

    def _affects(self, app: Object) -> Any:
        """Return a test for ports that the kubelet cannot reach: in mode `loopback` it may be any port of the app."""
        every = self.sidecar.mode is Mode.LOOPBACK and app.get("name") == self.plan.port.container
        return lambda number: every or number == self.plan.port.number

    def _set_up_app(self) -> None:
        app = next(each for each in self.spec["containers"] if each.get("name") == self.plan.port.container)
        if self.sidecar.mode is Mode.LOOPBACK:
            self._set_environment(app)
            if self.settings.app_args:
                self._part(app, "args", list, "args").extend(self.settings.app_args)
                self.undo["args"] = len(self.settings.app_args)
        # Also for 1.29, which drops the hook: the same manifest may be applied to a newer cluster.
        wait = self.sidecar.wait_before_exit_seconds if self.plan.context.version >= NATIVE else 0
        if wait and "preStop" not in section(app, "lifecycle"):
            sleep = {"sleep": {"seconds": wait + APP_EXTRA_WAIT}}
            self._part(app, "lifecycle", dict, "lifecycle")["preStop"] = sleep
            self.undo["pre_stop"] = True

    def _set_environment(self, app: Object) -> None:
        former: dict[str, Any] = {}
        for name, value in self.settings.app_env.items():
            entries = self._part(app, "env", list, "env")
            entry = {"name": name, "value": value}
            index = next((index for index, other in enumerate(entries) if other.get("name") == name), None)
            former[name] = None if index is None else entries[index]
            if index is None:
                entries.append(entry)
            else:
                entries[index] = entry
        if former:
            self.undo["env"] = former

    def _extend_grace(self) -> None:
        needed = self.sidecar.wait_before_exit_seconds + self.sidecar.drain_seconds + MARGIN
        current = self.spec.get("terminationGracePeriodSeconds")
        if (_DEFAULT_GRACE if current is None else current) < needed:
            self.undo["grace"] = (current,)
            self.spec["terminationGracePeriodSeconds"] = needed

    def _container(self, sidecar: Sidecar) -> Object:
        written = container(sidecar)
        try:
            changed = patched(written, self.settings.container_patch)
        except PatchError as error:
            raise NotInjectableError(Reason.BAD_SETTING, f"{names.PREFIX}container-patch: {error}") from None
        if not isinstance(changed, dict) or changed.get("name") != names.CONTAINER:
            message = f"{names.PREFIX}container-patch: the result must still be a container called {names.CONTAINER}"
            raise NotInjectableError(Reason.BAD_SETTING, message)
        return changed

    def _add(self, written: Object) -> None:
        first = [redirect(self.sidecar)] if self.sidecar.mode is Mode.TRANSPARENT else []
        if self.sidecar.native:
            first.append(written)
        else:
            self.spec["containers"].insert(0, written)
        if first:
            self._part(self.spec, "initContainers", list, "spec.initContainers")[:0] = first
        self._part(self.spec, "volumes", list, "spec.volumes").extend(volumes(self.sidecar))

    def _add_pull_secret(self) -> None:
        secret = self.settings.image_pull_secret
        if secret is not None and secret not in (each.get("name") for each in items(self.spec, "imagePullSecrets")):
            self._part(self.spec, "imagePullSecrets", list, "spec.imagePullSecrets").append({"name": secret})
            self.undo["pull_secret"] = secret

    def _annotate(self, written: Object) -> None:
        metadata = self._part(self.template, "metadata", dict, "metadata")
        self._part(metadata, "labels", dict, "metadata.labels").update(LABELS)
        annotations = self._part(metadata, "annotations", dict, "metadata.annotations")
        added = self._annotations(annotations)
        self.undo["annotations"] = {name: annotations.get(name) for name in added if not name.startswith(names.PREFIX)}
        annotations.update(added)
        status = Status(
            version=self.plan.context.package,
            hash=hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()[:16],
            mode=self.sidecar.mode.value,
            container=self.plan.port.container,
            port=self.plan.port.number,
            name=self._service_name(),
            protocol=self._learned_protocol(),
            options=self.plan.options,
            empty=self.empty,
            **self.undo,
        )
        annotations[names.STATUS] = status.write()

    def _learned_protocol(self) -> str:
        """Return the protocol of the app's port, if the pod by itself would have another one."""
        own = [port for each in containers(self.plan.workload.spec) for port in declared(each)]
        port = next((port for port in own if port.number == self.plan.port.number), replace(self.plan.port, name=None))
        known, alone = self.plan.protocol, find_protocol(self.plan.workload.spec, port, ())
        is_same = (known.is_tls, known.is_http2) == (alone.is_tls, alone.is_http2)
        return "" if is_same else known.protocol.name

    def _service_name(self) -> str:
        """Return the name by which Services find the enforcer, if it cannot be learned from the app's port."""
        is_learned = self.sidecar.mode is not Mode.PORT or "renamed" in self.undo
        return "" if is_learned else self.plan.port.name or ""

    def _annotations(self, present: Mapping[str, Any]) -> dict[str, str]:
        """Return the annotations to set; kubectl's only if the pod has none of its own."""
        wanted = pod_annotations(self.plan.port.container, self.plan.policy_checksum)
        ours = {name: value for name, value in wanted.items() if name not in present or name.startswith(names.PREFIX)}
        if self.sidecar.app_metrics is not None:
            ours |= {"prometheus.io/port": str(self.sidecar.admin_port), "prometheus.io/path": APP_METRICS_PATH}
            if "prometheus.io/scheme" in present:
                ours["prometheus.io/scheme"] = "http"
        return {**ours, names.INJECTED_BY: self.plan.context.by}


def _app_metrics(plan: Plan) -> str | None:
    """Return the URL of the app's own metrics, if annotations have Prometheus scrape the protected port."""
    annotations = section(plan.workload.template, "metadata", "annotations")
    if not plan.settings.scrape_passthrough or annotations.get("prometheus.io/port") != str(plan.port.number):
        return None
    scheme = annotations.get("prometheus.io/scheme") or "http"
    return f"{scheme}://127.0.0.1:{plan.port.number}{annotations.get('prometheus.io/path') or '/metrics'}"
