"""Loading the policy of a configuration, for commands that evaluate it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from enforcer.analysis.evaluator import Policy
from enforcer.config.load import Loaded, load_with_document
from enforcer.config.merged_document import MergedDocument
from enforcer.config.model import Config
from enforcer.config.validate.warnings import placed_policy
from enforcer.proxy.messages.responses import Refusals


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A configuration, its policy, and the refusals that clients would get."""

    config: Config
    policy: Policy
    refusals: Refusals


def open_policy(path: Path, *, with_secrets: bool = False, enforced: bool = False) -> LoadedPolicy:
    """Load the policy of a configuration; raises ConfigError.

    `enforced`: treat every rule in mode report as if it were enforced.
    """
    loaded, document = load_with_document(path, os.environ if with_secrets else None)
    return loaded_policy(loaded, document, enforced=enforced)


def loaded_policy(loaded: Loaded, document: MergedDocument, *, enforced: bool = False) -> LoadedPolicy:
    """Return the policy of a loaded configuration."""
    config = loaded.config
    policy = placed_policy(config, document, enforced=enforced)
    return LoadedPolicy(config, policy, Refusals(config.challenge, config.dpop, policy.hierarchy, config.resources))
