"""git pushes more than fits in one buffer, and clones it: the token is the password."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from random import Random

os.environ |= {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": os.devnull}


def git(*arguments: str) -> str:
    """Run git, and return its output."""
    identity = ("-c", "user.name=alice", "-c", "user.email=alice@example.org")
    return subprocess.run(["git", *identity, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    url = f"{os.environ['URL'].replace('://', '://token:' + os.environ['TOKEN'] + '@')}/repo.git"
    git("init", "-q", "-b", "main", "source")
    Path("source/data").write_bytes(Random(1).randbytes(3_000_000))  # more than http.postBuffer: in chunks
    git("-C", "source", "add", "data")
    git("-C", "source", "commit", "-q", "-m", "data", "--date", "2026-01-01T00:00:00Z")
    git("-C", "source", "push", "-q", url, "main")
    git("clone", "-q", "-b", "main", url, "clone")
    print(git("-C", "clone", "ls-tree", "HEAD"), Path("clone/data").stat().st_size)
