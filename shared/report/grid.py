"""A table of texts that can become markdown with explicit column widths, or a CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

BREAK = "<br>"
"""How a markdown cell holds several lines."""


@dataclass(frozen=True)
class Column:
    name: str
    width: int
    """Share of the text width, relative to the other columns: pandoc reads it off the dashes of the rule."""
    align: str = "left"


@dataclass(frozen=True)
class Grid:
    key: str
    """File name of the CSV, without suffix."""
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: pd.DataFrame | None = None
    """What the CSV holds when the texts round too much; None: the texts."""
    none: str = "None."
    """Stands in place of a table without rows."""

    def markdown(self) -> str:
        """A pipe table under its title."""
        if not self.rows:
            return f"#### {self.title}\n\n{self.none}"
        rules = {"left": ":{}-", "right": "-{}:", "center": ":{}:"}
        head = [c.name for c in self.columns]
        rule = [rules[c.align].format("-" * max(1, c.width - 2)) for c in self.columns]
        body = [[_cell(text) for text in row] for row in self.rows]
        lines = ["| " + " | ".join(row) + " |" for row in [head, *body]]
        lines.insert(1, "|" + "|".join(rule) + "|")
        return "\n".join([f"#### {self.title}", "", *lines])

    def csv(self) -> str:
        if self.numbers is not None:
            return self.numbers.to_csv(index=False, float_format="%.10g", lineterminator="\n")
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([c.name for c in self.columns])
        writer.writerows([text.replace("`", "").replace("\n", "; ") for text in row] for row in self.rows)
        return out.getvalue()

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.key}.csv"
        path.write_text(self.csv(), encoding="utf-8")
        return path


def _cell(text: str) -> str:
    """Safe in a pipe table of GitHub and of pandoc; code spans are left alone, lines become ``<br>``."""
    return BREAK.join(_line(line) for line in text.strip().splitlines())


def _line(text: str) -> str:
    text = re.sub(r"\s+", " ", text).strip().replace("|", "\\|")
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([*_~^$<>\[\]])", r"\\\1", p) for p in parts)


def number(value: object, digits: int = 2) -> str:
    """A figure for print, with ``digits`` places; texts as they are, an absent figure as an en dash."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        return str(value)
    real = float(value)  # type: ignore[arg-type]
    return f"{round(real, digits) + 0.0:,.{digits}f}"  # + 0.0: no minus before a zero


def short(value: object) -> str:
    """A setting as one would write it: ``3.2``, ``6, 12, 16``; an unset or absent field is ``default``."""
    if value is None:
        return "default"
    if isinstance(value, list | tuple):
        return ", ".join(map(short, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
