"""One pass over the selected workloads: runs a step on each, and reports rejected workloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, NamedTuple

from enforcer.kubernetes import names
from enforcer.kubernetes.annotations import Status, status_of
from enforcer.kubernetes.carried_options import carried, with_carried
from enforcer.kubernetes.inject.manifest_set import ManifestSet, Outcome
from enforcer.kubernetes.inject.objects import api_server, services
from enforcer.kubernetes.inject.pod.choice import Choice, choose_port
from enforcer.kubernetes.inject.pod.pod_template import Context
from enforcer.kubernetes.inject.pod.ports import Port, declared
from enforcer.kubernetes.inject.pod.protocols import Finding, Protocol
from enforcer.kubernetes.inject.pod.uninject import uninject
from enforcer.kubernetes.inject.report import Result, called
from enforcer.kubernetes.pod_templates import contained, find_workloads
from enforcer.kubernetes.selectors import selects
from enforcer.kubernetes.settings import Settings, SettingsError, with_annotations
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.verify.enforcers import has_enforcer
from enforcer.kubernetes.workloads import (
    SKIPPED,
    NotInjectableError,
    Reason,
    Workload,
    check,
    check_owner,
    containers,
    workload_of,
)
from enforcer.yamltext.objects import Object, identity, section


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(Context):
    """The options of a run. `policy` holds the policy's files by name; a ConfigMap is made of them."""

    settings: Settings
    policy: Mapping[str, str] | None = None
    force_service: bool = False
    fix_hpa: bool = False
    selector: Object = field(default_factory=dict)
    skipped_kinds: frozenset[str] = frozenset()
    """In lower case."""
    explicit: frozenset[str] | None = None
    """The options that this run sets, as `carried_options` calls them; None for all that differ from the defaults."""


class Inspection(NamedTuple):
    """A workload's settings, the Services that select its pods (with their indexes), and the chosen port.

    `options` are those to carry to the next injection.
    """

    settings: Settings
    options: Mapping[str, str]
    services: list[tuple[int, Object]]
    choice: Choice


Step = Callable[[int, Workload], None]
"""Handles the workload at an index; raises NotInjectableError and SettingsError."""


