from __future__ import annotations

import numpy as np
import pytest

from replications.hoffer import checks, method
from shared.stats.rules import fits_better

CORRECTED = [
    ("shares_of_the_gap", "f1-lr", "val/error", "2.60"),
    ("shares_of_the_gap", "wrn-ra", "val/error", "26.10"),
    ("single_runs", "f1-gbn", "val/error", "2.30"),
    ("single_runs", "alexnet-ra-8k", "val/error", "41.00"),
    ("figure_1", "r44-batch-512", "val/error", "6.00"),
    ("figure_1", "r44-sb", "val/error", "6.20"),
    ("axis_of_figure_2", "r44-gbn-batch-64", "distance", "3.0"),
]


@pytest.mark.parametrize(("name", "arm", "metric", "mean"), CORRECTED)
def test_a_statement_goes_away_when_the_number_is_another(reprinted, name, arm, metric, mean):
    reprinted(arm, metric, mean)
    assert not all(holds for _, holds in getattr(checks, name)())


def test_the_digitised_curves_decide_between_log_and_root(monkeypatch):
    root = (np.arange(50, 2000, 25.0), 0.08 * np.arange(50, 2000, 25.0) ** 0.5)
    monkeypatch.setattr(checks, "_curve", lambda batch: root)
    found = [holds for text, holds in checks.log_or_root() if text.startswith(("64", "128", "1024"))]
    assert found == [False, False, False, False, True, True]


def test_the_fits_in_the_reference_are_those_of_the_digitised_curves():
    for batch in (64, 128, 256, 512, 1024, 2048):
        t, d = checks._curve(batch)
        (slope, r2_log), (exponent, r2_power) = method.log_fit(t, d), method.power_fit(t, d)
        gain = fits_better(t.tolist(), d[None], "log", "sqrt").estimate
        found = {"log-over-sqrt": gain, "slope": slope, "r2-log": r2_log, "exponent": exponent, "r2-power": r2_power}
        for name, value in found.items():
            row = next(r for r in checks.PAGES.rows("fits") if (r["arm"], r["metric"]) == (
                checks._baseline(batch), f"diffusion/{name}"))  # fmt: skip
            assert float(row["mean"]) == pytest.approx(value, abs=1.001 * float(row["reading_error"]))


DEFECTS = [
    ("covariance", "sqrt_scaled", lambda lr, batch, base=128: lr * batch / base),
    ("covariance", "noise_variance", lambda batch, base=128: batch / base),
    ("rates", "sqrt_scaled", lambda lr, batch, base=128: lr * (batch / 256) ** 0.5),
    ("running_statistics", "running_weights", method.printed_running_weights),
    ("printed_algorithm", "printed_running_weights", method.running_weights),
    ("partial_batches", "released_chunks", lambda batch, large, small=128: (batch // 32,) * 32),
    ("equal_updates", "adapted", lambda epochs, regime, ratio: (epochs * ratio, tuple(regime))),
    ("momentum_resets", "momentum_gain", lambda steps, momentum: 1 / (1 - momentum)),
]


@pytest.mark.parametrize(("name", "what", "defect"), DEFECTS)
def test_a_known_defect_fails(monkeypatch, name, what, defect):
    monkeypatch.setattr(method, what, defect)
    assert not all(holds for _, holds in getattr(checks, name)())
