"""The log and the decision log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from enforcer.units import Bytes, Count, Section

Logged = Literal["none", "denied", "all"]
"""Which decisions are logged; `denied` are all except those that allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log(Section):
    """Contents of the log, written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Minimum level of log lines. With `debug`, each decision is a line that names its steps: the rule, where the token
    came from, whether its verification result was cached, and the condition that decided; never a token."""
    format: Literal["text", "json"] = "text"
    """`text` for people, or `json` for machines: one JSON object a line."""
    buffer: Bytes = 1024**2
    """Maximum size of the lines waiting to be written if standard error is slow; more are dropped, and counted
    (`enforcer_log_lines_dropped_total`). Bounds memory: a request never waits for the reader of the log."""
    decisions: Logged = "none"
    """Which decisions are logged as well, each as a JSON object on its own line: `none`, `denied` (those that do not
    allow), or `all`: an access log, which `enforcer learn` reads. A line is written at the end of its exchange. The
    default is `none` because anybody can cause any number of denials."""
    backlog: Count = 10_000
    """Maximum number of decisions waiting to be written if standard error is slow; more are dropped and counted."""
    backlog_memory: Bytes = 4 * 1024**2
    """Maximum memory of these decisions; more are dropped and counted. Bounds memory, however long the paths are."""
