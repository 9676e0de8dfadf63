"""Runs of the injector, for tests: options, and what a run's outcome says."""

from __future__ import annotations

from typing import Any

from enforcer.kubernetes import names
from enforcer.kubernetes.inject.manifest_set import Outcome
from enforcer.kubernetes.inject.report import Result
from enforcer.kubernetes.inject.workload_pass import Options
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.sidecar import Mode
from harness.kubernetes.manifests import template

_RUN_OPTIONS = {"force_service", "fix_hpa", "selector", "skipped_kinds", "version"}


def options(mode: Mode = Mode.PORT, policy: Any = None, **more: Any) -> Options:
    """Make the options of a run; keywords that are not options of the run are settings of the sidecar."""
    run = {"version": (1, 33), **{name: value for name, value in more.items() if name in _RUN_OPTIONS}}
    sidecar = {name: value for name, value in more.items() if name not in _RUN_OPTIONS}
    settings = Settings(**{"image": "e:1", "mode": mode, **sidecar})
    return Options(settings=settings, package="1", by="test", policy=policy, **run)


def labelled(workload: Any, value: str) -> Any:
    """Set the label enforcer.dev/inject of a workload's pods."""
    template(workload)["metadata"]["labels"] = {"app": "app", names.INJECT: value}
    return workload


def results(outcome: Outcome) -> list[tuple[str, str]]:
    """Return the object and the result of each line of the report, without notes."""
    return [(line.name, line.result.value) for line in outcome.report if line.result is not Result.NOTE]


def objects_after(outcome: Outcome) -> list[Any]:
    """Return the remaining objects, followed by the added ones."""
    return [thing for thing in outcome.objects if thing is not None] + [thing for _, thing in outcome.added]
