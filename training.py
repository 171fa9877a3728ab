"""The one training loop. The caller decides what a batch is and what its loss is."""

import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

Model = TypeVar("Model", bound=nn.Module)
Batch_co = TypeVar("Batch_co", covariant=True)
History = list[dict[str, float]]
"""One row per epoch: the mean of every loss that the step named."""
INTERVAL, LINES = 0.2, 20  # seconds between two lines on a terminal; lines of a log


class Batches(Protocol[Batch_co]):
    """The batches of one epoch; each epoch iterates over them again."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Batch_co]: ...


def fit(
    model: Model,
    step: Callable[[Model, Batch_co, float], dict[str, Tensor]],
    batches: Batches[Batch_co],
    optimizer: Optimizer,
    scheduler: LRScheduler,
    *,
    epochs: int,
    deadline: float = math.inf,
    history: History | None = None,
    after_epoch: Callable[[History], None] | None = None,
    ahead: float = 0.0,
) -> History:
    """Train `model` until it has made `epochs` passes over `batches`, or until `deadline`.

    `history` holds the rows of the passes already made. `after_epoch` is called with it after each
    whole pass, and may add to its last row. `ahead` is what follows after this training, as a
    multiple of it: the time left that is shown includes it.

    `step(model, batch, progress)` returns named scalars, and "loss" is minimised. `progress` is the
    share of the schedule that is done, in [0, 1). `scheduler` counts steps, and so does every other
    schedule. The clock (`deadline`, in `time.monotonic` seconds) can only cut them short, which
    shows as `scheduler.last_epoch < epochs * len(batches)`.

    Raises FloatingPointError if the mean loss of an epoch is not finite.
    """
    total = epochs * len(batches)
    history = history or []
    line = ProgressLine(len(history) * len(batches), total, ahead)
    for epoch in range(len(history), epochs):
        model.train()
        sums: dict[str, Tensor] = {}
        taken = 0
        for batch in batches:
            done = epoch * len(batches) + taken
            if done and time.monotonic() > deadline:
                break
            losses = step(model, batch, done / total)
            optimizer.zero_grad(set_to_none=True)
            losses["loss"].backward()
            optimizer.step()
            scheduler.step()
            taken += 1
            sums = {name: sums.get(name, 0) + value.detach() for name, value in losses.items()}
            line.show(done + 1, f"epoch {epoch + 1}/{epochs}", sums, taken)
        if taken:
            history.append({name: value.item() / taken for name, value in sums.items()})
            if not math.isfinite(history[-1]["loss"]):
                raise FloatingPointError(f"the loss of epoch {epoch + 1} is {history[-1]['loss']}")
        if taken < len(batches):
            break
        if after_epoch:
            after_epoch(history)
    line.close()
    model.eval()
    return history


class ProgressLine:
    """One line on a terminal, rewritten with the mean losses and the time left.

    Elsewhere, and on a terminal that cannot rewrite a line (TERM=dumb), it is a log: a line after
    every twentieth of the steps. So the same training has the same log, but for the time left.
    """

    def __init__(self, resumed_at: int, total: int, ahead: float) -> None:
        self.resumed_at, self.total, self.ahead = resumed_at, total, ahead
        self.started = self.shown = time.monotonic()
        self.live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    def show(self, done: int, title: str, sums: dict[str, Tensor], count: int) -> None:
        """Show the mean losses and the time left, if it is time to.

        `sums`: the losses summed over `count` steps of the epoch. `done`: steps of the whole
        training.
        """
        now = time.monotonic()
        too_early = now - self.shown < INTERVAL and done < self.total
        same_part = done * LINES // self.total == (done - 1) * LINES // self.total
        if too_early if self.live else same_part:
            return
        self.shown = now
        rest = self.total * (1 + self.ahead) - done
        left = (now - self.started) / (done - self.resumed_at) * rest
        losses = "  ".join(f"{name} {value.item() / count:.3f}" for name, value in sums.items())
        text = f"{title}  {left // 60:.0f}:{left % 60:02.0f} left  {losses}"
        if self.live:
            text = f"\r{text[: shutil.get_terminal_size().columns - 1]}\033[K"
        print(text, end="" if self.live else "\n", flush=True)

    def close(self) -> None:
        print(end="\n" if self.live else "")
