"""The same net trained the usual way, for ``make bench`` to compare with: nothing here is used by a run.

A torchvision data set with a transform per sample, a DataLoader with a worker, float32, the default memory format,
``nn.BatchNorm2d``, ``self.log`` in every step, and one process with all cores.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Any

import pytorch_lightning as pl
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from shared.datamodules import load
from shared.models import build
from shared.spec import RunSpec

logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)


class Pictures(Dataset):
    """What torchvision's MNIST family does: one PIL image a sample, through the transform."""

    def __init__(self, images: Any, labels: Any, transform: Any):
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


class Usual(pl.LightningModule):
    def __init__(self, net: nn.Module, spec: RunSpec):
        super().__init__()
        self.net, self.spec = net, spec

    def training_step(self, batch, batch_idx):
        images, labels = batch
        logits = self.net(images)
        loss = F.cross_entropy(logits, labels)
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/acc", (logits.argmax(1) == labels).float().mean(), on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self):
        o = self.spec.optimizer
        sgd = torch.optim.SGD(self.parameters(), self.spec.lr, o.momentum, 0, o.weight_decay, o.nesterov)
        return {"optimizer": sgd, "lr_scheduler": torch.optim.lr_scheduler.MultiStepLR(sgd, [6, 12, 16])}


class _Stopwatch(pl.Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        self.start, self.images = time.perf_counter(), 0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.images += len(batch[1])
        self.rate = self.images / (time.perf_counter() - self.start)


def time_usual(spec: RunSpec, workers: int) -> float:
    """Training images a second of the spec's net and data, the usual way, on all cores."""
    torch.set_num_threads(os.cpu_count() or 1)
    arrays = load(spec.data.name)
    size = arrays.train_x.shape[-1]
    transform = v2.Compose(
        [
            v2.RandomCrop(size, padding=4),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.286,), (0.353,)),
        ]
    )
    count = spec.data.train_size or len(arrays.train_y)
    pictures = Pictures(arrays.train_x[:count, 0], torch.tensor(arrays.train_y[:count], dtype=torch.long), transform)
    loader = DataLoader(pictures, spec.batch_size, shuffle=True, num_workers=workers, drop_last=True)
    net = build(spec.model, 10, (1, size, size), None)
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            parent = net.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], nn.BatchNorm2d(module.num_features))
    watch = _Stopwatch()
    pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, callbacks=[watch],
        enable_model_summary=False, enable_progress_bar=False,
    ).fit(Usual(net, spec), loader)  # fmt: skip
    return watch.rate


def report(spec: RunSpec, workers: int, out: Any) -> None:
    """Put ``time_usual`` into a queue: the body of a child process."""
    time_usual(spec, workers)
    out.put(time_usual(spec, workers))
