import ast
from pathlib import Path

import authserver


def test_the_package_imports_neither_the_enforcer_nor_the_country_app() -> None:
    """It is a counterpart of the product, and no part of it."""
    imported = set()
    for module in Path(authserver.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
    assert "authserver" in imported
    assert not imported & {"enforcer", "country_app", ""}
