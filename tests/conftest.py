"""Fixtures that every test may use."""

import sys
from pathlib import Path

# The helpers in tests/harness are imported as `harness`.
sys.path.insert(0, str(Path(__file__).parent))
