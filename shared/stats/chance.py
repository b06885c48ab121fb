"""Chance level of an error in percent: where a net stands that has learnt nothing, and above which nothing can rise."""

from __future__ import annotations

from shared.datasets import KNOWN

NEAR = 1.0
"""Points below chance level that still count as chance."""


def at_chance(error: float, data: object) -> bool:
    """Whether an error in percent lies within NEAR of 100·(1 − 1/classes), or above; False for unknown data."""
    known = KNOWN.get(data) if isinstance(data, str) else None
    return known is not None and error >= 100 * (1 - 1 / known.classes) - NEAR
