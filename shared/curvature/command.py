"""Sharpness of any run or checkpoint, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from shared.callbacks.curvature import measured
from shared.curvature.declare import Measure
from shared.curvature.objective import CurvatureError
from shared.paper import Paper
from shared.spec import Execution, RunSpec, parse
from shared.training import assemble


def measure_target(
    target: str, papers: dict[str, Paper], results: Path, measure: Measure, like: str | None = None
) -> dict[str, Any]:
    """``{"run": …, column: value}`` of a run (id or folder) or of a file of weights.

    A file may be our ``weights.pt``, a Lightning checkpoint, or any state dict that fits the net. Net and data come
    from the ``spec.json`` beside it or one folder up, or from the run named by ``like``.
    Raises CurvatureError when there is no such run or file, when nothing says which net it is, or when it does not fit.
    """
    weights = _weights(target, results)
    folder = _run_folder(like, results) if like else next((f for f in weights.parents[:2] if _spec(f)), None)
    if folder is None:
        raise CurvatureError(
            f"{weights}: no spec.json beside it says which net and data it belongs to; give --like RUN"
        )
    tree = json.loads(_spec(folder))
    paper = papers.get(tree.get("paper"))
    if paper is None:
        raise CurvatureError(f"{folder}: its spec.json names no paper of this suite")
    spec: RunSpec = parse(paper.spec, json.dumps(tree))
    module, data = assemble(spec, Execution(accelerator="cpu"), paper)
    module.net.load_state_dict(_state(weights, module.net))
    return {"run": folder.name, "weights": str(weights), **measured(module.net, data, measure, None, spec.seed)}


def _weights(target: str, results: Path) -> Path:
    path = Path(target)
    if path.is_file():
        return path.resolve()
    folder = path.resolve() if path.is_dir() else _run_folder(target, results)
    for name in ("weights.pt", "checkpoints/last.ckpt"):
        if (folder / name).is_file():
            return folder / name
    raise CurvatureError(f"{folder.name} has no weights yet: it has not been trained far enough to write a checkpoint")


def _run_folder(run_id: str, results: Path) -> Path:
    found = sorted(results.glob(f"runs/*/*/{run_id}")) if run_id else []
    if len(found) != 1 or not found[0].is_dir():
        raise CurvatureError(f"no run {run_id!r} under {results / 'runs'}; give a run id, a run's folder, or a file")
    return found[0]


def _spec(folder: Path) -> str:
    file = folder / "spec.json"
    return file.read_text() if file.is_file() else ""


def _state(path: Path, net: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The net's state in a file: the whole of it, or what Lightning keeps under ``state_dict`` as ``net.…``."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=path.suffix != ".ckpt")
        state = content.get("state_dict", content)
        state = {k.removeprefix("net."): v for k, v in state.items()}
    except Exception as error:  # torch raises many kinds for a file that is no checkpoint
        raise CurvatureError(f"{path} cannot be read as weights: {type(error).__name__}: {error}") from error
    ours = net.state_dict()
    if wrong := sorted(
        k for k in ours.keys() | state.keys() if k not in state or k not in ours or ours[k].shape != state[k].shape
    ):
        raise CurvatureError(f"{path} does not fit the net of that run: {', '.join(wrong[:5])}")
    return state
