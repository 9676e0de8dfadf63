"""The configuration in force, and how another takes its place while requests are served.

1. Another one is read and checked whole, beside the loop; where it has a mistake, nothing changes.
2. Requests that come are judged by it from one moment on; those that have begun end by the one they began with.
3. One that nothing is judged by any more is taken apart: what it shared with none is closed.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

from enforcer.config.effective import effective_rules
from enforcer.config.load import Loaded, load_with_places
from enforcer.config.model import Config
from enforcer.config.overrides import Override
from enforcer.config.sources import Files, Signature
from enforcer.errors import ConfigError
from enforcer.operations import logs
from enforcer.operations.watcher import Watcher, look
from enforcer.operations.worker import WorkerThread
from enforcer.proxy.gateway import Gateway
from enforcer.proxy.snapshot import Snapshot
from enforcer.server.assembly import assemble
from enforcer.server.listening import raise_descriptor_limit
from enforcer.server.resources import ResourceScope, SharedResources
from enforcer.telemetry import Telemetry
from enforcer.tokens.verifier import Memory
from enforcer.wire.ticker import Ticker

_log = logging.getLogger("enforcer")

_MOST_TRIES: Final = 3
"""How often files are read that change while they are read, lest half of the one and half of the other is taken."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a configuration comes from."""

    path: Path
    environment: Mapping[str, str]
    overrides: Sequence[Override] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """A configuration, made ready; `reporting` is how many of its rules only report."""

    loaded: Loaded
    snapshot: Snapshot
    memory: Memory
    scope: ResourceScope
    tls: ssl.SSLContext | None
    reporting: int

    @property
    def config(self) -> Config:
        """Its settings."""
        return self.loaded.config


