"""The authorization server as a process, and its command line."""

import logging
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from click.testing import CliRunner, Result
from harness import plain_http
from harness.demo_processes import listening
from harness.process_state import restored_signals
from harness.waiting import TIMEOUT
from joserfc import jwt
from joserfc.jwk import KeySet

from authserver.__main__ import is_loopback, main

SERVICE = {"client_id": "service-client-jwt", "client_secret": "service-client-jwt-secret"}


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the server on a free port until the block ends; yields the process and the issuer."""
    with listening("authserver", *arguments) as (process, line):
        match = re.search(r"listening on .* as (\S+)$", line)
        assert match is not None
        yield process, match[1]


def token(issuer: str, client_id: str) -> str:
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": "user-client-secret"}
    return str(plain_http.post(f"{issuer}/oauth2/token", data=form).json()["access_token"])


def introspected(issuer: str, token: str) -> dict[str, object]:
    body: dict[str, object] = plain_http.post(f"{issuer}/oauth2/introspect", data={**SERVICE, "token": token}).json()
    return body


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_the_server_and_its_log_has_no_secrets(stop: signal.Signals) -> None:
    """The exit code is 0, and the log has no secrets or tokens, not even at level debug."""
    with running("--log-level", "debug") as (process, issuer):
        port = issuer.removeprefix("http://localhost:").removesuffix("/ms-auth-server")
        metadata = plain_http.get(f"http://localhost:{port}/.well-known/oauth-authorization-server/ms-auth-server")
        assert issuer == metadata.json()["issuer"]
        tokens = [token(issuer, "user-client-opaque"), token(issuer, "user-client-jwt")]
        assert all(introspected(issuer, token)["active"] for token in tokens)
        plain_http.post(
            f"{issuer}/oauth2/introspect", data={"token": tokens[0]}, auth=("service-client-jwt", "wrong-secret")
        )
        process.send_signal(stop)
        _, log = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    assert "issued" in log
    assert "invalid_client" in log
    assert "Traceback" not in log
    assert not [secret for secret in [*tokens, "user-client-secret", "wrong-secret"] if secret in log]


def test_a_restart_with_a_file_loses_no_token(tmp_path: Path) -> None:
    """Opaque and signed tokens stay active, and the published key still verifies the signed one."""
    database = str(tmp_path / "tokens.sqlite3")
    with running("--database", database) as (process, issuer):
        opaque, signed = token(issuer, "user-client-opaque"), token(issuer, "user-client-jwt")
        before = [introspected(issuer, opaque), introspected(issuer, signed)]
        # Killed instead of stopped: everything in a response was stored before.
        process.kill()
    with running("--database", database) as (_, issuer):
        assert before == [introspected(issuer, opaque), introspected(issuer, signed)]
        keys = KeySet.import_key_set(plain_http.get(f"{issuer}/oauth2/jwks").json())
        assert jwt.decode(signed, keys, algorithms=["RS256"]).claims["sub"] == "user-client-jwt"


def test_clients_and_issuer_can_be_set(tmp_path: Path) -> None:
    """The server starts with them."""
    clients = tmp_path / "clients.yaml"
    clients.write_text("clients: {app: {secret: user-client-secret, scopes: [read], audience: [api]}}")
    with running("--clients", str(clients), "--issuer", "http://as.example/x", "--host", "127.0.0.1") as (
        process,
        issuer,
    ):
        assert issuer == "http://as.example/x"
        assert process.poll() is None


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """Return a function that starts the server with arguments, in this process, and returns its warnings."""
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: None)

    def start(*arguments: str) -> list[str]:
        caplog.clear()
        assert invoke("--port", "0", *arguments).exit_code == 0
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]

    return start


def invoke(*arguments: str) -> Result:
    """Run the command in this process until it fails, or would serve."""
    with restored_signals():
        return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize("host", ["0.0.0.0", ""])
def test_published_secrets_on_another_address_than_loopback_are_a_warning(
    host: str, warnings: Callable[..., list[str]]
) -> None:
    """The warning names the clients and the ways out, and no secret; an empty host means all addresses."""
    (warning,) = warnings("--host", host)
    for text in ("published", "user-client-opaque", "user-client-jwt", "service-client-jwt", "--clients", "--host"):
        assert text in warning
    assert "client-secret" not in warning


@pytest.mark.parametrize("arguments", [[], ["--host", "127.0.0.2"], ["--host", "localhost"]])
def test_published_secrets_on_loopback_are_no_warning(arguments: list[str], warnings: Callable[..., list[str]]) -> None:
    """Loopback is also the default: only programs of this machine can use the secrets."""
    assert warnings(*arguments) == []


def test_only_clients_with_published_secrets_are_in_the_warning(
    tmp_path: Path, warnings: Callable[..., list[str]]
) -> None:
    """A client of another file may have a published secret too; a file without any causes no warning."""
    clients = tmp_path / "clients.yaml"
    entry = "{secret: %s, scopes: [read], audience: [api]}"
    clients.write_text(f"clients: {{mine: {entry % 'n0t-published'}, copied: {entry % 'user-client-secret'}}}")
    (warning,) = warnings("--host", "0.0.0.0", "--clients", str(clients))
    assert "copied" in warning
    assert "mine" not in warning

    clients.write_text(f"clients: {{mine: {entry % 'n0t-published'}}}")
    assert warnings("--host", "0.0.0.0", "--clients", str(clients)) == []


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_loopback_addresses_are_those_of_both_families(address: str, loopback: bool) -> None:
    """An IPv4 address may be written as an IPv6 address; a link-local one has a zone."""
    assert is_loopback(address) == loopback


def test_a_client_that_disconnects_within_a_form_causes_no_traceback() -> None:
    """Clients disconnect at any time."""
    with running() as (process, issuer):
        url = httpx.URL(f"{issuer}/oauth2/token")
        with socket.create_connection((url.host, url.port or 0)) as connection:
            head = f"POST {url.path} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n"
            connection.sendall(head.encode())
            # The server sends this when it begins to read the form.
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        assert plain_http.get(f"{issuer}/oauth2/jwks").status_code == 200
        process.terminate()
        _, log = process.communicate(timeout=TIMEOUT)
    assert "Traceback" not in log


def test_a_port_in_use_is_one_line_of_error() -> None:
    """It names the port and the option to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = invoke("--port", str(port))
    assert ended.exit_code == 1
    assert [f"Error: port {port} of 127.0.0.1 is in use; choose another with --port"] == ended.stderr.splitlines()


