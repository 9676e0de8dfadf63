"""The source of the country app contains nothing about OAuth."""

import re
from pathlib import Path

import pytest

import country_app

MODULES = sorted(Path(country_app.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_the_app_knows_nothing_of_oauth(module: Path) -> None:
    """It stands for an unmodified app, so not even a word of it is about OAuth."""
    words = r"oauth|token|bearer|authori[sz]|authent|scope|credential|jwt"
    assert not re.findall(words, module.read_text(), re.IGNORECASE)
