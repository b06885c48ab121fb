"""Batched augmentation of uint8 images, drawn per sample from (seed, epoch, sample id)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view

from shared.datamodules.order import DRAWS, raw_stream

Kind = Literal["none", "flip", "crop-flip", "flip-rotate-shift", "grey-crop-flip", "shift", "shift-flip"]
PAD = 4
"""Pixels added on every side before the crop, as usual for 32×32 images (He et al. 2016, section 4.2)."""
CROPS = {"crop-flip": (PAD, 0), "grey-crop-flip": (PAD, 127), "shift": (2, 0), "shift-flip": (2, 0)}
"""``(pixels, their value)`` added on every side before the crop; grey, and 2, as in the code of Hoffer et al. 2017."""
FLIPS = ("flip", "crop-flip", "grey-crop-flip", "shift-flip")
DEGREES, SHIFT = 10.0, 0.2
"""Largest rotation, and largest translation in units of the image's size (Keskar et al. 2017, Appendix E.1)."""


class Draws:
    """One 64-bit draw per sample of the whole training set, redrawn each epoch.

    All n are drawn together and looked up by sample id, so world size, batch size, micro-batch and resume point cannot
    matter.
    """

    def __init__(self, n: int, seed: int):
        self.n, self.seed = n, seed
        self._kept: tuple[int, np.ndarray] | None = None

    def of(self, epoch: int, ids: np.ndarray) -> np.ndarray:
        """uint64 [b] for sample ids int64 [b]."""
        if self._kept is None or self._kept[0] != epoch:
            self._kept = (epoch, raw_stream(self.n, DRAWS, self.seed, epoch))
        return self._kept[1][ids]


def offsets(draws: np.ndarray, pad: int = PAD) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(dy, dx, flip)``: crop offsets in 0 … 2·``pad``, int64 [b], and whether to mirror, bool [b]."""
    side = 2 * pad + 1
    return (draws % side).astype(np.int64), (draws // side % side).astype(np.int64), (draws >> 63).astype(bool)


def motions(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``(angle, dy, dx, flip)``: three uniform in (−1, 1), float32 [b], and whether to mirror, bool [b]."""
    parts = [(draws >> np.uint64(21 * i)) & np.uint64(2**21 - 1) for i in range(3)]
    angle, dy, dx = ((part.astype(np.float64) + 0.5) / 2**20 - 1 for part in parts)
    return angle.astype(np.float32), dy.astype(np.float32), dx.astype(np.float32), (draws >> 63).astype(bool)


def rotate_shift(images: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Shift, rotate about the centre, then mirror a batch: uint8 [b, H, W, C] → a new array of the same shape.

    The pixel at p comes from R(θ)·(p − c + t) + c, rounded to the nearest pixel and, outside the image, taken from its
    edge: the order of the two motions, the interpolation and the filling of ImageDataGenerator in Keras 1.
    """
    angle, dy, dx, flip = motions(draws)
    b, h, w, c = images.shape
    sin, cos = (f(angle * np.float32(np.radians(DEGREES)))[:, None] for f in (np.sin, np.cos))
    rows = np.arange(h, dtype=np.float32) - (h - 1) / 2 + SHIFT * h * dy[:, None]
    columns = np.arange(w, dtype=np.float32) - (w - 1) / 2
    columns = np.where(flip, -1, 1).astype(np.float32)[:, None] * columns + SHIFT * w * dx[:, None]
    # c + ½ is added so that truncation rounds; one index into all pixels of the batch is the fastest way to fetch them.
    y = (cos * rows + h / 2)[:, :, None] - (sin * columns)[:, None, :]
    x = (sin * rows + w / 2)[:, :, None] + (cos * columns)[:, None, :]
    index = np.clip(y, 0, h - 1, out=y).astype(np.int64) * w + np.clip(x, 0, w - 1, out=x).astype(np.int64)
    index += h * w * np.arange(b)[:, None, None]
    return images.reshape(-1, c).take(index.reshape(-1), axis=0).reshape(images.shape)


def augment(images: np.ndarray, draws: np.ndarray, kind: Kind) -> np.ndarray:
    """Move and mirror a batch as ``kind`` says: uint8 [b, H, W, C] → a new array of the same shape."""
    if kind == "flip-rotate-shift":
        return rotate_shift(images, draws)
    pad, fill = CROPS.get(kind, (PAD, 0))
    dy, dx, flip = offsets(draws, pad)
    b, h, w, c = images.shape
    if kind in CROPS:
        padded = np.full((b, h + 2 * pad, w + 2 * pad, c), fill, np.uint8)
        padded[:, pad:-pad, pad:-pad] = images
        # Every crop of every image as a view, [b, dy, dx, H, W, C]: the index below copies b of them and nothing else.
        crops = sliding_window_view(padded, (h, w), axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
        images = crops[np.arange(b), dy, dx]
    elif kind in FLIPS:
        images = images.copy()
    if kind in FLIPS:
        which = np.flatnonzero(flip)
        source = images[which]
        mirrored = np.empty_like(source)
        for channel in range(c):  # a reversed view over all channels at once copies three bytes at a time: 5× slower
            mirrored[..., channel] = source[:, :, ::-1, channel]
        images[which] = mirrored
    return images


class Normalise:
    """uint8 [b, H, W, C] → float32 [b, C, H, W] in channels_last layout, ``(x/255 − mean) / std`` per channel."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], height: int, width: int):
        # One factor per value of an image: broadcasting over a last axis of 3 would be 5× slower.
        channel_scale = 1 / (255 * torch.tensor(std, dtype=torch.float64))
        channel_shift = -torch.tensor(mean, dtype=torch.float64) / torch.tensor(std, dtype=torch.float64)
        self.scale = channel_scale.float().repeat(height * width)
        self.shift = channel_shift.float().repeat(height * width)

    def __call__(self, images: np.ndarray) -> torch.Tensor:
        flat = torch.from_numpy(images.reshape(len(images), -1)).float()
        return flat.mul_(self.scale).add_(self.shift).view(images.shape).permute(0, 3, 1, 2)
