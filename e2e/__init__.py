"""What only real pods and a real API server can prove: `make e2e-pods` and `make e2e-cluster`.

For a Linux machine with root; nothing here is needed to run the enforcer, nor by `make test`. What is made on the way
is kept in `e2e/.build`, so that the next time is faster; whatever runs, is mounted or is routed is taken away at the
end.
"""

import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
BUILD: Final = (HERE / ".build").resolve()

# What the tests have of certificates and waiting serves here too.
sys.path.insert(0, str(ROOT / "tests"))
