"""`enforcer test`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from enforcer.analysis.junit import Suite, write
from enforcer.analysis.policy_tests import Coverage, coverage, run
from enforcer.cli._errors import refuse
from enforcer.cli._policy import config_option, open_policy
from enforcer.config.policy_test_file import load_cases
from enforcer.errors import ConfigError


@click.command(name="test")
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@config_option
@click.option("--junit", type=click.Path(path_type=Path), help="Write the outcomes to this file, as JUnit XML.")
@click.option("--coverage/--no-coverage", "covering", default=True, help="Tell which rules the tests leave out.")
@click.option("--enforced", is_flag=True, help="Judge as if no rule only reported: what will be, once they refuse.")
def command(files: tuple[Path, ...], config: Path, junit: Path | None, covering: bool, enforced: bool) -> None:
    """Judge the requests of the tests in FILE… by the rules of a configuration, and compare.

    No server is asked, and no secret is needed. Exit codes: 0 all is as expected, 1 a test fails, 2 a file is wrong.

    \b
    Examples:
      enforcer test policy-tests.yaml
      enforcer test tests/*.yaml --config /etc/enforcer/config.yaml --junit policy.xml
      enforcer test policy-tests.yaml --enforced
    """
    opened = open_policy(config, enforced=enforced)
    names = [entry.rule.name for entry in opened.policy.entries]
    suites = []
    for file in files:
        try:
            cases, document = load_cases(file, names)
        except ConfigError as error:
            refuse(error)
        outcomes = run(cases, opened.policy, time.time(), opened.refusals)
        suites.append(Suite(str(file), outcomes, [document.place(("tests", at))[0] for at in range(len(outcomes))]))
    outcomes = [one for suite in suites for one in suite.outcomes]
    for suite in suites:
        _show_failures(suite)
    failed = sum(not one.passed for one in outcomes)
    click.echo(
        f"{len(outcomes)} {'test' if len(outcomes) == 1 else 'tests'}: {len(outcomes) - failed} passed, {failed} failed"
    )
    if covering:
        _show_coverage(list(coverage(opened.policy, outcomes)))
    if junit is not None:
        try:
            junit.write_text(write(suites), "utf-8")
        except OSError as error:
            raise click.ClickException(f"{junit}: {error.strerror}") from None
    sys.exit(1 if failed else 0)


def _show_failures(suite: Suite) -> None:
    for one, line in zip(suite.outcomes, suite.lines, strict=True):
        if not one.passed:
            click.echo(f"{suite.file}:{line}: {one.case.name}")
            click.echo("".join(f"  {text}".rstrip() + "\n" for text in one.failure.splitlines()))


def _show_coverage(rules: Sequence[Coverage]) -> None:
    left = [one for one in rules if one.missing]
    click.echo(f"{len(rules) - len(left)} of {len(rules)} {'rule' if len(rules) == 1 else 'rules'} covered")
    for one in left:
        click.echo(f'{one.entry.where}: rule "{one.entry.rule.name}" is never {one.missing}')
