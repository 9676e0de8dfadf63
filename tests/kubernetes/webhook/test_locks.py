"""The annotations that pods may not use."""

from __future__ import annotations

import json

import pytest

from enforcer.kubernetes.annotations import Status
from enforcer.kubernetes.settings import ANNOTATIONS, Settings, SettingsError, with_annotations
from enforcer.kubernetes.webhook.locks import ALLOWED, sets_report_mode, with_former_options, with_pod_annotations

DEFAULTS = Settings(image="token-enforcer:1")
REPORT = "{mode: report}"


def problems(settings: Settings = DEFAULTS, allowed: frozenset[str] = ALLOWED, **annotations: str) -> tuple[str, ...]:
    """Return the problems of a pod's annotations, written with `_` for `-`."""
    written = {f"enforcer.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    try:
        with_pod_annotations(settings, written, allowed)
    except SettingsError as error:
        return error.problems
    return ()


def test_by_default_pods_choose_neither_the_program_nor_its_container() -> None:
    """Everything else concerns only their own app. A new annotation must be put on one of the two lists."""
    assert ANNOTATIONS.keys() - ALLOWED == {"image", "image-pull-policy", "container-patch"}
    patch = json.dumps([{"op": "replace", "path": "/image", "value": "nginx"}])
    (image, patched) = problems(image="nginx", container_patch=patch, mode="loopback", policy="mine")
    assert image.startswith("enforcer.dev/image: pods may not set it; the platform forbids it")
    assert patched.startswith("enforcer.dev/container-patch: pods may not set it")


def test_a_locked_annotation_that_changes_nothing_is_allowed() -> None:
    """Manifests that `enforcer inject` wrote repeat the settings, also those of the namespace."""
    assert problems(image="token-enforcer:1") == ()
    namespace = with_annotations(DEFAULTS, {"enforcer.dev/image": "mirror/token-enforcer:1"})
    assert problems(namespace, image="mirror/token-enforcer:1") == ()
    assert problems(namespace, image="token-enforcer:1") != ()


def test_the_platform_chooses_the_allowed_annotations() -> None:
    """Also none."""
    assert problems(allowed=ALLOWED | {"image"}, image="nginx") == ()
    assert len(problems(allowed=frozenset(), policy="mine", log_level="debug")) == 2


def test_a_status_opens_a_path_only_with_the_default_locks() -> None:
    """Pods can have any status; this option serves a path of the app without a token, and is not an annotation."""
    options = {"scrape": "passthrough", "app-arg": '["--quiet"]', "policy": "mine"}
    status = Status(version="1", hash="", mode="port", container="app", port=8080, options=options)
    assert with_former_options(DEFAULTS, status, ALLOWED).scrape_passthrough
    locked = with_former_options(DEFAULTS, status, ALLOWED - {"policy"})
    assert (locked.scrape_passthrough, locked.policy, locked.app_args) == (False, None, ("--quiet",))


@pytest.mark.parametrize(
    "config",
    [
        REPORT,
        "rule_defaults: {mode: report}",
        "rules: [{name: all, path: /**, mode: 'report'}]",
        "rules: {'0': {mode: report}}",
        '{"mode": "rep\\u006frt"}',
    ],
)
def test_a_pod_never_chooses_report_mode(config: str) -> None:
    """Wherever its inline settings have it. Those of the namespace may, unless the platform forbids report mode."""
    assert problems(config=config) == ("enforcer.dev/config: pods may not set report mode; the policy may",)
    namespace = with_annotations(DEFAULTS, {"enforcer.dev/config": config})
    assert problems(namespace) == problems(namespace, config=config) == ()
    strict = with_annotations(Settings(image="e:1", allow_report_mode=False), {"enforcer.dev/config": config})
    assert "the platform forbids report mode (sidecar.allowReportMode of the chart)" in problems(strict)[0]


def test_other_settings_are_not_report_mode() -> None:
    """A name, a claim or a path may be called so."""
    others = {"rules": '[{"name": "report", "path": "/mode", "claims": {"kind": "report"}}]', "log.format": '"json"'}
    assert not sets_report_mode(others)
    assert not sets_report_mode({"mode": '"enforce"'})
