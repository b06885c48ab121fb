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
from shared.spec import PRESETS, Execution, RunSpec, parse
from shared.training import assemble

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")


def measure_target(
    target: str, papers: dict[str, Paper], results: Path, measure: Measure, like: str | None = None
) -> dict[str, Any]:
    """``{"run": …, column: value}`` of a run (id or folder) or of a file of weights.

    A file may be our ``weights.pt``, a Lightning checkpoint, or any state dict that fits the net. Net and data come
    from the ``spec.json`` beside it or one folder up, or from the run that ``like`` names: a run id, a run's folder, or
    ``<paper>/<arm>`` of what is declared.
    Raises CurvatureError when there is no such run or file, when nothing says which net it is, or when it does not fit.
    """
    weights = _weights(target, results)
    spec = _declared(like, papers) if like else None
    if spec is None:
        folder = _run_folder(like, results) if like else next((f for f in weights.parents[:2] if _spec(f)), None)
        if folder is None:
            raise CurvatureError(
                f"{weights}: no spec.json beside it says which net and data it belongs to; give --like with a run id "
                "or with <paper>/<arm>"
            )
        tree = json.loads(_spec(folder))
        if tree.get("paper") not in papers:
            raise CurvatureError(f"{folder}: its spec.json names no paper of this suite; give --like <paper>/<arm>")
        spec = parse(papers[tree["paper"]].spec, json.dumps(tree))
    module, data = assemble(spec, Execution(accelerator="cpu"), papers[spec.paper])
    module.net.load_state_dict(_state(weights, module.net))
    return {"run": spec.run_id, "weights": str(weights), **measured(module.net, data, measure, None, spec.seed)}


def _weights(target: str, results: Path) -> Path:
    path = Path(target)
    if path.is_file():
        return path.resolve()
    if path.suffix in SUFFIXES:
        raise CurvatureError(f"no such file: {target}")
    folder = path.resolve() if path.is_dir() else _run_folder(target, results)
    for name in ("weights.pt", "checkpoints/last.ckpt"):
        if (folder / name).is_file():
            return folder / name
    raise CurvatureError(
        f"{folder} has no weights.pt and no checkpoints/last.ckpt: a run has them when it has been trained far enough"
    )


def _declared(like: str, papers: dict[str, Paper]) -> RunSpec | None:
    """The first seed of ``<paper>/<arm>``, at the paper's scale where it is declared there; None: no such words."""
    key, _, arm = like.partition("/")
    if key not in papers or not arm or Path(like).exists():
        return None
    for preset in PRESETS:
        for spec in papers[key].runs(preset).values():
            if spec.arm == arm and spec.task == "train":
                return spec
    raise CurvatureError(f"{key} declares no arm {arm!r} that trains; see: list, plan {key}")


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
        content = torch.load(path, map_location="cpu", weights_only=True)
        state = content.get("state_dict", content)
        state = {k.removeprefix("net."): v for k, v in state.items()}
    except Exception as error:  # torch raises many kinds for a file that is no checkpoint
        raise CurvatureError(
            f"{path} is no file of weights that torch.save wrote ({type(error).__name__}: {error})"
        ) from error
    ours = net.state_dict()
    if wrong := sorted(
        k for k in ours.keys() | state.keys() if k not in state or k not in ours or ours[k].shape != state[k].shape
    ):
        raise CurvatureError(f"{path} does not fit the net of that run: {', '.join(wrong[:5])}")
    return state
