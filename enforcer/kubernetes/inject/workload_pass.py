"""One pass over the selected workloads: runs a step on each, and reports rejected workloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from enforcer.kubernetes import names
from enforcer.kubernetes.inject import services
from enforcer.kubernetes.inject.manifest_set import ManifestSet, Outcome
from enforcer.kubernetes.inject.pod.pod_template import Context
from enforcer.kubernetes.inject.pod.ports import Port, find_port
from enforcer.kubernetes.inject.report import Result
from enforcer.kubernetes.selectors import selects
from enforcer.kubernetes.settings import Settings, SettingsError, with_annotations
from enforcer.kubernetes.workloads import SKIPPED, NotInjectableError, Reason, Workload, check, check_owner, workload_of
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


class Inspection(NamedTuple):
    """A workload's settings, the Services that select its pods (with their indexes), and the port to protect."""

    settings: Settings
    services: list[tuple[int, Object]]
    port: Port


Step = Callable[[int, Workload], None]
"""Handles the workload at an index; raises NotInjectableError and SettingsError."""


class WorkloadPass:
    """Runs a step on every workload that the options select."""

    def __init__(self, objects: Sequence[Object], options: Options) -> None:
        self.manifests = ManifestSet(objects)
        self.options = options

    def run(
        self,
        step: Step,
        unable: Result = Result.REFUSED,
        no_port: Result = Result.WARNING,
        conclude: Callable[[], None] = lambda: None,
    ) -> Outcome:
        """Run the step on each workload, so that a rejected one does not keep the others from being handled.

        `conclude` is called at the end, and may complete the report.

        `unable` is the result of a workload that the step rejects. `no_port` is that of one without a TCP port whose
        pods run until they are stopped, as servers do: it probably has a port that is not declared.
        """
        for index, workload in self._selected():
            try:
                step(index, workload)
            except NotInjectableError as error:
                if error.reason is Reason.NO_PORT and not workload.ends:
                    self.manifests.report(index, no_port, f"no sidecar: {error.detail}; {_NAME_IT}")
                else:
                    result = Result.SKIPPED if error.reason in SKIPPED else unable
                    self.manifests.report(index, result, error.detail)
            except SettingsError as error:
                for problem in error.problems:
                    self.manifests.report(index, Result.REFUSED, problem)
        conclude()
        return self.manifests.outcome()

    def _selected(self) -> Iterator[tuple[int, Workload]]:
        for index, obj in enumerate(self.manifests.originals):
            workload = workload_of(obj)
            if workload is None or workload.kind.lower() in self.options.skipped_kinds:
                continue
            if selects(self.options.selector, section(obj, "metadata", "labels")):
                yield index, workload

    def inspect(self, index: int, workload: Workload) -> Inspection:
        """Return what has to be known before a workload is changed; raises NotInjectableError and SettingsError."""
        obj = self.manifests.originals[index]
        check_owner(obj)
        settings = self._settings_of(obj, workload)
        check(workload)
        selecting = self.manifests.services_of(workload)
        targets = [target for _, service in selecting for target in services.targets(service)]
        return Inspection(settings, selecting, find_port(workload.spec, settings, targets))

    def _settings_of(self, obj: Object, workload: Workload) -> Settings:
        """Apply the annotations of the namespace, and over them those of the pod template; raises SettingsError."""
        if workload.path:
            annotations = section(obj, "metadata", "annotations")
            misplaced = [name for name in annotations if name.startswith(names.PREFIX)]
            if misplaced:
                raise SettingsError([f"{name} must be an annotation of its pod template" for name in misplaced])
        settings = self.options.settings
        for other in self.manifests.originals:
            if other.get("kind") == "Namespace" and identity(other)[0] == workload.namespace:
                settings = with_annotations(settings, section(other, "metadata", "annotations"))
        return with_annotations(settings, section(workload.template, "metadata", "annotations"))


_NAME_IT: Final = f"name it with --port, or label pods that serve no requests {names.INJECT}: disabled"
