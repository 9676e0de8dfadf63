"""The demo's configuration in a running enforcer, and the pod of `helm test` that asks it."""

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

PATIENCE = 30.0


@contextmanager
def program(module: str) -> Iterator[str]:
    """Run the authorization server or the country app on a free port, and yield its address."""
    command = [sys.executable, "-m", module, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            found = re.search(r"listening on \S+ port (\d+)", process.stderr.readline())
            assert found is not None
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def places() -> Iterator[Mapping[str, str]]:
    """The addresses that replace the demo's Services."""
    with ExitStack() as running:
        yield {
            "http://authserver:8085": running.enter_context(program("authserver")),
            "http://country-app:8090": running.enter_context(program("country_app")),
        }


def moved(text: str, places: Mapping[str, str]) -> str:
    """Put places on this machine in for those in a cluster."""
    for there, here in places.items():
        text = text.replace(there, here)
    return text


def ask(changed: Values, places: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run an enforcer by the values, and then what the pod of the test runs."""
    things = objects(changed)
    secrets = {"/etc/enforcer-credentials": only(things, "Secret", "enforcer-credentials")}
    secrets["/etc/client"] = only(things, "Secret", "user-client")
    mounted = {there: str(mount(secret, folder)) for there, secret in secrets.items()}
    config = yaml.safe_load(only(things, "ConfigMap", "enforcer")["data"]["config.yaml"])
    config |= {"listener": {"address": "127.0.0.1:0"}, "admin": {"address": "127.0.0.1:0"}}
    (container,) = only(things, "Pod")["spec"]["containers"]
    with enforcer(moved(json.dumps(config), {**places, **mounted})) as running:
        here = {**places, **mounted, "http://enforcer:80": f"http://127.0.0.1:{running.port}"}
        environment = {found["name"]: moved(found["value"], here) for found in container["env"]}
        command = [sys.executable, *container["command"][1:], *container["args"]]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)


def mount(secret: Object, folder: Path) -> Path:
    """Lay a Secret's values in files, as a volume does."""
    place = folder / str(secret["metadata"]["name"])
    place.mkdir()
    for name, value in secret["stringData"].items():
        (place / name).write_text(value, "utf-8")
    return place


def test_helm_test_plays_the_walk(places: Mapping[str, str], tmp_path: Path) -> None:
    """401 without a token and with one that is made up, 200 with the scope, 403 without it and where no rule is."""
    ended = ask(values("demo"), places, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (
        ended.stdout
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


def test_helm_test_tells_of_an_enforcer_that_lets_too_much_through(places: Mapping[str, str], tmp_path: Path) -> None:
    """It ends with 1, and says which request was answered wrongly."""
    opened: dict[str, Any] = {"policy": {"rules": [{"name": "open", "path": "/ms-system/**", "public": True}]}}
    ended = ask(merged(values("demo"), opened), places, tmp_path)
    assert ended.returncode == 1
    assert "WRONG GET /ms-system/country/code/AUS: 200\n      expected 401 Bearer\n" in ended.stdout


def test_helm_test_tells_of_an_auth_server_that_is_not_there(places: Mapping[str, str], tmp_path: Path) -> None:
    """503, where a made-up token should have been refused."""
    alone = merged(
        values("demo"), {"introspection": {"url": "http://127.0.0.1:1/introspect"}, "tests": {"requests": []}}
    )
    ended = ask(alone, places, tmp_path)
    assert ended.returncode == 1
    assert "WRONG GET /.well-known/enforcer-helm-test with a token: 503\n" in ended.stdout
