"""The sidecar out of a pod's template again, when others have changed it since."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.manifests import container, deployment

from enforcer.kubernetes import names
from enforcer.kubernetes.inject.pod.pod_template import Plan, inject, make_sidecar
from enforcer.kubernetes.inject.pod.ports import Port
from enforcer.kubernetes.inject.pod.uninject import uninject
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.workloads import Workload, workload_of


def before(**more: Any) -> Workload:
    probe = {"httpGet": {"path": "/x", "port": "http", "httpHeaders": [{"name": "A", "value": "$(B) $$"}]}}
    found = workload_of(deployment(container(livenessProbe=probe, args=["serve"], **more), {"name": "log"}))
    assert found is not None
    return found


def injected(workload: Workload, mode: Mode = Mode.PORT, native: bool = True) -> Any:
    settings = Settings(image="e:1", mode=mode, app_env={"HOST": "127.0.0.1"}, app_args=("--local",))
    port = Port("app", 8080, "http")
    plan = Plan(settings=settings, port=port, version=(1, 33), native=native, package="1", by="test")
    return inject(workload.template, make_sidecar(workload, plan), plan)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("native", [True, False])
def test_nothing_is_left(mode: Mode, native: bool) -> None:
    """Nor missing, in any mode."""
    workload = before()
    assert uninject(injected(workload, mode, native)) == workload.template


@pytest.mark.parametrize("template", [{}, {"spec": {}}, {"metadata": {"annotations": {names.STATUS: "{"}}, "spec": {}}])
def test_what_was_not_injected_is_none_of_its_business(template: Any) -> None:
    """A container with the name is not enough."""
    assert uninject(template) is None


@pytest.mark.parametrize("mode", Mode)
def test_what_others_changed_since_stays(mode: Mode) -> None:
    """As after `kubectl edit`: another image, another container, another variable, a port, a hook of their own."""
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


def test_what_is_gone_already_is_not_missed() -> None:
    """Somebody took out half of it by hand."""
    template = injected(before(), Mode.LOOPBACK)
    del template["spec"]["volumes"], template["spec"]["initContainers"], template["spec"]["containers"][0]["env"]
    del template["spec"]["containers"][0]["lifecycle"]
    result = uninject(template)
    assert result is not None
    assert "terminationGracePeriodSeconds" not in result["spec"]
    assert names.STATUS not in str(result)
