"""The command line: ``python -m replications list|plan|run|status|verdicts|report|check|sharpness|bench|data``.

Answers ``--help`` in a fraction of a second: whatever needs torch, pandas or a plotting library is imported inside the
command that needs it.
"""

from __future__ import annotations

import errno
import fnmatch
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.paper import Paper
from shared.seeds import offset, shifted
from shared.spec import PRESETS
from shared.workflow.suite import REPO, EngineError, Suite, job_environment, results_dir

WIDE = 160
"""Columns of a table that goes to a file or a pipe."""
out = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, soft_wrap=True, highlight=False, width=None if sys.stderr.isatty() else WIDE)

PaperKeys = Annotated[list[str], typer.Argument(metavar="PAPER...", help="which papers (see: list)")]
PresetName = Annotated[str, typer.Option(help="paper (faithful), reduced (two CPU cores) or smoke (plumbing)")]
Seeds = Annotated[int | None, typer.Option(min=1, help="only the first so many declared seeds of every arm")]
SweepNames = Annotated[list[str] | None, typer.Option("--sweep", help="only these sweeps")]
Arms = Annotated[list[str] | None, typer.Option("--arm", help="only these arms; patterns such as 'kn-*-warmup' work")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="override a field in every arm: a.b=value; no claim reads such runs"),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Missing = Annotated[bool, typer.Option("--missing", help="results committed in results/snapshot/ count as done")]
Jobs = Annotated[int | None, typer.Option(min=1, help="packs at once [default: one a core, or one a GPU]")]
Devices = Annotated[int, typer.Option(min=1, help="devices per node that share a run (DDP)")]
Nodes = Annotated[int, typer.Option(min=1, help="nodes that share a run (needs --profile slurm)")]
Micro = Annotated[int | None, typer.Option(min=1, help="samples per device and forward pass; the rest accumulates")]
Workers = Annotated[int, typer.Option(min=0, help="data-loading processes per device (ImageNet)")]
Threads = Annotated[int, typer.Option(min=1, help="threads per process; other counts change the last bits")]
Accelerator = Annotated[str | None, typer.Option(help="cpu or gpu [default: gpu for preset paper, where there is one]")]
PerGpu = Annotated[int, typer.Option(min=1, help="packs that may share one GPU")]
Speed = Annotated[float | None, typer.Option("--images-per-s", help="forecast with this throughput, measure nothing")]
Profile = Annotated[str, typer.Option(help="local or slurm")]
PackMinutes = Annotated[float | None, typer.Option(help="longest pack aimed at [default: 6 local, 60 slurm]")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="check the words and print the plan; train nothing")]
NoReport = Annotated[bool, typer.Option("--no-report", help="train only; leave tables and report as they are")]
Engine = Annotated[str, typer.Option(help="further arguments for Snakemake, in one string")]
KeysOnly = Annotated[bool, typer.Option("--papers", help="only the keys of the papers, one a line")]
Claims = Annotated[list[str] | None, typer.Option("--claim", help="only these claims; patterns such as 'K3-*' work")]
OnePaper = Annotated[str | None, typer.Option("--paper", help="only this paper")]
Collate = Annotated[bool, typer.Option(help="read the run folders again; otherwise the snapshot speaks")]
FromWandb = Annotated[str | None, typer.Option(help="collate the online runs of this entity/project instead")]
Target = Annotated[str, typer.Argument(help="a run id, a run's folder, or a file of weights")]
Eps = Annotated[list[float] | None, typer.Option(help="size of the box; may be repeated [default: 1e-3 and 5e-4]")]
Space = Annotated[str, typer.Option(help="full or subspace")]
Solver = Annotated[str, typer.Option(help="lbfgs (10 iterations, as in the paper) or sign (projected sign ascent)")]
Start = Annotated[str, typer.Option(help="x, or random: a point inside the box")]
Loss = Annotated[str, typer.Option(help="mean or sum: what L-BFGS-B is given; its steps depend on it")]
Scale = Annotated[str, typer.Option(help="entries of the subspace's matrix: normal, uniform or unit")]
Columns = Annotated[int, typer.Option("--p", min=1, help="dimensions of the subspace")]
BnMode = Annotated[str, typer.Option(help="batch norm with the statistics of the evaluated batch, or running ones")]
Ceiling = Annotated[float | None, typer.Option(help="cap of an example's loss; Keras: 16.118")]
Images = Annotated[int | None, typer.Option(min=1, help="only the first so many training images")]
EvalBatch = Annotated[int, typer.Option(min=1, help="images evaluated together")]
Like = Annotated[str | None, typer.Option(help="net and data of a foreign file of weights: a run id, or <paper>/<arm>")]
SHARPNESS_LEGEND = (
    "sharp/…: Metric 2.1, % of 1 + f. at_bound: share of the coordinates at their bound; near 0 the solver has hardly "
    "left x,\nand its value says little. status: of L-BFGS-B (1: all its iterations used), -1 for sign ascent. Report "
    "it with the loss,\nthe number of images (and of those that share batch statistics, --batch), at_bound, and a "
    "second maximiser (--solver sign)."
)
STATE_COLUMNS = ("finished", "diverged", "running", "resumable", "waiting", "damaged", "failed")
STATE_LEGEND = (
    "finished and diverged are done. resumable: stopped, goes on from a checkpoint; waiting: not begun; damaged: its "
    "done.json\ncannot be read, delete it and the run is made again. failed: of those left, how many ended in an error."
)
OnePaperArgument = Annotated[str | None, typer.Argument(help="only this paper")]


UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST}


def main(papers: dict[str, Paper], module: str = "replications", trainer: str = "shared.training",
         reference: str = "") -> None:  # fmt: skip
    """Run the command line over a registry of papers; the other arguments are those of ``Suite``."""
    for name in ("DATA_DIR", "CACHE_DIR"):  # jobs run in folders of their own
        if given := os.environ.get(name):
            os.environ[name] = str(Path(given).expanduser().absolute())
    try:
        papers = shifted(papers, offset(), results_dir(), REPO / "results")
        make_app(Suite(papers, module, trainer, reference))()
    except Exception as problem:
        ours = type(problem).__module__.split(".")[0] in ("shared", "replications", module.split(".")[0])
        unwritable = isinstance(problem, OSError) and problem.errno in UNWRITABLE
        if not (ours or unwritable) or os.environ.get("REPLICATIONS_TRACEBACK"):
            raise
        remedy = "; free some space, or set RESULTS_DIR to a folder that can be written" if unwritable else ""
        err.print(f"{problem}{remedy}", style="red", markup=False)
        sys.exit(2)


def make_app(suite: Suite) -> typer.Typer:
    """The typer application; errors pass through, so that tests see them."""
    app = typer.Typer(
        name=suite.module,
        help="Do the claims of the large-batch training papers hold here, at this scale, with this many seeds?",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    @app.command("list")
    def list_(keys: KeysOnly = False, as_json: Json = False) -> None:
        """Papers, their sweeps and the runs of each preset."""
        if keys:
            print("\n".join(suite.papers))
            return
        rows = [
            {"paper": p.key, "preset": preset, "sweep": s.name, "says": s.says,
             "arms": len({x.arm for x in s.specs}), "runs": len(s.specs),
             "run by": "–" if {x.data.name for x in s.specs} <= {*p.unsourced} else line}
            for p in suite.papers.values() for preset in PRESETS for line, sweeps in p.commands(preset).items()
            for s in sweeps
        ]  # fmt: skip
        show(rows, as_json)

    @app.command()
    def plan(
        papers: PaperKeys, preset: PresetName = "reduced", seeds: Seeds = None, sweep: SweepNames = None,
        arm: Arms = None, set_: Sets = None, missing: Missing = False, profile: Profile = "local",
        jobs: Jobs = None, devices: Devices = 1,
        nodes: Nodes = 1, micro_batch: Micro = None, workers: Workers = 0, threads: Threads = 1,
        accelerator: Accelerator = None, per_gpu: PerGpu = 1, images_per_s: Speed = None,
        pack_minutes: PackMinutes = None, as_json: Json = False,
    ) -> None:  # fmt: skip
        """What a run command would do, and how long it would take on this machine (measured on data that it fetches if
        they are missing)."""
        from shared.workflow import drive, screen

        chosen = {"seeds": seeds, "sweep": sweep, "arms": arm, "assignments": set_, "missing": missing}
        execution = drive.execution(preset, profile, devices, nodes, micro_batch, workers, threads, accelerator)
        made = drive.make_plan(
            suite, papers, preset, profile, execution, chosen, jobs=jobs, per_gpu=per_gpu,
            images_per_s=images_per_s, pack_minutes=pack_minutes, tell=err.print,
        )  # fmt: skip
        if as_json:
            show(made.summary(), True)
            return
        out.print(screen.plan_table(made))
        out.print(screen.plan_line(made))

    @app.command()
    def run(
        papers: PaperKeys, preset: PresetName = "reduced", seeds: Seeds = None, sweep: SweepNames = None,
        arm: Arms = None, set_: Sets = None, missing: Missing = False, profile: Profile = "local",
        jobs: Jobs = None, devices: Devices = 1,
        nodes: Nodes = 1, micro_batch: Micro = None, workers: Workers = 0, threads: Threads = 1,
        accelerator: Accelerator = None, per_gpu: PerGpu = 1, images_per_s: Speed = None,
        pack_minutes: PackMinutes = None, engine: Engine = "", dry_run: DryRun = False, no_report: NoReport = False,
    ) -> None:  # fmt: skip
        """Train what is not done yet; then collate the tables and rebuild the report."""
        from shared.workflow import drive

        chosen = {"seeds": seeds, "sweep": sweep, "arms": arm, "assignments": set_, "missing": missing}
        execution = drive.execution(preset, profile, devices, nodes, micro_batch, workers, threads, accelerator)
        made = drive.make_plan(
            suite, papers, preset, profile, execution, chosen, jobs=jobs, per_gpu=per_gpu,
            images_per_s=images_per_s, pack_minutes=pack_minutes, tell=out.print, must_train=not dry_run,
        )  # fmt: skip
        drive.say_plan(made, out)
        failed = 0 if dry_run else drive.train(suite, made, profile, per_gpu, engine, out)
        if set_ and not dry_run:
            from shared.workflow.changed import changed_rows

            by = {p: [t.spec for t in made.tasks if t.spec.paper == p] for p in dict.fromkeys(papers)}
            show([row for p, specs in by.items() for row in changed_rows(suite.paper(p), specs, results_dir())], False)
        if not (dry_run or no_report):
            build_report(suite, papers)
        raise typer.Exit(1 if failed else 0)

    @app.command(hidden=True)
    def pack(plan_file: Path, index: int) -> None:
        """Train one pack of a plan: the body of a job."""
        from shared.workflow.pack import run_pack

        raise typer.Exit(1 if run_pack(suite, plan_file.resolve(), index) else 0)

    @app.command()
    def status(paper: OnePaperArgument = None, preset: PresetName = "reduced", as_json: Json = False) -> None:
        """Runs done, running, failed and to do on this machine, by sweep and arm."""
        from shared.workflow.state import status_rows

        rows = [row for p in _papers(suite, paper) for row in status_rows(p, preset, results_dir())]
        show(rows, as_json, only=("paper", "sweep", "arm", "runs", *STATE_COLUMNS))
        if not as_json:
            out.print(STATE_LEGEND, style="dim", markup=False)

    @app.command()
    def verdicts(paper: OnePaperArgument = None, claim: Claims = None, as_json: Json = False) -> None:
        """One outcome a claim, from the collated runs; of claims that are named, the reason too."""
        from shared.report.claims import is_exact, ours, said
        from shared.workflow.outcome import verdict_rows

        rows = [row for p in _papers(suite, paper) for row in verdict_rows(p, results_dir())]
        if claim:
            known = [row["claim"] for row in rows]
            if unknown := [c for c in claim if not fnmatch.filter(known, c)]:
                raise EngineError(f"no claim {unknown[0]!r}; there are: {', '.join(dict.fromkeys(known))}")
            rows = [row for row in rows if any(fnmatch.fnmatchcase(row["claim"], c) for c in claim)]
        if not as_json:
            rows = [{**row, "ours": ours(row), "outcome": said(row).strip("`")} for row in rows]
            rows = [{**row, "scale": None} if is_exact(row) else row for row in rows]
        told = ("ours", "rule", "reason") if claim else ("ours",)
        show(rows, as_json, only=("paper", "claim", "says", "outcome", "scale", "n", *told))

    @app.command()
    def report(paper: OnePaper = None, collate: Collate = True, from_wandb: FromWandb = None) -> None:
        """Collate the runs, rebuild tables, figures and report, and refresh the generated blocks."""
        build_report(suite, [p.key for p in _papers(suite, paper)], collate, from_wandb)

    @app.command()
    def check() -> None:
        """Fail when a generated block of README or card is stale."""
        from shared.workflow.outcome import stale_blocks

        stale = stale_blocks(suite, results_dir())
        if stale:
            raise EngineError(f"stale: {', '.join(stale)}; run make report and commit what it writes")
        out.print("all generated blocks are up to date")

    @app.command()
    def sharpness(
        target: Target, eps: Eps = None, space: Space = "full", solver: Solver = "lbfgs", start: Start = "x",
        loss: Loss = "mean", scale: Scale = "normal", p: Columns = 100, bn: BnMode = "batch", ceiling: Ceiling = None,
        images: Images = None, batch: EvalBatch = 5000, like: Like = None, as_json: Json = False,
    ) -> None:  # fmt: skip
        """Metric 2.1 of Keskar et al. 2017 at the weights of a run or of a checkpoint."""
        from pydantic import ValidationError

        from shared.curvature.declare import Measure, Sharp

        words: Any = {"space": space, "solver": solver, "start": start, "loss": loss, "scale": scale, "bn": bn}
        try:
            sharps = tuple(
                Sharp(**words, eps=e, p=p, ceiling=ceiling)  # which checks the words
                for e in eps or (1e-3, 5e-4)
            )
            measure = Measure(sharp=sharps, images=images, batch=batch)
        except ValidationError as error:
            raise EngineError("; ".join(f"--{e['loc'][0]}: {e['msg']}" for e in error.errors())) from None
        from shared.curvature.command import measure_target

        found = measure_target(target, suite.papers, results_dir(), measure, like)
        if as_json:
            show(found, True)
            return
        show([{"quantity": k, "value": f"{v:.6g}" if isinstance(v, float) else v} for k, v in found.items()], False)
        out.print(SHARPNESS_LEGEND, style="dim", markup=False)

    @app.command()
    def bench(as_json: Json = False) -> None:
        """What the harness costs and gains, as ratios measured within one run."""
        wanted = job_environment(1)
        if any(name not in os.environ for name in wanted):  # a process is born with them or not at all
            again = [sys.executable, "-m", suite.module, "bench", *(["--json"] if as_json else [])]
            os.execve(sys.executable, again, {**wanted, **os.environ})
        from shared.bench import ratios

        rows = ratios(suite.paper(suite.reference or next(iter(suite.papers))))
        for row in rows:
            if row["bound"] is not None:
                row["met"] = row["ratio"] <= row["bound"] if row.get("lower") else row["ratio"] >= row["bound"]
        if as_json:
            show(rows, True)
            return
        rounded = [{k: f"{v:.3g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows]
        show(rounded, False, only=("name", "ours", "other", "unit", "ratio", "bound", "met"))

    @app.command()
    def data(paper: OnePaper = None, preset: PresetName = "reduced") -> None:
        """Fetch and verify the data sets that a preset needs, and say where each was found."""
        from shared.workflow import sources

        specs = [s for p in _papers(suite, paper) for s in p.planned(preset).values()]
        for line in sources.ready(specs):
            out.print(line, markup=False)

    return app


def _papers(suite: Suite, key: str | None) -> list[Paper]:
    return [suite.paper(key)] if key else list(suite.papers.values())


def build_report(suite: Suite, keys: list[str], collate: bool = True, wandb: str | None = None) -> None:
    from shared.workflow.outcome import refresh

    for path in refresh(suite, keys, results_dir(), collate=collate, wandb=wandb):
        out.print(f"wrote {path}")


def show(rows: Any, as_json: bool, only: tuple[str, ...] | None = None) -> None:
    """A list of dictionaries as a table, or anything as JSON on standard output."""
    if as_json:
        print(json.dumps(rows, indent=1, default=str, ensure_ascii=False))
        return
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict):
        out.print(rows or "nothing to show", markup=False)
        return
    columns = [c for c in (only or rows[0])]
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(
            *("" if row.get(c) is None else Text(str(row[c])) for c in columns)
        )  # "[error@5000]" is no markup
    out.print(table)
