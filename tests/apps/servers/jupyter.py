"""Jupyter Server without a token of its own."""

from __future__ import annotations

import sys
from tempfile import mkdtemp

from jupyter_server.serverapp import ServerApp

if __name__ == "__main__":
    options = {"ip": "127.0.0.1", "port": sys.argv[1], "root_dir": mkdtemp(dir="."), "port_retries": 0}
    options |= {"open_browser": False, "allow_root": True, "IdentityProvider.token": ""}
    # Without a token of its own, it takes every request for one of a browser.
    options["disable_check_xsrf"] = True
    arguments = [f"--{'' if '.' in name else 'ServerApp.'}{name}={value}" for name, value in options.items()]
    ServerApp.launch_instance(arguments)
