"""The unit of a column of the rows, by its name."""

from __future__ import annotations

from fnmatch import fnmatchcase

UNITS: tuple[tuple[str, str], ...] = (
    ("*inside", ""),  # a share of seeds
    ("*/at_bound", ""),
    ("*/ks", ""),
    ("log10*", "decades"),
    ("log2*", "octaves"),
    ("*/log-over-*", "AICc"),
    ("exact_gain", "AICc"),
    ("*evidence", "nats"),
    ("evidence_[mr]i*", "nats"),  # min, rise
    ("*/linear-over-*", "AICc"),
    ("*error*", "%"),
    ("*accuracy*", "%"),
    ("best-of*", "%"),
    ("held_out/gain", "%"),
    ("tuning_gain", "%"),
    ("*loss*", "nats"),
    ("*sharp*", "% of 1 + f"),
    ("full/*", "% of 1 + f"),
    ("sign/*", "% of 1 + f"),
    ("adaptive/*", "% of 1 + f"),
    ("*b_opt", "images"),
)
"""(pattern, unit), the first that fits."""


def unit(metric: str) -> str:
    """Of the column's values and margins, a difference of percentages being in points; empty for a count, a share, a
    ratio, or what its name says."""
    return next((found for pattern, found in UNITS if fnmatchcase(metric, pattern)), "")
