"""One run: spec → data, module, Trainer.fit → one W&B run → ``done.json``. Done is skipped, half done resumes."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from filelock import FileLock, Timeout
from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment

from shared.callbacks import Checkpoints, DivergenceStop, Recorder
from shared.callbacks.masks import DropoutMasks
from shared.callbacks.snapshots import save_weights
from shared.datamodules import make_datamodule
from shared.datamodules.module import RunData
from shared.datamodules.order import accumulation
from shared.files import write_atomically
from shared.loop import EpochLoop, signal_ranks
from shared.models import build, indivisible, set_deferred
from shared.models.ghost import ghost_layers
from shared.module import ClassifierModule
from shared.paper import Paper
from shared.runs import provenance, record
from shared.spec import Execution, RunSpec, SpecError, canonical
from shared.workflow.suite import PROGRESS, is_done, read_of, run_dir

MICRO_BATCH = 256
"""224-pixel images a GPU takes in one forward pass, unless the execution says otherwise."""
SMALL_IMAGES = 4096
"""Of those that are held in memory: a WideResNet 16-4 keeps 4 MB for each of them."""


class RunLocked(RuntimeError):
    """Another process is training this very run."""


class RunFailed(RuntimeError):
    """A run that could not start or go on; the message names the cause and the remedy."""


logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # banners and adverts, hundreds of times a sweep
warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec\\)`")
warnings.filterwarnings("ignore", ".*does not have many workers.*")


def run(spec: RunSpec, execution: Execution, results_dir: Path, paper: Paper, *, wait: bool = False) -> str:
    """Train one run, or finish it, unless it is done; return its status, ``finished`` or ``diverged``.

    Raises RunLocked when another process has it (with ``wait``, blocks until that one is through), RunFailed when it
    cannot go on. Ranks other than 0 neither lock nor log.
    """
    parents = [_parent(i, spec, execution, results_dir, paper, wait) for i in spec.parents]
    execution = fitting(spec, execution)
    folder = run_dir(Path(results_dir), spec)
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "done.json"
    with record.sigterm_as_interrupt(), _locked(folder, wait), arithmetic(execution.threads):
        if is_done(Path(results_dir), spec):
            return json.loads(done.read_text())["status"]
        if done.exists():  # of parents that have been trained again since
            _empty(folder)
        try:
            if _rank_zero():
                write_atomically(folder / "spec.json", canonical(spec))
                write_atomically(folder / "execution.json", canonical(execution))
            work = _train if spec.task == "train" else _measure
            outcome = work(spec, execution, folder, paper, parents)
            if _rank_zero():
                read = {"read": {home.name: read_of(home) for home in parents}} if parents else {}
                write_atomically(done, json.dumps({"run_id": spec.run_id, **outcome, **read}))
                shutil.rmtree(folder / "checkpoints", ignore_errors=True)
                (folder / PROGRESS).unlink(missing_ok=True)
        except torch.OutOfMemoryError as error:
            cut = f"a multiple of {spec.bn_batch}" if spec.bn_batch else "batch norm over the whole batch forbids it"
            raise RunFailed(
                f"{spec.run_id}: out of GPU memory; give a smaller --micro-batch ({cut}), more --devices "
                "or a lower --per-gpu, and the same command again: the run goes on from its last checkpoint"
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise RunFailed(
                f"{spec.run_id}: no space left to write under {folder}; free some and give the same command again: "
                "the run goes on from its last checkpoint"
            ) from error
        return outcome["status"]


def _empty(folder: Path) -> None:
    """Take everything out of a run's folder but its lock."""
    for item in folder.iterdir():
        if item.is_dir():
            shutil.rmtree(item)
        elif item.name != "lock":
            item.unlink()


