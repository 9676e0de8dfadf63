"""The log and the decision log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from enforcer.units import CLOSED, Count

Logged = Literal["none", "denied", "all"]
"""Which decisions are logged; `denied` are all except those that allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What is logged, to standard error."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""
    format: Literal["text", "json"] = "text"
    """Lines for people, or one JSON object a line for machines."""
    decisions: Logged = "none"
    """Decisions that are logged too, each as a JSON object on a line of its own: `none`, those that do not allow, or
    `all`, as `enforcer learn` needs them. None of them unless set: strangers can make as many denials as they like."""
    backlog: Count = 10_000
    """Decisions that may wait to be written while standard error is slow; more are left out. Bounds memory."""
