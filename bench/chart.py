"""A chart of horizontal bars as SVG, without any library: one item below the other, each drawn to its own scale, with a bar for each side."""

import dataclasses
from xml.sax.saxutils import escape

WIDTH = 760
LEFT = 300
BAR_WIDTH = 300
BAR_HEIGHT = 14
BAR_STEP = 18
ITEM_GAP = 14
MARGIN = 16
TITLE_HEIGHT = 52
# Kafka is grey and fbf blue; further sides are lighter and darker than theirs. All can be told from white and from near black.
COLOURS = {"kafka": "#8b949e", "fbf": "#2f81f7", "fbf sync=interval": "#56a8a0", "fbf sync=os": "#a371f7", "kafka synced": "#b08050"}
OTHER_COLOUR = "#c9a227"
# The background is the chart's own: a page may be dark while the reader's system is light.
STYLE = """
.background { fill: #ffffff; stroke: #d0d7de } .text { fill: #1f2328 } .quiet { fill: #59636e }
@media (prefers-color-scheme: dark) {
.background { fill: #0d1117; stroke: #3d444d } .text { fill: #f0f6fc } .quiet { fill: #9198a1 }
}
text { font-family: system-ui, sans-serif; font-size: 12px }
.title { font-size: 15px; font-weight: 600 }
"""


@dataclasses.dataclass(frozen=True)
class Item:
    """`bars`: side -> (value, its text), for two sides at least; a value of None has a text that says so."""

    name: str
    unit: str
    bars: dict


def svg(title, items):
    """The whole file. `items`: in order."""
    parts, top = [], TITLE_HEIGHT + MARGIN
    for item in items:
        parts += drawn(item, top)
        top += len(item.bars) * BAR_STEP + ITEM_GAP
    height = top + MARGIN - ITEM_GAP
    sides = list(dict.fromkeys(side for item in items for side in item.bars))
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="background" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>',
        f'<text class="text title" x="{MARGIN}" y="26">{escape(title)}</text>',
        *legend(sides),
        *parts,
        "</svg>",
        "",
    ])  # fmt: skip


def legend(sides):
    parts, left = [], MARGIN
    for side in sides:
        parts.append(f'<rect x="{left}" y="38" width="10" height="10" rx="2" fill="{colour(side)}"/>')
        parts.append(f'<text class="text" x="{left + 15}" y="47">{escape(side)}</text>')
        left += 35 + 7 * len(side)
    parts.append(f'<text class="quiet" x="{WIDTH - MARGIN}" y="47" text-anchor="end">each item to its own scale</text>')
    return parts


def drawn(item, top):
    parts = [f'<text class="text" x="{LEFT - 10}" y="{top + 12}" text-anchor="end">{escape(item.name)}</text>']
    parts.append(f'<text class="quiet" x="{LEFT - 10}" y="{top + 12 + BAR_STEP}" text-anchor="end">{escape(item.unit)}</text>')
    longest = max((value for value, _ in item.bars.values() if value), default=0)
    for number, (side, (value, text)) in enumerate(item.bars.items()):
        y = top + number * BAR_STEP
        width = round(BAR_WIDTH * value / longest, 1) if value and longest else 0
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{max(width, 1)}" height="{BAR_HEIGHT}" rx="2" fill="{colour(side)}"/>')
        parts.append(f'<text class="{"quiet" if value is None else "text"}" x="{LEFT + width + 8}" y="{y + 11.5}">{escape(text)}</text>')
    return parts


def colour(side):
    return COLOURS.get(side, OTHER_COLOUR)