def test_an_invalid_clients_file_is_reported_completely(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Exit code 2, one line for each error; the server does not start."""
    caplog.set_level("INFO")
    clients = tmp_path / "clients.yaml"
    clients.write_text("clients:\n  app:\n    secret: 7\n    scops: [read]\n    audience: [api]\n")
    ended = invoke("--port", "0", "--clients", str(clients))
    assert ended.exit_code == 2
    assert "listening" not in caplog.text
    assert [
        f"{clients}:2: clients.app.scopes: missing",
        f"{clients}:3: clients.app.secret: Input should be a valid string",
        f"{clients}:4: clients.app.scops: unknown key",
    ] == [line for line in ended.stderr.splitlines() if line.startswith(str(clients))]


def test_an_unusable_database_is_an_error(tmp_path: Path) -> None:
    """Exit code 2; the message names the option."""
    notes = tmp_path / "notes.txt"
    notes.write_text("no database\n" * 100)
    for database in (notes, tmp_path / "nowhere" / "tokens.sqlite3"):
        ended = invoke("--port", "0", "--database", str(database))
        assert ended.exit_code == 2
        assert "--database" in ended.stderr
        assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "x"],
        ["--port", "65536"],
        ["--prot", "8085"],
        ["--clients", "/nowhere/clients.yaml"],
        ["--database", "/"],
        ["--log-level", "loud"],
        ["--issuer", "localhost:8085"],
        ["--issuer", "http://localhost:8085/ms-auth-server/"],
        ["--issuer", "http://localhost:8085/x?y"],
        ["--issuer", "http://localhost:8085/{x}"],
        ["--issuer", "http://localhost:8085/x\n"],
        ["surplus"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    """The message names the argument."""
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == 2
    assert arguments[0] in ended.output


def test_the_help_has_all_options_and_examples() -> None:
    """A new user finds how to begin."""
    ended = CliRunner().invoke(main, ["--help"])
    assert ended.exit_code == 0
    for text in ("--host", "--port", "--issuer", "--clients", "--database", "--log-level", "Examples:", "8085"):
        assert text in ended.output


def test_the_help_says_that_it_is_for_development_only() -> None:
    """It also names the default address, and says that the default secrets are published."""
    text = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    assert "for development and tests only" in text
    assert "[default: 127.0.0.1]" in text
    assert "published" in text