def fitting(spec: RunSpec, execution: Execution) -> Execution:
    """The execution with a micro-batch of its own where a GPU might not hold the batch: what shares batch statistics
    stays whole.

    A batch that is one chunk, batch norm over all of it, is not cut: it has to fit. A measurement takes one device, and
    its batches whole.
    """
    if spec.task != "train":
        return execution.model_copy(update={"micro_batch": None, "devices": 1, "nodes": 1})
    if execution.micro_batch is not None or execution.accelerator != "gpu":
        return execution
    whole, most = indivisible(spec), MICRO_BATCH if spec.data.streamed else SMALL_IMAGES
    if whole == max(spec.batches) or max(spec.batches) <= most:
        return execution
    return execution.model_copy(update={"micro_batch": max(most, whole)})


def _parent(run_id: str, spec: RunSpec, execution: Execution, results_dir: Path, paper: Paper, wait: bool) -> Path:
    """The folder of a run whose weights another one starts from, trained first if need be."""
    declared = paper.runs(spec.preset)
    if run_id not in declared:
        raise RunFailed(f"{spec.run_id}: its parent {run_id} is not declared in preset {spec.preset} of {paper.key}")
    parent = declared[run_id]
    status = run(parent, execution, results_dir, paper, wait=wait)
    if status != "finished" and not spec.takes_diverged:
        raise RunFailed(
            f"{spec.run_id}: its parent {run_id} diverged, so there are no weights to start from; "
            "leave this arm out with --arm"
        )
    return run_dir(Path(results_dir), parent)


@contextmanager
def arithmetic(threads: int) -> Iterator[None]:
    """How this process computes inside: on so many threads, and with float32 below 1.2e-38 as 0.

    The momentum of a weight that no longer gets a gradient decays as mⁿ; after a thousand updates a third of a small
    net's buffer may be denormal, where a CPU is slower by an order of magnitude. Denormals are the thread's own again
    afterwards, for whoever called may need them; the number of threads stays, as torch would start a pool anew.
    """
    kept = (torch.tensor(1e-40) * 0.5).item() > 0
    torch.set_flush_denormal(True)  # before the threads: those that start later inherit it
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_flush_denormal(not kept)


def assemble(spec: RunSpec, execution: Execution, paper: Paper) -> tuple[ClassifierModule, RunData]:
    """The paper's module over a net initialised from the run's seed, and its data."""
    data = make_datamodule(spec, execution)
    data.setup("fit")
    if spec.precision == "32-true":  # on GPUs convolutions would otherwise run in TF32
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]  # not in the stubs
    torch.manual_seed(spec.seed)
    net = build(spec.model, data.num_classes, data.input_shape, spec.bn_batch)
    torch.backends.mkldnn.set_flags(not _narrow(net))
    net = net.to(memory_format=torch.channels_last)
    module = paper.dotted("module").Module(spec, net, data.steps_per_epoch)
    module.pace = data.pace
    module.deferred = data.most_parts > 1 or execution.world_size > 1
    if module.deferred and spec.bn_batch is None and any(ghost_layers(net)):
        raise SpecError(
            f"{spec.run_id}: bn_batch is not set, so batch norm takes the whole batch of {spec.batch_size}, which "
            "devices or micro-batches would cut up; run it on one device without micro-batches, or set bn_batch"
        )
    set_deferred(net, module.deferred)
    return module, data


def _narrow(net: torch.nn.Module) -> bool:
    """Whether a 1×1 convolution takes fewer than eight channels, as in ``smoke``'s nets.

    Their gradient makes oneDNN 3.12 write past its buffers on CPUs with AVX2 and no AVX-512 ("corrupted size vs.
    prev_size"); torch's own convolutions take its place.
    """
    convolutions = (m for m in net.modules() if isinstance(m, torch.nn.Conv2d))
    return any(m.kernel_size == (1, 1) and m.in_channels < 8 for m in convolutions)


def equation(spec: RunSpec, execution: Execution) -> str:
    """Every global batch of the run written out, and the batch-norm batch it is made of."""
    written = []
    for batch in spec.batches:
        times = accumulation(batch, spec.bn_batch, execution.world_size, execution.micro_batch)
        share, rest = divmod(batch, execution.world_size * times)
        micro = f"{share}" if not rest else f"about {share}"
        written.append(f"{batch} = {execution.nodes} nodes × {execution.devices} devices × {times} × {micro}")
    ghost = f", batch norm over {spec.bn_batch}" if spec.bn_batch else ""
    return f"{', then '.join(written)}{ghost}"


