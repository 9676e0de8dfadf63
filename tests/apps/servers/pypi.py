"""pypiserver, which accepts every upload."""

from __future__ import annotations

import sys
from tempfile import mkdtemp

from pypiserver.__main__ import main

if __name__ == "__main__":
    main(["run", "-i", "127.0.0.1", "-p", sys.argv[1], "-P", ".", "-a", ".", mkdtemp(dir=".")])
