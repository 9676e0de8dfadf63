"""Puts the sidecar into a pod's template.

1. The name that Services know the port by is never left at the app: of several ports of one name a Service finds the
   one of a container that is no init container, and so the app, past the enforcer.
2. What changes is written down in the template's own status, and no more changes than is written down.
3. Nothing is left half protected: what cannot be done raises NotInjectableError before anything is returned.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Final

from enforcer.kubernetes import names
from enforcer.kubernetes.annotations import Status
from enforcer.kubernetes.inject.pod import probes
from enforcer.kubernetes.inject.pod.ports import Port, check_name, check_port, new_name, port_names
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.sidecar import LABELS, Mode, Sidecar, container, pod_annotations, redirect, volumes
from enforcer.kubernetes.workloads import NotInjectableError, Reason, Workload
from enforcer.yamltext.json_diff import PatchError, patched
from enforcer.yamltext.objects import Object, items, section

Version = tuple[int, int]
NATIVE: Final[Version] = (1, 29)
"""Since when init containers stay, and a preStop hook sleeps."""
NAMED: Final[Version] = (1, 32)
"""Since when a Service finds a native sidecar by the name of its port (kubernetes#127958)."""
MARGIN: Final = 20
"""Seconds for the app to end, and for a native sidecar after it, before both are killed."""
LONGER: Final = 2
"""Seconds that the app goes on beyond the enforcer's wait: what is taken at its end still has to be answered."""
APP_METRICS_PATH: Final = "/app-metrics"
"""Path of the admin side at which the app's own metrics are."""
_GRACE: Final = 30
"""Seconds that a pod has to end unless it says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is needed to inject one template; `port.name` is what Services call the port, if they do."""

    settings: Settings
    port: Port
    version: Version
    native: bool
    package: str
    """The enforcer's own version."""
    by: str
    """Who injects."""
    policy_checksum: str | None = None


def choose_native(workload: Workload, settings: Settings, version: Version, named: bool) -> bool:
    """Say whether the sidecar is a native one, `named` if a Service finds it by a name; raises NotInjectableError.

    Before 1.32 such a Service finds no native sidecar. A classic one would keep what ends from ending.
    """
    reachable = version >= (NAMED if named else NATIVE)
    native = reachable if settings.native is None else settings.native
    needed = f"{'.'.join(map(str, NAMED if named else NATIVE))} (--kube-version)"
    if native and not reachable:
        why = "a Service's named targetPort finds no native sidecar" if named else "there are no native sidecars"
        raise NotInjectableError(Reason.NEEDS_NATIVE, f"before Kubernetes {needed} {why}")
    if workload.ends and not native:
        message = f"a classic sidecar would keep its pods from ending; a native one needs Kubernetes {needed}"
        raise NotInjectableError(Reason.NEEDS_NATIVE, message)
    return native


def make_sidecar(workload: Workload, plan: Plan) -> Sidecar:
    """Make the sidecar of a workload, without probes; raises NotInjectableError."""
    settings, port = plan.settings, plan.port
    if settings.mode is Mode.LOOPBACK and port.number < 1024:
        message = f"without privileges the enforcer cannot listen on port {port.number}; use mode port or transparent"
        raise NotInjectableError(Reason.PRIVILEGED_PORT, message)
    return Sidecar(
        image=settings.image,
        image_pull_policy=settings.image_pull_policy,
        mode=settings.mode,
        native=plan.native,
        app_port=port.number,
        port_name=port.name,
        upstream_scheme=settings.upstream_scheme,
        listen_port=settings.listen_port,
        admin_port=settings.admin_port,
        policy=settings.policy or f"{workload.name}-enforcer",
        policy_key=settings.policy_key,
        credentials=settings.credentials or f"{workload.name}-enforcer",
        user=settings.user,
        resources=settings.resources,
        log_level=settings.log_level,
        log_format=settings.log_format,
        drain_seconds=settings.drain_seconds,
        wait_before_exit_seconds=settings.wait_before_exit_seconds,
        settings=settings.config,
        app_metrics=_app_metrics(workload, plan),
        service_account_token=settings.service_account_token,
    )


def inject(template: Object, sidecar: Sidecar, plan: Plan) -> Object:
    """Return a template with the sidecar; raises NotInjectableError."""
    own = {sidecar.admin_port} if sidecar.mode is Mode.LOOPBACK else {sidecar.listen_port, sidecar.admin_port}
    spec = section(template, "spec")
    check_port(spec, plan.port, own)
    if sidecar.mode is Mode.PORT:
        check_name(spec, plan.port)
    return _Injection(template, sidecar, plan).injected()


class _Injection:
    """One template on its way: `undo` gathers what the status will say."""

    def __init__(self, template: Object, sidecar: Sidecar, plan: Plan) -> None:
        self.template = deepcopy(template)
        self.spec: Object = self.template["spec"]
        self.sidecar = sidecar
        self.plan = plan
        self.settings = plan.settings
        self.undo: dict[str, Any] = {}
        self.empty: dict[str, Any] = {}

    def injected(self) -> Object:
        """Do all of it."""
        self._rename_port()
        stored = self._take_over_probes()
        self._set_up_app()
        self._give_time()
        written = self._container(replace(self.sidecar, probes=probes.as_text(stored)))
        self._add(written)
        self._mark(written)
        return self.template

    def _containers(self) -> list[Object]:
        found: list[Object] = self.spec["containers"]
        return found

    def _app(self) -> Object:
        return next(one for one in self._containers() if one.get("name") == self.plan.port.container)

    def _change(self, key: str, at: int, changed: Object) -> None:
        self.spec[key][at] = changed

    def _part(self, parent: Object, key: str, kind: type, where: str) -> Any:
        """Return a part that is there, or make it; one that is there and empty is written down."""
        if not parent.get(key):
            if key in parent:
                self.empty[where] = deepcopy(parent[key])
            parent[key] = kind() if parent.get(key) is None else parent[key]
        return parent[key]

    def _rename_port(self) -> None:
        port = self.plan.port
        if self.sidecar.mode is not Mode.PORT or port.name is None:
            return
        at, app = next((at, one) for at, one in enumerate(self._containers()) if one.get("name") == port.container)
        if not any(one.get("name") == port.name for one in items(app, "ports")):
            return
        name = new_name(f"app-{port.name}", port_names(self.spec))
        ports = [{**one, "name": name} if one.get("name") == port.name else one for one in app["ports"]]
        self._change("containers", at, probes.renamed({**app, "ports": ports}, port.name, name))
        self.undo["renamed"] = {port.name: name}

    def _take_over_probes(self) -> probes.Stored:
        stored: probes.Stored = {}
        if self.sidecar.mode is Mode.PORT or not self.settings.rewrite_probes:
            return stored
        for key in ("containers", "initContainers"):
            for at, one in enumerate(items(self.spec, key)):
                # A native sidecar that starts before a classic enforcer would wait for it for ever.
                if key == "containers" or (one.get("restartPolicy") == "Always" and self.sidecar.native):
                    self._change(key, at, probes.taken_over(one, self.sidecar.admin_port, self._concerned(one), stored))
        return stored

    def _concerned(self, one: Object) -> Any:
        """Say which ports of a container the kubelet cannot reach: with `loopback`, maybe all of the app's."""
        whole = self.sidecar.mode is Mode.LOOPBACK and one.get("name") == self.plan.port.container
        return lambda number: whole or number == self.plan.port.number

    def _set_up_app(self) -> None:
        app = self._app()
        if self.sidecar.mode is Mode.LOOPBACK:
            self._set_environment(app)
            if self.settings.app_args:
                self._part(app, "args", list, "args").extend(self.settings.app_args)
                self.undo["args"] = len(self.settings.app_args)
        wait = self.sidecar.wait_before_exit_seconds if self.plan.version >= NATIVE else 0
        if wait and "preStop" not in section(app, "lifecycle"):
            sleep = {"sleep": {"seconds": wait + LONGER}}
            self._part(app, "lifecycle", dict, "lifecycle")["preStop"] = sleep
            self.undo["pre_stop"] = True

    def _set_environment(self, app: Object) -> None:
        former: dict[str, Any] = {}
        for name, value in self.settings.app_env.items():
            entries = self._part(app, "env", list, "env")
            entry = {"name": name, "value": value}
            at = next((at for at, one in enumerate(entries) if one.get("name") == name), None)
            former[name] = None if at is None else entries[at]
            if at is None:
                entries.append(entry)
            else:
                entries[at] = entry
        if former:
            self.undo["env"] = former

    def _give_time(self) -> None:
        needed = self.sidecar.wait_before_exit_seconds + self.sidecar.drain_seconds + MARGIN
        given = self.spec.get("terminationGracePeriodSeconds")
        if (_GRACE if given is None else given) < needed:
            self.undo["grace"] = (given,)
            self.spec["terminationGracePeriodSeconds"] = needed

    def _container(self, sidecar: Sidecar) -> Object:
        written = container(sidecar)
        try:
            changed = patched(written, self.settings.container_patch)
        except PatchError as error:
            raise NotInjectableError(Reason.BAD_SETTING, f"{names.PREFIX}container-patch: {error}") from None
        if not isinstance(changed, dict) or changed.get("name") != names.CONTAINER:
            message = f"{names.PREFIX}container-patch: the container must stay one that is called {names.CONTAINER}"
            raise NotInjectableError(Reason.BAD_SETTING, message)
        return changed

    def _add(self, written: Object) -> None:
        first = [redirect(self.sidecar)] if self.sidecar.mode is Mode.TRANSPARENT else []
        if self.sidecar.native:
            first.append(written)
        else:
            self._containers().insert(0, written)
        if first:
            self._part(self.spec, "initContainers", list, "spec.initContainers")[:0] = first
        self._part(self.spec, "volumes", list, "spec.volumes").extend(volumes(self.sidecar))

    def _mark(self, written: Object) -> None:
        metadata = self._part(self.template, "metadata", dict, "metadata")
        self._part(metadata, "labels", dict, "metadata.labels").update(LABELS)
        annotations = self._part(metadata, "annotations", dict, "metadata.annotations")
        set_ = self._annotations(annotations)
        self.undo["annotations"] = {name: annotations.get(name) for name in set_ if not name.startswith(names.PREFIX)}
        annotations.update(set_)
        status = Status(
            version=self.plan.package,
            hash=hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()[:16],
            mode=self.sidecar.mode.value,
            container=self.plan.port.container,
            port=self.plan.port.number,
            empty=self.empty,
            **self.undo,
        )
        annotations[names.STATUS] = status.write()

    def _annotations(self, present: Mapping[str, Any]) -> dict[str, str]:
        """Say which annotations are set; those of kubectl only where the pod says nothing there."""
        wanted = pod_annotations(self.plan.port.container, self.plan.policy_checksum)
        ours = {name: value for name, value in wanted.items() if name not in present or name.startswith(names.PREFIX)}
        if self.sidecar.app_metrics is not None:
            ours |= {"prometheus.io/port": str(self.sidecar.admin_port), "prometheus.io/path": APP_METRICS_PATH}
            if "prometheus.io/scheme" in present:
                ours["prometheus.io/scheme"] = "http"
        return {**ours, names.INJECTED_BY: self.plan.by}


def _app_metrics(workload: Workload, plan: Plan) -> str | None:
    """Return where the app's own metrics are, if Prometheus is told to fetch them from the protected port."""
    annotations = section(workload.template, "metadata", "annotations")
    if not plan.settings.scrape_passthrough or annotations.get("prometheus.io/port") != str(plan.port.number):
        return None
    scheme = annotations.get("prometheus.io/scheme") or "http"
    return f"{scheme}://127.0.0.1:{plan.port.number}{annotations.get('prometheus.io/path') or '/metrics'}"
