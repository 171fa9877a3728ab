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
INTERVAL = 0.2  # seconds after which the line of progress is rewritten
LINES = 20  # of progress in the log of a training


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
        line.log(epoch + 1, epochs, (epoch + 1) * len(batches), history[-1])
    line.close()
    model.eval()
    return history


class ProgressLine:
    """One line on a terminal, rewritten with the mean losses and the time left.

    Elsewhere, and on a terminal that cannot rewrite a line (TERM=dumb), it is a log: a line after
    every twentieth of the epochs. So the same training has the same log, but for the time left.
    """

    def __init__(self, resumed_at: int, total: int, ahead: float) -> None:
        self.resumed_at, self.total, self.ahead = resumed_at, total, ahead
        self.started = self.shown = time.monotonic()
        self.live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    def show(self, done: int, title: str, sums: dict[str, Tensor], count: int) -> None:
        """Rewrite the line on a terminal, if it is time to.

        `sums`: the losses summed over `count` steps of the epoch. `done`: steps of the whole
        training.
        """
        now = time.monotonic()
        if not self.live or (now - self.shown < INTERVAL and done < self.total):
            return
        self.shown = now
        losses = "  ".join(f"{name} {value.item() / count:.3f}" for name, value in sums.items())
        text = f"{title}  {self.left(done, now)} left  {losses}"
        print(f"\r{text[: shutil.get_terminal_size().columns - 1]}\033[K", end="", flush=True)

    def log(self, epoch: int, epochs: int, done: int, means: dict[str, float]) -> None:
        """Print the mean losses of a whole epoch as a line of the log, if it is due."""
        due = epoch == 1 or epoch * LINES // epochs > (epoch - 1) * LINES // epochs
        if due and not self.live:
            left = self.left(done, time.monotonic())
            losses = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
            print(f"epoch {epoch}/{epochs}  {left} left  {losses}", flush=True)

    def left(self, done: int, now: float) -> str:
        """Return the time left after `done` steps, in minutes and seconds."""
        rest = self.total * (1 + self.ahead) - done
        left = (now - self.started) / (done - self.resumed_at) * rest
        return f"{left // 60:.0f}:{left % 60:02.0f}"

    def close(self) -> None:
        if self.live:
            print()
