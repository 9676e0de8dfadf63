"""The configuration in force, and its replacement while requests are served.

1. A new configuration is read and checked completely, on the worker thread. If it has an error, nothing changes.
2. All requests from one moment on use the new configuration; requests that have begun finish with the old one.
3. A configuration that no request uses any more is taken down: resources that no other one shares are closed.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

from enforcer.config.documents.sources import Files, Signature
from enforcer.config.load import Loaded
from enforcer.config.merged_document import MergedDocument
from enforcer.config.model import Config
from enforcer.config.resolved import resolved_rules
from enforcer.errors import ConfigError
from enforcer.operations.watcher import Watcher, signatures_of
from enforcer.operations.worker import WorkerThread
from enforcer.proxy.snapshot import Snapshot
from enforcer.server.assembly import assemble
from enforcer.server.listeners import Listeners, ListenerSettings, prepare, restart_settings
from enforcer.server.listening import raise_descriptor_limit
from enforcer.server.resources import ResourceScope, SharedResources
from enforcer.settings.log import Log
from enforcer.telemetry import Telemetry
from enforcer.tokens.verifier import CacheControl
from enforcer.wire.ticker import Ticker

_log = logging.getLogger("enforcer")

_MAX_READS: Final = 3
"""Reads of files that change while they are read, so that no mix of old and new files is loaded."""


Load = Callable[[Files], tuple[Loaded, MergedDocument]]
"""Loads a configuration, and adds each file that it reads to the mapping; raises ConfigError."""


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """A loaded configuration with everything built from it; `report_rules` is the number of rules in mode report."""

    loaded: Loaded
    snapshot: Snapshot
    memory: CacheControl
    scope: ResourceScope
    listeners: ListenerSettings
    report_rules: int

    @property
    def config(self) -> Config:
        return self.loaded.config


class Reloader:
    """Keeps the configuration in step with its files. `current` is the one in force; `load` reads the files again."""

    def __init__(
        self,
        load: Load,
        loaded: Loaded,
        telemetry: Telemetry,
        ticker: Ticker,
        loop: asyncio.AbstractEventLoop,
        configure_log: Callable[[Log], None],
    ) -> None:
        self._load = load
        self._telemetry = telemetry
        self._ticker = ticker
        self._loop = loop
        self._configure_log = configure_log
        self.resources = SharedResources()
        self._worker = WorkerThread()
        self._watcher = Watcher(self._worker)
        self._reading = False
        self._retired: list[tuple[ResourceScope, list[object]]] = []
        self._garbage: list[object] = []
        self._bound = dict(restart_settings(loaded.config))
        self._watcher.expected = loaded.files
        self.current = self._build(loaded)
        telemetry.loaded(loaded.hash)
        telemetry.cache_entries = lambda: len(self.current.memory)
        telemetry.cache_evictions = lambda: self.current.memory.evictions
        telemetry.proofs = lambda: len(self.current.snapshot.proof_state.used)

    def wake(self) -> None:
        """Read the files again, even if they have not changed."""
        _log.info("SIGHUP: reading the configuration again")
        self._watcher.wake()

    async def run(self, listeners: Listeners) -> None:
        """Reload whenever the files change; ends only by cancellation."""
        while True:
            try:
                await self._watcher.change()
                await self.reload(listeners)
            except Exception:  # noqa: BLE001 - the next change may be readable
                _log.exception("internal error")
                self._telemetry.reload_failed()

    async def reload(self, listeners: Listeners) -> None:
        """Read the files and put them in force, or log their errors."""
        started = perf_counter()
        self._reading = True
        # Without this, the collector would walk the growing configuration repeatedly while the loop waits.
        gc.collect(1)  # so that recent garbage is not frozen below
        gc.disable()
        try:
            result, self._watcher.expected = await self._worker.run(self._read)
            if isinstance(result, Generation):
                await self._put_in_force(result, listeners)
                gc.freeze()  # excludes the configuration from every later collection
                _log.info("configuration %s is in force, after %.2f s", result.loaded.hash, perf_counter() - started)
                self.announce()
            else:
                await self._worker.run(_log_errors, result)  # there may be thousands
                self._telemetry.reload_failed()
        finally:
            gc.enable()
            self._reading = False
            self._release()

    def close(self) -> None:
        """Start no further reload."""
        self._worker.close()

    def _read(self) -> tuple[Generation | Exception, Mapping[Path, Signature]]:
        """Return the new configuration or its error, and the files to watch. Runs on the worker thread."""
        watched = signatures_of(self._watcher.expected)
        for _ in range(_MAX_READS):
            files: Files = {}
            result = self._try(files)
            if signatures_of(files) == files:
                break
        return result, files if isinstance(result, Generation) else {**watched, **files}

    def _try(self, files: Files) -> Generation | Exception:
        try:
            loaded, document = self._load(files)
            self._garbage.append(document)
            return self._build(loaded)
        except ConfigError as error:
            self._garbage.append(error.__traceback__)
            return error.with_traceback(None)
        except Exception as error:  # noqa: BLE001 - any failure leaves the current configuration in force
            return error

    def _build(self, loaded: Loaded) -> Generation:
        config = loaded.config
        scope = self.resources.scope()
        self._telemetry.begin()
        try:
            snapshot, memory = assemble(config, scope, self._telemetry, self._ticker, self._loop)
            listeners = prepare(config, scope, self._telemetry)
        except BaseException:
            self._retire_soon(scope, [])
            raise
        report_rules = sum(rule.mode == "report" for rule in resolved_rules(config))
        # The last request that uses the snapshot holds the last reference to its lifetime token.
        large: list[object] = [snapshot.routes.matcher, snapshot.routes.located, loaded]
        weakref.finalize(snapshot.lifetime_token, self._retire_soon, scope, large).atexit = False
        return Generation(loaded, snapshot, memory, scope, listeners, report_rules)

    async def _put_in_force(self, successor: Generation, listeners: Listeners) -> None:
        previous, self.current = self.current, successor
        self._garbage += successor.memory.succeed(previous.memory)
        await listeners.swap(successor.snapshot, successor.listeners)
        self._telemetry.reloaded(successor.loaded.hash)
        if successor.config.log != previous.config.log:
            self._configure_log(successor.config.log)
        raise_descriptor_limit(successor.config)

    def announce(self) -> None:
        """Log warnings about the configuration in force: report mode, and settings that need a restart."""
        config = self.current.config
        if self.current.report_rules:
            _log.warning(
                "mode report: %d of %d rules forward requests that they would deny",
                self.current.report_rules,
                len(config.rules),
            )
        if config.mode == "report":
            _log.warning("mode report: requests that match no rule are forwarded")
        for setting, value in restart_settings(config):
            bound = self._bound[setting]
            if value != bound:
                _log.warning("%s: %s takes effect after a restart; until then it is %s", setting, value, bound)

    def _retire_soon(self, scope: ResourceScope, large: list[object]) -> None:
        with suppress(RuntimeError):  # the loop is closed, because the process is about to end
            self._loop.call_soon_threadsafe(self._retire, scope, large)

    def _retire(self, scope: ResourceScope, large: list[object]) -> None:
        self._retired.append((scope, large))
        if not self._reading:
            self._release()

    def _release(self) -> None:
        """Release retired configurations. Not called during a reload, which may be about to reuse their resources."""
        retired, self._retired = self._retired, []
        garbage, self._garbage = self._garbage, []
        for scope, large in retired:
            garbage += scope.end()
            garbage += large
            large.clear()
        if garbage:
            self._worker.free_later(garbage)


def _log_errors(error: Exception) -> None:
    """Log why a reload failed, each error of the configuration on a line of its own."""
    if not isinstance(error, ConfigError):
        _log.error("internal error; the new configuration is not used, the previous one stays in force", exc_info=error)
        return
    count = len(error.problems)
    _log.error("the new configuration is not used, the previous one stays in force; errors: %d", count)
    for problem in error.problems:
        _log.error("%s", problem)
