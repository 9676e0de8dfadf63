"""How the enforcer comes and goes, as a process."""

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
from harness.processes import enforcer
from harness.servers import raw_server, response
from harness.waiting import eventually

RUN = [sys.executable, "-m", "enforcer", "run"]
PATIENCE = 20.0
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


def configured(upstream: int, *, address: str = "127.0.0.1:0", delay: str = "0s", drain: str = "20s") -> str:
    """Write a configuration for an app on a port."""
    return CONFIG.format(upstream=upstream, address=address, delay=delay, drain=drain)


def refuses(port: int) -> bool:
    """Tell whether a new connection is refused."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) != 0


def run(config: Path) -> subprocess.CompletedProcess[str]:
    """Run an enforcer that is not expected to serve."""
    return subprocess.run([*RUN, str(config)], capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_sigterm_ends_what_runs_and_accepts_nothing_new() -> None:
    """While the app is slow to answer, /readyz says that it drains; the client still gets the whole answer."""
    go_on = threading.Event()

    def answer(head: bytes, body: bytes) -> bytes:
        go_on.wait(PATIENCE)
        return response(b"late")

    with (
        raw_server(answer) as app,
        enforcer(configured(app.port)) as running,
        ThreadPoolExecutor(1) as pool,
        httpx.Client(trust_env=False, timeout=PATIENCE) as client,
    ):
        try:
            admin = f"http://127.0.0.1:{running.admin_port}"
            assert client.get(f"{admin}/readyz").status_code == 200
            late = pool.submit(client.get, f"http://127.0.0.1:{running.port}/slow")
            assert eventually(lambda: len(app.requests) == 1)
            running.process.send_signal(signal.SIGTERM)
            assert eventually(lambda: refuses(running.port))
            draining = client.get(f"{admin}/readyz")
            assert (draining.status_code, draining.text) == (503, "draining\n")
            assert client.get(f"{admin}/livez").status_code == 200
            assert "enforcer_draining 1.0" in client.get(f"{admin}/metrics").text
            assert not late.done()
        finally:
            go_on.set()
        answered = late.result(PATIENCE)
        assert (answered.status_code, answered.text) == (200, "late")
        assert answered.headers["Connection"] == "close"
        assert running.process.wait(PATIENCE) == 0
        assert "stopped" in running.log()


def test_an_idle_connection_holds_nobody_up() -> None:
    """A client that keeps its connection without a request is closed at once."""
    with enforcer(configured(1)) as running, socket.create_connection(("127.0.0.1", running.port), PATIENCE) as idle:
        running.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""
        assert running.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("hurry", ["a second signal", "the end of the time to drain"])
def test_what_never_ends_is_cut(hurry: str) -> None:
    """Still an orderly end: exit code 0, and nothing raised."""
    go_on = threading.Event()

    def answer(head: bytes, body: bytes) -> None:
        go_on.wait(PATIENCE)

    with (
        raw_server(answer) as app,
        enforcer(configured(app.port, drain="1s")) as running,
        socket.create_connection(("127.0.0.1", running.port), PATIENCE) as client,
    ):
        try:
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: app\r\n\r\n")
            assert eventually(lambda: len(app.requests) == 1)
            running.process.send_signal(signal.SIGINT)
            assert eventually(lambda: refuses(running.port))
            if hurry == "a second signal":
                running.process.send_signal(signal.SIGINT)
            assert running.process.wait(PATIENCE) == 0
            # A plain end would look like that of an answer, to a client of HTTP/1.0.
            with pytest.raises(ConnectionResetError):
                client.recv(100)
            assert "Traceback" not in running.log()
        finally:
            go_on.set()


def test_four_mistakes_are_told_at_once_and_nothing_starts(tmp_path: Path) -> None:
    """An unknown key, a missing secret, a wrong type and a duplicate key, each with its line; exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
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
    """It says which, and where another is set."""
    config = tmp_path / "config.yaml"
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        text = configured(1, address=address)
        config.write_text(text.replace("{env: ENFORCER_CLIENT_SECRET}", "{file: secret}"))
        ended = run(config)
    assert ended.returncode == 1
    assert (
        ended.stderr == f"cannot listen on {address}: it is in use; choose another with listener.address in {config}\n"
    )
