"""How much of the machine training uses, and how it compares with loops as they are often written.

python -m benchmarks.throughput: reports medians of alternating rounds, on as many made-up images as
the course has, and with one thread, as in training. First, for each stage of training: the
operations per second of its matrix products, as a share of the rate of one large float32 product in
the same round. Then the time of an epoch of a Gaussian VAE (squared error, KL): with this project's
batches, loop and optimizer; from a DataLoader over a TensorDataset, with default Adam and the loss
read at every step, also in batches of 64; and the same with a Dataset that converts one image at a
time, in batches of 64. Last, the share of a step that the SSIM term takes.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import losses
from benchmarks.common import save
from data import DigitDataset, ShuffledBatches
from inference import FREQUENCIES
from models import PIXELS, VAE, GaussianVAE, mlp_vae
from recipe import BATCH_SIZES, LAYOUT_SIDE, LAYOUT_WIDTH, Amortisation, FreeLatents, Layout, Prior
from training import fit

ROUNDS = 5
BATCH = 128  # images, in the comparison of loops
IMAGES = 14_748
CPU = torch.device("cpu")


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def product_rate() -> float:
    """Return the floating-point operations per second of a 2048 x 2048 matrix product."""
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    return 2 * 2048**3 * 5 / seconds(lambda: [a @ b for _ in range(5)])


def operations(network: nn.Module, *, input_needs_gradient: bool) -> int:
    """Count the operations of the matrix products in one image's forward and backward pass."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    total = sum(6 * layer.weight.numel() for layer in layers)
    return total if input_needs_gradient else total - 2 * layers[0].weight.numel()


def epoch(
    model: nn.Module, step: Callable[..., dict[str, Tensor]], batches: ShuffledBatches
) -> None:
    """Run one epoch of this project's loop."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    fit(model, step, batches, optimizer, scheduler, epochs=1)


def shares_of_product_rate(dataset: DigitDataset) -> dict[str, float]:
    generator = Generator().manual_seed(0)
    batches = {name: ShuffledBatches(IMAGES, size, generator) for name, size in BATCH_SIZES.items()}
    scout, model = mlp_vae(LAYOUT_SIDE**2, LAYOUT_WIDTH), VAE()
    layout = Layout(dataset, 3, generator)
    start = torch.randn(IMAGES, 2), layout.prior, layout.components
    latents = FreeLatents(model, dataset, generator, start)
    amortisation = Amortisation(model, dataset, latents, generator)
    encoder = operations(scout.encoder, input_needs_gradient=False)
    targets = 2 * model.side**2 // 3 * FREQUENCIES**2  # the distances to a component's points
    stages: dict[str, tuple[Callable[[], None], int]] = {
        "layout": (
            lambda: epoch(scout, lambda m, b, _: layout.step(m, b, 1.0), batches["layout"]),
            encoder + operations(scout.decoder, input_needs_gradient=True),
        ),
        "latents": (
            lambda: epoch(model, latents.step, batches["latents"]),
            2 * operations(model.decoder, input_needs_gradient=True),  # each image is drawn twice
        ),
        "encoder": (
            lambda: epoch(model, amortisation.step, batches["encoder"]),
            operations(model.encoder, input_needs_gradient=False) + targets,
        ),
    }
    shares: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(ROUNDS):
        rate = product_rate()
        for name, (action, count) in stages.items():
            shares[name].append(count * IMAGES / seconds(action) / rate)
    return {name: statistics.median(values) for name, values in shares.items()}


def usual_model() -> GaussianVAE:
    return mlp_vae(PIXELS, width=256)


def elbo(model: GaussianVAE, x: Tensor) -> Tensor:
    recon, mu, logvar = model(x)
    return losses.mse(recon, x) + losses.kl_divergence(mu, logvar)


class OneByOne(Dataset[Tensor]):
    """Converts an image each time one is requested."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return torch.tensor(self.images[index] / 255.0, dtype=torch.float32).view(784)


def usual_epoch(model: GaussianVAE, loader: DataLoader[Any]) -> float:
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    total = 0.0
    for batch in loader:
        x = batch[0] if isinstance(batch, list) else batch
        optimizer.zero_grad()
        loss = elbo(model, x)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total


def loops(images: np.ndarray, dataset: DigitDataset) -> dict[str, float]:
    """Return the median seconds per epoch of each loop."""
    batches = ShuffledBatches(IMAGES, BATCH, Generator().manual_seed(0))
    tensors = TensorDataset(dataset.images)
    ways: dict[str, Callable[[], object]] = {
        "this project": lambda: epoch(
            usual_model(), lambda m, index, _: {"loss": elbo(m, dataset[index])}, batches
        ),
        "DataLoader of a TensorDataset": lambda: usual_epoch(
            usual_model(), DataLoader[Any](tensors, BATCH, shuffle=True)
        ),
        "the same, in batches of 64": lambda: usual_epoch(
            usual_model(), DataLoader[Any](tensors, 64, shuffle=True)
        ),
        "one image at a time, of 64": lambda: usual_epoch(
            usual_model(), DataLoader(OneByOne(images), 64, shuffle=True)
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, action in ways.items():
            times[name].append(seconds(action))
    return {name: statistics.median(values) for name, values in times.items()}


def ssim_share(dataset: DigitDataset) -> float:
    """Return the time of the SSIM term and its gradient, as a share of a second-stage step."""
    model, generator = VAE(), Generator().manual_seed(0)
    batches = ShuffledBatches(IMAGES, BATCH_SIZES["latents"], generator)
    prior = Prior(3)
    start = torch.randn(IMAGES, 2), prior, torch.zeros(IMAGES, dtype=torch.long)
    latents = FreeLatents(model, dataset, generator, start)
    x = dataset.images[: batches.batch_size].view(-1, 28, 28)
    recon = torch.rand_like(x).requires_grad_()

    def ssim_alone() -> None:
        for _ in range(len(batches)):
            losses.ssim(recon, x).mean().backward()

    shares = [
        seconds(ssim_alone) / seconds(lambda: epoch(model, latents.step, batches))
        for _ in range(ROUNDS)
    ]
    return statistics.median(shares)


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # as in training
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 784), np.uint8)
    dataset = DigitDataset(images / np.float32(255), CPU)
    shares = shares_of_product_rate(dataset)
    for name, share in shares.items():
        print(f"{name:36} {share:.0%} of the rate of a large matrix product")
    times = loops(images, dataset)
    for name, value in times.items():
        print(f"{name:36} {value:.2f} s an epoch, {value / times['this project']:.2f} times")
    ssim = ssim_share(dataset)
    print(f"{'SSIM':36} {ssim:.0%} of a step")
    results = {"share_of_product_rate": shares, "seconds_an_epoch": times}
    save("throughput", {**results, "ssim_share_of_a_step": ssim})


if __name__ == "__main__":
    main()