class WorkloadPass:
    """Runs a step on every workload that the options select."""

    def __init__(self, objects: Sequence[Object], options: Options) -> None:
        self.manifests = ManifestSet(objects)
        self.options = options
        self._calls = api_server.calls(objects)

    def run(self, step: Step, unable: Result = Result.REFUSED, conclude: Callable[[], None] = lambda: None) -> Outcome:
        """Run the step on each workload, so that a rejected one does not keep the others from being handled.

        `unable` is the result of a workload that the step rejects, and of one without a TCP port whose pods run until
        they are stopped, as servers do: it may have a port that is not declared. `conclude` is called at the end, and
        may complete the report.
        """
        for index, workload in self._selected():
            try:
                self.manifests.attempt(partial(step, index, workload))
            except NotInjectableError as error:
                if error.reason is Reason.NO_PORT and not workload.ends:
                    self.manifests.report(index, unable, f"no sidecar: {error.detail}; {_NAME_IT}")
                else:
                    result = Result.SKIPPED if error.reason in SKIPPED else unable
                    self.manifests.report(index, result, error.detail)
            except SettingsError as error:
                for problem in error.problems:
                    self.manifests.report(index, Result.REFUSED, problem)
        self._report_others(unable)
        conclude()
        return self.manifests.outcome()

    def _selected(self) -> Iterator[tuple[int, Workload]]:
        for index, obj in enumerate(self.manifests.originals):
            workload = workload_of(obj)
            if workload is not None and self._is_selected(obj, workload):
                yield index, workload

    def _is_selected(self, obj: Object, workload: Workload) -> bool:
        if workload.kind.lower() in self.options.skipped_kinds:
            return False
        return selects(self.options.selector, {**workload.labels, **section(obj, "metadata", "labels")})

    def _report_others(self, unable: Result) -> None:
        """Report workloads that the options exclude, objects of unknown kinds that run pods, and useless options."""
        kinds: set[str] = set()
        number = 0
        for index, obj in enumerate(self.manifests.originals):
            workload = workload_of(obj)
            if workload is not None:
                kinds.add(workload.kind.lower())
                number += self._is_selected(obj, workload)
                if not self._is_selected(obj, workload):
                    self.manifests.report(index, Result.SKIPPED, "the options exclude it (--selector, --skip-kind)")
                continue
            kind = str(obj.get("kind"))
            if any(True for member in contained(obj) for _ in find_workloads(member)):
                kinds.add(kind.lower())
                if kind.lower() not in self.options.skipped_kinds:
                    result = Result.MISSING if unable is Result.MISSING else Result.WARNING
                    unknown = f"unknown kind {kind} of {obj.get('apiVersion')}"
                    self.manifests.report(index, result, f"it runs pods, which are not injected: {unknown}")
        if kinds and self.options.selector and not number:
            self.manifests.report(0, unable, "no workload has these labels", "--selector")
        for kind in sorted(self.options.skipped_kinds - kinds) if kinds else ():
            self.manifests.report(0, Result.WARNING, "no workload is of this kind", f"--skip-kind {kind}")

    def inspect(self, index: int, workload: Workload) -> Inspection:
        """Return what has to be known before a workload is changed; raises NotInjectableError and SettingsError."""
        obj = self.manifests.originals[index]
        check_owner(obj)
        status = self.status(index)
        settings, options = self._settings_of(obj, workload, status)
        if status is None and has_enforcer(workload.spec, settings.image):
            raise NotInjectableError(Reason.PRESENT, "its pods have the enforcer, which no injection has added")
        check(workload)
        selecting = self.manifests.services_of(workload)
        if not selecting:
            settings = with_former_port(settings, workload, status)
        targets = [target for _, service in selecting for target in services.destinations(service, self._calls)]
        choice = choose_port(workload.spec, settings, targets)
        return Inspection(settings, options, selecting, choice if selecting else with_former_protocol(choice, status))

    def status(self, index: int) -> Status | None:
        """Return the status of the workload at an index, by an injection before this run."""
        workload = workload_of(self.manifests.originals[index])
        return None if workload is None else status_of(workload.template)

    def shared_name(self, workload: Workload, port: Port, selecting: Sequence[tuple[int, Object]]) -> str:
        """Return the name that Services with the port's number as target shall use; raises NotInjectableError.

        A Service has one target for all of its pods: those that lack the name would get no more requests.
        """
        numeric = (service for _, service in selecting if services.by_number(service, port))
        sharing = sorted({entry for service in numeric for entry in self._sharing(service, port)})
        names_in_use = {other.name: owner for _, owner, other in sharing if other.name is not None}
        if len(names_in_use) > 1:
            listed = ", ".join(f'"{name}" in {owner}' for name, owner in names_in_use.items())
            message = f"a Service leads to port {port.number} of several workloads; give it one name: it is {listed}"
            raise NotInjectableError(Reason.NAME_TAKEN, message)
        wanted = services.name_for([service for _, service in selecting], port, workload.spec)
        return next(iter(names_in_use), wanted)

    def _sharing(self, service: Object, port: Port) -> Iterator[tuple[int, str, Port]]:
        """Yield the workloads whose pods a Service selects and leads to by number, each with its port.

        Raises NotInjectableError if one of them cannot be injected.
        """
        for index, obj in enumerate(self.manifests.originals):
            workload = workload_of(obj)
            if workload is None or not self.manifests.selects(service, workload):
                continue
            declared_ports = [each for container in containers(workload.spec) for each in declared(container)]
            if declared_ports and port.number not in (each.number for each in declared_ports):
                continue
            if not self._is_selected(obj, workload):
                raise _left_out(service, obj, "the options exclude it")
            try:
                inspection = self.inspect(index, replace(workload, template=_bare(workload)))
            except (NotInjectableError, SettingsError) as error:
                raise _left_out(service, obj, str(error)) from None
            if inspection.settings.mode is not Mode.PORT:
                raise _left_out(service, obj, f"its mode is {inspection.settings.mode}")
            yield index, called(obj), inspection.choice.port

    def _settings_of(
        self, obj: Object, workload: Workload, status: Status | None
    ) -> tuple[Settings, Mapping[str, str]]:
        """Return the settings of a workload, and the options to carry; raises SettingsError.

        An annotation of the pod template overrides one of the namespace, that an option of this run, and that an option
        of a former injection.
        """
        if workload.path:
            annotations = section(obj, "metadata", "annotations")
            misplaced = [name for name in annotations if name.startswith(names.PREFIX)]
            if misplaced:
                raise SettingsError([f"{name} must be an annotation of its pod template" for name in misplaced])
            label = section(obj, "metadata", "labels").get(names.INJECT)
            if label is not None and label != workload.labels.get(names.INJECT):
                raise SettingsError([f"{names.INJECT}: {label} must be a label of its pod template"])
        package, explicit = self.options.package, self.options.explicit
        if explicit is None:
            explicit = frozenset(carried(self.options.settings, package))
        settings = with_carried(self.options.settings, status, explicit)
        for other in self.manifests.originals:
            if other.get("kind") == "Namespace" and identity(other)[0] == workload.namespace:
                settings = with_annotations(settings, section(other, "metadata", "annotations"))
        options = carried(settings, package)
        return with_annotations(settings, section(workload.template, "metadata", "annotations")), options


def with_former_port(settings: Settings, workload: Workload, status: Status | None) -> Settings:
    """Return settings with the port of a former injection, which may have known more Services, if it still exists."""
    if status is None or settings.port is not None:
        return settings
    ports = {(port.container, port.number) for container in containers(workload.spec) for port in declared(container)}
    if (status.container, status.port) not in ports or settings.container not in (None, status.container):
        return settings
    return replace(settings, port=status.port, container=status.container)


def with_former_protocol(choice: Choice, status: Status | None) -> Choice:
    """Return a choice with the protocol of the port that a former injection learned from a Service."""
    known = None if status is None or status.port != choice.port.number else Protocol.__members__.get(status.protocol)
    if known is None:
        return choice
    return choice._replace(finding=Finding(known, known.name, "a former injection found it"))


def _bare(workload: Workload) -> Object:
    return uninject(workload.template) or workload.template


def _left_out(service: Object, obj: Object, why: str) -> NotInjectableError:
    message = f"{called(service)} also leads to {called(obj)}, which would get no more requests, because {why}"
    return NotInjectableError(Reason.NUMERIC_TARGET_PORT, message)


_NAME_IT: Final = f"name it with --port, or label pods that serve no requests {names.INJECT}: disabled"
