"""What a person sees while a sweep runs: the plan as a table, a progress bar with an ETA, the list of failures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from shared.workflow.forecast import clock
from shared.workflow.launch import Failure
from shared.workflow.plan import Plan, costs
from shared.workflow.suite import fraction, run_dir

LINE_EVERY_S = 60.0
"""Without a terminal: a line of progress this often."""


def plan_table(plan: Plan) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    several = len(plan.papers) > 1
    for title in ("paper", "sweep")[not several :]:
        table.add_column(title)
    for title in ("runs", "done", "to do", "one core" if plan.execution.accelerator != "gpu" else "one GPU"):
        table.add_column(title, justify="right")
    for row in plan.summary()["sweeps"]:
        left = row["runs"] - row["done"]
        cost = clock(row["core_seconds"]) if left else ""
        name = (row["paper"], row["sweep"]) if several else (row["sweep"],)
        table.add_row(*name, str(row["runs"]), str(row["done"]), str(left), cost)
    return table


def plan_line(plan: Plan) -> str:
    left = len(plan.todo)
    if not left:
        return f"all {len(plan.tasks)} runs are done"
    time_ = "time not known" if plan.seconds is None else f"about {clock(plan.seconds)}"
    return f"{left} runs to do in {len(plan.packs)} packs, {plan.jobs} at a time: {time_}"


class Watch:
    """Turns "these runs are done" into the done share, by forecast cost, and the seconds that remain."""

    def __init__(self, plan: Plan):
        tasks = plan.todo
        self.cost = {t.spec.run_id: c for t, c in zip(tasks, costs(tasks), strict=True)}
        self.total = sum(self.cost.values())
        self.home = {t.spec.run_id: run_dir(plan.results, t.spec) for t in tasks}
        self.forecast = plan.seconds
        self.start = time.monotonic()

    def share(self, done: set[str]) -> float:
        if not self.total:
            return 1.0
        return sum(c * (1 if i in done else fraction(self.home[i])) for i, c in self.cost.items()) / self.total

    def eta(self, done: set[str], elapsed: float | None = None) -> float | None:
        """Seconds to go: the forecast at first, our own speed more and more as runs finish."""
        elapsed = time.monotonic() - self.start if elapsed is None else elapsed
        share = self.share(done)
        own = elapsed * (1 - share) / share if share else None
        theirs = self.forecast
        if theirs is not None:
            theirs = theirs * (1 - share) if share else max(0.0, theirs - elapsed)
        if own is None or theirs is None:
            return theirs if own is None else own
        return share * own + (1 - share) * theirs


@contextmanager
def progress(plan: Plan, console: Console) -> Iterator:
    """Yields the function to call with the ids done so far: a bar on a terminal, a line a minute elsewhere."""
    watch, total = Watch(plan), len(plan.todo)
    if not console.is_terminal:
        last = {"time": time.monotonic(), "done": -1}

        def line(done: set[str]) -> None:
            due = time.monotonic() - last["time"] >= LINE_EVERY_S
            if due or (len(done) == total and last["done"] != total):
                share, eta = watch.share(done), clock(watch.eta(done))
                console.print(f"{len(done)}/{total} runs, {100 * share:.0f} %, {eta} to go")
                last.update(time=time.monotonic(), done=len(done))

        yield line
        return
    numbers = TextColumn("{task.percentage:>3.0f} %  {task.fields[eta]}")
    with Progress(TextColumn("{task.description}"), BarColumn(), numbers, console=console, transient=False) as bar:
        task = bar.add_task(f"0/{total} runs", total=1.0, eta="")

        def update(done: set[str]) -> None:
            bar.update(
                task,
                description=f"{len(done)}/{total} runs",
                completed=watch.share(done),
                eta=f"{clock(watch.eta(done))} to go",
            )

        yield update


def failures(found: list[Failure], console: Console) -> None:
    console.print(f"[red]{len(found)} runs failed[/]; the others are kept. The same command tries these again:")
    for f in found:
        console.print(f"  {f.run_id}: {f.why}\n    log: {f.log}", highlight=False, soft_wrap=True, markup=False)
