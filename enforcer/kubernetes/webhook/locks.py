"""Locks of a platform team: the annotations that pods may not use, because app teams write them.

1. The annotations of a namespace are not locked: they belong to the people who manage the cluster.
2. A locked annotation that changes nothing is allowed: manifests that `enforcer inject` wrote repeat the defaults.
3. Report mode is never chosen by a pod's annotation, because it turns the protection off; a policy may set it, unless
   the platform forbids it altogether.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from enforcer.kubernetes import names
from enforcer.kubernetes.annotations import Status
from enforcer.kubernetes.carried_options import with_carried
from enforcer.kubernetes.settings import ANNOTATIONS, Settings, SettingsError, with_annotations

ALLOWED: Final = frozenset(ANNOTATIONS) - {"image", "image-pull-policy", "container-patch"}
"""Annotations that pods may use by default: all but those that replace the enforcer by another program."""
_WITHOUT_TOKEN: Final = "scrape"  # noqa: S105 - an option


def with_pod_annotations(settings: Settings, annotations: Mapping[str, Any], allowed: frozenset[str]) -> Settings:
    """Apply the annotations of a pod to the settings of its namespace; raises SettingsError, also for locked ones."""
    changed = with_annotations(settings, annotations)
    if problems := [*_locked(settings, annotations, allowed), *_reports(settings, changed)]:
        raise SettingsError(problems)
    return changed


def with_former_options(settings: Settings, status: Status | None, allowed: frozenset[str]) -> Settings:
    """Apply the options of a former injection to the settings of the pod's namespace; raises SettingsError.

    Locked ones are left out: pods can have any status, and what the platform sets applies. If the platform locks more
    than the default, so is the option that serves a path of the app without a token, which is not an annotation.
    """
    locked = {name for name in ANNOTATIONS if name not in allowed}
    if not allowed >= ALLOWED:
        locked.add(_WITHOUT_TOKEN)
    changed = with_carried(settings, status, locked)
    if problems := [*_reports(settings, changed)]:
        raise SettingsError(problems)
    return changed


def _locked(settings: Settings, annotations: Mapping[str, Any], allowed: frozenset[str]) -> Iterator[str]:
    for name in ANNOTATIONS:
        key = f"{names.PREFIX}{name}"
        if (
            key in annotations
            and name not in allowed
            and with_annotations(settings, {key: annotations[key]}) != settings
        ):
            yield f"{key}: pods may not set it; the platform forbids it (injector.allowedAnnotations of the chart)"


def _reports(settings: Settings, changed: Settings) -> Iterator[str]:
    if not sets_report_mode(changed.config):
        return
    if not changed.allow_report_mode:
        yield f"{names.PREFIX}config: the platform forbids report mode (sidecar.allowReportMode of the chart)"
    elif changed.config != settings.config:
        yield f"{names.PREFIX}config: pods may not set report mode; the policy may"


def sets_report_mode(config: Mapping[str, str]) -> bool:
    """Return whether settings, by dotted key and as JSON, set `mode: report` for anything."""
    return any(_contains_report({key.rpartition(".")[2]: json.loads(value)}) for key, value in config.items())


def _contains_report(value: Any) -> bool:
    if isinstance(value, dict):
        return value.get("mode") == "report" or any(map(_contains_report, value.values()))
    return isinstance(value, list) and any(map(_contains_report, value))
