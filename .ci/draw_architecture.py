#!/usr/bin/env python3
"""Draws the pictures of docs/architecture.md from docs/architecture/map.toml, as SVG.

Usage: python .ci/draw_architecture.py

Rooms are drawn as rows of boxes; a flow as a column of numbered steps, each in the lane of its room.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "architecture"
LANE, BOX, ROW, BOX_HEIGHT, TOP = 150, 330, 46, 34, 72
COLORS = {"proxy": "#dbeafe", "policy": "#dcfce7", "tokens": "#fef3c7", "wire": "#ede9fe"}
OTHER_COLOR = "#f1f5f9"
STYLE = (
    "text{font-family:'DejaVu Sans',Verdana,sans-serif;font-size:12px;fill:#0f172a}"
    ".title{font-size:15px;font-weight:bold}.name{font-weight:bold}.small{font-size:11px;fill:#475569}"
    ".lane{stroke:#cbd5e1;stroke-dasharray:3 4}.arrow{stroke:#64748b;fill:none;stroke-width:1.4;marker-end:url(#head)}"
    "rect{stroke:#94a3b8}rect.page{stroke:none}"
)
MARKER = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 8 4 0 8z" fill="#64748b"/></marker></defs>'
)


def read_map() -> dict[str, Any]:
    """Read the text source."""
    return tomllib.loads((FOLDER / "map.toml").read_text("utf-8"))


def pictures(source: Mapping[str, Any]) -> dict[str, str]:
    """Return the SVG documents by file name."""
    flows = {f"{flow['name']}.svg": draw_flow(flow) for flow in source["flow"]}
    return {"rooms.svg": draw_rooms(source["row"]), **flows}


def draw_rooms(rows: list[Mapping[str, Any]]) -> str:
    """Draw a row of boxes for each floor."""
    width = 760
    parts: list[str] = []
    for number, row in enumerate(rows):
        rooms = row["rooms"]
        box = (width - 20) / len(rooms)
        y = 44 + number * 58
        for index, (room, text) in enumerate(rooms.items()):
            parts += _box(10 + index * box, y, box - 10, 46, room, text, COLORS.get(room, OTHER_COLOR))
    title = _text(10, 26, "Rooms: each imports only rooms below it, or to its right", "title")
    return _svg(width, 44 + len(rows) * 58, [title, *parts])


def draw_flow(flow: Mapping[str, Any]) -> str:
    """Draw the steps from top to bottom, with an arrow from each to the next."""
    lanes = list(dict.fromkeys(_room(module) for module, _ in flow["steps"]))
    width = 20 + LANE * (len(lanes) - 1) + BOX
    height = TOP + ROW * len(flow["steps"]) + 8
    parts = [_text(10, 24, flow["title"], "title")]
    for index, lane in enumerate(lanes):
        x = 10 + index * LANE
        parts.append(_text(x + 4, 50, lane, "name"))
        parts.append(f'<line class="lane" x1="{x}" y1="56" x2="{x}" y2="{height - 8}"/>')
    previous: tuple[float, float] | None = None
    for number, (module, text) in enumerate(flow["steps"], start=1):
        x, y = 10 + lanes.index(_room(module)) * LANE, TOP + (number - 1) * ROW
        if previous is not None:
            parts.append(_arrow(*previous, x + 24, y))
        parts += _box(x, y, BOX, BOX_HEIGHT, f"{number}. {module}", text, COLORS.get(_room(module), OTHER_COLOR))
        previous = x + 24, y + BOX_HEIGHT
    return _svg(width, height, parts)


def _room(module: str) -> str:
    return module.partition(".")[0]


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    middle = (y + to_y) / 2
    return f'<path class="arrow" d="M{x:g} {y:g}V{middle:g}H{to_x:g}V{to_y:g}"/>'


def _box(x: float, y: float, width: float, height: float, name: str, text: str, color: str) -> Iterator[str]:
    yield f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" fill="{color}"/>'
    yield _text(x + 8, y + height / 2 - 3, name, "name")
    yield _text(x + 8, y + height / 2 + 11, text, "small")


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'


def _svg(width: float, height: float, parts: list[str]) -> str:
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    page = '<rect width="100%" height="100%" fill="#fff" class="page"/>'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', f"<style>{STYLE}</style>", MARKER, page]
    return "\n".join([*lines, *parts, "</svg>", ""])


def main() -> int:
    """Write the pictures."""
    for name, document in pictures(read_map()).items():
        (FOLDER / name).write_text(document, "utf-8")
        print(f"docs/architecture/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
