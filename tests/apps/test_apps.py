"""Real apps with their real clients: what a client sees straight, and through the enforcer, is the same.

`make apps` installs and runs them. docs/apps.md has the settings of each, and the results.
"""

from __future__ import annotations

import os
import subprocess
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import pytest
import yaml
from harness.configs import config
from harness.issuers import Issuer, running_issuer
from harness.ports import listens, unused_ports
from harness.processes import enforcer
from harness.waiting import TIMEOUT, eventually

pytestmark = pytest.mark.skipif("APPS" not in os.environ, reason="run by `make apps`")

HERE = Path(__file__).parent
APPS = sorted(path.stem for path in (HERE / "settings").glob("*.yaml"))
TOKEN = "good-token"


@pytest.mark.parametrize("app", APPS)
def test_an_app_is_the_same_through_the_enforcer(app: str, tmp_path: Path) -> None:
    """Its client works without a difference; with a wrong token, it fails."""
    if app == "npm" and which("npm") is None:
        pytest.skip("there is no npm")
    straight, through, refused = (_folder(tmp_path / name) for name in ("straight", "through", "refused"))
    with running_issuer() as issuer:
        with _server(app, straight) as port:
            expected = _client(app, straight, port, issuer)
        with _server(app, through) as port, _enforcer(app, port, issuer) as address:
            assert _client(app, through, address, issuer) == expected
            with pytest.raises(AssertionError):
                _client(app, refused, address, issuer, token="wrong-token")


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


@contextmanager
def _server(app: str, folder: Path) -> Iterator[int]:
    """Run an app on a free port until the block ends."""
    port = unused_ports(1)[0]
    command = [os.environ["APPS"], str(HERE / "servers" / f"{app}.py"), str(port)]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, cwd=folder, env=_environment({}), stdout=log, stderr=log) as process,
    ):
        try:
            assert eventually(lambda: process.poll() is not None or listens(port))
            assert process.poll() is None, (folder / "log").read_text()
            yield port
        finally:
            process.terminate()
            process.wait(TIMEOUT)


@contextmanager
def _enforcer(app: str, upstream: int, issuer: Issuer) -> Iterator[int]:
    """Run the enforcer with the settings of an app until the block ends, and yield its port."""
    port = unused_ports(1)[0]
    address = f"http://127.0.0.1:{port}"
    text = (HERE / "settings" / f"{app}.yaml").read_text().replace("https://app.example.org", address)
    claims = {"sub": "alice", "client_id": "app", "scope": "use", "aud": f"{address}/mcp"}
    issuer.tokens = {TOKEN: claims, "own1": claims}  # the token endpoint issues the second
    issuer.metadata = {"authorization_endpoint": f"{issuer.url}/authorize"}  # the MCP client requires it
    credentials = b64encode(f"app:{TOKEN}".encode())
    issuer.accepts = lambda head, form: "grant_type" not in form or credentials in head
    settings = {"listener": {"address": f"127.0.0.1:{port}"}, **yaml.safe_load(text)}
    settings["authorization_servers"] = [
        {"issuer": issuer.url, "client_id": "enforcer", "client_secret": {"env": "ENFORCER_CLIENT_SECRET"}}
    ]
    with enforcer(config(f"http://127.0.0.1:{upstream}", 0, **settings)):
        yield port


def _client(app: str, folder: Path, port: int, issuer: Issuer, token: str = TOKEN) -> str:
    """Return the output of a client's successful run."""
    command = [os.environ["APPS"], str(HERE / "clients" / f"{app}.py")]
    variables = {"URL": f"http://127.0.0.1:{port}", "TOKEN": token, "ISSUER": issuer.url}
    run = subprocess.run(
        command, cwd=folder, env=_environment(variables), capture_output=True, text=True, timeout=2 * TIMEOUT
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return this environment without Python's and pip's own settings, so that a script sees only its own packages."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_", "AWS_"))}
    # The scripts have names of packages, which Python would find in their folder first.
    return {**inherited, "PYTHONSAFEPATH": "1", **variables}
