"""The objects of one run: what each has become so far, and the report of it.

Objects keep their index. A new object carries the index of the workload that it belongs to, so that it can be written
beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from enforcer.kubernetes.annotations import is_ours
from enforcer.kubernetes.inject.objects import services
from enforcer.kubernetes.inject.report import Line, Result, called
from enforcer.kubernetes.workloads import Workload
from enforcer.yamltext.objects import Object, identity


@dataclass(frozen=True, slots=True)
class Outcome:
    """The objects at their indexes, None if removed; the new ones, with their workload's index; and the report."""

    objects: tuple[Object | None, ...]
    added: tuple[tuple[int, Object], ...]
    report: tuple[Line, ...]

    def has(self, *results: Result) -> bool:
        """Return whether the report has a line with one of these results."""
        return any(line.result in results for line in self.report)


class ManifestSet:
    """Collects the changes to a set of objects. `originals` is never changed; `current` starts equal to it."""

    def __init__(self, originals: Sequence[Object]) -> None:
        self.originals = originals
        self.current: list[Object | None] = list(originals)
        self._added: list[tuple[int, Object]] = []
        indexed = [(index, obj) for index, obj in enumerate(originals) if services.is_service(obj)]
        self._services = [(index, services.given_back(service) or service) for index, service in indexed]
        self._namespaces = {namespace for obj in originals if (namespace := identity(obj)[1]) is not None}
        self._lines: list[tuple[int, Line]] = []

    def attempt(self, step: Callable[[], None]) -> None:
        """Run a step. If it raises, nothing of what it changed and reported remains."""
        current, added, lines = list(self.current), list(self._added), list(self._lines)
        try:
            step()
        except Exception:
            self.current, self._added, self._lines = current, added, lines
            raise

    def report(self, index: int, result: Result, detail: str = "", name: str | None = None) -> None:
        """Report on the object at an index, or on another object that is listed with it; repeated lines are dropped."""
        obj = self.originals[index]
        line = Line(name or called(obj), result, detail, identity(obj)[1])
        if line not in (reported for _, reported in self._lines):
            self._lines.append((index, line))

    def extend(self, index: int, result: Result, detail: str) -> None:
        """Extend the detail of the line that reports this result for the object at an index."""
        name = called(self.originals[index])
        for place, (reported, line) in enumerate(self._lines):
            if (reported, line.name, line.result) == (index, name, result):
                self._lines[place] = index, replace(line, detail=f"{line.detail}, {detail}")

    def objects_after(self) -> list[Object]:
        """Return all objects as they are now: at their indexes, empty if removed; then the new ones."""
        return [*(obj or {} for obj in self.current), *(obj for _, obj in self._added)]

    def change(self, index: int, obj: Object, detail: str = "", result: Result = Result.CHANGED) -> None:
        """Change the object at an index, and report it."""
        self.current[index] = obj
        self.report(index, result, detail)

    def remove(self, index: int) -> None:
        """Remove the object at an index, which an earlier injection created, and report it."""
        self.current[index] = None
        self.report(index, Result.REMOVED, "from the manifests only; remove it from the cluster with kubectl delete")

    def outcome(self) -> Outcome:
        """Return the result; objects without a line in the report are reported as unchanged."""
        reported = {(line.name, line.namespace) for _, line in self._lines}
        for index, obj in enumerate(self.originals):
            if obj.get("kind") and (called(obj), identity(obj)[1]) not in reported:
                self.report(index, Result.UNCHANGED)
        report = [line for _, line in sorted(self._lines, key=lambda entry: entry[0])]
        return Outcome(tuple(self.current), tuple(self._added), tuple(report))

    def services_of(self, workload: Workload) -> list[tuple[int, Object]]:
        """Return the Services that select a workload's pods, with their indexes, as they were before any injection."""
        return [(index, service) for index, service in self._services if self.selects(service, workload)]

    def selects(self, service: Object, workload: Workload) -> bool:
        """Return whether a Service selects a workload's pods.

        An object without a namespace may be in any, but if the others are in several, it is in none of them.
        """
        if len(self._namespaces) > 1 and identity(service)[1] != workload.namespace:
            return False
        return services.selects_pods_of(service, workload)

    def find_ours(self, kind: str, name: str, namespace: str | None) -> list[int]:
        """Return the indexes of the objects of that kind and name that an earlier injection created."""
        return [
            index
            for index, obj in enumerate(self.originals)
            if is_ours(obj) and obj.get("kind") == kind and identity(obj) == (name, namespace)
        ]

    def put(self, index: int, obj: Object) -> None:
        """Add an object for the workload at an index; it replaces the one that an earlier injection created."""
        for former in self.find_ours(obj["kind"], *identity(obj))[:1]:
            self.current[former] = obj
            self.report(former, Result.UNCHANGED if obj == self.originals[former] else Result.CHANGED)
            return
        if obj not in (added for _, added in self._added):
            self._added.append((index, obj))
            self.report(index, Result.ADDED, name=called(obj))
