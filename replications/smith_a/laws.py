"""What follows from finished runs: the best batch of a curve, and the exponents of its laws.

A ``fit-…`` arm is no run. It is computed from the ``b-opt`` rows whenever tables are read, so it can never be older
than what it stands for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from replications.smith_a import method
from replications.smith_a.spec import SmithASpec
from shared.paper import DERIVED
from shared.stats.rules import grid_error

Row = Mapping[str, Any]
_AXES = {
    "lr": "lr",
    "train_size": "data.train_size",
    "momentum": "optimizer.momentum",
    "width": "model.args.hidden",
}
"""``axis`` of a fit → column of the ``b-opt`` rows."""


def peak_of(curve: Sequence[Row], lr: float, n: int, momentum: float, averaging: bool) -> dict[str, float]:
    """The peak of accuracy against B (Fig 4), on the test set and, chosen anew, on held-out images.

    ``curve``: ``batch_size``, ``end/error`` and perhaps ``held_out/error`` (percent) of each batch, in order of size.
    ``b_opt`` with ``/low``, ``/high`` (the paper's error bar), ``/vertex`` (parabola), ``/inside``; ``peak/error``,
    ``peak/gain`` (points over the largest batch); ``noise_scale``; ``held_out/b_opt`` with ``/low`` and ``/high``,
    ``held_out/inside``, ``held_out/error`` and ``held_out/gain``: the test error, and gain, at the batch that is best
    on held-out images.
    """
    batches, errors = [int(row["batch_size"]) for row in curve], [float(row["end/error"]) for row in curve]
    best = method.peak(batches, [100 - e for e in errors])
    found = {
        "b_opt": float(best.batch),
        "b_opt/low": float(best.low),
        "b_opt/high": float(best.high),
        "b_opt/vertex": best.vertex,
        "b_opt/inside": float(best.inside),
        "peak/error": 100 - best.accuracy,
        "peak/gain": errors[-1] - (100 - best.accuracy),
        "noise_scale": method.noise_scale(lr, n, best.batch, momentum, averaging=averaging),
        "momentum_gain": method.momentum_gain(momentum),
    }
    held = [float(row.get("held_out/error", math.nan)) for row in curve]
    if not np.isnan(held).any():
        chosen = int(np.argmin(held))
        found |= {
            "held_out/b_opt": float(batches[chosen]),
            "held_out/b_opt/low": float(batches[max(chosen - 1, 0)]),
            "held_out/b_opt/high": float(batches[min(chosen + 1, len(batches) - 1)]),
            "held_out/inside": float(0 < chosen < len(batches) - 1),
            "held_out/error": errors[chosen],
            "held_out/gain": errors[-1] - errors[chosen],
        }
    return found


def fit(axis: str, peaks: Sequence[Row]) -> dict[str, float]:
    """Exponents over ``b-opt`` rows of one seed (Fig 5-7).

    ``exponent`` of B_opt on ε, N, 1/(1 − m) or the width, with ``exponent/grid_error``, and with the batches of
    ``b_opt/vertex`` and ``held_out/b_opt``; for ε and m ``exact_exponent`` of B/(N − B) and ``exact_gain`` of the exact
    law in AICc.
    """
    at = [float(row[_AXES[axis]]) for row in peaks]
    x = [method.momentum_gain(value) for value in at] if axis == "momentum" else at
    order = np.argsort(x)
    x, rows = [x[i] for i in order], [peaks[i] for i in order]
    known = {name: [float(row.get(name, math.nan)) for row in rows]
             for name in ("b_opt", "b_opt/vertex", "held_out/b_opt", "b_opt/low", "b_opt/high")}  # fmt: skip
    found = {}
    for suffix, column in (("", "b_opt"), ("/vertex", "b_opt/vertex"), ("/held_out", "held_out/b_opt")):
        if not np.isnan(known[column]).any():
            found["exponent" + suffix] = method.exponent(x, known[column])
    low, b, high = (known[name] for name in ("b_opt/low", "b_opt", "b_opt/high"))
    if all(a < at_best < c for a, at_best, c in zip(low, b, high, strict=True)):
        found["exponent/grid_error"] = grid_error(x, low, high)
    if axis in ("lr", "momentum"):
        n = int(rows[0]["data.train_size"])
        found["exact_gain"] = method.exact_gain(x, b, n)
        exact = method.exact_exponent(x, b, n)
        found |= {} if math.isnan(exact) else {"exact_exponent": exact}
    return found


def completed(rows: pd.DataFrame, history: pd.DataFrame, specs: Iterable[SmithASpec]) -> pd.DataFrame:
    """The rows, with what a ``b-opt`` row lacks read off its own curve in the history, and a row for each fit in
    ``specs`` whose peaks are all there.

    Peaks of an earlier revision have fewer columns than those of today; their curves are the same.
    """
    specs = tuple(specs)
    rows = rows[~rows["run_id"].isin({s.run_id for s in specs})]
    if "task" not in rows or not (rows["task"] == "b-opt").any():
        return rows
    curves = dict(tuple(history.groupby("run_id"))) if len(history) else {}
    rest = rows[rows["task"] != "b-opt"]
    peaks = [_whole(row, curves.get(row["run_id"])) for row in rows[rows["task"] == "b-opt"].to_dict("records")]
    by_id = {row["run_id"]: row for row in peaks}
    fits = [_row(spec, [by_id[p] for p in spec.parents]) for spec in specs if set(spec.parents) <= set(by_id)]
    return pd.concat([rest, pd.DataFrame([*peaks, *fits])], ignore_index=True)


def _whole(row: dict[str, Any], curve: pd.DataFrame | None) -> dict[str, Any]:
    if curve is None or not {"batch_size", "end/error"} <= set(curve) or curve["end/error"].isna().any():
        return row
    averaging = row["optimizer.momentum_form"] == "averaging"
    n, momentum = int(row["data.train_size"]), float(row["optimizer.momentum"])
    found = peak_of(curve.sort_values("batch_size").to_dict("records"), float(row["lr"]), n, momentum, averaging)
    return {**row, **{name: value for name, value in found.items() if pd.isna(row.get(name))}}


def _row(spec: SmithASpec, peaks: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("run_id", "paper", "arm", "preset", "seed", "protocol", "task", "axis")
    return {
        **{name: getattr(spec, name) for name in names},
        "status": DERIVED,
        "parents": json.dumps(list(spec.parents)),
        **fit(str(spec.axis), peaks),
    }
