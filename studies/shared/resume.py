"""Training that estimates its cost in advance, and that resumes after an interruption."""

import copy
import itertools
import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from checkpoint import write_history
from grader.errors import UserError
from storage import check_writable, replacing
from studies.shared.processes import leads
from training import Batches, History, Model, fit

Batch = TypeVar("Batch")

TRIAL_STEPS = 5
SAVE_EVERY = 10.0  # least seconds between states: on a GPU an epoch can be shorter than a save
EXPECTED = "what an interrupted training of this study left"


def fit_or_resume(
    model: Model,
    step: Callable[[Model, Batch, float], dict[str, Tensor]],
    batches: Batches[Batch],
    optimizer: Optimizer,
    scheduler: LRScheduler,
    *,
    epochs: int,
    name: str,
    settings: Mapping[str, Any],
    out: Path,
    after_epoch: Callable[[History], None] | None = None,
) -> History:
    """Train as `training.fit` does, from where the last attempt in the folder `out` ended.

    After each epoch, the history is written to `out`/NAME.csv, and everything on which the
    remaining epochs depend to `out`/NAME.state. The state is written at most every `SAVE_EVERY`
    seconds, and after the last epoch. All random numbers must come from torch's own generators.
    Raises UserError if the state is that of a training with other `settings` or with more epochs.
    """
    state_path, history_path = out / f"{name}.state", out / f"{name}.csv"
    description = json.dumps({**settings}, default=str)
    history: History = []
    if state_path.exists():
        history = restore(state_path, model, optimizer, scheduler, description)
    if len(history) > epochs:
        raise UserError(state_path, f"{len(history)} epochs", f"{epochs}, or another OUT_DIR")
    check_writable({history_path: 1})
    if len(history) < epochs:
        print(f"{name}: {expected_cost(model, step, batches, epochs - len(history))}", flush=True)

    saved = -math.inf

    def keep(history: History) -> None:
        nonlocal saved
        if after_epoch:
            after_epoch(history)
        if not leads():
            return
        write_history(history, history_path)
        if len(history) < epochs and time.monotonic() - saved < SAVE_EVERY:
            return
        saved = time.monotonic()
        state = state_of(model, optimizer, scheduler)
        with replacing(state_path) as file:
            torch.save(state | {"settings": description, "history": history}, file)

    try:
        history = fit(
            model,
            step,
            batches,
            optimizer,
            scheduler,
            epochs=epochs,
            history=history,
            after_epoch=keep,
        )
    except (FloatingPointError, RuntimeError) as error:
        # PyTorch raises a RuntimeError if a cross-entropy gets NaN.
        if isinstance(error, RuntimeError) and "between 0 and 1" not in str(error):
            raise
        found = f"{name}: losses that are not finite"
        raise UserError("training", found, "a smaller --learning-rate") from error
    if leads():
        write_history(history, history_path)
    return history


def state_of(model: nn.Module, optimizer: Optimizer, scheduler: LRScheduler) -> dict[str, Any]:
    """Return everything on which the remaining epochs depend."""
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "random": torch.get_rng_state(),
        # Only this process's device: with several, each draws the same random numbers.
        "random_cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def restore(
    path: Path, model: nn.Module, optimizer: Optimizer, scheduler: LRScheduler, settings: str
) -> History:
    """Restore the state in `path`, and return the history up to it."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = state["settings"]
        if found == settings:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            scheduler.load_state_dict(state["scheduler"])
            torch.set_rng_state(state["random"])
            if torch.cuda.is_available() and state["random_cuda"] is not None:
                torch.cuda.set_rng_state(state["random_cuda"])
        history: History = state["history"]
    except Exception as error:  # torch.load and load_state_dict document no set of errors
        raise UserError(path, "a damaged file", EXPECTED) from error
    if found == settings:
        print(f"{path.stem}: resumes after {len(history)} epochs")
        return history
    was, now = json.loads(found), json.loads(settings)
    changed = [k for k in sorted({*was, *now}) if was.get(k) != now.get(k)]
    text = ", ".join(f"{k} {was.get(k)}" for k in changed)
    raise UserError(path, f"a training with {text}", "the same options, or another OUT_DIR")


def expected_cost(
    model: Model,
    step: Callable[[Model, Batch, float], dict[str, Tensor]],
    batches: Batches[Batch],
    epochs: int,
) -> str:
    """Estimate the time and memory that epochs take, from a few steps with a copy of the model."""
    # If the model is spread over devices, copy the network itself.
    trial, saved = copy.deepcopy(getattr(model, "module", model)), 0
    trial.train()

    def count(tensor: Tensor) -> Tensor:
        nonlocal saved
        saved += tensor.nbytes
        return tensor

    seconds = []
    with torch.random.fork_rng():
        for batch in itertools.islice(batches, TRIAL_STEPS):
            started, saved = time.perf_counter(), 0
            with saved_tensors_hooks(count, lambda tensor: tensor):
                loss = step(trial, batch, 0.0)["loss"]
            loss.backward()
            loss.item()  # waits for the GPU, which works asynchronously
            seconds.append(time.perf_counter() - started)
    minutes = min(seconds) * len(batches) * epochs / 60
    weights = sum(p.nbytes for p in model.parameters())
    megabytes = (4 * weights + saved) / 2**20  # weights, gradients and two moments, activations
    return (
        f"{epochs} epochs of {len(batches)} steps, about {minutes:.1f} min; "
        f"{megabytes:.0f} MiB in addition to the data"
    )
