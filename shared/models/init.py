"""Initial weights: as Goyal et al. 2017, section 5.1, give them, as Keras 1 does, and small ones."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn


def init_weights(net: nn.Module, classifier: nn.Linear, zero: Iterable[nn.BatchNorm2d] = ()) -> nn.Module:
    """Initialise in place and return the net.

    Convolutions: He normal over fan-out. Hidden linear layers: He normal over fan-in (the convention of MLPs).
    ``classifier``: N(0, 0.01²). Biases 0. BN γ = 1, β = 0, except γ = 0 in the layers of ``zero``.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
        if isinstance(bias := getattr(module, "bias", None), Tensor):
            nn.init.zeros_(bias)
    nn.init.normal_(classifier.weight, std=0.01)
    for norm in zero:
        nn.init.zeros_(norm.weight)
    return net


def glorot_uniform(net: nn.Module) -> nn.Module:
    """Initialise in place as Keras 1 does by default, and return the net.

    Weights: uniform in ±√(6 / (fan-in + fan-out)) (Glorot and Bengio 2010, equation 16), also before relus and in the
    classifier. Biases 0, BN γ = 1 and β = 0.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
        if isinstance(bias := getattr(module, "bias", None), Tensor):
            nn.init.zeros_(bias)
    return net


def small_normal(net: nn.Module, std: float = 0.01) -> nn.Module:
    """Initialise in place and return the net: all weights of linear layers and convolutions N(0, std²), biases 0."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return net
