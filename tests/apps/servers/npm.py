"""Verdaccio, a registry of npm packages, which accepts every upload."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from shutil import which

CONFIG = """\
storage: ./storage
auth: {htpasswd: {file: ./htpasswd}}
packages: {"**": {access: $all, publish: $all}}
log: {type: stdout, format: pretty, level: warn}
"""

if __name__ == "__main__":
    Path("config.yaml").write_text(CONFIG)
    program = Path(sys.prefix) / "node_modules" / "verdaccio" / "bin" / "verdaccio"
    node = which("node") or "node"
    os.execv(node, [node, str(program), "--config", "config.yaml", "--listen", f"127.0.0.1:{sys.argv[1]}"])
