"""The walk against authorization servers that others wrote, each installed in its pinned version and run for real.

A folder beside this file is a server: what pins its versions; `start PORT`, which installs it and serves on that port
of loopback; and `introspect.yaml`, its part of the enforcer's configuration, as docs/interop.md shows it.
"""

import sys
from pathlib import Path

# What starts an enforcer for the tests does it here too.
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