def trainer_for(spec: RunSpec, execution: Execution, data: Any, callbacks: list, folder: Path) -> pl.Trainer:
    """Lightning's Trainer for a spec: our sampler shards the data, our callbacks checkpoint and record."""
    times = data.accumulate
    if spec.epochs:
        length: dict[str, Any] = {"max_epochs": spec.epochs, "check_val_every_n_epoch": spec.eval_every,
                                  "reload_dataloaders_every_n_epochs": int(len(spec.batches) > 1)}  # fmt: skip
    else:
        length = {"max_steps": spec.updates, "max_epochs": -1, "check_val_every_n_epoch": None,
                  "val_check_interval": spec.eval_every * times}  # fmt: skip
    alone = execution.world_size == 1 and execution.accelerator == "cpu"
    strategy = "ddp" if execution.strategy == "auto" and execution.world_size > 1 else execution.strategy
    trainer = pl.Trainer(
        accelerator=execution.accelerator,
        devices=execution.devices,
        num_nodes=execution.nodes,
        strategy=strategy,
        plugins=_environment(execution),
        precision=spec.precision,
        accumulate_grad_batches=times,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        callbacks=callbacks if alone else [DropoutMasks(), *callbacks],
        logger=False,
        default_root_dir=folder,
        enable_checkpointing=any(isinstance(c, Checkpoints) for c in callbacks),  # or Lightning adds its own
        enable_model_summary=False,
        enable_progress_bar=execution.progress,
        **length,
    )
    EpochLoop.install(trainer)
    return trainer


def _environment(execution: Execution) -> list[Any]:
    """A run on one device ignores SLURM's task count (its job packs many runs); the engine alone requeues jobs."""
    if execution.world_size == 1:
        return [LightningEnvironment()]
    # within somebody's own job of one task Lightning has to start the ranks itself
    tasks = os.environ.get("SLURM_NTASKS") if SLURMEnvironment.detect() else None
    return [SLURMEnvironment(auto_requeue=False)] if tasks == str(execution.world_size) else [LightningEnvironment()]


def _train(spec: RunSpec, execution: Execution, folder: Path, paper: Paper, parents: list[Path]) -> dict[str, Any]:
    module, data = assemble(spec, execution, paper)
    module.inherit(parents)
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir(exist_ok=True)
    facts = provenance.collect(data.sha256, data.data_name) | {"batch": equation(spec, execution)}
    with _wandb(spec, execution, folder, paper, facts) as wandb_run:

        def sink(row: dict[str, float]) -> None:
            wandb_run.log(row)
            end = spec.updates or data.pace.before(spec.epochs or 0)
            (folder / PROGRESS).write_text(f"{row['trainer/global_step'] / end}")

        recorder = Recorder(sink if wandb_run else None)
        divergence = DivergenceStop()
        keeper = Checkpoints(checkpoints, execution.checkpoint_every_s)
        trainer = trainer_for(spec, execution, data, [divergence, recorder, keeper], folder)
        kept = next(filter(_readable, (checkpoints / "last.ckpt", checkpoints / "previous.ckpt")), None)
        with _together(trainer):
            trainer.fit(module, datamodule=data, ckpt_path=kept, weights_only=False if kept else None)
        summary: dict[str, Any] = {**recorder.summary(), **module.summarise(recorder.rows)}
        summary |= {"status": "finished", "wall_s": recorder.elapsed()}
        if divergence.diverged:
            chance = 100.0 * (1 - 1 / data.num_classes)
            keys = ["train/error", "val/error", "val/error_last5_median"]
            keys += ["val/error_precise_bn"] if spec.precise_bn else []
            summary |= {"status": "diverged", "updates": trainer.global_step, **dict.fromkeys(keys, chance)}
            summary |= module.lost(chance)
        if wandb_run:
            save_weights(module.net, folder / "weights.pt")
            record.finish(wandb_run, summary, exit_code=0)
    return {k: summary[k] for k in ("status", "wall_s")} | {"images_per_s": summary.get("images_per_s")}


