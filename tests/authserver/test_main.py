import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from joserfc import jwt
from joserfc.jwk import KeySet

from authserver.__main__ import main

COMMAND = [sys.executable, "-m", "authserver"]
SERVICE = {"client_id": "service-client-jwt", "client_secret": "service-client-jwt-secret"}


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the server on a free port until the end of the block; yields it and its issuer."""
    with subprocess.Popen([*COMMAND, "--port", "0", *arguments], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            # The line is written when the port accepts connections, and reading it waits for nothing else.
            found = re.search(r"listening on .* as (\S+)$", process.stderr.readline())
            assert found is not None
            yield process, found[1]
        finally:
            process.kill()


def token(issuer: str, client_id: str) -> str:
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": "user-client-secret"}
    return str(httpx.post(f"{issuer}/oauth2/token", data=form).json()["access_token"])


def introspected(issuer: str, token: str) -> dict[str, object]:
    document: dict[str, object] = httpx.post(f"{issuer}/oauth2/introspect", data={**SERVICE, "token": token}).json()
    return document


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_server_serves_until_it_is_asked_to_stop_and_leaves_nothing_to_read(stop: signal.Signals) -> None:
    """It ends with 0, and its log holds no secret and no token, not even at the finest level."""
    with running("--log-level", "debug") as (process, issuer):
        port = issuer.removeprefix("http://localhost:").removesuffix("/ms-auth-server")
        metadata = httpx.get(f"http://localhost:{port}/.well-known/oauth-authorization-server/ms-auth-server")
        assert issuer == metadata.json()["issuer"]
        tokens = [token(issuer, "user-client-opaque"), token(issuer, "user-client-jwt")]
        assert all(introspected(issuer, token)["active"] for token in tokens)
        httpx.post(
            f"{issuer}/oauth2/introspect", data={"token": tokens[0]}, auth=("service-client-jwt", "wrong-secret")
        )
        process.send_signal(stop)
        _, log = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "issued" in log
    assert "invalid_client" in log
    assert "Traceback" not in log
    assert not [secret for secret in [*tokens, "user-client-secret", "wrong-secret"] if secret in log]


def test_a_restart_with_a_file_loses_no_token(tmp_path: Path) -> None:
    """Opaque and signed ones are worth what they were, and the published key still verifies the signed one."""
    database = str(tmp_path / "tokens.sqlite3")
    with running("--database", database) as (process, issuer):
        opaque, signed = token(issuer, "user-client-opaque"), token(issuer, "user-client-jwt")
        before = [introspected(issuer, opaque), introspected(issuer, signed)]
        # Killed, not asked to stop: what was answered is kept all the same.
        process.kill()
    with running("--database", database) as (_, issuer):
        assert before == [introspected(issuer, opaque), introspected(issuer, signed)]
        keys = KeySet.import_key_set(httpx.get(f"{issuer}/oauth2/jwks").json())
        assert jwt.decode(signed, keys, algorithms=["RS256"]).claims["sub"] == "user-client-jwt"


def test_other_clients_and_another_issuer_are_used_when_they_are_given(tmp_path: Path) -> None:
    """The packaged clients are then unknown."""
    clients = tmp_path / "clients.yaml"
    clients.write_text("clients: {app: {secret: user-client-secret, scopes: [read], audience: [api]}}")
    with running("--clients", str(clients), "--issuer", "http://as.example/x", "--host", "127.0.0.1") as (
        process,
        issuer,
    ):
        assert issuer == "http://as.example/x"
        assert process.poll() is None


def test_a_client_that_leaves_in_the_middle_of_a_form_leaves_no_traceback() -> None:
    """It is a matter of every day."""
    with running() as (process, issuer):
        url = httpx.URL(f"{issuer}/oauth2/token")
        with socket.create_connection((url.host, url.port or 0)) as connection:
            head = f"POST {url.path} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n"
            connection.sendall(head.encode())
            # The server has begun to read the form when it asks for it.
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        assert httpx.get(f"{issuer}/oauth2/jwks").status_code == 200
        process.terminate()
        _, log = process.communicate(timeout=10)
    assert "Traceback" not in log


def test_a_taken_port_is_one_clear_line() -> None:
    """It says which port, and how to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run([*COMMAND, "--port", str(port)], capture_output=True, text=True, timeout=10, check=False)
    assert ended.returncode == 1
    assert [f"Error: port {port} of 127.0.0.1 is taken; choose another with --port"] == ended.stderr.splitlines()


def test_a_bad_clients_file_starts_nothing_and_tells_every_problem(tmp_path: Path) -> None:
    """Exit code 2, a line for each."""
    clients = tmp_path / "clients.yaml"
    clients.write_text("clients:\n  app:\n    secret: 7\n    scops: [read]\n    audience: [api]\n")
    ended = subprocess.run(
        [*COMMAND, "--port", "0", "--clients", str(clients)], capture_output=True, text=True, timeout=10, check=False
    )
    assert ended.returncode == 2
    assert "listening" not in ended.stderr
    assert [
        f"{clients}:2: clients.app.scopes: missing",
        f"{clients}:3: clients.app.secret: Input should be a valid string",
        f"{clients}:4: clients.app.scops: unknown key",
    ] == [line for line in ended.stderr.splitlines() if line.startswith(str(clients))]


def test_a_bad_database_starts_nothing(tmp_path: Path) -> None:
    """Exit code 2, and the option is named."""
    notes = tmp_path / "notes.txt"
    notes.write_text("no database\n" * 100)
    for database in (notes, tmp_path / "nowhere" / "tokens.sqlite3"):
        ended = subprocess.run(
            [*COMMAND, "--port", "0", "--database", str(database)],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        assert ended.returncode == 2
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
def test_wrong_use_ends_with_2(arguments: list[str]) -> None:
    """And the message names the argument."""
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == 2
    assert arguments[0] in ended.output


def test_help_has_the_options_and_examples() -> None:
    """What a new user needs to begin."""
    ended = CliRunner().invoke(main, ["--help"])
    assert ended.exit_code == 0
    for text in ("--host", "--port", "--issuer", "--clients", "--database", "--log-level", "Examples:", "8085"):
        assert text in ended.output
