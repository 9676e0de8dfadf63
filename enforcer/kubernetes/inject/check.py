"""`enforcer inject --check`: reports for every selected workload whether it is injected and protected; changes nothing.

Neither a name nor an annotation proves a sidecar. The manifests are injected again, and must be what that writes; and a
verification of the manifests themselves must find the bypass closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from enforcer.kubernetes.annotations import Status
from enforcer.kubernetes.inject.bypass_report import bypass, bypass_lines
from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.inject.manifest_set import Outcome
from enforcer.kubernetes.inject.report import Result, called
from enforcer.kubernetes.inject.workload_pass import Options, WorkloadPass
from enforcer.kubernetes.verify.enforcers import has_enforcer, repository
from enforcer.kubernetes.verify.object_set import Assumptions
from enforcer.kubernetes.verify.verdicts import verify
from enforcer.kubernetes.workloads import Workload
from enforcer.yamltext.objects import Object


def check_all(objects: Sequence[Object], options: Options) -> Outcome:
    """Check every workload that the options select."""
    workloads = WorkloadPass(objects, options)
    check = _Check(workloads)
    return workloads.run(check.check, unable=Result.MISSING, conclude=check.conclude)


class _Check:
    """The step that checks one workload. Only the image that the options name is trusted, not that of an annotation."""

    def __init__(self, workloads: WorkloadPass) -> None:
        self._workloads = workloads
        self._manifests = workloads.manifests
        self._options = workloads.options
        images = frozenset({repository(self._options.settings.image)})
        assumptions = Assumptions(images=images, oldest=self._options.version)
        self._findings = {finding.index: finding for finding in verify(self._manifests.originals, assumptions)}
        self._again = inject_all(self._manifests.originals, self._options)
        self._current = False
        """True if a workload was injected by this version, so that the objects around it can be compared."""

    def check(self, index: int, workload: Workload) -> None:
        """Check the workload at an index; raises NotInjectableError and SettingsError if it is not injected."""
        status = self._workloads.status(index)
        if status is None and not has_enforcer(workload.spec, self._options.settings.image):
            self._workloads.inspect(index, workload)
            self._manifests.report(index, Result.MISSING, "no sidecar: `enforcer inject`")
            return
        finding = self._findings[index]
        state = bypass(finding)
        # Only an option of this run may leave the bypass open on purpose.
        is_accepted = self._options.settings.network_policy is False
        is_missing = state == "bypass open" and not is_accepted
        self._manifests.report(index, Result.MISSING if is_missing else Result.INJECTED, f"{_by(status)}, {state}")
        for result, detail in bypass_lines(finding):
            self._manifests.report(index, result, detail)
        if status is not None and status.version == self._options.package:
            self._current = True
            self._compare(index)

    def conclude(self) -> None:
        """Compare the other objects with those of an injection, and report the ones that are missing."""
        if not self._current:
            return
        for index in range(len(self._manifests.originals)):
            if index not in self._findings:
                self._compare(index)
        for index, obj in self._again.added:
            self._manifests.report(index, Result.MISSING, "`enforcer inject` adds it", called(obj))

    def _compare(self, index: int) -> None:
        original, expected = self._manifests.originals[index], self._again.objects[index]
        if expected is not None and (places := [*_differences(expected, original, "")]):
            shown = ", ".join(places[:3]) + (", …" if len(places) > 3 else "")
            self._manifests.report(index, Result.MISSING, f"it is not as `enforcer inject` writes it: {shown}")


def _by(status: Status | None) -> str:
    return "with the enforcer" if status is None else f"by version {status.version}, mode {status.mode}"


def _differences(expected: Any, actual: Any, path: str) -> Iterator[str]:
    """Yield the paths of values that are not as expected; an API server adds defaults, so mappings may have more."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key, value in expected.items():
            yield from _differences(value, actual.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for number, (value, other) in enumerate(zip(expected, actual, strict=True)):
            yield from _differences(value, other, f"{path}[{number}]")
    elif expected != actual:
        yield path
