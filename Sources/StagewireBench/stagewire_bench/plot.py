"""Plots as SVG, by hand: a few rectangles, lines and texts on a logarithmic axis, for a light and for a dark page."""

import math
from xml.sax.saxutils import escape

WIDTH, LABELS, ROW, TOP, BOTTOM = 960, 250, 24, 84, 34

# Each class once for a light and once for a dark page; the picture brings its own ground, so it is legible on any.
COLOURS = {
    "ground": ("#ffffff", "#0d1117"), "text": ("#1f2328", "#e6edf3"), "faint": ("#59636e", "#9198a1"),
    "grid": ("#d1d9e0", "#30363d"), "own": ("#d1570d", "#f0883e"), "peer": ("#0969da", "#4493f8"),
    "floor": ("#6e7781", "#8b949e"), "band": ("#dafbe1", "#12361f"), "control": ("#e9a071", "#a3592a"),
}


class Picture:
    def __init__(self, height, title, subtitle):
        self.height, self.parts = height, []
        self.rect(0, 0, WIDTH, height, "ground")
        self.text(16, 28, title, size=17, weight="600")
        self.text(16, 48, subtitle, "faint", size=12)

    def rect(self, x, y, width, height, kind):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" class="{kind}"/>')

    def line(self, x1, y1, x2, y2, kind="grid", width=1):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}" stroke-width="{width}"/>')

    def circle(self, x, y, radius, kind):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="{kind}"/>')

    def text(self, x, y, words, kind="text", size=12, anchor="start", weight="400"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" font-size="{size}" font-weight="{weight}" '
                          f'text-anchor="{anchor}">{escape(words)}</text>')

    def svg(self):
        def style(which):
            return "".join(f".{kind}{{fill:{pair[which]};stroke:none}} line.{kind}{{stroke:{pair[which]}}}\n"
                           for kind, pair in COLOURS.items())
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" width="{WIDTH}" '
                f'height="{self.height}" font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">\n'
                f"<style>\n{style(0)}@media (prefers-color-scheme: dark) {{\n{style(1)}}}\n</style>\n"
                + "\n".join(self.parts) + "\n</svg>\n")


class LogAxis:
    """From the power of ten below the least value to that above the greatest."""

    def __init__(self, values, x, width):
        values = [value for value in values if value > 0] or [1]
        self.low, self.high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        self.high = max(self.high, self.low + 1)
        self.x, self.width = x, width

    def at(self, value):
        share = (math.log10(max(value, 10 ** self.low)) - self.low) / (self.high - self.low)
        return self.x + self.width * min(share, 1)

    def draw(self, picture, top, bottom, name):
        for power in range(self.low, self.high + 1):
            x = self.at(10 ** power)
            picture.line(x, top, x, bottom)
            picture.text(x, bottom + 16, name(10 ** power), "faint", 11, "middle")


def short(value):
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def duration(us):
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if us >= size:
            return f"{us / size:.3g} {unit}"
    return f"{us:.3g} us"


def kind_of(name):
    if name == "control":
        return "control"
    return "own" if name.startswith("stagewire") else "floor" if name.startswith("relay") else "peer"


# ---- The plots ----

def write_all(results, directory):
    """[(path, what it shows)] of the plots that there are figures for."""
    made = []
    for name, draw, what in (
            ("bench-throughput.svg", throughput, "Records per second of each system, by payload"),
            ("bench-latency.svg", latency, "Latency of each system at light load, median to maximum"),
            ("bench-scale.svg", scale, "Cost of a record and hop of Stagewire as work grows")):
        picture = draw(results)
        if picture:
            (directory / name).write_text(picture.svg())
            made.append((directory / name, what))
    return made


def throughput(results):
    """A panel for each payload, a bar for each system; the thin line spans the rounds."""
    from .report import groups, title_of
    found = groups(cell for cell in results.cells if not cell.rate and cell.system != "relay-stamped" and cell.spread("rate"))
    if not found:
        return None
    names = [name for name in _systems(results) if any(name in row for row in found.values())]
    picture = Picture(TOP + ROW * len(names) + BOTTOM, "Throughput: records per second through two hops",
                      "producer, broker, worker, broker, sink on one machine; logarithmic; bar: median, thin line: range of the rounds")
    panel = (WIDTH - LABELS - 16) / len(found)
    bottom = TOP + ROW * len(names)
    for index, name in enumerate(names):
        picture.text(LABELS - 12, TOP + ROW * index + 16, title_of(name), size=12.5, anchor="end",
                     weight="600" if kind_of(name) == "own" else "400")
    for number, (case, row) in enumerate(found.items()):
        left = LABELS + panel * number
        axis = LogAxis([cell.spread("rate").low / 2 for cell in row.values()] +
                       [cell.spread("rate").high for cell in row.values()], left, panel - 62)
        picture.text(left, TOP - 12, case, weight="600")
        axis.draw(picture, TOP - 4, bottom, short)
        for index, name in enumerate(names):
            if name in row:
                rate = row[name].spread("rate")
                y = TOP + ROW * index
                picture.rect(left, y + 5, axis.at(rate.median) - left, ROW - 9, kind_of(name))
                picture.line(axis.at(rate.low), y + ROW / 2 + 0.5, axis.at(rate.high), y + ROW / 2 + 0.5, "text", 1.5)
                picture.text(max(axis.at(rate.high), axis.at(rate.median)) + 5, y + 16, short(rate.median), size=11)
    return picture


