"""The sidecar is removed from a pod template, even if the template was edited since."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.manifests import container, deployment

from enforcer.kubernetes import names
from enforcer.kubernetes.inject.pod.pod_template import Context, Plan, inject
from enforcer.kubernetes.inject.pod.ports import Port
from enforcer.kubernetes.inject.pod.uninject import uninject
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.workloads import Workload, workload_of


def before(**more: Any) -> Workload:
    """Return a workload with a probe, arguments and a second container."""
    probe = {"httpGet": {"path": "/x", "port": "http", "httpHeaders": [{"name": "A", "value": "$(B) $$"}]}}
    workload = workload_of(deployment(container(livenessProbe=probe, args=["serve"], **more), {"name": "log"}))
    assert workload is not None
    return workload


def injected(workload: Workload, mode: Mode = Mode.PORT, native: bool = True) -> Any:
    settings = Settings(image="e:1", mode=mode, app_env={"HOST": "127.0.0.1"}, app_args=("--local",))
    port = Port("app", 8080, "http")
    context = Context(version=(1, 33), package="1", by="test")
    return inject(Plan(workload=workload, settings=settings, port=port, context=context, native=native)).template


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("native", [True, False])
def test_the_original_is_restored(mode: Mode, native: bool) -> None:
    """The original template is restored in every mode."""
    workload = before()
    assert uninject(injected(workload, mode, native)) == workload.template


@pytest.mark.parametrize("template", [{}, {"spec": {}}, {"metadata": {"annotations": {names.STATUS: "{"}}, "spec": {}}])
def test_a_template_that_was_not_injected_is_not_changed(template: Any) -> None:
    """A container called enforcer is not enough."""
    assert uninject(template) is None


@pytest.mark.parametrize("mode", Mode)
def test_later_edits_stay(mode: Mode) -> None:
    """As after `kubectl edit`: a new image, container, variable, volume, label and hook."""
    workload = before()
    template = injected(workload, mode)
    spec = template["spec"]
    spec["containers"][0]["image"] = "app:2"
    spec["containers"][0]["env"] = [*spec["containers"][0].get("env", []), {"name": "NEW", "value": "1"}]
    spec["containers"].insert(0, {"name": "new"})
    spec["initContainers"].append({"name": "first"})
    spec["volumes"].insert(0, {"name": "data"})
    spec["containers"][1]["lifecycle"]["postStart"] = {"exec": {}}
    template["metadata"]["labels"]["tier"] = "front"
    template["metadata"]["annotations"]["note"] = "x"
    result = uninject(template)
    assert result is not None
    assert result["metadata"] == {"labels": {"app": "app", "tier": "front"}, "annotations": {"note": "x"}}
    new, app, log = result["spec"]["containers"]
    assert (new, log["name"], app["image"]) == ({"name": "new"}, "log", "app:2")
    assert app["env"] == [{"name": "NEW", "value": "1"}]
    assert app["args"] == ["serve"]
    assert app["lifecycle"] == {"postStart": {"exec": {}}}
    assert app["livenessProbe"] == workload.template["spec"]["containers"][0]["livenessProbe"]
    assert (result["spec"]["initContainers"], result["spec"]["volumes"]) == ([{"name": "first"}], [{"name": "data"}])


def test_missing_parts_are_no_error() -> None:
    """Parts of the injection were removed by hand."""
    template = injected(before(), Mode.LOOPBACK)
    del template["spec"]["volumes"], template["spec"]["initContainers"], template["spec"]["containers"][0]["env"]
    del template["spec"]["containers"][0]["lifecycle"]
    result = uninject(template)
    assert result is not None
    assert "terminationGracePeriodSeconds" not in result["spec"]
    assert names.STATUS not in str(result)


@pytest.mark.parametrize("present", [None, [], [{"name": "other"}], [{"name": "registry"}]])
def test_the_secret_for_the_image_is_added_and_removed(present: list[dict[str, str]] | None) -> None:
    """A pod that has it already keeps it."""
    workload = before()
    if present is not None:
        workload.spec["imagePullSecrets"] = present
    settings = Settings(image="e:1", image_pull_secret="registry")
    context = Context(version=(1, 33), package="1", by="test")
    plan = Plan(workload=workload, settings=settings, port=Port("app", 8080, "http"), context=context, native=True)
    template = inject(plan).template
    assert template["spec"]["imagePullSecrets"].count({"name": "registry"}) == 1
    assert uninject(template) == workload.template
