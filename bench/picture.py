"""Draws the comparison: bars of CPU time per request, in an SVG that is legible on light and dark pages."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from bench.report import TITLES
from bench.results import Results

_GROUPS = {"cached": "Cached token, 64 connections", "unseen": "Unseen tokens, one introspection request each"}
_WIDTH, _MARGIN, _LABELS, _VALUES = 760, 24, 308, 70
_BAR, _STEP = 16, 26
_MAX_BAR = _WIDTH - 2 * _MARGIN - _LABELS - _VALUES
_CUT = 5  # a bar this many times as long as the next is cut, because the others would be too short to compare

_STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .group { font-weight: 600 }
  .note { font-size: 12px; fill: #59636e }
  .ours { font-weight: 600 }
  rect { fill: #afb8c1 }
  rect.ours { fill: #0969da }
  rect.page { fill: #ffffff; stroke: #d1d9e0 }
  path { stroke: #ffffff; stroke-width: 5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .note { fill: #9198a1 }
    rect { fill: #656c76 }
    rect.ours { fill: #4493f8 }
    rect.page { fill: #0d1117; stroke: #3d444d }
    path { stroke: #0d1117 }
  }
"""


def draw(results: Results, path: Path) -> None:
    """Write an SVG file with the median CPU time per request of all servers."""
    y = 64
    parts: list[str] = []
    for load, title in _GROUPS.items():
        values = {name: results.median(load, name, "cpu") for name in results.samples[load]}
        parts.append(f'<text class="group" x="{_MARGIN}" y="{y + 14}">{title}</text>')
        y += 28
        parts += _bars(values, y)
        y += len(values) * _STEP + 16
    height = y + 8
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="CPU microseconds per request">',
        f"<style>{_STYLE}</style>",
        f'<rect class="page" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="6"/>',
        f'<text class="title" x="{_MARGIN}" y="34">CPU microseconds per request</text>',
        f'<text class="note" x="{_WIDTH - _MARGIN}" y="34" text-anchor="end">one core, shorter is better</text>',
    )
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([*head, *parts, "</svg>"]) + "\n")


def _bars(values: dict[str, float], y: int) -> Iterator[str]:
    ranked = sorted(values, key=values.__getitem__)
    *_, second, greatest = (values[name] for name in ranked)
    scale = second * 1.15 if greatest > _CUT * second else greatest
    x = _MARGIN + _LABELS
    for name in ranked:
        ours = ' class="ours"' if name == "enforcer" else ""
        width = max(2.0, min(values[name] / scale, 1.0) * _MAX_BAR)
        middle = y + _BAR - 3
        label = escape(TITLES[name].strip("*"))
        yield f'<text{ours} x="{x - 12}" y="{middle}" text-anchor="end">{label}</text>'
        yield f'<rect{ours} x="{x}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2"/>'
        if values[name] > scale:
            cut = x + width - 24
            yield f'<path d="M{cut + 8:.1f} {y - 3} l-8 {_BAR + 6}"/>'
        digits = 0 if values[name] >= 1000 else 1
        yield f'<text{ours} x="{x + width + 8:.1f}" y="{middle}">{values[name]:,.{digits}f}</text>'
        y += _STEP
