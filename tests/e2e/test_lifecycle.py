"""Start and stop of the enforcer as a process."""

import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from harness.ports import unused_ports
from harness.processes import enforcer
from harness.servers import raw_server, response
from harness.waiting import TIMEOUT, eventually

RUN = [sys.executable, "-m", "enforcer", "run"]
CONFIG = """\
listener: {{address: "{address}"}}
admin: {{address: "127.0.0.1:0"}}
upstream: {{url: "http://127.0.0.1:{upstream}"}}
authorization_servers:
  - introspection_endpoint: http://127.0.0.1:1/introspect
    client_id: enforcer
    client_secret: {{env: ENFORCER_CLIENT_SECRET}}
rules:
  - name: all
    path: /**
    public: true
timeouts: {{shutdown_delay: {delay}, drain: {drain}}}
"""


def config_text(upstream: int, *, address: str = "127.0.0.1:0", delay: str = "0s", drain: str = "20s") -> str:
    """Return a configuration for an app on a port."""
    return CONFIG.format(upstream=upstream, address=address, delay=delay, drain=drain)


def refuses(port: int) -> bool:
    """Return whether a new connection is refused."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) != 0


def run(config: Path) -> subprocess.CompletedProcess[str]:
    """Run an enforcer that must not start."""
    return subprocess.run([*RUN, str(config)], capture_output=True, text=True, timeout=TIMEOUT, check=False)


def test_sigterm_finishes_running_requests_and_accepts_no_connections() -> None:
    """/readyz says that it is draining; a client still gets the complete response of a slow app."""
    go_on = threading.Event()

    def respond(head: bytes, body: bytes) -> bytes:
        go_on.wait(TIMEOUT)
        return response(b"late")

    with (
        raw_server(respond) as app,
        enforcer(config_text(app.port)) as running,
        ThreadPoolExecutor(1) as pool,
        httpx.Client(trust_env=False, timeout=TIMEOUT) as client,
    ):
        try:
            admin = f"http://127.0.0.1:{running.admin_port}"
            assert client.get(f"{admin}/readyz").status_code == 200
            running_request = pool.submit(client.get, f"http://127.0.0.1:{running.port}/slow")
            assert eventually(lambda: len(app.requests) == 1)
            running.process.send_signal(signal.SIGTERM)
            assert eventually(lambda: refuses(running.port))
            draining = client.get(f"{admin}/readyz")
            assert (draining.status_code, draining.text) == (503, "draining\n")
            assert client.get(f"{admin}/livez").status_code == 200
            assert "enforcer_draining 1.0" in client.get(f"{admin}/metrics").text
            assert not running_request.done()
        finally:
            go_on.set()
        late = running_request.result(TIMEOUT)
        assert (late.status_code, late.text) == (200, "late")
        assert late.headers["Connection"] == "close"
        assert running.process.wait(TIMEOUT) == 0
        assert "stopped" in running.log()


def test_an_idle_connection_does_not_delay_the_stop() -> None:
    """A connection without a request is closed at once."""
    with enforcer(config_text(1)) as running, socket.create_connection(("127.0.0.1", running.port), TIMEOUT) as idle:
        running.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""
        assert running.process.wait(TIMEOUT) == 0


@pytest.mark.parametrize("trigger", ["a second signal", "the end of timeouts.drain"])
def test_a_request_that_never_ends_is_cut(trigger: str) -> None:
    """The exit code is still 0, and nothing is raised."""
    go_on = threading.Event()

    def respond(head: bytes, body: bytes) -> None:
        go_on.wait(TIMEOUT)

    with (
        raw_server(respond) as app,
        enforcer(config_text(app.port, drain="1s")) as running,
        socket.create_connection(("127.0.0.1", running.port), TIMEOUT) as client,
    ):
        try:
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: app\r\n\r\n")
            assert eventually(lambda: len(app.requests) == 1)
            running.process.send_signal(signal.SIGINT)
            assert eventually(lambda: refuses(running.port))
            if trigger == "a second signal":
                running.process.send_signal(signal.SIGINT)
            assert running.process.wait(TIMEOUT) == 0
            # To an HTTP/1.0 client a plain close would look like the end of a response.
            with pytest.raises(ConnectionResetError):
                client.recv(100)
            assert "Traceback" not in running.log()
        finally:
            go_on.set()


def test_four_errors_are_reported_at_once_and_nothing_starts(tmp_path: Path) -> None:
    """An unknown key, a missing secret, a wrong type and a duplicate key, each with its line; exit code 2."""
    (port,) = unused_ports(1)
    config = tmp_path / "config.yaml"
    config.write_text(f"""\
listener:
  address: 127.0.0.1:{port}
  adress: 127.0.0.1:{port}
upstream: {{url: "http://127.0.0.1:1"}}
authorization_servers:
  - introspection_endpoint: http://127.0.0.1:1/introspect
    client_id: enforcer
    client_secret: {{env: NOT_SET_ANYWHERE}}
limits:
  fields: many
rules:
  - name: all
    path: /**
    public: true
    public: true
""")
    ended = run(config)
    assert ended.returncode == 2
    assert re.findall(rf"^{re.escape(str(config))}:(\d+):\d+: (\S+): ", ended.stderr, re.MULTILINE) == [
        ("3", "listener"),
        ("8", "authorization_servers[0].client_secret"),
        ("10", "limits.fields"),
        ("15", "rules[0]"),
    ]
    assert ended.stderr.splitlines()[4:] == ["4 errors"]
    assert refuses(port)


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    """And exit code 2."""
    ended = run(tmp_path / "config.yaml")
    assert ended.returncode == 2
    assert ended.stderr == f"{tmp_path}/config.yaml: cannot be read: No such file or directory\n"


def test_a_taken_address_is_one_clear_line(tmp_path: Path) -> None:
    """It names the address, and the setting to change."""
    config = tmp_path / "config.yaml"
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        text = config_text(1, address=address)
        config.write_text(text.replace("{env: ENFORCER_CLIENT_SECRET}", "{file: secret}"))
        ended = run(config)
    assert ended.returncode == 1
    assert (
        ended.stderr == f"cannot listen on {address}: it is in use; choose another with listener.address in {config}\n"
    )


def test_the_start_is_one_line_with_what_runs_and_the_warnings_come_before_it() -> None:
    """A log of another machine must tell what runs there: version, build, file, hash, number of rules and servers."""
    text = config_text(1).replace("    public: true", "    authenticated: true")
    with enforcer(text) as running:
        log = running.log()
    before, _, start = log.partition("serving http://127.0.0.1:1 on ")
    assert "authorization_servers[0]: no audience is required" in before
    assert re.match(
        r"127\.0\.0\.1:\d+, admin on 127\.0\.0\.1:\d+; token-enforcer \d+\.\d+\.\d+ \((compiled|interpreted)\), "
        r"/\S+/config\.yaml with hash [0-9a-f]{16} and 1 rules, authorization servers: default\n",
        start,
    )
