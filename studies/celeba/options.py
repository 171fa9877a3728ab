"""The options of the study, and its presets."""

from dataclasses import dataclass, field
from typing import Annotated

from typer import Option

from command_line import default_device
from studies.shared.devices import Precision
from studies.shared.options import (
    MANY,
    Cache,
    Device,
    Devices,
    Epochs,
    LearningRate,
    LossType,
    Preset,
    Steps,
    count,
    units,
    weight,
)


@dataclass(frozen=True)
class Options:
    """How the models are trained."""

    preset: Annotated[
        Preset, Option(help="full: the assignment's settings; quick: small images, a few minutes")
    ] = "full"
    latents: Annotated[
        list[int], Option(min=2, max=2**14, help="latent units, one model for each value")
    ] = field(default_factory=lambda: [3, 100])
    size: Annotated[
        tuple[int, int],
        Option(
            min=16, max=2**14, help="height and width to which the images are resized and cropped"
        ),
    ] = (218, 178)
    images: Annotated[int, count(help="training images, at most")] = 30_000
    held_out: Annotated[int, count(help="held-out images, at most")] = 1000
    epochs: Epochs = 50
    steps: Steps = None
    batch_size: Annotated[
        int, Option(min=2, max=2**20, help="images per step, on all devices together")
    ] = 64
    learning_rate: LearningRate = 1e-4
    beta: Annotated[float, weight(help="weight of the KL term")] = 0.3
    loss_type: LossType = "bce"
    num_hidden: Annotated[
        int,
        units(
            help="channels of the encoder's first layer; the decoder's first layer has eight times "
            "as many"
        ),
    ] = 32
    init_std: Annotated[
        float,
        Option(min=0, max=1e3, help="standard deviation of the convolutions' initial weights"),
    ] = 0.02
    cache: Cache = None
    seed: Annotated[
        int,
        Option(
            min=0, max=2**32 - 1, help="seed of weights, batches, samples and the choice of images"
        ),
    ] = 0
    device: Device = field(default_factory=default_device)
    devices: Devices = 1
    precision: Annotated[
        Precision,
        Option(
            help="precision of matrix products in training; auto: bf16 if the device is fast in it"
        ),
    ] = "auto"


PRESETS = {
    "full": Options(),
    "quick": Options(
        preset="quick", size=(54, 44), images=2000, held_out=200, epochs=MANY, steps=400
    ),
}


def initial_weights(options: Options) -> dict[str, float | None]:
    """Return the standard deviations of initial weights that are compared, by name.

    None is PyTorch's own initialisation, which the assignment's function leaves as it is.
    """
    return {f"{options.init_std:g}": options.init_std, "1": 1.0, "PyTorch's own": None}
