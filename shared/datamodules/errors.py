"""What is wrong with the data; how batches are cut has errors of its own (``order``)."""

from __future__ import annotations


class DataError(RuntimeError):
    """Data that cannot be found, read or split as asked; the message names the thing and the remedy."""
