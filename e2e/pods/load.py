"""Continuous load, to detect lost requests."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import httpx

_TIMEOUT: Final = 30.0


class Load:
    """Counts the results of requests: `outcomes` by status, or by the error if there was no response."""

    def __init__(self, url: str, token: str) -> None:
        self.outcomes: Counter[int | str] = Counter()
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def once(self, path: str) -> threading.Thread:
        """Send one request in the background."""
        thread = threading.Thread(target=self._once, args=(path,))
        thread.start()
        return thread

    def run(self, path: str, reused: bool) -> None:
        """Send requests one after the other until stopped, over reused connections or each over a new one."""
        while not self._stopped.is_set():
            with httpx.Client(trust_env=False, timeout=_TIMEOUT, headers=self._headers) as client:
                self._send(client, path)
                while reused and not self._stopped.is_set():
                    self._send(client, path)

    def stop(self) -> None:
        """Stop after the running requests."""
        self._stopped.set()

    def _once(self, path: str) -> None:
        with httpx.Client(trust_env=False, timeout=_TIMEOUT, headers=self._headers) as client:
            self._send(client, path)

    def _send(self, client: httpx.Client, path: str) -> None:
        try:
            outcome: int | str = client.get(self._url + path).status_code
        except httpx.HTTPError as error:
            outcome = type(error).__name__
        with self._lock:
            self.outcomes[outcome] += 1


@contextmanager
def load(url: str, token: str, paths: Sequence[str]) -> Iterator[Load]:
    """Send requests until the block ends: two clients for each path, one with a reused connection."""
    traffic = Load(url, token)
    threads = [threading.Thread(target=traffic.run, args=(path, reused)) for path in paths for reused in (True, False)]
    for thread in threads:
        thread.start()
    try:
        yield traffic
    finally:
        traffic.stop()
        for thread in threads:
            thread.join()
