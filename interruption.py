"""A training that an interruption does not lose: its state on disk, from which it goes on."""

import hashlib
import io
import math
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from data import ShuffledBatches
from grader.errors import UserError
from recipe import AHEAD, FreeLatents, Prior, run_stage
from storage import check_writable, read_bytes, replacing
from training import History

LATENTS = ("z", "offers", "components", "steps")  # what changes in the second stage
ORDER = list(AHEAD)  # of the stages
SAVE_INTERVAL = 20.0  # least seconds between two states; each holds the weights three times


def identity(images: NDArray, *settings: object) -> str:
    """Return a name for a training: its images and settings, the code, and PyTorch's version."""
    source = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    text = repr((torch.__version__, *map(str, settings))).encode()
    return hashlib.sha256(images.tobytes() + source + text).hexdigest()


class SavedTraining:
    """The state of a training in the file at `path`, which is that of the training `name`.

    `state` is what the last attempt saved, or None if there is nothing, or only the state of
    another training. `seconds` is how long earlier attempts took.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self.started = self.saved = time.monotonic()
        self.warned = False
        self.state = self.load() if path.is_file() else None
        self.seconds = float(self.state["seconds"]) if self.state else 0.0
        self.rows: dict[str, History] = {}  # the epochs of each stage
        self.latents: FreeLatents | None = None

    def load(self) -> dict[str, Any] | None:
        """Return the state in the file; say so if it is another training's, or damaged."""
        try:
            content = io.BytesIO(read_bytes(self.path, "the state of a training"))
            if zipfile.ZipFile(content).testzip():  # torch.load checks no checksums
                raise ValueError("a checksum is wrong")
            content.seek(0)
            state = dict(torch.load(content, map_location="cpu", weights_only=True))
            if state["name"] == self.name:
                return state
            problem = "of a training with other data, options or code"
        except Exception:  # torch.load documents no set of errors
            problem = "damaged"
        print(f"{self.path}: not used, because it is {problem}", flush=True)
        return None

    def save(self, state: Callable[[], dict[str, Any]]) -> None:
        """Write the state if the last one is SAVE_INTERVAL old; on a full disk, only warn."""
        now = time.monotonic()
        if now - self.saved < SAVE_INTERVAL:
            return
        self.saved = now
        seconds = self.seconds + now - self.started
        content = io.BytesIO()
        torch.save({**state(), "name": self.name, "seconds": seconds}, content)
        try:
            with replacing(self.path) as file:
                file.write(content.getbuffer())
        except UserError as error:
            if not self.warned:
                print(f"warning: {error}; an interruption would lose this training", flush=True)
            self.warned = True

    def remove(self) -> None:
        with suppress(OSError):
            self.path.unlink()

    def make_room(self, path: Path, size: int) -> None:
        """Remove the state if the disk has, next to it, no room for a file of `size` bytes."""
        try:
            check_writable({path: size})
        except UserError:
            self.remove()

    def run(
        self,
        name: str,
        model: nn.Module,
        stage: Any,
        batches: Mapping[str, ShuffledBatches],
        lengths: Mapping[str, int],
        deadline: float = math.inf,
        after_epoch: Callable[[History], None] | None = None,
    ) -> History:
        """Run a stage as `recipe.run_stage` does, from where the last attempt ended.

        A stage that had ended by then is not run. The layout has no state: it takes seconds.
        """
        if isinstance(stage, FreeLatents):
            self.latents = stage
            if self.state:
                restore(stage, model, self.state)
        if self.state and ORDER.index(name) < ORDER.index(self.state["stage"]):
            self.rows[name] = self.state["rows"][name]
            return [*self.rows[name]]
        generator = batches[name].generator
        parts: dict[str, Any] = {"model": model}

        def begin(optimizer: Optimizer, scheduler: LRScheduler) -> History:
            parts.update(optimizer=optimizer, scheduler=scheduler)
            if not self.state or self.state["stage"] != name:
                return []
            optimizer.load_state_dict(self.state["optimizer"])
            scheduler.load_state_dict(self.state["scheduler"])
            generator.set_state(self.state["random"])
            rows: History = self.state["rows"][name]
            print(f"{name}: goes on after {len(rows)} of {lengths[name]} epochs", flush=True)
            return rows

        def state() -> dict[str, Any]:
            assert self.latents is not None
            return {
                **{part: value.state_dict() for part, value in parts.items()},
                **{attribute: getattr(self.latents, attribute) for attribute in LATENTS},
                "components_of_prior": len(self.latents.prior.means),
                "random": generator.get_state(),
                "rows": self.rows,
                "stage": name,
            }

        def keep(rows: History) -> None:
            if after_epoch:
                after_epoch(rows)
            self.rows[name] = rows
            if self.latents:
                self.save(state)

        self.rows[name] = run_stage(name, model, stage, batches, lengths, deadline, keep, begin)
        return [*self.rows[name]]


def restore(latents: FreeLatents, model: nn.Module, state: Mapping[str, Any]) -> None:
    """Restore the latents and the model as they were when `state` was saved."""
    model.load_state_dict(state["model"])
    model.eval()
    device = latents.z.device
    latents.prior = Prior(state["components_of_prior"], device)
    for name in LATENTS:
        value = state[name]
        setattr(latents, name, value.to(device) if isinstance(value, Tensor) else value)
