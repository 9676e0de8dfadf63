"""Objects that belong together, as they stand in files: what is wanted of them, and what becomes of them.

Objects keep their places; new ones are told with the place of the workload that they are for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from enforcer.kubernetes import names, scaling
from enforcer.kubernetes import services as leading
from enforcer.kubernetes.marks import is_ours
from enforcer.kubernetes.pods import Version
from enforcer.kubernetes.report import Line, Result, called
from enforcer.kubernetes.selectors import selects
from enforcer.kubernetes.settings import Settings, SettingsError, with_annotations
from enforcer.kubernetes.undo import uninject
from enforcer.kubernetes.workloads import (
    SKIPPED,
    NotInjectableError,
    Object,
    Reason,
    Workload,
    identity,
    section,
    with_template,
    workload_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is wanted of all workloads; `policy` is one that is put into a ConfigMap: texts by the names of files."""

    settings: Settings
    version: Version
    """Of Kubernetes."""
    package: str
    """The enforcer's own version."""
    by: str
    """Who injects."""
    policy: Mapping[str, str] | None = None
    force_service: bool = False
    fix_hpa: bool = False
    selector: Object = field(default_factory=dict)
    skipped_kinds: frozenset[str] = frozenset()
    """In small letters."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The objects, each at its place, None where one is to go; new ones with the place of their workload; a report."""

    objects: tuple[Object | None, ...]
    added: tuple[tuple[int, Object], ...]
    report: tuple[Line, ...]

    def has(self, *results: Result) -> bool:
        """Tell whether the report says one of these of an object."""
        return any(line.result in results for line in self.report)


class Session:
    """Objects on their way: what each has become, and what is said of it."""

    def __init__(self, things: Sequence[Object]) -> None:
        self.things = things
        self.now: list[Object | None] = list(things)
        self.added: list[tuple[int, Object]] = []
        self._lines: list[tuple[int, Line]] = []

    def say(self, at: int, result: Result, detail: str = "", thing: str | None = None) -> None:
        """Report of the object at a place, or of another with it."""
        line = Line(thing or called(self.things[at]), result, detail)
        if line not in (told for _, told in self._lines):
            self._lines.append((at, line))

    def outcome(self) -> Outcome:
        """Return what has become of all."""
        told = {line.thing for _, line in self._lines}
        for at, thing in enumerate(self.things):
            if thing.get("kind") and called(thing) not in told:
                self.say(at, Result.UNCHANGED)
        report = [line for _, line in sorted(self._lines, key=lambda one: one[0])]
        return Outcome(tuple(self.now), tuple(self.added), tuple(report))

    def services_of(self, workload: Workload) -> list[tuple[int, Object]]:
        """Return the Services that lead to a workload as they were before anything was done, with their places."""
        services = [(at, thing) for at, thing in enumerate(self.things) if leading.is_service(thing)]
        restored = [(at, leading.given_back(service) or service) for at, service in services]
        return [(at, service) for at, service in restored if leading.leads_to(service, workload)]


class Wanting(Session):
    """What is done with those workloads that the options mean, as far as it can be."""

    unable: ClassVar[Result] = Result.REFUSED
    """What becomes of one that was meant to be injected, and cannot be."""
    unclear: ClassVar[Result] = Result.WARNING
    """What becomes of one that names no port, and runs for as long as something that serves would."""

    def __init__(self, things: Sequence[Object], options: Options) -> None:
        super().__init__(things)
        self.options = options

    def meant(self) -> Iterator[tuple[int, Workload]]:
        """Give the workloads that are meant, with their places."""
        for at, thing in enumerate(self.things):
            workload = workload_of(thing)
            if workload is None or workload.kind.lower() in self.options.skipped_kinds:
                continue
            if selects(self.options.selector, section(thing, "metadata", "labels")):
                yield at, workload

    def each(self) -> Outcome:
        """Do it with one after the other, and say so where it cannot be done."""
        for at, workload in self.meant():
            try:
                self.one(at, workload)
            except NotInjectableError as error:
                if error.reason is Reason.NO_PORT and not workload.ends:
                    self.say(at, self.unclear, f"no sidecar: {error.detail}; {_NAME_IT}")
                else:
                    self.say(at, Result.SKIPPED if error.reason in SKIPPED else self.unable, error.detail)
            except SettingsError as error:
                for problem in error.problems:
                    self.say(at, Result.REFUSED, problem)
        return self.outcome()

    def one(self, at: int, workload: Workload) -> None:
        """Do it with one; raises NotInjectableError and SettingsError."""
        raise NotImplementedError

    def settings_of(self, thing: Object, workload: Workload) -> Settings:
        """Return what is wanted of one: its namespace may say it, and its pods' template; raises SettingsError."""
        if workload.path:
            misplaced = [name for name in section(thing, "metadata", "annotations") if name.startswith(names.PREFIX)]
            if misplaced:
                raise SettingsError([f"{name} belongs to the template of its pods" for name in misplaced])
        settings = self.options.settings
        for other in self.things:
            if other.get("kind") == "Namespace" and identity(other)[0] == workload.namespace:
                settings = with_annotations(settings, section(other, "metadata", "annotations"))
        return with_annotations(settings, section(workload.template, "metadata", "annotations"))


_NAME_IT: Final = f"name it with --port, or label pods that serve nothing {names.INJECT}: disabled"


def uninject_all(things: Sequence[Object]) -> Outcome:
    """Take everything back that was done."""
    session = Session(things)
    for at, thing in enumerate(things):
        workload = workload_of(thing)
        if is_ours(thing):
            session.now[at] = None
            session.say(at, Result.REMOVED, "not from the cluster: kubectl delete")
        elif workload is not None and (template := uninject(workload.template)) is not None:
            session.now[at] = with_template(thing, workload.path, template)
            session.say(at, Result.UNINJECTED)
        elif leading.is_service(thing) and (service := leading.given_back(thing)) is not None:
            session.now[at] = service
            session.say(at, Result.CHANGED, "targetPort is what it was before")
        elif (scaler := scaling.given_back(thing)) is not None:
            session.now[at] = scaler
            session.say(at, Result.CHANGED, "its metrics are what they were before")
    return session.outcome()
