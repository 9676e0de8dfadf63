"""Exceptions and configuration errors."""

import re
from typing import Any

import pytest

from enforcer.errors import (
    ConfigError,
    EnforcerError,
    IntrospectionError,
    IntrospectionFailure,
    MalformedRequestError,
    Problem,
    UpstreamError,
    UpstreamFailure,
)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("config.yaml", 3, 7, "rules.0.path", "wrong"), "config.yaml:3:7: rules.0.path: wrong"),
        (Problem("config.yaml", 3, 7, "", "wrong"), "config.yaml:3:7: wrong"),
        (Problem("config.yaml", 0, 0, "", "not there"), "config.yaml: not there"),
        (Problem("config.yaml", 0, 0, "rules", "missing"), "config.yaml: rules: missing"),
    ],
)
def test_a_problem_has_its_place_in_the_format_of_editors(problem: Problem, text: str) -> None:
    """file:line:column, as far as known."""
    assert str(problem) == text


def test_a_configuration_error_lists_every_problem() -> None:
    """One per line, so that a user can fix all of them at once."""
    problems = [Problem("c", line, 1, "", f"wrong {line}") for line in (1, 2, 3)]
    error = ConfigError(problems)
    assert str(error) == "c:1:1: wrong 1\nc:2:1: wrong 2\nc:3:1: wrong 3"
    assert error.problems == tuple(problems)


def test_a_malformed_request_is_400_by_default() -> None:
    """With the part and the reason, for the response and the log."""
    error = MalformedRequestError("Host", "missing")
    assert (str(error), error.part, error.why, error.status) == ("Host: missing", "Host", "missing", 400)
    assert MalformedRequestError("request line", "too new", 505).status == 505


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (IntrospectionError(IntrospectionFailure.REFUSED, "it answered 401"), "refused: it answered 401"),
        (UpstreamError(UpstreamFailure.TIMEOUT, "no head"), "timeout: no head"),
    ],
)
def test_an_error_of_another_server_has_a_reason_and_a_detail(error: Any, text: str) -> None:
    """The reason is a metric label."""
    assert str(error) == text
    assert f"{error.reason}: {error.detail}" == text


@pytest.mark.parametrize("failure", [*IntrospectionFailure, *UpstreamFailure])
def test_reasons_are_valid_metric_labels(failure: str) -> None:
    """Lower-case words, joined with underscores."""
    assert re.fullmatch("[a-z]+(_[a-z]+)*", failure)


@pytest.mark.parametrize("error", [ConfigError, MalformedRequestError, IntrospectionError, UpstreamError])
def test_every_exception_has_one_base_class(error: type[Exception]) -> None:
    """So that one `except` distinguishes them from bugs."""
    assert issubclass(error, EnforcerError)
    assert not issubclass(error, ValueError | OSError)