def _systems(results):
    return [system.name for system in results.systems]


def latency(results):
    """A line from median to maximum for each system, with the percentiles as dots."""
    from .report import title_of
    found = {cell.system: cell.latency for cell in results.cells if cell.rate and cell.latency}
    names = [name for name in _systems(results) if name in found]
    if not names:
        return None
    picture = Picture(TOP + ROW * len(names) + BOTTOM, f"Latency at {results.settings.rate:,} records/s of 100 B, two hops",
                      "from the time at which a record was due; logarithmic; dots: p50 (large), p99, p99.9, max (small)")
    bottom = TOP + ROW * len(names)
    values = [value for late in found.values() for value in (late.p50, late.max)]
    axis = LogAxis(values, LABELS, WIDTH - LABELS - 250)
    axis.draw(picture, TOP - 4, bottom, duration)
    picture.text(WIDTH - 16, TOP - 12, "p50 / p99 / p99.9 / max", "faint", 11, "end")
    for index, name in enumerate(names):
        late, y = found[name], TOP + ROW * index + ROW / 2
        picture.text(LABELS - 12, y + 4, title_of(name), size=12.5, anchor="end",
                     weight="600" if kind_of(name) == "own" else "400")
        picture.line(axis.at(late.p50), y, axis.at(late.max), y, kind_of(name), 2)
        for value, radius in ((late.p50, 6), (late.p99, 4.5), (late.p999, 3.5), (late.max, 2.5)):
            picture.circle(axis.at(value), y, radius, kind_of(name))
        shown = " / ".join(duration(value) for value in (late.p50, late.p99, late.p999, late.max))
        picture.text(WIDTH - 16, y + 4, shown, size=11, anchor="end")
    return picture


def scale(results):
    """Cost of each configuration relative to the first of its group; the band is 20% either way."""
    rows = [(cells[0], cell) for name, cells in results.scale.items() if name != "payload" for cell in cells]
    rows = [(base, cell, cell.to(base)) for base, cell in rows if cell.spread("cpu_us") and base.spread("cpu_us")]
    rows = [row for row in rows if row[2]]
    if not rows:
        return None
    labels, width = 400, WIDTH - 400 - 190
    picture = Picture(TOP + ROW * len(rows) + BOTTOM, "Broker CPU per record and hop as work grows",
                      "relative to the first of each group, 100 B; dot: median, line: range of the rounds; band: within 20%")
    top = max(2.0, max(change.high for *_, change in rows) * 1.05)
    bottom = TOP + ROW * len(rows)

    def at(value):
        return labels + width * value / top
    picture.rect(at(0.8), TOP - 4, at(1.2) - at(0.8), bottom - TOP + 4, "band")
    step = next(step for step in (0.25, 0.5, 1, 2, 5, 10, 20, 50) if top / step <= 9)
    for tick in range(int(top / step) + 1):
        picture.line(at(tick * step), TOP - 4, at(tick * step), bottom)
        picture.text(at(tick * step), bottom + 16, f"{tick * step:g}x", "faint", 11, "middle")
    for index, (base, cell, change) in enumerate(rows):
        y = TOP + ROW * index + ROW / 2
        if cell is base and index:
            picture.line(16, y - ROW / 2, WIDTH - 16, y - ROW / 2)
        picture.text(labels - 12, y + 4, cell.label.replace("`", ""), size=12, anchor="end")
        kind = "peer" if change.median <= 1.2 else "own"
        picture.line(at(change.low), y, at(change.high), y, kind, 2)
        picture.circle(at(change.median), y, 5, kind)
        picture.text(WIDTH - 16, y + 4, f"{cell.spread('cpu_us').median:.3f} us, {change.median:.2f}x", size=11, anchor="end")
    return picture
