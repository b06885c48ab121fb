"""What is known of a data set by its name alone, before it is read (no torch, no numpy)."""

from __future__ import annotations

from typing import NamedTuple


class Known(NamedTuple):
    train: int
    test: int
    """Images, official splits."""
    classes: int
    shape: tuple[int, int, int]
    """(C, H, W)."""


_CIFAR10 = Known(50000, 10000, 10, (3, 32, 32))
KNOWN = {
    "mnist": Known(60000, 10000, 10, (1, 28, 28)),
    "fashion-mnist": Known(60000, 10000, 10, (1, 28, 28)),
    "cifar10": _CIFAR10,
    "cifar10-jpeg": _CIFAR10,
    "cifar10-any": _CIFAR10,
    "cifar100": _CIFAR10._replace(classes=100),
    "imagenet": Known(1281167, 50000, 1000, (3, 224, 224)),
    "digits": Known(1437, 360, 10, (1, 8, 8)),
}
"""A folder or archive of the user's own is not among them."""
