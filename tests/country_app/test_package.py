import ast
import re
from pathlib import Path

import pytest

import country_app

MODULES = sorted(Path(country_app.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_the_app_knows_nothing_of_oauth(module: Path) -> None:
    """It is the unmodified app: there is no word of what stands in front of it."""
    words = r"oauth|token|bearer|authori[sz]|authent|scope|credential|jwt"
    assert not re.findall(words, module.read_text(), re.IGNORECASE)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_the_app_imports_neither_the_enforcer_nor_the_auth_server(module: Path) -> None:
    """It is a counterpart of the product, and no part of it."""
    imported = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert not imported & {"enforcer", "authserver", ""}
