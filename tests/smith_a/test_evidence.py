"""Logistic regression on zeros against ones: what is drawn, that the minimum is one, and what a curve says."""

from __future__ import annotations

import numpy as np
import pytest

from replications.smith_a import evidence, method
from replications.smith_a.spec import Evidence

SMALL = Evidence(train=20, test=50, lambdas=(1e-4, 1e6, 11))


@pytest.fixture(scope="module")
def digits():
    from shared.datamodules import load

    arrays = load("digits")
    keep = arrays.train_y < 2
    return arrays.train_x[keep].astype(np.float32) / 255, np.array(arrays.train_y[keep])


def test_draws_are_balanced_disjoint_and_random_labels_keep_the_balance(digits):
    for labels in ("true", "random", "iid"):
        drawn = evidence.draw(*digits, SMALL.model_copy(update={"labels": labels}), seed=4)
        (x, y), (test_x, test_y) = drawn["train"], drawn["test"]
        assert (x.shape, test_x.shape) == ((40, 65), (100, 65))
        assert (x[:, -1] == 1).all()
        if labels != "iid":
            assert (y.sum(), test_y.sum()) == (20, 50)
        true = evidence.draw(*digits, SMALL, seed=4)["train"]
        np.testing.assert_array_equal(x, true[0])  # the same images for every kind of label
        assert np.array_equal(y, true[1]) == (labels == "true")
    images, labels = digits
    marked = np.arange(len(labels), dtype=np.float64)[:, None]
    drawn = evidence.draw(marked, labels, SMALL, seed=4)
    assert not set(drawn["train"][0][:, 0]) & set(drawn["test"][0][:, 0])
    assert not np.array_equal(drawn["train"][0], evidence.draw(marked, labels, SMALL, seed=5)["train"][0])
    with pytest.raises(ValueError, match="digit 0 are fewer than 20 \\+ 5000"):
        evidence.draw(images, labels, SMALL.model_copy(update={"test": 5000}), seed=4)


@pytest.mark.parametrize("lam", [1e-6, 1.0, 1e4])
def test_minimum_has_no_gradient_and_penalises_the_bias(digits, lam):
    x, y = evidence.draw(*digits, SMALL.model_copy(update={"labels": "random"}), seed=4)["train"]
    w = evidence.minimum(x, y, lam)
    here = method.logistic_cost(w, x, y, lam)
    for i in (3, 30, 64):  # 64 is the bias
        for step in (1e-2, -1e-2):
            assert method.logistic_cost(w + step * np.eye(65)[i], x, y, lam) > here
    started = evidence.minimum(x, y, lam, start=evidence.minimum(x, y, 10 * lam))
    np.testing.assert_allclose(started, w, atol=1e-4 * np.abs(w).max())


@pytest.mark.parametrize("bound", ["TOLERANCE", "EXCESS", "RELATIVE"])
def test_a_solver_that_stops_short_is_an_error(bound, digits, monkeypatch):
    x, y = evidence.draw(*digits, SMALL, seed=4)["train"]
    monkeypatch.setattr(evidence, bound, 0.0)
    with pytest.raises(evidence.NotConverged, match="λ = 1: the gradient has a component of"):
        evidence.minimum(x, y, 1.0)


def test_curves_tell_labels_from_noise(digits):
    found = {}
    for labels in ("true", "random"):
        spec = SMALL.model_copy(update={"labels": labels})
        rows = evidence.along(evidence.draw(*digits, spec, seed=4), spec)
        assert [r["lambda"] for r in rows] == pytest.approx(np.logspace(-4, 6, 11))
        assert all(r["evidence"] > -method.null_cost(40, 2) for r in rows)
        assert rows[-1]["evidence"] == pytest.approx(0, abs=1e-2)  # a strong prior is the null model
        assert rows[-1]["test/loss"] == pytest.approx(np.log(2), abs=1e-2)
        determined = [r["curvature/effective"] for r in rows]
        assert 0 < determined[-1] < 0.1 < determined[0] < 65  # of 64 pixels and the bias
        assert determined == sorted(determined, reverse=True)
        found[labels] = evidence.features(rows)
    true, random = found["true"], found["random"]
    assert true["evidence_min"] < 0 < random["weak/evidence"]
    assert (true["evidence_negative"] > 0, random["evidence_negative"] < 100) == (True, True)
    assert true["weak/train_error"] == 0
    assert true["weak/test_error"] < 10
    assert random["weak/train_error"] == 0  # 40 images in 65 dimensions
    assert 35 < random["weak/test_error"] < 65
    assert random["weak/test_loss"] > 2 * np.log(2)
    assert true["weak/margin"] > random["weak/margin"]
    assert true["margin_fall"] == pytest.approx(true["strong/margin"] - true["weak/margin"])
    assert true["tracking"] > 0.5


def test_features_by_hand():
    columns = {"evidence": [3.0, 1, -2, -1, 4], "test/loss": [0.9, 0.2, 0.3, 0.5, 0.6], "test/error": [5.0, 2, 3, 4, 4]}
    rows = [
        {"lambda": 10.0**k, "log10_lambda": float(k), "train/error": 0.0, "margin": 1.0 + k}
        | {name: values[i] for name, values in columns.items()}
        for i, k in enumerate(range(-2, 3))
    ]
    found = evidence.features(rows)
    wanted = {"evidence_rise": 5, "evidence_inside": 1, "test_loss_inside": 1, "minima_distance": 1, "tuning_gain": 3,
              "evidence_negative": 40, "margin_fall": 4, "evidence_at": 0, "test_loss_at": -1}  # fmt: skip
    assert {k: found[k] for k in wanted} == wanted
    assert found["tracking"] == pytest.approx(0.6)  # Spearman: 1 − 6·8/(5·24)
    assert evidence.features(rows[2:])["evidence_inside"] == 0
