"""npm: publish a scoped package, whose `/` is encoded in the path, and install it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit


def npm(folder: str, *arguments: str) -> None:
    """Run npm in a folder."""
    options = ["--userconfig", "../npmrc", "--cache", "../cache", "--fetch-retries", "0"]
    subprocess.run(["npm", *options, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    url = os.environ["URL"]
    settings = [f"//{urlsplit(url).netloc}/:_authToken={os.environ['TOKEN']}", f"registry={url}/", "audit=false"]
    Path("npmrc").write_text("\n".join([*settings, "fund=false", "update-notifier=false", ""]))
    for folder, manifest in (
        ("package", {"name": "@scope/name", "version": "1.0.0", "main": "index.js"}),
        ("user", {"name": "user", "private": True}),
    ):
        Path(folder).mkdir()
        (Path(folder) / "package.json").write_text(json.dumps(manifest))
    (Path("package") / "index.js").write_text('module.exports = "hello";\n')
    npm("package", "publish")
    npm("user", "install", "@scope/name")
    lock = json.loads((Path("user") / "package-lock.json").read_text())
    print(lock["packages"]["node_modules/@scope/name"]["integrity"])
    print((Path("user") / "node_modules" / "@scope" / "name" / "index.js").read_text())
