"""Secrets, which no log or `repr` shows."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from enforcer.secret import Secret


@dataclasses.dataclass
class Client:
    name: str
    secret: Secret


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        ascii,
        lambda secret: f"{secret}",
        lambda secret: f"{secret!r:>20}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - as logging does it
        lambda secret: repr([secret]),
        lambda secret: repr({"secret": secret}),
        lambda secret: repr(Client("a", secret)),
        lambda secret: repr(dataclasses.asdict(Client("a", secret))),
        lambda secret: repr(dir(secret)),
        lambda secret: str(TypeError(secret)),
        lambda secret: repr(copy.copy(secret)),
    ],
)
def test_a_secret_is_shown_nowhere(show: Callable[[Secret], str]) -> None:
    """Not in a log, an error or a `repr`, by itself or inside another object."""
    assert "hunter2" not in show(Secret("hunter2"))


def test_reveal_returns_the_value() -> None:
    """It is a named method, so that every use can be found."""
    assert Secret("hunter2").reveal() == "hunter2"


@pytest.mark.parametrize("misuse", [len, iter, vars, lambda secret: secret + "", lambda secret: secret[0]])
def test_a_secret_is_not_a_string(misuse: Callable[[Any], Any]) -> None:
    """So that it cannot be used as one by accident."""
    with pytest.raises(TypeError):
        misuse(Secret("hunter2"))


def test_secrets_are_equal_if_their_values_are() -> None:
    """So that a reload recognizes unchanged settings."""
    assert Secret("hünter2") == Secret("hünter2")
    assert hash(Secret("hunter2")) == hash(Secret("hunter2"))
    assert Secret("hunter2") != Secret("hunter3")
    assert Secret("hunter2") != "hunter2"
