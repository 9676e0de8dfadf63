"""The names that the enforcer has in a cluster, each in one place."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "enforcer.dev/"
"""Of every label and annotation that is ours."""

INJECT: Final = f"{PREFIX}inject"
"""Label of a pod: `enabled` asks the webhook for the sidecar, `disabled` keeps everybody from injecting it."""
INJECTED: Final = f"{PREFIX}injected"
"""Label of a pod that has the sidecar: `"true"`."""
STATUS: Final = f"{PREFIX}status"
"""Annotation that holds, as JSON, what was changed, so that it can be taken back exactly."""
INJECTED_BY: Final = f"{PREFIX}injected-by"
"""Annotation of who injected it: what is ours alone, and may be replaced and removed, has it too."""
POLICY_CHECKSUM: Final = f"{PREFIX}policy-checksum"
"""Annotation with the SHA-256 of the policy that was at hand."""

WRITTEN: Final = frozenset({STATUS, INJECTED_BY, POLICY_CHECKSUM})
"""Annotations that are ours to write, and nobody else's."""

IMAGE: Final = "token-enforcer"
"""The image's repository; its tag is the package's version."""

CONTAINER: Final = "enforcer"
REDIRECT: Final = "enforcer-redirect"
"""The init container that leads the app's port to the enforcer, in mode `transparent`."""

LISTEN_PORT: Final = 15080
ADMIN_PORT: Final = 15081
LISTEN_PORT_NAME: Final = "enforcer-proxy"
ADMIN_PORT_NAME: Final = "enforcer-admin"

POLICY_FOLDER: Final = "/etc/enforcer"
POLICY_KEY: Final = "config.yaml"
CREDENTIALS_FOLDER: Final = "/etc/enforcer-credentials"
CLIENT_ID_KEY: Final = "client-id"
CLIENT_SECRET_KEY: Final = "client-secret"  # noqa: S105 - a file
TOKEN_FOLDER: Final = "/etc/enforcer-token"  # noqa: S105 - a folder
TOKEN_KEY: Final = "token"  # noqa: S105 - a file

POLICY_VOLUME: Final = "enforcer-policy"
CREDENTIALS_VOLUME: Final = "enforcer-credentials"
TOKEN_VOLUME: Final = "enforcer-token"  # noqa: S105 - a volume
TEMPORARY_VOLUME: Final = "enforcer-tmp"

OURS: Final = frozenset(
    {CONTAINER, REDIRECT, POLICY_VOLUME, CREDENTIALS_VOLUME, TOKEN_VOLUME, TEMPORARY_VOLUME},
)
"""Names of all containers and volumes that a pod is given."""

PROBES: Final = "ENFORCER_PROBES"
"""Environment variable with the probes of others that the enforcer executes, as JSON."""
APP_METRICS: Final = "ENFORCER_APP_METRICS"
"""Environment variable with the URL of the app's own metrics, which the admin side passes on at `/app-metrics`."""
