"""The log at the start: what runs, and what `enforcer check` warns of."""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path
from typing import Final

from enforcer import build_kind
from enforcer.analysis.lint import Level
from enforcer.config.load import Loaded
from enforcer.config.merged_document import MergedDocument
from enforcer.config.model import Config
from enforcer.config.validate.warnings import find_warnings, placed_policy

_log: Final = logging.getLogger("enforcer")

_CHECKED_RULES: Final = 500
"""Maximum number of rules whose warnings are searched at the start: with thousands it would take seconds."""


def log_warnings(config: Config, document: MergedDocument) -> None:
    """Log what `enforcer check` warns of, except report mode, which is logged after each reload."""
    if len(config.rules) > _CHECKED_RULES:
        _log.info("%d rules: run `enforcer check` for warnings about them", len(config.rules))
        return
    for warning in find_warnings(config, document, placed_policy(config, document)):
        if warning.level is Level.WARNING and warning.code != "report_only":
            _log.warning("%s", warning.problem)


def describe(path: Path, loaded: Loaded) -> str:
    """Return what runs: the program, its configuration and its servers."""
    config = loaded.config
    servers = ", ".join(server.name for server in config.authorization_servers) or "none"
    return (
        f"token-enforcer {version('token-enforcer')} ({build_kind()}), {path.absolute()} with hash {loaded.hash} and "
        f"{len(config.rules)} rules, authorization servers: {servers}"
    )
