"""twine uploads a package, pip downloads it: the token is the password."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

if __name__ == "__main__":
    metadata = "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n"
    with ZipFile("thing-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("thing.py", "")
        wheel.writestr("thing-1.0.dist-info/METADATA", metadata)
        wheel.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("thing-1.0.dist-info/RECORD", "")
    url, token = os.environ["URL"], os.environ["TOKEN"]
    upload = ["twine", "upload", "--non-interactive", "--repository-url", f"{url}/", "-u", "__token__", "-p", token]
    subprocess.run([sys.executable, "-m", *upload, "thing-1.0-py3-none-any.whl"], check=True, stdout=sys.stderr)
    index = f"{url.replace('://', f'://__token__:{token}@')}/simple/"
    download = [
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--no-cache-dir",
        "-d",
        "downloads",
        "--index-url",
        index,
        "thing",
    ]
    subprocess.run([sys.executable, "-m", *download], check=True, stdout=sys.stderr)
    print(sorted(path.name for path in Path("downloads").iterdir()))
