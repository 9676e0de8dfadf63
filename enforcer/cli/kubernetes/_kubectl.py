"""Reads a cluster with kubectl, which knows every way to authenticate; nothing is changed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any, Final

from enforcer.errors import EnforcerError
from enforcer.yamltext.objects import Object, items, section

_TIMEOUT: Final = "60s"
"""Timeout of each request: a large cluster takes some seconds."""


class KubectlError(EnforcerError):
    """A call of kubectl that failed."""


class Kubectl:
    """Calls kubectl with these options, which name the kubeconfig and the context."""

    def __init__(self, options: Sequence[str]) -> None:
        self._options = options

    def version(self) -> tuple[int, int]:
        """Return the version of the API server, as (1, 33); raises KubectlError."""
        server = section(self._json("version"), "serverVersion")
        try:
            # Some distributions write "33+".
            return int(server["major"]), int(str(server["minor"]).rstrip("+"))
        except (KeyError, ValueError):
            raise KubectlError("kubectl version: the server's version is not known") from None

    def list_all(self, *resources: str) -> list[Object]:
        """Return all objects of these resources, in every namespace; raises KubectlError."""
        return items(self._json("get", ",".join(resources), "--all-namespaces"), "items")

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return an object, None if it does not exist; raises KubectlError."""
        text = self._call("get", kind, name, "--namespace", namespace, "--output=json", "--ignore-not-found")
        return self._parsed(text) if text.strip() else None

    def exists(self, kind: str, namespace: str, name: str) -> bool:
        """Return whether an object exists, without its content; raises KubectlError."""
        listed = self._call("get", kind, name, "--namespace", namespace, "--output=name", "--ignore-not-found")
        return bool(listed.strip())

    def resources(self) -> list[str]:
        """Return the names of all resources that can be listed, such as `pods` and `deployments.apps`."""
        return self._call("api-resources", "--verbs=list", "--output=name").split()

    def _json(self, *arguments: str) -> Object:
        return self._parsed(self._call(*arguments, "--output=json"))

    def _parsed(self, text: str) -> Object:
        try:
            value: Any = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise KubectlError("kubectl did not write a JSON object")
        return value

    def _call(self, *arguments: str) -> str:
        command = ["kubectl", *self._options, f"--request-timeout={_TIMEOUT}", *arguments]
        try:
            process = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
        except OSError as error:
            raise KubectlError(f"kubectl cannot be run: {error.strerror}") from None
        if process.returncode:
            reason = process.stderr.strip() or f"exit code {process.returncode}"
            raise KubectlError(f"kubectl {arguments[0]}: {reason}")
        return process.stdout
