"""Modes `loopback` and `transparent` in two network namespaces: a pod's and a client's.

They need no Service. The kernel decides which socket a packet reaches: with the app bound to loopback, or with the
redirect rule of mode `transparent`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from harness.waiting import eventually

from e2e import ROOT
from e2e.proof import Proof
from e2e.tools import ToolError, attempt, run

_POD, _CLIENT = "enforcer-e2e-pod", "enforcer-e2e-client"
_ADDRESSES: Final = ("10.89.78.1", "fd00:89:78::1")
"""Addresses of the pod, one for each family; the client's addresses end with 2."""
_APP, _LISTEN, _AUTH, _ADMIN = 8080, 15080, 8085, 15081
_COUNTRY: Final = "/ms-system/country/code/AUS"
_TOKEN: Final = {
    "grant_type": "client_credentials",
    "client_id": "user-client-opaque",
    "client_secret": "user-client-secret",
    "scope": "country.read",
}
_SEND: Final = """
import httpx, json, sys
request = json.loads(sys.stdin.read())
try:
    response = httpx.request(**request, timeout=5, trust_env=False)
    print(json.dumps([response.status_code, response.text]))
except httpx.TransportError as error:
    print(json.dumps([0, type(error).__name__]))
"""


class Response(NamedTuple):
    """A response; its status is 0 if there was none."""

    status: int
    text: str


def send(namespace: str, url: str, token: str | None = None, **form: str) -> Response:
    """Send a request from within a namespace: a POST if there is a form."""
    request: dict[str, Any] = {"method": "POST" if form else "GET", "url": url}
    if form:
        request["data"] = form
    if token is not None:
        request["headers"] = {"Authorization": f"Bearer {token}"}
    return Response(*json.loads(run(*_within(namespace), sys.executable, "-c", _SEND, text=json.dumps(request))))


def prove(proof: Proof, folder: Path) -> None:
    """Test both modes with IPv4 and IPv6."""
    with _namespaces(), ExitStack() as stack:
        stack.enter_context(_process("authserver", "--host", "0.0.0.0", log=folder / "authserver.log"))  # noqa: S104
        _await(_POD, f"http://127.0.0.1:{_AUTH}/ms-auth-server/oauth2/jwks")
        token = json.loads(_issue().text)["access_token"]
        proof.part("loopback: the app on 127.0.0.1, the enforcer on the pod's addresses, with the same port")
        _loopback(proof, folder, token)
        proof.part("transparent: the app on all addresses, its port redirected to the enforcer")
        _transparent(proof, folder, token)


def _loopback(proof: Proof, folder: Path, token: str) -> None:
    with _enforcer(folder, f"[{','.join(_ADDRESSES)}]:{_APP}"):
        with _process("country_app", "--host", "127.0.0.1", "--port", str(_APP), log=folder / "app.log"):
            _await(_POD, f"http://127.0.0.1:{_APP}{_COUNTRY}")
            _walk(proof, token)
        process = attempt(*_within(_POD), sys.executable, "-m", "country_app", "--host", "0.0.0.0", "--port", str(_APP))  # noqa: S104
        proof.holds("an app that listens on all addresses cannot start: the port is taken", process.returncode)


def _transparent(proof: Proof, folder: Path, token: str) -> None:
    with (
        _process("country_app", "--host", "0.0.0.0", "--port", str(_APP), log=folder / "app.log"),  # noqa: S104
        _process("country_app", "--host", "::", "--port", str(_APP), log=folder / "app6.log"),
        _enforcer(folder, f":{_LISTEN}"),
    ):
        _await(_POD, f"http://127.0.0.1:{_APP}{_COUNTRY}")
        _await(_POD, f"http://[::1]:{_APP}{_COUNTRY}")
        for address in _ADDRESSES:
            url = f"http://{_literal(address)}:{_APP}{_COUNTRY}"
            proof.claim(f"without the rule, a client reaches the app at {address}", 200, send(_CLIENT, url).status)
        run(*_within(_POD), sys.executable, "-m", "enforcer", "redirect", str(_APP), str(_LISTEN))
        _walk(proof, token)


def _walk(proof: Proof, token: str) -> None:
    for address in _ADDRESSES:
        url = f"http://{_literal(address)}:{_APP}{_COUNTRY}"
        proof.claim(f"{address}: 401 without a token", 401, send(_CLIENT, url).status)
        proof.claim(f"{address}: 200 with a token", 200, send(_CLIENT, url, token).status)
    inside = send(_POD, f"http://127.0.0.1:{_APP}{_COUNTRY}").status
    proof.claim("from within the pod, 127.0.0.1 is the app without the enforcer", 200, inside)


def _issue() -> Response:
    return send(_CLIENT, f"http://{_ADDRESSES[0]}:{_AUTH}/ms-auth-server/oauth2/token", **_TOKEN)


@contextmanager
def _enforcer(folder: Path, listener: str) -> Iterator[None]:
    config = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    settings = {"listener.address": listener, "admin.address": f":{_ADMIN}", "upstream.url": f"http://127.0.0.1:{_APP}"}
    arguments = [f"--set={name}={value}" for name, value in settings.items()]
    with _process("enforcer", "run", str(file), *arguments, log=folder / "enforcer.log"):
        _await(_POD, f"http://127.0.0.1:{_ADMIN}/readyz")
        yield


@contextmanager
def _process(module: str, *arguments: str, log: Path) -> Iterator[None]:
    """Run one of our modules in the pod's namespace."""
    command = [*_within(_POD), sys.executable, "-m", module, *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own modules
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "ENFORCER_CLIENT_SECRET": "service-client-jwt-secret"},
            cwd=ROOT,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _await(namespace: str, url: str) -> None:
    if not eventually(lambda: send(namespace, url).status == 200):
        raise ToolError(f"no response from {url} in {namespace}")


def _within(namespace: str) -> Sequence[str]:
    return ("ip", "netns", "exec", namespace)


def _literal(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@contextmanager
def _namespaces() -> Iterator[None]:
    """Create both namespaces and a link between them; remove them at the end."""
    _clear()
    try:
        for namespace in (_POD, _CLIENT):
            run("ip", "netns", "add", namespace)
            run(*_within(namespace), "ip", "link", "set", "lo", "up")
        run(*_within(_POD), "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", _CLIENT)
        for namespace, number in ((_POD, "1"), (_CLIENT, "2")):
            for address, width in zip(_ADDRESSES, ("24", "64"), strict=True):
                interface_address = f"{address[:-1]}{number}/{width}"
                # Without duplicate address detection, which takes a second.
                options = ("nodad",) if ":" in interface_address else ()
                run(*_within(namespace), "ip", "address", "add", interface_address, "dev", "eth0", *options)
            run(*_within(namespace), "ip", "link", "set", "eth0", "up")
        yield
    finally:
        _clear()


def _clear() -> None:
    """Remove both namespaces, and the processes of a killed run in them."""
    for namespace in (_POD, _CLIENT):
        for process in attempt("ip", "netns", "pids", namespace).stdout.split():
            os.kill(int(process), signal.SIGKILL)
        attempt("ip", "netns", "delete", namespace)
