"""`enforcer test`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from enforcer.analysis.junit import Suite, write
from enforcer.analysis.policy_tests import RuleCoverage, coverage, run
from enforcer.cli._options import config_option
from enforcer.cli._policy import open_policy
from enforcer.config.policy_test_file import load_policy_tests
from enforcer.policy.decision import WOULD_DENY


@click.command(name="test")
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@config_option()
@click.option("--junit", type=click.Path(path_type=Path), help="Write the results to this file, as JUnit XML.")
@click.option("--coverage/--no-coverage", "covering", default=True, help="List the rules that the tests do not cover.")
@click.option("--enforced", is_flag=True, help="Treat rules in mode report as if they were enforced.")
def command(files: tuple[Path, ...], config: Path, junit: Path | None, covering: bool, enforced: bool) -> None:
    """Decide the requests of the tests in FILE… with the rules of a configuration, and compare the results.

    No server is contacted, and no secret is needed.

    Exit codes: 0 every test passed, 1 a test failed, 2 wrong usage or an invalid file.

    \b
    Examples:
      enforcer test policy-tests.yaml
      enforcer test tests/*.yaml --config /etc/enforcer/config.yaml --junit policy.xml
      enforcer test policy-tests.yaml --enforced
    """
    loaded = open_policy(config, enforced=enforced)
    names = [rule.name for _, rule in loaded.policy.rules]
    suites = []
    for file in files:
        cases, document = load_policy_tests(file, names)
        outcomes = run(cases, loaded.policy, time.time(), loaded.refusals)
        suites.append(
            Suite(str(file), outcomes, [document.place(("tests", index))[0] for index in range(len(outcomes))])
        )
    outcomes = [outcome for suite in suites for outcome in suite.results]
    for suite in suites:
        _show_failures(suite)
    failed = sum(not outcome.passed for outcome in outcomes)
    click.echo(
        f"{len(outcomes)} {'test' if len(outcomes) == 1 else 'tests'}: {len(outcomes) - failed} passed, {failed} failed"
    )
    if any(not outcome.passed and outcome.judgement.decision == WOULD_DENY for outcome in outcomes):
        click.echo("rules in report mode deny nothing: expect would_deny, or test with --enforced")
    if covering:
        _show_coverage(list(coverage(loaded.policy, outcomes)))
    if junit is not None:
        try:
            junit.write_text(write(suites), "utf-8")
        except OSError as error:
            raise click.ClickException(f"{junit}: {error.strerror}") from None
    sys.exit(1 if failed else 0)


def _show_failures(suite: Suite) -> None:
    for outcome, line in zip(suite.results, suite.lines, strict=True):
        if not outcome.passed:
            click.echo(f"{suite.file}:{line}: {outcome.case.name}")
            click.echo("".join(f"  {text}".rstrip() + "\n" for text in outcome.failure.splitlines()))


def _show_coverage(rules: Sequence[RuleCoverage]) -> None:
    uncovered = [rule for rule in rules if rule.missing]
    click.echo(f"{len(rules) - len(uncovered)} of {len(rules)} {'rule' if len(rules) == 1 else 'rules'} covered")
    for rule in uncovered:
        click.echo(f'{rule.entry.where}: rule "{rule.entry.rule.name}" is never {rule.missing}')
