"""Names in a cluster: labels, annotations, containers, ports, volumes and environment variables."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "enforcer.dev/"
"""Prefix of all our labels and annotations."""

INJECT: Final = f"{PREFIX}inject"
"""Label of a pod: `enabled` has the webhook inject it; `disabled` excludes it from every injection."""
INJECTED: Final = f"{PREFIX}injected"
"""Label of a pod that has the sidecar: `"true"`."""
STATUS: Final = f"{PREFIX}status"
"""Annotation with the former values of everything that was changed, as JSON, so that it can be reverted exactly."""
INJECTED_BY: Final = f"{PREFIX}injected-by"
"""Annotation that names the injector. Objects that have it were created by an injection, and may be replaced."""
POLICY_CHECKSUM: Final = f"{PREFIX}policy-checksum"
"""Annotation with the SHA-256 of the policy, if it was known at injection."""

SKIPPED: Final = f"{PREFIX}skipped"
"""Annotation of a pod of a labelled namespace that the webhook did not inject, with the reason. Without it, the
admission policy could not distinguish such a pod from one that the webhook never saw."""

WRITTEN: Final = frozenset({STATUS, INJECTED_BY, POLICY_CHECKSUM, SKIPPED})
"""Annotations that only an injection writes; users do not set them."""

IMAGE: Final = "token-enforcer"
"""The image's repository; its tag is the package's version."""

CONTAINER: Final = "enforcer"
REDIRECT: Final = "enforcer-redirect"
"""The init container that redirects the app's port to the enforcer in mode `transparent`."""

LISTEN_PORT: Final = 15080
ADMIN_PORT: Final = 15081
LISTEN_PORT_NAME: Final = "enforcer-proxy"
ADMIN_PORT_NAME: Final = "enforcer-admin"

READY_PATH: Final = "/readyz"
"""Path of the admin server that responds with success while the enforcer serves requests."""

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

OURS: Final = frozenset({CONTAINER, REDIRECT, POLICY_VOLUME, CREDENTIALS_VOLUME, TOKEN_VOLUME, TEMPORARY_VOLUME})
"""Names of all containers and volumes that an injection adds to a pod."""

PROBES: Final = "ENFORCER_PROBES"
"""Environment variable with the app's probes that the enforcer executes for the kubelet, as JSON."""
APP_METRICS: Final = "ENFORCER_APP_METRICS"
"""Environment variable with the URL of the app's own metrics, which the admin server serves at `/app-metrics`."""
