"""The options of `faces_ae` and `faces_vae`, with the values of each preset."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from typer import Option

from command_line import default_device
from studies.faces.networks import Variant
from studies.shared.devices import Precision
from studies.shared.options import (
    MANY,
    Cache,
    Device,
    Devices,
    Epochs,
    LearningRate,
    Preset,
    Steps,
    count,
)


@dataclass(frozen=True)
class Options:
    """How the networks are trained."""

    preset: Annotated[
        Preset, Option(help="full: as many epochs as in the slides; quick: two sizes of z")
    ] = "full"
    latents: Annotated[
        list[int], Option(min=2, max=2**14, help="number of latents; one network for each value")
    ] = field(default_factory=lambda: [20, 30, 50])
    epochs: Epochs = 1200
    steps: Steps = None
    snapshots: Annotated[
        list[int],
        Option(help="epochs after which faces are reconstructed, to show the course of training"),
    ] = field(default_factory=lambda: [20, 200, 400, 800, 1200])
    batch_size: Annotated[
        int, Option(min=2, max=2**20, help="images per step, over all devices")
    ] = 16
    learning_rate: LearningRate = 1e-3
    expressions: Annotated[
        tuple[str, str], Option(help="the two expressions to hold out and tell apart")
    ] = ("happy", "angry")
    held_out: Annotated[
        int, count(help="largest number of held-out pictures of each of the two expressions")
    ] = 10
    cache: Cache = None
    seed: Annotated[
        int,
        Option(
            min=0,
            max=2**32 - 1,
            help="seed of weights, batches, samples and the choice of held-out pictures",
        ),
    ] = 0
    device: Device = field(default_factory=default_device)
    devices: Devices = 1
    precision: Annotated[
        Precision,
        Option(help="precision of products in training; auto: bf16 if the device is fast in it"),
    ] = "auto"


@dataclass(frozen=True)
class AeOptions(Options):
    """How the autoencoders are built and trained."""

    variant: Annotated[
        Variant,
        Option(help="printed: as in the slides; unpooling: max pooling; mlp: fully connected"),
    ] = "printed"
    describe: Annotated[
        bool, Option("--describe", help="only draw and tabulate the printed network's feature maps")
    ] = False


@dataclass(frozen=True)
class VaeOptions(Options):
    """How the VAEs are trained."""

    loss: Annotated[
        Literal["slides", "elbo"],
        Option(help="slides: as in the slides; elbo: the KL summed as in the bound"),
    ] = "slides"


# A step takes half a second on a CPU, because the network has 14 million weights.
QUICK: dict[str, Any] = {
    "preset": "quick",
    "latents": [20, 50],
    "epochs": MANY,
    "steps": 390,
    "snapshots": (1, 3),
}
IMAGES = 774  # of the course's pictures, without those held out
AE_PRESETS = {"full": AeOptions(), "quick": AeOptions(**QUICK)}
VAE_PRESETS = {"full": VaeOptions(), "quick": VaeOptions(**QUICK)}
