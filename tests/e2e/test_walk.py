"""The walk of `enforcer demo`, step by step."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from click.testing import CliRunner
from harness import plain_http
from harness.process_state import restored_signals

from enforcer.cli import main

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "enforcer", "demo"]
PORTS = {"--port": "0", "--admin-port": "0", "--auth-port": "0", "--app-port": "0"}
UP = re.compile(
    r"the authorization server: (?P<issuer>\S+)\n.*the country app: (?P<app>[^\s,]+),.*"
    r"the enforcer: (?P<enforcer>[^\s,]+), metrics at (?P<metrics>\S+)\n",
    re.DOTALL,
)
TIMEOUT = 120.0
COUNTRY = "/ms-system/country/code/AUS"
SERVICE = {"client_id": "service-client-jwt", "client_secret": "service-client-jwt-secret"}


def options(*others: str, **ports: str) -> list[str]:
    """Return the options of a demo on free ports."""
    chosen = {**PORTS, **{f"--{name.replace('_', '-')}": port for name, port in ports.items()}}
    return [*(part for option in chosen.items() for part in option), *others]


def demo(*others: str) -> list[str]:
    """Return the command line of a demo on free ports."""
    return [*DEMO, *options(*others)]


class Demo(NamedTuple):
    """A demo that stays up, its output so far, and the URLs of its parts."""

    process: subprocess.Popen[str]
    output: str
    places: dict[str, str]

    @property
    def folder(self) -> Path:
        """The folder of the logs."""
        match = re.search(r"logs in (\S+):", self.output)
        assert match is not None
        return Path(match[1])

    def children(self) -> dict[str, int]:
        """Return the process ID of each part, by module."""
        table = subprocess.run(["ps", "-A", "-o", "ppid=,pid=,args="], capture_output=True, text=True, check=True)
        rows = [line.split() for line in table.stdout.splitlines()]
        return {
            row[row.index("-m") + 1]: int(row[1]) for row in rows if row[0] == str(self.process.pid) and "-m" in row
        }

    def leftovers(self) -> list[object]:
        """Return the URLs that still accept connections, and the log folder if it still exists."""
        urls = [httpx.URL(url) for url in self.places.values()]
        answering = [url for url in urls if listens(url.port or 0)]
        return [*answering, *([self.folder] if self.folder.exists() else [])]


def listens(port: int) -> bool:
    """Return whether a program listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_alive(pid: int) -> bool:
    """Return whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def running() -> Iterator[Demo]:
    """Run a demo that has played its walk and stays up, in its own process group as in a terminal."""
    command = subprocess.Popen(
        demo(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    with command as process:
        try:
            assert process.stdout is not None
            output = ""
            while "Ctrl-C stops all three" not in output and (line := process.stdout.readline()):
                output += line
            match = UP.search(output)
            assert match is not None, output
            yield Demo(process, output, match.groupdict())
        finally:
            process.terminate()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """A client that ignores proxy settings."""
    with plain_http.client() as client:
        yield client


def token(client: httpx.Client, issuer: str, scope: str) -> httpx.Response:
    """Request a token as in step 2."""
    form = {
        "grant_type": "client_credentials",
        "client_id": "user-client-opaque",
        "client_secret": "user-client-secret",
        "scope": scope,
    }
    return client.post(f"{issuer}/oauth2/token", data=form)


def test_the_walk_is_right_step_by_step_and_ends_with_0() -> None:
    """Every step is shown with its request and response, and no complete token."""
    ended = subprocess.run(demo("--once"), capture_output=True, text=True, timeout=TIMEOUT, check=False, cwd=ROOT)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.findall(r"^(\d)\. ", ended.stdout, re.MULTILINE) == ["1", "2", "3", "4", "5", "6"]
    assert re.findall(r"^   (\d{3}) ", ended.stdout, re.MULTILINE) == ["401", "200", "200", "200", "200", "403"]
    assert ended.stdout.count("   $ curl ") == 6
    assert ended.stdout.count("   ✓ status") == 6
    assert "✗" not in ended.stdout
    assert "\n✓ every step is right\n" in ended.stdout
    assert re.findall(r"[A-Za-z0-9_-]{43,}", ended.stdout) == []


def test_a_wrong_step_says_what_was_expected_and_ends_with_1(tmp_path: Path) -> None:
    """With a configuration in which everything is public."""
    config = tmp_path / "open.yaml"
    config.write_text((ROOT / "config.yaml").read_text().replace("scopes: [country.read]", "public: true"))
    command = demo("--once", "--config", str(config))
    ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert ended.returncode == 1
    assert ended.stdout.count("   ✓ status") == 4
    assert "   ✗ status: expected 401, got 200\n" in ended.stdout
    assert '   ✗ WWW-Authenticate: expected ["Bearer"], got []\n' in ended.stdout
    assert "   ✗ status: expected 403, got 200\n" in ended.stdout
    assert "\n✗ 2 of 6 steps are wrong\n" in ended.stdout


def test_the_demo_stays_up_for_clients_until_it_is_stopped(client: httpx.Client) -> None:
    """The four steps and the refusal, by another client; after SIGTERM nothing is left."""
    with running() as demo:
        issuer, url = demo.places["issuer"], demo.places["enforcer"] + COUNTRY

        refused = client.get(url)
        assert refused.status_code == 401
        assert refused.headers.get_list("WWW-Authenticate") == ["Bearer"]

        before = int(time.time())
        granted = token(client, issuer, "country.read")
        issued = granted.json()
        access_token = issued.pop("access_token")
        assert granted.status_code == 200
        assert re.fullmatch(r"[A-Za-z0-9_-]{128}", access_token)
        assert issued == {"scope": "country.read", "token_type": "Bearer", "expires_in": 14399}

        allowed = client.get(url, headers={"Authorization": f"Bearer {access_token}"})
        assert allowed.status_code == 200
        assert allowed.json() == {"code": "AUS", "name": "AUSTRALIA"}

        introspected = client.post(f"{issuer}/oauth2/introspect", data={**SERVICE, "token": access_token}).json()
        stamps = {name: introspected.pop(name) for name in ("nbf", "iat", "exp")}
        assert [type(stamp) for stamp in stamps.values()] == [int, int, int]
        assert before <= stamps["iat"] == stamps["nbf"] == stamps["exp"] - 14400
        assert isinstance(introspected.pop("jti"), str)
        assert introspected == {
            "active": True,
            "sub": "user-client-opaque",
            "aud": ["user-client-opaque"],
            "scope": "country.read",
            "iss": issuer,
            "client_id": "user-client-opaque",
            "token_type": "Bearer",
        }

        other = token(client, issuer, "profile").json()["access_token"]
        refused = client.get(url, headers={"Authorization": f"Bearer {other}"})
        assert refused.status_code == 403
        assert refused.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="country.read"'

        assert 'enforcer_requests_total{code="200",method="GET",route="read countries"} 2.0' in client.get(
            demo.places["metrics"]
        ).text.replace("'", '"')
        logs = "".join(log.read_text() for log in demo.folder.glob("*.log"))
        assert not [secret for secret in (access_token, other, *SERVICE.values()) if secret in logs]
        assert f'  curl -i -H "Authorization: Bearer $TOKEN" {demo.places["enforcer"]}/' in demo.output

        demo.process.terminate()
        output, errors = demo.process.communicate(timeout=TIMEOUT)
        assert (demo.process.returncode, output, errors) == (0, "\nAll three are stopped\n", "")
        assert demo.leftovers() == []


def test_a_part_that_dies_is_reported_and_ends_the_others() -> None:
    """With its own last log lines."""
    with running() as demo:
        children = demo.children()
        assert sorted(children) == ["authserver", "country_app", "enforcer"]
        os.kill(children["country_app"], signal.SIGKILL)
        _, errors = demo.process.communicate(timeout=TIMEOUT)
        assert demo.process.returncode == 1
        assert errors.startswith("Error: the country app was killed by signal 9; the end of its log:\n")
        assert "country_app: listening on 127.0.0.1 port" in errors
        assert demo.leftovers() == []


def test_ctrl_c_while_it_starts_leaves_nothing_running() -> None:
    """A terminal sends SIGINT to the whole process group."""
    with subprocess.Popen(
        demo(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        started = Demo(process, process.stdout.readline(), {})
        children = started.children()
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, errors) == (0, "")
    assert output.endswith("\nAll three are stopped\n")
    assert [module for module, pid in children.items() if is_alive(pid)] == []
    assert started.leftovers() == []


@pytest.fixture
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command run in this process, and fail if it starts a process."""

    def start(*command: object, **settings: object) -> None:
        raise AssertionError(command)

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.chdir(ROOT)


@pytest.mark.usefixtures("nothing_starts")
@pytest.mark.parametrize("name", ["port", "admin_port", "auth_port", "app_port"])
def test_a_taken_port_is_one_clear_line(name: str) -> None:
    """It names the port and how to choose another; nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken, restored_signals():
        port = taken.getsockname()[1]
        ended = CliRunner().invoke(main, ["demo", *options("--once", **{name: str(port)})])
    option = f"--{name.replace('_', '-')}"
    assert ended.exit_code == 1
    assert ended.stderr == f"Error: port {port} is in use; choose another: {option} N, or make demo {name.upper()}=N\n"
    assert ended.stdout == ""


@pytest.mark.usefixtures("nothing_starts")
def test_a_wrong_configuration_starts_nothing(tmp_path: Path) -> None:
    """Its errors have the line numbers of the user's file."""
    config = tmp_path / "config.yaml"
    config.write_text((ROOT / "config.yaml").read_text().replace("methods: [GET]", "methds: [GET]"))
    with restored_signals():
        ended = CliRunner().invoke(main, ["demo", *options("--once", "--config", str(config))])
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert re.fullmatch(rf"{re.escape(str(config))}:\d+:\d+: rules\[0\]: unknown key .*\n", ended.stderr)
