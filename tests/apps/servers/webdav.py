"""WsgiDAV with a folder that everybody may write."""

from __future__ import annotations

import sys
from tempfile import mkdtemp

from cheroot.wsgi import Server
from wsgidav.wsgidav_app import WsgiDAVApp

if __name__ == "__main__":
    settings = {"provider_mapping": {"/": mkdtemp(dir=".")}, "simple_dc": {"user_mapping": {"*": True}}}
    Server(("127.0.0.1", int(sys.argv[1])), WsgiDAVApp(settings)).safe_start()
