"""Draw `docs/rooms.svg`, the rooms of the package as its imports have them: `python docs/draw_rooms.py`."""

from __future__ import annotations

import ast
import textwrap
from html import escape
from pathlib import Path

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "datasette_faces"
PICTURE = DOCS / "rooms.svg"
ROOMS = {
    "app": "requests, commands and SQL in; HTML, JSON and text out",
    "library": "the life of a whole file",
    "people": "who is who: decisions, grouping, names from elsewhere",
    "search": "indexes, exact re-ranking, query photos, probability",
    "models": "what a face model is, and the processes that run one",
    "store": "the connection, the schema, all SQL",
    "media": "bytes to upright RGB and back",
    "algorithms": "pure functions on arrays",
}
"""From the top floor down, each with what it is for."""
WIDTH, MARGIN, BOX_WIDTH = 1000, 20, 720
LINE, TITLE, GAP, LETTERS = 17, 44, 22, 92
STYLE = """
  text { font: 12px ui-monospace, monospace; fill: #1f2328 }
  .room { font: 600 15px system-ui, sans-serif }
  .what { font: 13px system-ui, sans-serif; fill: #59636e }
  .sub { font-weight: 600 }
  rect { fill: #f6f8fa; stroke: #d1d9e0 }
  path { fill: none; stroke: #818b98; stroke-width: 1.2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .what { fill: #9198a1 } rect { fill: #151b23; stroke: #3d444d }
  }
"""


def modules_of(room: str) -> dict[str, list[str]]:
    """The names of a room's modules, by the room in it that they are in ("" for none)."""
    found: dict[str, list[str]] = {}
    for path in sorted((PACKAGE / room).rglob("*.py")):
        if path.name != "__init__.py" and "former_paths" not in path.parts:
            inner = "/".join(path.relative_to(PACKAGE / room).parts[:-1])
            found.setdefault(inner, []).append(path.stem)
    return dict(sorted(found.items()))


def rooms_used_by(room: str) -> set[str]:
    """The other rooms from which a room imports."""
    found = set()
    for path in (PACKAGE / room).rglob("*.py"):
        depth = len(path.relative_to(PACKAGE).parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                leads_to = [(node.module or alias.name).split(".")[0] for alias in node.names]
                found |= {name for name in leads_to if node.level == depth}
    return found & ROOMS.keys() - {room}


def lines_of(room: str) -> list[str]:
    """The text in a room's box, wrapped."""
    lines = []
    for inner, names in modules_of(room).items():
        label = f"{inner}/ " if inner else ""
        lines += textwrap.wrap(label + "  ".join(names), LETTERS, subsequent_indent="    ")
    return lines


def draw() -> str:
    """The picture, as SVG: a box for each room, an arrow from each to the rooms that it uses."""
    boxes, shapes, top = {}, [], MARGIN
    for room, what in ROOMS.items():
        lines = lines_of(room)
        height = TITLE + LINE * len(lines)
        boxes[room] = (top, height)
        shapes.append(
            f'<rect x="{MARGIN}" y="{top}" width="{BOX_WIDTH}" height="{height}" rx="8"/>'
        )
        shapes.append(
            f'<text x="{MARGIN + 14}" y="{top + 25}"><tspan class="room">{room}/</tspan>'
            f'<tspan class="what" dx="12">{escape(what)}</tspan></text>'
        )
        for number, line in enumerate(lines):
            inner, slash, rest = line.partition("/ ")
            text = escape(line)
            if slash:
                text = f'<tspan class="sub">{escape(inner)}/</tspan> {escape(rest)}'
            y = top + TITLE + LINE * number
            shapes.append(f'<text x="{MARGIN + 14}" y="{y}" xml:space="preserve">{text}</text>')
        top += height + GAP
    shapes += _arrows(boxes)
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img">\n'
        "<title>The rooms of datasette-faces, and which imports from which</title>\n"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" style="fill: #818b98"/></marker></defs>\n'
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def _arrows(boxes: dict[str, tuple[int, int]]) -> list[str]:
    """An arc on the right from each room to each that it uses, wider the further down that one is."""
    order, edge, found = list(boxes), MARGIN + BOX_WIDTH, []
    arriving = dict.fromkeys(order, 0)
    for place, room in enumerate(order):
        top, height = boxes[room]
        used = rooms_used_by(room)
        targets = [name for name in order if name in used]
        for number, target in enumerate(targets, 1):
            floors = order.index(target) - place
            begins = top + height * number / (len(targets) + 1)
            arriving[target] += 1
            ends = boxes[target][0] + 10 + 7 * (arriving[target] - 1)
            bend = edge + 20 + 28 * floors
            found.append(
                f'<path marker-end="url(#tip)" '
                f'd="M{edge} {begins:.0f}C{bend} {begins:.0f} {bend} {ends} {edge} {ends}"/>'
            )
    return found


if __name__ == "__main__":
    PICTURE.write_text(draw())
