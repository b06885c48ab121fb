"""What a paper is to the harness: a key, a spec type, declared sweeps, claims, figures; nothing is imported early."""

from __future__ import annotations

import importlib
import itertools
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.spec import PRESETS, Preset, RunSpec, SpecError

if TYPE_CHECKING:
    import pandas as pd

DERIVED = "derived"
"""Status of a row that no run made."""


@dataclass(frozen=True)
class Sweep:
    """A named, declared set of runs. A run may stand in several sweeps; it is trained once."""

    name: str
    says: str
    """One line: what the sweep is for, and the figure or table it feeds."""
    specs: tuple[RunSpec, ...]
    derived: tuple[RunSpec, ...] = ()
    """Arms that nothing runs: what follows from other rows, see ``Paper.completed``."""
    by_name: bool = False
    """Reduced only: run by a command that names the sweep or its arms; the plain one would take too long with it."""

    @property
    def every(self) -> tuple[RunSpec, ...]:
        return (*self.specs, *self.derived)


@dataclass(frozen=True)
class Paper:
    """One paper. ``module``, ``figures`` and ``checks`` are dotted names, resolved when first needed."""

    key: str
    title: str
    authors: str
    arxiv: str
    year: int
    protocol: int
    """The newest of its specs'."""
    spec: type[RunSpec]
    sweeps: Callable[[Preset], tuple[Sweep, ...]]
    """Every sweep of a preset, seeds expanded."""
    roles: Callable[[Preset], dict[str, str | tuple[str, ...]]]
    """Names for arm templates in claims and figures: ``{"base": "32", "grid": ("32", "64")}``."""
    counterpart: Callable[[RunSpec], RunSpec | None]
    """The paper-preset spec that a smaller spec stands for (None: the arm is ours alone)."""
    folder: Path
    terms: str = ""
    """The abbreviations that its claims and arms use."""
    basis: str = ""
    """What was at hand of the paper: how far its claims and numbers here can be trusted to be its own."""
    notes: tuple[str, ...] = ()
    """Deviations that no diff of specs can show, one sentence each."""
    errata: tuple[str, ...] = field(default=())
    chosen_by: str = "val/error_last5_median"
    """Column by which its tuning runs choose."""
    own_scale: tuple[str, ...] = ()
    """Sweeps of the paper preset that two cores can bear as they are: commands for ``reduced`` include them."""
    unsourced: tuple[str, ...] = ()
    """Data sets of declared runs that cannot be had here: no command is named for such a run."""
    unseen: bool = False
    """Its seeds are others than those that claims and rules may have been written after."""
    derives: str | None = None
    """Module with ``completed(rows, history, specs)``, for papers with sweeps that have ``derived`` arms."""

    def dotted(self, name: str) -> Any:
        """``replications.<key>.<name>``, imported now (``module`` needs torch, ``figures`` and ``checks`` do not)."""
        return importlib.import_module(f"replications.{self.key}.{name}")

    def claims(self) -> list[dict[str, Any]]:
        """The claims of ``claims.toml`` as plain dictionaries, in the order of the file."""
        return tomllib.loads((self.folder / "claims.toml").read_text())["claim"]

    def completed(self, preset: Preset, rows: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
        """The rows of a preset together with what the paper derives from them: never stored, so never out of date.

        A derived row has the status DERIVED and in ``parents`` the run_ids that it follows from, as JSON text.
        """
        if self.derives is None or not len(rows):
            return rows
        specs = [s for sweep in self.sweeps(preset) for s in sweep.derived]
        return self.dotted(self.derives).completed(rows, history, specs)

    def runs(
        self, preset: str, seeds: int | None = None, sweep: str | Collection[str] | None = None
    ) -> dict[str, RunSpec]:
        """``{run_id: spec}`` of a preset in declared order, each run once, derived ones among them.

        ``seeds`` keeps the first so many seeds of every arm. Raises SpecError for an unknown preset or sweep.
        """
        return {s.run_id: s for sw in self.select(preset, sweep) for s in _first_seeds(sw.every, seeds)}

    def planned(
        self,
        preset: str,
        seeds: int | None = None,
        sweep: str | Collection[str] | None = None,
        by_name: bool = False,
    ) -> dict[str, RunSpec]:
        """What a command for the preset works through: with ``reduced`` also ``own_scale``, and nothing derived.

        Runs on ``unsourced`` data are left out unless a sweep is named, those of sweeps ``by_name`` unless that or
        ``by_name``. Raises SpecError for more seeds than any arm has.
        """
        sweeps = [s for s in self.select(preset, sweep, True) if sweep or by_name or not s.by_name]
        if seeds is not None and seeds > (most := max((_most_seeds(sw.specs) for sw in sweeps), default=0)) > 0:
            raise SpecError(
                f"{self.key} declares at most {most} seeds an arm, not {seeds}; for others than these set SEED_OFFSET, "
                "and RESULTS_DIR to a folder of its own"
            )
        chosen = {s.run_id: s for sw in sweeps for s in _first_seeds(sw.specs, seeds)}
        return chosen if sweep else {i: s for i, s in chosen.items() if s.data.name not in self.unsourced}

    def select(
        self, preset: str, sweep: str | Collection[str] | None = None, own_scale: bool = False
    ) -> tuple[Sweep, ...]:
        if preset not in PRESETS:
            raise SpecError(f"unknown preset {preset!r}; there are: {', '.join(PRESETS)}")
        sweeps = self.sweeps(preset)
        if own_scale and preset == "reduced":
            sweeps = (*(s for s in self.sweeps("paper") if s.name in self.own_scale), *sweeps)
        if not sweep:
            return sweeps
        wanted = {sweep} if isinstance(sweep, str) else set(sweep)
        if unknown := sorted(wanted - {s.name for s in sweeps}):
            raise SpecError(f"{self.key} has no sweep {unknown[0]!r}; there are: {', '.join(s.name for s in sweeps)}")
        return tuple(s for s in sweeps if s.name in wanted)

    def commands(self, preset: Preset) -> dict[str, tuple[Sweep, ...]]:
        """``{make command: sweeps of the preset that it runs}``: the plain one, and those for what it leaves out."""
        declared = self.sweeps(preset)
        if preset == "smoke":
            return {f"make smoke-{self.key}": declared}
        plain = f"make replicate-{self.key}"
        if preset == "reduced":
            usual = tuple(s for s in declared if not s.by_name)
            return {plain: usual, **{f"{plain} ARGS='--sweep {s.name}'": (s,) for s in declared if s.by_name}}
        within = tuple(s for s in declared if s.name in self.own_scale)
        rest = tuple(s for s in declared if s.name not in self.own_scale)
        return {line: sweeps for line, sweeps in ((plain, within), (f"{plain} PRESET={preset}", rest)) if sweeps}

    def commands_for(self, preset: Preset, arms: Collection[str]) -> list[str]:
        """The make commands that run these arms: the plain one where it runs some, and the sweeps of the others."""
        wanted, lines = set(arms), []
        for line, sweeps in self.commands(preset).items():
            needed = []
            for sweep in sweeps:
                if wanted & (mine := {s.arm for s in sweep.every if s.data.name not in self.unsourced}):
                    needed.append(sweep.name)
                    wanted -= mine
            if needed:
                chosen = f" ARGS='{' '.join(f'--sweep {name}' for name in needed)}'"
                lines.append(line + chosen * ("PRESET=" in line))
        return lines

    def arms(self, template: str, preset: Preset) -> tuple[str, ...]:
        """``"kn-{grid}"`` → one arm name for each value of the role (roles that hold a tuple expand)."""
        found = choices([template], self.roles(preset), f"{self.key} {preset} has")
        return tuple(template.format(**roles) for roles in found)

    def sweep_of(self, run_id: str, preset: Preset) -> str:
        """The first declared sweep that holds the run: its W&B group is ``<paper>/<sweep>``."""
        return next((s.name for s in self.sweeps(preset) if any(x.run_id == run_id for x in s.every)), "ad-hoc")


def choices(
    templates: Iterable[str], roles: Mapping[str, str | tuple[str, ...]], known: str = "there are"
) -> list[dict[str, str]]:
    """Every choice of one value for each role that the templates name; SpecError for an unknown role."""
    names = list(dict.fromkeys(n for t in templates for n in re.findall(r"{(\w+)}", t)))
    if unknown := [n for n in names if n not in roles]:
        raise SpecError(f"a template uses role {unknown[0]!r}; {known}: {', '.join(roles)}")
    values = [(value,) if isinstance(value := roles[n], str) else value for n in names]
    return [dict(zip(names, v, strict=True)) for v in itertools.product(*values)]


def _most_seeds(specs: tuple[RunSpec, ...]) -> int:
    """Of any one arm."""
    return max(Counter(arm for arm, _ in {(s.arm, s.seed) for s in specs}).values(), default=0)


def _first_seeds(specs: tuple[RunSpec, ...], seeds: int | None) -> list[RunSpec]:
    if seeds is None:
        return list(specs)
    if seeds < 1:
        raise SpecError(f"seeds must be at least 1, not {seeds}")
    kept: dict[str, list[int]] = {}
    for spec in specs:
        known = kept.setdefault(spec.arm, [])
        if spec.seed not in known and len(known) < seeds:
            known.append(spec.seed)
    return [s for s in specs if s.seed in kept[s.arm]]


def registry(*papers: Paper) -> dict[str, Paper]:
    """``{key: paper}`` in the given order. SpecError for a key that two papers have."""
    found = {paper.key: paper for paper in papers}
    if twice := next((p.key for p in papers if found[p.key] is not p), None):
        raise SpecError(f"two papers have the key {twice!r}: each needs its own, which is the name of its folder")
    return found
