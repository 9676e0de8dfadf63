"""The Job that checks the configuration before an installation or an upgrade."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from harness.kubernetes.charts import CI, Object, Values, merged, objects, only, values

from enforcer.cli import main

HOOK = "helm.sh/hook"
GATEWAYS = [name for name in CI if values(name).get("mode") != "injector" and not values(name).get("existingConfigMap")]


def job(things: list[Object]) -> Object:
    return only(things, "Job", next(thing["metadata"]["name"] for thing in things if thing["kind"] == "Job"))


def run(chart_values: Values, folder: Path) -> Result:
    """Run the Job's command with the ConfigMap that it mounts, and nothing else."""
    things = objects(chart_values)
    (container,) = job(things)["spec"]["template"]["spec"]["containers"]
    config = only(things, "ConfigMap", job(things)["metadata"]["name"])["data"]["config.yaml"]
    rules = folder / "rules"
    rules.mkdir(exist_ok=True)
    (rules / "more.yaml").write_text("rules: [{name: more, path: /more, public: true}]")
    (folder / "config.yaml").write_text(config.replace("/etc/enforcer-rules", str(rules)))
    assert container["command"] == ["enforcer"]
    return CliRunner().invoke(main, [text.replace("/etc/enforcer/", f"{folder}/") for text in container["args"]])


@pytest.mark.parametrize("name", GATEWAYS)
def test_the_check_passes_before_anything_exists(name: str, tmp_path: Path) -> None:
    """It has the configuration that the enforcer will have, and needs no Secret and no certificate."""
    things = objects(values(name))
    check = job(things)
    mounted = {
        kind: volume[kind].get("name")
        for volume in check["spec"]["template"]["spec"]["volumes"]
        for kind in volume
        if kind != "name"
    }
    assert mounted["configMap"] in {check["metadata"]["name"], "app-rules"}
    assert mounted.keys() == {"configMap"}
    fullname = check["metadata"]["name"].removesuffix("-check")
    copy, installed = (only(things, "ConfigMap", each)["data"] for each in (check["metadata"]["name"], fullname))
    assert copy == installed
    result = run(values(name), tmp_path)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"name": "a", "path": "/a/{id}-{no}", "public": True}, "at most one {name}"),
        ({"name": "a", "path": "/a"}, "allows nobody"),
        ({"name": "a", "path": "/a", "claims": {"tenant": "{id}"}}, "neither path nor host has {id}"),
    ],
)
def test_an_invalid_policy_fails_the_check(rule: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Also with errors that the schema of the values cannot express."""
    result = run(merged(values("minimal"), {"policy": {"rules": [rule]}}), tmp_path)
    assert result.exit_code == 2
    assert message in result.output


def test_the_check_runs_before_the_installation() -> None:
    """First its ConfigMap, then the Job, which is not repeated and stays for its log if it fails."""
    things = objects(values("minimal"))
    hooks = {
        thing["kind"]: thing["metadata"]["annotations"] for thing in things if "check" in thing["metadata"]["name"]
    }
    assert {annotations[HOOK] for annotations in hooks.values()} == {"pre-install,pre-upgrade"}
    assert {annotations[f"{HOOK}-delete-policy"] for annotations in hooks.values()} == {
        "before-hook-creation,hook-succeeded"
    }
    assert int(hooks["ConfigMap"][f"{HOOK}-weight"]) < int(hooks["Job"].get(f"{HOOK}-weight", 0))
    assert job(things)["spec"]["backoffLimit"] == 0


@pytest.mark.parametrize("name", ["existing", "rules"])
def test_config_maps_of_others_are_checked_before_upgrades(name: str) -> None:
    """They may be part of the same installation, and then do not exist yet; the check would wait for them."""
    check = job(objects(values(name)))
    assert check["metadata"]["annotations"][HOOK] == "pre-upgrade"
    volumes = check["spec"]["template"]["spec"]["volumes"]
    expected = {"existing": ["enforcer-policy"], "rules": ["enforcer-check", "app-rules"]}[name]
    assert [volume["configMap"]["name"] for volume in volumes] == expected


def test_no_mesh_and_no_injector_adds_a_container_to_the_check() -> None:
    """It would keep the Job from completing."""
    metadata = job(objects(values("minimal")))["spec"]["template"]["metadata"]
    assert metadata["labels"]["sidecar.istio.io/inject"] == "false"
    assert metadata["labels"]["enforcer.dev/inject"] == "disabled"
    assert metadata["annotations"]["linkerd.io/inject"] == "disabled"
