"""Interoperability tests: the enforcer with third-party authorization servers, each installed in a pinned version.

Each folder beside this file is an authorization server. It contains the files that pin its versions; `start PORT`,
which installs the server and runs it on that port of the loopback interface; and the server's part of the enforcer's
configuration, such as `introspect.yaml`, as docs/interop.md shows it.
"""

import sys
from pathlib import Path

# The test harness starts the enforcer here, too.
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