@contextmanager
def _together(trainer: pl.Trainer) -> Iterator[None]:
    """When the first process fails, the ranks that it started are ended too.

    Lightning does so for Ctrl-C alone; else they would hold their GPUs until the process group's timeout.
    """
    try:
        yield
    except Exception:
        signal_ranks(trainer, signal.SIGKILL)
        raise


def _measure(spec: RunSpec, execution: Execution, folder: Path, paper: Paper, parents: list[Path]) -> dict[str, Any]:
    """A run that trains nothing: the paper's ``TASKS[task](module, data, parents)`` gives its rows and its summary."""
    tasks = getattr(paper.dotted("module"), "TASKS", {})
    if spec.task not in tasks:
        known = ", ".join(["train", *tasks])
        raise SpecError(f"{spec.run_id}: {paper.key} knows no task {spec.task!r}; there are: {known}")
    module, data = assemble(spec, execution, paper)
    module.to("cuda" if execution.accelerator == "gpu" else "cpu")
    started = time.monotonic()
    facts = provenance.collect(data.sha256, data.data_name)
    with _wandb(spec, execution, folder, paper, facts) as wandb_run:
        rows, summary = tasks[spec.task](module, data, parents)
        summary |= {"status": "finished", "wall_s": time.monotonic() - started}
        if wandb_run:
            for index, row in enumerate(rows):
                wandb_run.log({"trainer/global_step": index, **row})
            record.finish(wandb_run, summary, exit_code=0)
    return {k: summary[k] for k in ("status", "wall_s")}


@contextmanager
def _wandb(spec: RunSpec, execution: Execution, folder: Path, paper: Paper, facts: dict[str, Any]):
    """The W&B run on rank 0; left without an exit record when training does not reach its end."""
    if not _rank_zero():
        yield None
        return
    run = record.start(spec, execution, folder, paper.sweep_of(spec.run_id, spec.preset), facts)
    try:
        yield run
    except BaseException:
        record.finish(run, None, exit_code=1)
        raise


def _readable(checkpoint: Path) -> bool:
    """Whether a checkpoint is whole; a corrupt one is set aside with a message, and the one before it is used."""
    if not checkpoint.exists():
        return False
    try:
        torch.load(checkpoint, map_location="cpu", weights_only=False)
    except Exception as error:  # torch raises many kinds for a damaged file
        aside = checkpoint.with_suffix(".corrupt")
        if _rank_zero():
            os.replace(checkpoint, aside)
            print(f"{checkpoint} is damaged ({type(error).__name__}), now {aside.name}; going on from the one before")
        return False
    return True


@contextmanager
def _locked(folder: Path, wait: bool):
    if not _rank_zero():
        yield
        return
    try:
        with FileLock(folder / "lock", timeout=-1 if wait else 1):
            yield
    except Timeout:
        raise RunLocked(f"{folder.name} is being trained by another process; wait for it and try again") from None


def _rank_zero() -> bool:
    """Before a process group exists: Lightning's and SLURM's launchers both name the rank in the environment."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


def calibrate(spec: RunSpec, execution: Execution, paper: Paper, seconds: float = 2.0) -> float:
    """Training images a second of a spec on this machine, measured over bare updates for about ``seconds``."""
    with arithmetic(execution.threads):
        module, data = assemble(spec, execution.model_copy(update={"devices": 1, "nodes": 1}), paper)
        optimizer = module.configure_optimizers()
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=spec.precision == "bf16-mixed")
        images, start = 0, 0.0
        for i, (x, y, _) in enumerate(_endless(data)):
            if i == 2:  # the first updates pay for set-up
                images, start = 0, time.perf_counter()
            with autocast:
                loss = torch.nn.functional.cross_entropy(module.net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            images += len(y)
            if i > 3 and time.perf_counter() - start > seconds:
                break
        return images / (time.perf_counter() - start)


def _endless(data: Any):
    while True:
        yield from data.train_dataloader()
