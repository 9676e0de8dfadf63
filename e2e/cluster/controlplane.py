"""Runs etcd and an API server on free loopback ports until a block ends."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from harness.certificates import Authority
from harness.waiting import eventually

from e2e import BUILD, HERE
from e2e.tools import Tool, ToolError, attempt, debian, polite, run

TOOLS: Final = (
    Tool("etcd", debian("etcd-server")),
    Tool("go", "https://go.dev/dl (1.24 or later), or any package golang-go of that age"),
    Tool("kubectl", "https://kubernetes.io/docs/tasks/tools"),
    Tool("ip", debian("iproute2")),
)
SERVICES: Final = "10.97.77.0/24"
"""The range of Service addresses; while the webhook runs, its address is assigned to the loopback interface."""

_API_SERVER: Final = BUILD / "kube-apiserver"
_TIMEOUT: Final = 90.0
"""Timeout of each start, in seconds: an API server on two busy cores starts slowly."""

Object = dict[str, Any]


HOST: Final = "enforcer-injector.enforcer.svc"
"""The host name of the webhook, as the API server calls it."""
CLIENT: Final = "apiserver"
"""The common name of the certificate that the API server presents to webhooks."""


class ControlPlane:
    """A running API server: its `url` and the file of its `ca`; calls run kubectl as an administrator.

    It presents a certificate of the same authority to webhooks, as docs/kubernetes.md describes it.
    """

    def __init__(self, url: str, folder: Path, ca: Path) -> None:
        self.url = url
        self.ca = ca
        self.kubeconfig = folder / "admin.yaml"

    def __call__(self, *arguments: str | Path, documents: Object | list[Object] | None = None) -> str:
        """Call kubectl, with objects on its standard input; raises ToolError."""
        return run(*self._kubectl(), *arguments, text=_text(documents))

    def attempt(self, *arguments: str | Path, documents: Object | list[Object]) -> subprocess.CompletedProcess[str]:
        """Call kubectl, whose request may be denied."""
        return attempt(*self._kubectl(), *arguments, text=_text(documents))

    def get(self, *arguments: str) -> Object:
        """Read an object."""
        return dict(json.loads(self("get", *arguments, "-o", "json")))

    def account(self, folder: Path, namespace: str, name: str) -> Path:
        """Create the files that a pod gets for its ServiceAccount; returns their folder."""
        folder.mkdir()
        shutil.copy(self.ca, folder / "ca.crt")
        (folder / "token").write_text(self("create", "token", "-n", namespace, name))
        (folder / "namespace").write_text(namespace)
        return folder

    def _kubectl(self) -> tuple[str, ...]:
        return ("kubectl", "--kubeconfig", str(self.kubeconfig))


def version() -> str:
    """Return the version of Kubernetes that go.mod pins."""
    (pinned,) = re.findall(r"^\s*k8s.io/kubernetes (v\S+)", (HERE / "cluster" / "go.mod").read_text(), re.MULTILINE)
    return str(pinned)


def build() -> None:
    """Build the API server if this version does not exist yet; takes a quarter of an hour."""
    BUILD.mkdir(exist_ok=True)
    if _API_SERVER.exists() and version() in run(_API_SERVER, "--version"):
        return
    major, minor, _ = version().removeprefix("v").split(".")
    stamps = {"gitVersion": version(), "gitMajor": major, "gitMinor": minor}
    flags = " ".join(
        ["-s", "-w", *(f"-X k8s.io/component-base/version.{key}={value}" for key, value in stamps.items())]
    )
    command: list[str | Path] = [
        "go",
        "build",
        "-o",
        _API_SERVER,
        "-ldflags",
        flags,
        "k8s.io/kubernetes/cmd/kube-apiserver",
    ]
    run(*polite(command), folder=HERE / "cluster", environment={"CGO_ENABLED": "0"})


@contextmanager
def control_plane(folder: Path) -> Iterator[ControlPlane]:
    """Run a control plane until the block ends; `folder` holds its data."""
    authority = Authority(folder, "api-server-ca")
    certificate, key = authority.issue("127.0.0.1")
    signing, password = folder / "accounts.key", secrets.token_hex(16)
    signing.write_bytes(_rsa_key())
    (folder / "tokens.csv").write_text(f"{password},admin,admin,system:masters\n")
    store, peers, port = _free_ports(3)
    with ExitStack() as stack:
        store_url, peers_url = f"http://127.0.0.1:{store}", f"http://127.0.0.1:{peers}"
        etcd: list[str | Path] = ["etcd", "--data-dir", folder / "etcd", "--listen-client-urls", store_url]
        etcd += ["--advertise-client-urls", store_url, "--listen-peer-urls", peers_url]
        stack.enter_context(
            _process(
                [*etcd, "--initial-advertise-peer-urls", peers_url, "--initial-cluster", f"default={peers_url}"],
                folder / "etcd.log",
                f"{store_url}/health",
            )
        )
        url = f"https://127.0.0.1:{port}"
        api_server: list[str | Path] = [
            *(_API_SERVER, f"--etcd-servers={store_url}", f"--secure-port={port}", "--bind-address=127.0.0.1"),
            *(f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}", "--authorization-mode=RBAC"),
            *(f"--service-cluster-ip-range={SERVICES}", f"--token-auth-file={folder / 'tokens.csv'}"),
            *(f"--service-account-key-file={signing}", f"--service-account-signing-key-file={signing}"),
            *("--service-account-issuer=https://kubernetes.default.svc", f"--cert-dir={folder}"),
            f"--admission-control-config-file={_admission(folder, authority)}",
        ]
        stack.enter_context(_process(api_server, folder / "api-server.log", f"{url}/readyz"))
        cluster = ControlPlane(url, folder, authority.ca)
        (folder / "admin.yaml").write_text(yaml.safe_dump(_configuration(url, authority.ca, password)))
        yield cluster


@contextmanager
def _process(command: list[str | Path], log: Path, ready: str) -> Iterator[None]:
    with (
        log.open("wb") as output,
        subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=output, stderr=output) as process,  # noqa: S603
    ):
        try:
            if (
                not eventually(lambda: process.poll() is not None or _is_ready(ready), _TIMEOUT)
                or process.poll() is not None
            ):
                raise ToolError(f"{command[0]} did not start:\n{log.read_text('utf-8', 'replace')[-2000:]}")
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url, verify=False, trust_env=False).is_success  # noqa: S501 - only whether it is ready
    except httpx.HTTPError:
        return False


def _admission(folder: Path, authority: Authority) -> Path:
    """Write the configuration with which the API server authenticates to webhooks."""
    certificate, key = authority.issue(CLIENT)
    user = {"name": HOST, "user": {"client-certificate": str(certificate), "client-key": str(key)}}
    (folder / "webhooks.yaml").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "users": [user]}))
    group = "apiserver.config.k8s.io/v1"
    webhooks = {"apiVersion": group, "kind": "WebhookAdmissionConfiguration"}
    plugin = {
        "name": "MutatingAdmissionWebhook",
        "configuration": {**webhooks, "kubeConfigFile": str(folder / "webhooks.yaml")},
    }
    file = folder / "admission.yaml"
    file.write_text(yaml.safe_dump({"apiVersion": group, "kind": "AdmissionConfiguration", "plugins": [plugin]}))
    return file


def _configuration(url: str, ca: Path, password: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": {"server": url, "certificate-authority": str(ca)}}],
        "users": [{"name": "admin", "user": {"token": password}}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "admin"}}],
        "current-context": "e2e",
    }


def _rsa_key() -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(listener.getsockname()[1]) for listener in listeners]


def _text(documents: Object | list[Object] | None) -> str | None:
    if documents is None:
        return None
    return yaml.safe_dump_all(documents if isinstance(documents, list) else [documents])