class Reloader:
    """Keeps in force what the files say. `current` is what is in force now."""

    def __init__(
        self, origin: Origin, loaded: Loaded, telemetry: Telemetry, ticker: Ticker, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._origin = origin
        self._telemetry = telemetry
        self._ticker = ticker
        self._loop = loop
        self.resources = SharedResources()
        self._background = WorkerThread()
        self._watcher = Watcher(self._background)
        self._reading = False
        self._ended: list[tuple[ResourceScope, list[object]]] = []
        self._unneeded: list[object] = []
        self._bound = _addresses(loaded.config)
        self._watcher.expected = loaded.files
        self.current = self._make(loaded)
        telemetry.loaded(loaded.hash)
        telemetry.cache_entries = lambda: len(self.current.memory)
        telemetry.cache_evictions = lambda: self.current.memory.evictions
        telemetry.proofs = lambda: len(self.current.snapshot.proofs.memory.used)

    def wake(self) -> None:
        """Read the files again, whether or not they have changed."""
        _log.info("asked to read the configuration again")
        self._watcher.wake()

    async def run(self, gateway: Gateway) -> None:
        """Put in force what the files say, whenever that changes."""
        while True:
            try:
                await self._watcher.change()
                await self.reload(gateway)
            except Exception:  # noqa: BLE001 - whatever it is, the next change may be read
                _log.exception("internal error")
                self._telemetry.reload_failed()

    async def reload(self, gateway: Gateway) -> None:
        """Put in force what the files say now, or tell what is wrong with them."""
        started = perf_counter()
        self._reading = True
        # The collector would walk what is being made, again and again, and the loop would have to wait for it.
        gc.collect(1)  # what has just become garbage must not be frozen with it
        gc.disable()
        try:
            made, self._watcher.expected = await self._background.run(self._read)
            if isinstance(made, Generation):
                await self._put_in_force(made, gateway)
                gc.freeze()  # lest the collector looks at all that was made, now and ever after
                _log.info("configuration %s is in force, after %.2f s", made.loaded.hash, perf_counter() - started)
                self.announce()
            else:
                await self._background.run(_tell, made)  # there may be thousands
                self._telemetry.reload_failed()
        finally:
            gc.enable()
            self._reading = False
            self._let_go()

    def close(self) -> None:
        """Begin nothing more."""
        self._background.close()

    def _read(self) -> tuple[Generation | Exception, Mapping[Path, Signature]]:
        """Read the files; returns what came of it, and as what they were found. Runs beside the loop."""
        watched = look(self._watcher.expected)
        for _ in range(_MOST_TRIES):
            files: Files = {}
            made = self._try(files)
            if look(files) == files:
                break
        return made, files if isinstance(made, Generation) else {**watched, **files}

    def _try(self, files: Files) -> Generation | Exception:
        origin = self._origin
        try:
            loaded, document = load_with_places(origin.path, origin.environment, origin.overrides, files)
            self._unneeded.append(document)
            return self._make(loaded)
        except ConfigError as error:
            self._unneeded.append(error.__traceback__)
            return error.with_traceback(None)
        except Exception as error:  # noqa: BLE001 - whatever it is, what is in force goes on
            return error

    def _make(self, loaded: Loaded) -> Generation:
        config = loaded.config
        scope = self.resources.scope()
        self._telemetry.begin()
        try:
            snapshot, memory = assemble(config, scope, self._telemetry, self._ticker, self._loop)
            settings = config.listener.tls
            tls = None if settings is None else scope.take("listener", settings, make=lambda: settings.context)
        except BaseException:
            self._over(scope, [])
            raise
        reporting = sum(rule.mode == "report" for rule in effective_rules(config))
        # The snapshot goes when the last request that is judged by it has ended, and all else goes with it.
        large: list[object] = [snapshot.matcher, snapshot.located, loaded]
        weakref.finalize(snapshot.life, self._over, scope, large).atexit = False
        return Generation(loaded, snapshot, memory, scope, tls, reporting)

    async def _put_in_force(self, made: Generation, gateway: Gateway) -> None:
        before, self.current = self.current, made
        made.memory.succeed(before.memory)
        gateway.tls = made.tls
        await gateway.swap(made.snapshot)
        self._telemetry.reloaded(made.loaded.hash)
        if made.config.log != before.config.log:
            logs.configure(made.config.log.level, made.config.log.format)
        raise_descriptor_limit(made.config)

    def announce(self) -> None:
        """Log what is worth knowing of what is in force."""
        config = self.current.config
        if self.current.reporting:
            _log.warning(
                "mode: report: what %d of %d rules would refuse is forwarded", self.current.reporting, len(config.rules)
            )
        if config.mode == "report":
            _log.warning("mode: report: what no rule is for is forwarded")
        for setting, wanted in _addresses(config).items():
            bound = self._bound[setting]
            if wanted != bound:
                _log.warning("%s: %s is used from the next start on; until then it is %s", setting, wanted, bound)

    def _over(self, scope: ResourceScope, large: list[object]) -> None:
        with suppress(RuntimeError):  # the loop has ended, and the process is about to
            self._loop.call_soon_threadsafe(self._end, scope, large)

    def _end(self, scope: ResourceScope, large: list[object]) -> None:
        self._ended.append((scope, large))
        if not self._reading:
            self._let_go()

    def _let_go(self) -> None:
        # Not while another one is made, which may just be taking what would be closed.
        ended, self._ended = self._ended, []
        unneeded, self._unneeded = self._unneeded, []
        for scope, large in ended:
            scope.end()
            unneeded += large
            large.clear()
        if unneeded:
            self._background.let_go(unneeded)


def _addresses(config: Config) -> dict[str, str]:
    """Return the settings that count at a start alone."""
    return {"listener.address": config.listener.address, "admin.address": config.admin.address}


def _tell(why: Exception) -> None:
    """Log why a configuration is not used, each of its mistakes on a line of its own."""
    if not isinstance(why, ConfigError):
        _log.error("internal error; the configuration is not used, and the one before stays in force", exc_info=why)
        return
    count = len(why.problems)
    _log.error("the configuration is not used, and the one before stays in force; mistakes: %d", count)
    for problem in why.problems:
        _log.error("%s", problem)
