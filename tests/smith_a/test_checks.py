"""The exact checks hold, and notice when what they check is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from replications.smith_a import checks, method
from shared import optim


def without_minus_one(eps, n, b, m=0.0, **how):
    return eps * n / b / (1 if how.get("averaging") else 1 - m)


DEFECTS = [
    ("evidence", "occam", lambda s, lam: np.log1p(s / lam).sum()),
    ("evidence", "log_evidence_ratio", lambda cost, term, n, classes: cost - n * np.log(classes)),
    ("noise", "covariance_factor", lambda n, b: 1.0),
    ("noise", "noise_scale", without_minus_one),
    ("exact_law", "predicted_exact", lambda b, ratio, n: b * ratio),
]


@pytest.mark.parametrize(("check", "name", "wrong"), DEFECTS, ids=[f"{c}-{n}" for c, n, _ in DEFECTS])
def test_a_defect_fails_its_check(check, name, wrong, monkeypatch):
    assert all(ok for _, ok in getattr(checks, check)())
    monkeypatch.setattr(method, name, wrong)
    assert not all(ok for _, ok in getattr(checks, check)())


def test_the_check_of_momentum_is_of_the_optimizer_that_trains(monkeypatch):
    assert all(ok for _, ok in checks.momentum())
    kept = optim.make_optimizer

    def summing(net, spec, lr):
        return kept(net, spec.model_copy(update={"momentum_form": "reference"}), lr)

    monkeypatch.setattr(optim, "make_optimizer", summing)
    assert not all(ok for _, ok in checks.momentum())


def test_sizes_are_those_of_the_net_that_trains():
    assert all(ok for _, ok in checks.arithmetic())
