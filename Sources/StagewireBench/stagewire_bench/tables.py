"""Tables, as Markdown for the documents and as aligned text for a terminal."""

import dataclasses
import re


@dataclasses.dataclass
class Table:
    title: str
    columns: list  # names; a leading ">" aligns to the right
    rows: list  # of texts, as many as there are columns
    notes: list = dataclasses.field(default_factory=list)  # sentences beneath

    def __post_init__(self):
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: a row of {len(row)} in a table of {len(self.columns)}: {row}")

    @property
    def names(self):
        return [column.removeprefix(">") for column in self.columns]

    def right(self, index):
        return self.columns[index].startswith(">")

    def markdown(self):
        lines = [f"### {self.title}", "", bar(self.names),
                 "|" + "|".join("---:" if self.right(i) else "---" for i in range(len(self.columns))) + "|",
                 *(bar(cell.replace("|", "\\|") for cell in row) for row in self.rows)]
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines) + "\n"

    def text(self):
        cells = [[plain(cell) for cell in row] for row in (self.names, *self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        lines = ["  ".join(cell.rjust(w) if self.right(i) else cell.ljust(w)
                           for i, (cell, w) in enumerate(zip(row, widths))).rstrip() for row in cells]
        rule = "  ".join("-" * width for width in widths)
        return "\n".join([self.title, "", lines[0], rule, *lines[1:], *(f"  {plain(note)}" for note in self.notes)]) + "\n"


def bar(cells):
    return "| " + " | ".join(cells) + " |"


def plain(text):
    """Without Markdown's marks."""
    return re.sub(r"[*`]", "", text)


# ---- Figures ----

def number(value):
    """Three digits that matter, and no more decimals than those."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def spread(value):
    """The median with the range of the rounds."""
    if value is None:
        return "-"
    return number(value.median) if value.count == 1 else f"{number(value.median)} ({number(value.low)}..{number(value.high)})"


def ratio(value):
    return "-" if value is None else f"{significant(value.median)}x"


def ratio_range(value):
    if value is None:
        return "-"
    if value.count == 1:
        return ratio(value)
    return f"{significant(value.median)}x ({significant(value.low)}..{significant(value.high)})"


def significant(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def mib(value):
    return "-" if value is None else f"{value:,.0f} MiB" if value >= 100 else f"{value:.1f} MiB"
