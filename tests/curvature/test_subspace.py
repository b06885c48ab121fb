"""Random subspaces against the dense matrix."""

from __future__ import annotations

import numpy as np
import pytest

from shared.curvature import subspace
from shared.curvature.objective import CurvatureError
from shared.curvature.subspace import Subspace

SCALES = ("normal", "uniform", "unit")


def dense(space: Subspace) -> np.ndarray:
    return np.stack([space.up(column) for column in np.eye(space.p)], axis=1)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("rows", [7, 1 << 16])
def test_products_and_pseudo_inverse_against_numpy(scale, rows, monkeypatch):
    monkeypatch.setattr(subspace, "ROWS", rows)
    space = Subspace(60, 5, seed=3, scale=scale)
    a, rng = dense(space), np.random.default_rng(0)
    y, g = rng.standard_normal(5), rng.standard_normal(60)
    np.testing.assert_allclose(space.up(y), a @ y, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(space.down(g), a.T @ g, rtol=1e-6)
    np.testing.assert_allclose(space.pinv(g), np.linalg.pinv(a) @ g, rtol=1e-5)
    np.testing.assert_allclose(space.pinv(space.up(y)), y, rtol=1e-5)
    assert {v.dtype for v in (space.up(y), space.down(g), space.pinv(g))} == {np.dtype(np.float64)}


def test_scales():
    normal, uniform, unit = (dense(Subspace(4000, 10, seed=0, scale=scale)) for scale in SCALES)
    assert normal.mean() == pytest.approx(0, abs=0.02)
    assert normal.std() == pytest.approx(1, abs=0.02)
    assert np.abs(normal).max() > 3
    assert uniform.mean() == pytest.approx(0, abs=0.01)
    assert uniform.std() == pytest.approx(3**-0.5, abs=0.01)
    assert np.abs(uniform).max() == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=0), 1, rtol=1e-6)
    np.testing.assert_allclose(unit, normal / np.linalg.norm(normal, axis=0), rtol=1e-5)
    assert np.abs(np.corrcoef(normal.T) - np.eye(10)).max() < 0.1


def test_a_seed_is_a_matrix_whether_it_is_kept_or_drawn_anew(monkeypatch):
    monkeypatch.setattr(subspace, "ROWS", 16)
    kept = dense(Subspace(50, 4, seed=1))
    monkeypatch.setattr(subspace, "KEPT", 0)
    np.testing.assert_array_equal(dense(Subspace(50, 4, seed=1)), kept)
    assert not np.isclose(dense(Subspace(50, 4, seed=2)), kept).any()
    assert len(np.unique(kept)) == kept.size


def test_impossible_subspaces_are_refused():
    with pytest.raises(CurvatureError, match="normal, uniform, unit"):
        Subspace(10, 2, seed=0, scale="gauss")
    for p in (0, 11):
        with pytest.raises(CurvatureError, match="p lies in"):
            Subspace(10, p, seed=0)
