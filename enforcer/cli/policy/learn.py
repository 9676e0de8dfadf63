"""`enforcer learn`."""

from __future__ import annotations

from functools import partial
from typing import BinaryIO, Final

import click

from enforcer.analysis.learn.learner import Learner
from enforcer.decision_log.record import parse

_MAX_LINE: Final = 64 * 1024
"""Bytes of a line. Decisions are shorter. Bounds memory."""
_NO_DECISION: Final = (
    "no decision in the log; run the enforcer with mode: report and log: {decisions: all}, "
    "and pass what it writes to standard error"
)


@click.command(name="learn")
@click.argument("logs", metavar="LOG…", nargs=-1, required=True, type=click.File("rb"))
def command(logs: tuple[BinaryIO, ...]) -> None:
    """Propose rules from the decisions in LOG… (- for standard input). Review and edit them before use.

    Only requests with an active token lead to a rule, and no rule is public. Lines that are not decisions are skipped.

    Exit codes: 0 printed, 1 no log has a decision, 2 wrong usage or a log that cannot be read.

    \b
    Examples:
      enforcer learn decisions.log > proposed.yaml
      zcat decisions.*.gz | enforcer learn -
    """
    learner = Learner()
    for log in logs:
        for line in iter(partial(log.readline, _MAX_LINE), b""):
            learner.take(parse(line))
    if not learner.has_decisions:
        raise click.ClickException(_NO_DECISION)
    click.echo(learner.propose(), nl=False)
