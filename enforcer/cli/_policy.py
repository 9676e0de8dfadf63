"""How a command comes by the policy of a configuration."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from enforcer.analysis.evaluator import Policy
from enforcer.cli._errors import refuse
from enforcer.config.load import Loaded, load_with_document
from enforcer.config.merged_document import MergedDocument
from enforcer.config.model import Config
from enforcer.config.resolved import resolved_rules
from enforcer.errors import ConfigError
from enforcer.proxy.refusals import Refusals

F = TypeVar("F", bound=Callable[..., Any])


def config_option(function: F) -> F:
    """Add the option that names the configuration."""
    option = click.option(
        "--config",
        type=click.Path(path_type=Path),
        default=Path("config.yaml"),
        show_default=True,
        help="The configuration.",
    )
    return option(function)


@dataclass(frozen=True, slots=True)
class Opened:
    """A configuration, its policy, and how the enforcer answers by it."""

    config: Config
    policy: Policy
    refusals: Refusals


def open_policy(path: Path, *, with_secrets: bool = False, enforced: bool = False) -> Opened:
    """Read the policy of a configuration, or print what is wrong with it and end with 2.

    `enforced`: as if nothing only reported.
    """
    try:
        loaded, document = load_with_document(path, os.environ if with_secrets else None)
    except ConfigError as error:
        refuse(error)
    return opened(loaded, document, enforced=enforced)


def opened(loaded: Loaded, document: MergedDocument, *, enforced: bool = False) -> Opened:
    """Make the policy of a configuration ready to be tried."""
    config = loaded.config
    rules = (
        (rule, ":".join(map(str, document.where(("rules", at))[:2]))) for at, rule in enumerate(resolved_rules(config))
    )
    if enforced:
        rules = ((replace(rule, mode="enforce"), where) for rule, where in rules)
    return Opened(
        config, Policy(rules, "enforce" if enforced else config.mode), Refusals(config.challenge, config.dpop)
    )
