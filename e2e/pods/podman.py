"""podman with its own storage, network and configuration, so that other containers on the machine are not affected."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Final
from uuid import uuid4

from e2e.pods import leftovers
from e2e.tools import Tool, ToolError, attempt, debian, polite, run

TOOLS: Final = (
    Tool("podman", debian("podman")),
    Tool("buildah", debian("buildah")),
    Tool("runc", debian("runc")),
    Tool("catatonit", debian("catatonit")),
    Tool("mmdebstrap", debian("mmdebstrap")),
    Tool("iptables", debian("iptables")),
    Tool("ip", debian("iproute2")),
)
SUBNET: Final = "10.89.77.0/24"
_RUNNING: Final = Path("/run/enforcer-e2e")
_CONFIGURATION: Final = """\
[containers]
# A machine without CAP_SYS_RESOURCE cannot raise limits, and podman's defaults may exceed them.
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
    """Runs images and pods; `close` removes everything that runs.

    Only one can run on a machine at a time: raises ToolError if there is another.
    """

    def __init__(self, build: Path) -> None:
        build.mkdir(parents=True, exist_ok=True)
        _RUNNING.mkdir(exist_ok=True)
        self._lock = (_RUNNING / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ToolError("another run on this machine uses the pods' addresses") from None
        # A new name each time: podman stores the assigned addresses by the network's name, outside of all storages, and
        # does not delete them with the network.
        self._network = f"enforcer-e2e-{uuid4().hex[:8]}"
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
        """Remove the pods and the network, also those of a run that was killed."""
        self._attempt("pod", "rm", "--force", "--all")
        self._attempt("network", "prune", "--force")
        leftovers.clear(_RUNNING / "storage", SUBNET)

    def has_image(self, name: str) -> bool:
        """Return whether an image exists."""
        return self._attempt("image", "exists", name).returncode == 0

    def build(self, context: Path, tag: str, *options: str | Path) -> None:
        """Build an image from `context`; default: its own Dockerfile."""
        command = ["buildah", *self._storage, "build", "--layers", "--isolation", "chroot", "--tag", tag]
        run(*polite([*command, *options, context]), environment=self._environment)

    def create(self, manifest: Path, address: str) -> None:
        """Create a manifest's pod at an address of the network, without starting its containers."""
        self("kube", "play", "--start=false", "--network", self._network, "--ip", address, manifest)

    def logs(self, container: str) -> str:
        """Return a container's standard output and error output."""
        process = self._attempt("logs", container)
        return process.stdout + process.stderr

    def signal(self, container: str, name: str) -> None:
        """Send a signal to a container, which may have ended already."""
        self._attempt("kill", "--signal", name, container)

    def state(self, container: str) -> dict[str, Any]:
        """Return the state of a container."""
        (inspected,) = json.loads(self("container", "inspect", container))
        return dict(inspected["State"])

    def start_network(self) -> None:
        """Create the pods' network, without DNS: hosts files contain the names of Services."""
        self("network", "create", "--subnet", SUBNET, "--disable-dns", self._network)

    def steady_network(self) -> None:
        """Fix the bridge's hardware address: if it changes when a pod ends, no pod can be reached for a while."""
        (network,) = json.loads(self("network", "inspect", self._network))
        bridge = network["network_interface"]
        address = Path("/sys/class/net", bridge, "address").read_text().strip()
        run("ip", "link", "set", "dev", bridge, "address", address)

    def _attempt(self, *arguments: str) -> CompletedProcess[str]:
        return attempt(*self._podman(), *arguments, environment=self._environment)

    def _podman(self) -> list[str]:
        return ["podman", *self._storage, "--tmpdir", str(_RUNNING / "podman")]


def _driver() -> str:
    """Choose the storage driver: overlay if the kernel supports it, else vfs."""
    return "overlay" if "\toverlay\n" in Path("/proc/filesystems").read_text() else "vfs"
