"""The command line of a study: a frozen dataclass, whose fields are options of Typer.

A field's annotation has its type, its bounds and its help text. `parse` makes an instance of it.
"""

import functools
import math
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from typer import Option, Typer
from typer.exceptions import TyperException

from grader.errors import UserError

Options = TypeVar("Options")

# Bounds of what can be trained.
count = functools.partial(Option, min=1, max=10**8)
units = functools.partial(Option, min=1, max=2**14)
weight = functools.partial(Option, min=0, max=1e6)

Preset = Literal["full", "quick"]
Loss = Literal["bce", "mse", "l1"]
MANY = 10**6  # epochs
Epochs = Annotated[
    int, Option(min=1, max=MANY, help="passes over the training images, for each network")
]
Steps = Annotated[
    int | None,
    Option(min=1, max=10**9, help="steps for each network, at most, rounded up to whole epochs"),
]
BatchSize = Annotated[int, Option(min=2, max=2**20, help="images per step")]
LearningRate = Annotated[float, Option(min=1e-12, max=1, help="learning rate of Adam")]
LossType = Annotated[Loss, Option(help="loss of the reconstruction")]
Seed = Annotated[int, Option(min=0, max=2**32 - 1, help="seed of weights, batches and samples")]
HeldOut = Annotated[
    Path | None, Option(help="held-out images; by default DATA's own test part, or a tenth of DATA")
]
Cache = Annotated[Path | None, Option(help="folder for the decoded images; by default OUT_DIR")]
Devices = Annotated[int, Option(min=1, max=2**12, help="number of devices to train on")]
Device = Annotated[str, Option(help="cpu or cuda")]


def epochs_within(epochs: int, steps: int | None, per_epoch: int) -> int:
    """Return as many of the epochs as the steps suffice for, rounded up."""
    return epochs if steps is None else min(epochs, math.ceil(steps / per_epoch))


def parse(defaults: Options, words: list[str], usage: str) -> Options:
    """Parse the words of a command line into options. Raises UserError, or exits after help."""
    example = usage
    for place, value in (("DATA", "data"), ("IMAGE", "image.png"), ("OUT_DIR", "out")):
        example = example.replace(place, value)
    app = Typer(add_completion=False)
    app.command(epilog=f"Example: python {example}")(type(defaults))
    try:
        found = app(
            args=words,
            prog_name=f"python {usage}",
            standalone_mode=False,
            default_map=vars(defaults),
        )
    except TyperException as error:
        message = error.format_message().replace("Value error, ", "").rstrip(".")
        raise UserError("command line", message, f"python {usage}") from error
    if not isinstance(found, type(defaults)):  # it showed the help
        raise SystemExit(found)
    return found
