"""The objects of one run: what each has become so far, and the report of it.

Objects keep their index. A new object carries the index of the workload that it belongs to, so that it can be written
beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from enforcer.kubernetes.annotations import is_ours
from enforcer.kubernetes.inject import services
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
        self._lines: list[tuple[int, Line]] = []

    def report(self, index: int, result: Result, detail: str = "", thing: str | None = None) -> None:
        """Report on the object at an index, or on another object that is listed with it; repeated lines are dropped."""
        line = Line(thing or called(self.originals[index]), result, detail)
        if line not in (reported for _, reported in self._lines):
            self._lines.append((index, line))

    def outcome(self) -> Outcome:
        """Return the result; objects without a line in the report are reported as unchanged."""
        reported = {line.thing for _, line in self._lines}
        for index, thing in enumerate(self.originals):
            if thing.get("kind") and called(thing) not in reported:
                self.report(index, Result.UNCHANGED)
        report = [line for _, line in sorted(self._lines, key=lambda entry: entry[0])]
        return Outcome(tuple(self.current), tuple(self._added), tuple(report))

    def services_of(self, workload: Workload) -> list[tuple[int, Object]]:
        """Return the Services that select a workload's pods, with their indexes, as they were before any injection."""
        indexed = [(index, thing) for index, thing in enumerate(self.originals) if services.is_service(thing)]
        restored = [(index, services.given_back(service) or service) for index, service in indexed]
        return [(index, service) for index, service in restored if services.leads_to(service, workload)]

    def find_ours(self, kind: str, name: str, namespace: str | None) -> list[int]:
        """Return the indexes of the objects of that kind and name that an earlier injection created."""
        return [
            index
            for index, thing in enumerate(self.originals)
            if is_ours(thing) and thing.get("kind") == kind and identity(thing) == (name, namespace)
        ]

    def put(self, index: int, thing: Object) -> None:
        """Add an object for the workload at an index; it replaces the one that an earlier injection created."""
        for former in self.find_ours(thing["kind"], *identity(thing))[:1]:
            self.current[former] = thing
            self.report(former, Result.UNCHANGED if thing == self.originals[former] else Result.CHANGED)
            return
        if thing not in (added for _, added in self._added):
            self._added.append((index, thing))
            self.report(index, Result.ADDED, thing=called(thing))
