"""Two optimizer steps side by side, for ``bench.paired``: LARS and SGD; denormal momentum as 0 and kept."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from shared.models import build
from shared.optim import LARS
from shared.spec import ModelSpec


def lars_and_sgd() -> tuple[Callable[[], float], Callable[[], float]]:
    """Two functions that take one step over the weights of AlexNet (61 M) and return its CPU seconds.

    A step there waits for memory. Both have momentum 0.9 and weight decay 5e-4; SGD is ``torch.optim.SGD`` with
    ``foreach``. They share the weights and their gradients; 1 GB altogether. Set one thread first.
    """
    torch.manual_seed(0)
    weights = list(build(ModelSpec(name="alexnet"), 1000, (3, 224, 224)).parameters())
    for weight in weights:
        weight.grad = torch.randn_like(weight) * 1e-4
    lars = LARS(weights, lr=1e-6, momentum=0.9, weight_decay=5e-4)
    sgd = torch.optim.SGD(weights, lr=1e-6, momentum=0.9, weight_decay=5e-4, foreach=True)

    def timed(optimizer: torch.optim.Optimizer) -> Callable[[], float]:
        def step() -> float:
            start = time.process_time()
            optimizer.step()
            return time.process_time() - start

        return step

    return timed(lars), timed(sgd)


def denormal_updates() -> tuple[Callable[[], float], Callable[[], float]]:
    """Two functions that do 20 updates with a third of the momentum denormal: as 0, and kept. They return CPU seconds.

    784-800-10 at batch 20 with averaging momentum 0.9; dead units' buffers are set to what 800 updates leave of 1e-3.
    Denormals count as 0 afterwards, as ``training.arithmetic`` has it.
    """
    torch.manual_seed(0)
    images, labels = torch.rand(20, 784), torch.arange(20) % 10

    def timed(flush: bool) -> Callable[[], float]:
        first = torch.nn.Linear(784, 800)
        net = torch.nn.Sequential(first, torch.nn.ReLU(), torch.nn.Linear(800, 10))
        sgd = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, dampening=0.9, fused=True)

        def update() -> None:
            torch.nn.functional.cross_entropy(net(images), labels).backward()
            sgd.step()
            sgd.zero_grad()

        update()
        with torch.no_grad():
            first.bias[:270] = -1e3  # dead
        dead = sgd.state[first.weight]["momentum_buffer"][:270]

        def updates() -> float:
            torch.set_flush_denormal(flush)
            dead.fill_(1e-40)
            start = time.process_time()
            for _ in range(20):
                update()
            took = time.process_time() - start
            torch.set_flush_denormal(True)
            return took

        return updates

    return timed(True), timed(False)
