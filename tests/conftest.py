"""Fixtures that every test may use."""

import sys
from pathlib import Path

from hypothesis import settings

# The helpers in tests/harness are imported as `harness`.
sys.path.insert(0, str(Path(__file__).parent))

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
