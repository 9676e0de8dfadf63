"""The map of docs/architecture.md: real requests pass through exactly the modules that it draws, in its order."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any
from xml.etree import ElementTree

import draw_architecture
import pytest
from harness.dataplane import DataPlane

import enforcer

PACKAGE = f"{Path(enforcer.__file__).parent}/"
MAP = draw_architecture.read_map()
FLOWS = {flow["name"]: flow for flow in MAP["flow"]}
UNSEEN, CACHED, NO_TOKEN = b"R~1", b"R", None


class Trace:
    """Records the modules whose functions run, in order, from a connection's first byte; not the periodic sweeps."""

    def __init__(self) -> None:
        self.modules: list[str] = []
        self._began = False
        self._sweep: FrameType | None = None

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """Take an event of sys.setprofile."""
        path, name = frame.f_code.co_filename, frame.f_code.co_qualname
        if event == "return" and frame is self._sweep:
            self._sweep = None
        if event != "call" or self._sweep is not None or not path.startswith(PACKAGE):
            return
        if name in ("Ticker._tick", "ClientConnection.connection_lost", "Turns.__len__"):
            self._sweep = frame
            return
        self._began |= name == "ClientConnection.data_received"
        if self._began and name != "ClientConnection.busy":
            self.modules.append(path.removeprefix(PACKAGE).removesuffix(".py").replace("/", "."))


def _trace(token: bytes | None) -> list[str]:
    """Return the modules that a request passes through, in the order of their first call."""
    field = b"" if token is None else b"Authorization: Bearer %b\r\n" % token
    request = b"GET /api/x HTTP/1.1\r\nHost: app\r\n%b\r\n" % field

    async def run() -> Trace:
        plane, trace = DataPlane(), Trace()
        if token != UNSEEN:
            await plane.run([request.replace(b"R\r\n", b"R\r\n") if token else request])
        sys.setprofile(trace)
        try:
            outcome = await plane.run([request])
        finally:
            sys.setprofile(None)
            plane.close()
        assert outcome.faults == []
        return trace

    return list(dict.fromkeys(asyncio.run(run()).modules))


@pytest.mark.parametrize(("name", "token"), [("allowed", CACHED), ("unseen", UNSEEN), ("refused", NO_TOKEN)])
def test_a_request_passes_through_the_modules_of_the_map(name: str, token: bytes | None) -> None:
    """All of them, and no others, in this order; helpers may come anywhere."""
    flow = FLOWS[name]
    traced = [module for module in _trace(token) if module not in flow["helpers"]]
    assert traced == list(dict.fromkeys(module for module, _ in flow["steps"]))


def test_every_module_of_the_map_exists() -> None:
    """Also those of the reload, which no request passes through."""
    for flow in FLOWS.values():
        for module, _ in flow["steps"]:
            assert Path(PACKAGE, f"{module.replace('.', '/')}.py").is_file(), module


def test_the_rooms_are_in_the_order_of_the_imports(rooms: tuple[str, ...]) -> None:
    """From the bottom row up, and from right to left: every room after the modules that it may import."""
    drawn = [room for row in reversed(MAP["row"]) for names in reversed(row["rooms"]) for room in names.split(", ")]
    assert drawn == list(rooms)


@pytest.fixture
def rooms() -> tuple[str, ...]:
    """The rooms of tests/test_architecture.py, from the ground up."""
    from test_architecture import ROOMS

    return ROOMS


def _documents() -> list[tuple[str, Callable[[], str]]]:
    return [(name, document.__str__) for name, document in draw_architecture.pictures(MAP).items()]


@pytest.mark.parametrize(("name", "document"), _documents(), ids=lambda value: value if isinstance(value, str) else "")
def test_the_pictures_are_current(name: str, document: Callable[[], str]) -> None:
    """`make generated` draws them from the map."""
    path = draw_architecture.FOLDER / name
    assert path.read_text("utf-8") == document()
    ElementTree.fromstring(document())
