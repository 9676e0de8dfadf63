"""End-to-end tests with real pods (`make e2e-pods`) and a real API server (`make e2e-cluster`).

They need a Linux machine and root; neither the enforcer nor `make test` needs them. Build results are kept in
`e2e/.build`, so that the next run is faster; processes, mounts and routes are removed at the end.
"""

import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
BUILD: Final = (HERE / ".build").resolve()

# Helpers for certificates and waiting come from tests/harness.
sys.path.insert(0, str(ROOT / "tests"))
