"""The options of `latent_study`."""

from dataclasses import dataclass, field
from typing import Annotated

from typer import Option

from command_line import default_device
from studies.shared.options import (
    MANY,
    BatchSize,
    Device,
    Epochs,
    HeldOut,
    Preset,
    Seed,
    Steps,
    weight,
)


@dataclass(frozen=True)
class Options:
    """How the networks are trained."""

    preset: Annotated[
        Preset, Option(help="full: the assignment's epochs; quick: three minutes")
    ] = "full"
    epochs: Epochs = 30
    steps: Steps = None
    batch_size: BatchSize = 128
    learning_rate: Annotated[
        float,
        Option(
            min=1e-12,
            max=1,
            help="highest learning rate of Adam; it rises and falls during training",
        ),
    ] = 3e-3
    beta: Annotated[float, weight(help="weight of the VAE's KL term")] = 1.0
    test: HeldOut = None
    seed: Seed = 0
    device: Device = field(default_factory=default_device)


PRESETS = {"full": Options(), "quick": Options(preset="quick", epochs=MANY, steps=900)}
IMAGES = 60_000  # of the task's data set
