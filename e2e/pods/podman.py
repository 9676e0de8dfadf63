"""podman, with a storage, a network and a configuration of its own: other containers of the machine are not touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from e2e.tools import Tool, attempt, debian, polite, run

TOOLS: Final = (
    Tool("podman", debian("podman")),
    Tool("buildah", debian("buildah")),
    Tool("runc", debian("runc")),
    Tool("catatonit", debian("catatonit")),
    Tool("mmdebstrap", debian("mmdebstrap")),
    Tool("iptables", debian("iptables")),
    Tool("ip", debian("iproute2")),
)
NETWORK: Final = "enforcer-e2e"
SUBNET: Final = "10.89.77.0/24"
_RUNNING: Final = Path("/run/enforcer-e2e")
_CONFIGURATION: Final = """\
[containers]
# A machine without CAP_SYS_RESOURCE cannot raise limits, and podman's own are higher than some have.
default_ulimits = ["nofile=1000:1000", "nproc=1000:1000"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
# crun refuses machines that have both versions of cgroups.
runtime = "runc"
[network]
network_config_dir = "{networks}"
"""


class Podman:
    """Runs images and pods; `close` takes away all that runs."""

    def __init__(self, build: Path) -> None:
        build.mkdir(parents=True, exist_ok=True)
        self._networks = build / "networks"
        configuration = build / "containers.conf"
        configuration.write_text(_CONFIGURATION.format(networks=self._networks))
        self._environment = {"CONTAINERS_CONF": str(configuration)}
        self._storage = [
            *("--root", str(build / "containers"), "--runroot", str(_RUNNING / "storage")),
            *("--storage-driver", _driver()),
        ]

    def __call__(self, *arguments: str | Path) -> str:
        """Call podman."""
        return run(*self._podman(), *arguments, environment=self._environment)

    def close(self) -> None:
        """Remove the pods and the network."""
        for arguments in (("pod", "rm", "--force", "--all"), ("network", "rm", "--force", NETWORK)):
            attempt(*self._podman(), *arguments, environment=self._environment)

    def has_image(self, name: str) -> bool:
        """Tell whether there is such an image."""
        arguments = ("image", "exists", name)
        return attempt(*self._podman(), *arguments, environment=self._environment).returncode == 0

    def build(self, context: Path, tag: str, *options: str | Path) -> None:
        """Build an image from `context`, which has a Dockerfile unless the options say another."""
        command = ["buildah", *self._storage, "build", "--layers", "--isolation", "chroot", "--tag", tag]
        run(*polite([*command, *options, context]), environment=self._environment)

    def create(self, manifest: Path, address: str) -> None:
        """Make the one pod of a manifest, on an address of the network; none of its containers runs yet."""
        self("kube", "play", "--start=false", "--network", NETWORK, "--ip", address, manifest)

    def logs(self, container: str) -> str:
        """Return what a container has written, to both its outputs."""
        said = attempt(*self._podman(), "logs", container, environment=self._environment)
        return said.stdout + said.stderr

    def state(self, container: str) -> dict[str, Any]:
        """Return the state of a container."""
        (found,) = json.loads(self("container", "inspect", container))
        return dict(found["State"])

    def start_network(self) -> None:
        """Make the pods' network, without names: those of Services stand in hosts files."""
        self("network", "create", "--subnet", SUBNET, "--disable-dns", NETWORK)

    def steady_network(self) -> None:
        """Keep the bridge's hardware address: else it changes when a pod goes, and no pod is reached for a while."""
        (network,) = json.loads(self("network", "inspect", NETWORK))
        bridge = network["network_interface"]
        own = Path("/sys/class/net", bridge, "address").read_text().strip()
        run("ip", "link", "set", "dev", bridge, "address", own)

    def _podman(self) -> list[str]:
        return ["podman", *self._storage, "--tmpdir", str(_RUNNING / "podman")]


def _driver() -> str:
    """Choose the storage: layers where the kernel has overlays, whole copies elsewhere."""
    return "overlay" if "\toverlay\n" in Path("/proc/filesystems").read_text() else "vfs"
