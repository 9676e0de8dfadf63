"""The pod of `helm test` sends requests to a running enforcer with the demo's configuration."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.kubernetes.charts import Object, Values, merged, objects, only, values
from harness.processes import enforcer
from harness.waiting import TIMEOUT


@contextmanager
def program(module: str) -> Iterator[str]:
    """Run the authorization server or the country app on a free port, and yield its address."""
    command = [sys.executable, "-m", module, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            match = re.search(r"listening on \S+ port (\d+)", process.stderr.readline())
            assert match is not None
            yield f"http://127.0.0.1:{match[1]}"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def addresses() -> Iterator[Mapping[str, str]]:
    """The addresses that replace the demo's Services."""
    with ExitStack() as running:
        yield {
            "http://authserver:8085": running.enter_context(program("authserver")),
            "http://country-app:8090": running.enter_context(program("country_app")),
        }


def replaced(text: str, addresses: Mapping[str, str]) -> str:
    """Replace addresses in the cluster by those on this machine."""
    for there, here in addresses.items():
        text = text.replace(there, here)
    return text


def run_helm_test(chart_values: Values, addresses: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run an enforcer with the configuration of these values, and the command of the test's pod."""
    things = objects(chart_values)
    secrets = {"/etc/enforcer-credentials": only(things, "Secret", "enforcer-credentials")}
    secrets["/etc/client"] = only(things, "Secret", "user-client")
    mounted = {path: str(mount(secret, folder)) for path, secret in secrets.items()}
    config = yaml.safe_load(only(things, "ConfigMap", "enforcer")["data"]["config.yaml"])
    config |= {"listener": {"address": "127.0.0.1:0"}, "admin": {"address": "127.0.0.1:0"}}
    (container,) = only(things, "Pod")["spec"]["containers"]
    with enforcer(replaced(json.dumps(config), {**addresses, **mounted})) as running:
        here = {**addresses, **mounted, "http://enforcer:80": f"http://127.0.0.1:{running.port}"}
        environment = {variable["name"]: replaced(variable["value"], here) for variable in container["env"]}
        command = [sys.executable, *container["command"][1:], *container["args"]]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False)


def mount(secret: Object, folder: Path) -> Path:
    """Write the values of a Secret to files, as a volume has them."""
    target = folder / str(secret["metadata"]["name"])
    target.mkdir()
    for name, value in secret["stringData"].items():
        (target / name).write_text(value, "utf-8")
    return target


def test_helm_test_sends_the_demo_requests(addresses: Mapping[str, str], tmp_path: Path) -> None:
    """401 without a token and with an invalid one, 200 with the scope, 403 without the scope or without a rule."""
    process = run_helm_test(values("demo"), addresses, tmp_path)
    assert (process.returncode, process.stderr) == (0, "")
    assert (
        process.stdout
        == """\
ok    GET /.well-known/enforcer-helm-test: 401 Bearer
ok    GET /.well-known/enforcer-helm-test with a token: 401 Bearer error="invalid_token"
ok    POST /.well-known/enforcer-helm-test: 403
ok    GET /ms-system/country/code/AUS: 401 Bearer
ok    GET /ms-system/country/code/AUS with scope country.read: 200
ok    GET /ms-system/country/code/AUS with scope profile: 403 Bearer error="insufficient_scope", scope="country.read"
ok    GET /elsewhere with scope country.read: 403
"""
    )


def test_helm_test_reports_an_enforcer_that_allows_too_much(addresses: Mapping[str, str], tmp_path: Path) -> None:
    """It exits with 1, and reports the request with the wrong response."""
    opened: dict[str, Any] = {"policy": {"rules": [{"name": "open", "path": "/ms-system/**", "public": True}]}}
    process = run_helm_test(merged(values("demo"), opened), addresses, tmp_path)
    assert process.returncode == 1
    assert "WRONG GET /ms-system/country/code/AUS: 200\n      expected 401 Bearer\n" in process.stdout


def test_helm_test_reports_a_missing_authorization_server(addresses: Mapping[str, str], tmp_path: Path) -> None:
    """503, although an invalid token should have been refused with 401."""
    alone = merged(
        values("demo"), {"introspection": {"url": "http://127.0.0.1:1/introspect"}, "tests": {"requests": []}}
    )
    process = run_helm_test(alone, addresses, tmp_path)
    assert process.returncode == 1
    assert "WRONG GET /.well-known/enforcer-helm-test with a token: 503\n" in process.stdout
