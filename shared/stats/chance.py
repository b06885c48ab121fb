"""Chance level of an error in percent: where a net stands that has learnt nothing, and above which nothing can rise."""

from __future__ import annotations

CLASSES = {
    "mnist": 10,
    "fashion-mnist": 10,
    "cifar10": 10,
    "cifar10-jpeg": 10,
    "cifar10-any": 10,
    "digits": 10,
    "cifar100": 100,
    "imagenet": 1000,
}
"""Classes by name of the data set (the datamodules know them too, but import torch)."""
NEAR = 1.0
"""Points below chance level that still count as chance."""


def at_chance(error: float, data: object) -> bool:
    """Whether an error in percent lies within NEAR of 100·(1 − 1/classes), or above; False for unknown data."""
    classes = CLASSES.get(data) if isinstance(data, str) else None
    return classes is not None and error >= 100 * (1 - 1 / classes) - NEAR
