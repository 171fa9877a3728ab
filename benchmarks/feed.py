"""How fast colour images reach the training, and how fast training is, with one process and two.

python -m benchmarks.feed: uses drawn portraits of CelebA's size as JPEG files and reports medians
of alternating rounds. First, images per second from the decoded cache, compared with a DataLoader
that opens and decodes files as torchvision's ImageFolder does. It measures both as bytes, which are
sent to a device, and as numbers in [0, 1], to which our feed converts them there. Then a step of
the `celeba` network in float32 and in bfloat16: images per second, the share of the rate of one
large matrix product of the same type, and the share of time spent waiting for images. Last,
`vae.py ... celeba` with one process and with two, of one thread each.
"""

import contextlib
import io
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

import vae
from benchmarks.common import save
from command_line import default_device
from studies.celeba.networks import VAE
from studies.demo_data.drawings import EXPRESSIONS, Person, face
from studies.demo_data.writers import PORTRAIT_SIZE
from studies.shared.devices import Recorded, autocast
from studies.shared.image_cache import ImageFeed, cached
from studies.shared.networks import named_losses
from studies.shared.pictures import open_source

ROUNDS = 3
IMAGES = 1500
STEPS = {"cpu": 5, "cuda": 100}
PRODUCT = {"cpu": 2048, "cuda": 8192}
BATCH_SIZE = 64
SIZE = (218, 178)


def write_images(folder: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(IMAGES):
        picture = face(Person.drawn(generator), [*EXPRESSIONS][number % 4], SIZE, generator)
        grain = generator.normal(0, 6, (*SIZE, 3))  # photographs are not as smooth as drawings
        pixels = (np.asarray(picture) + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:06}.jpg", quality=90)


class Files(Dataset[Tensor]):
    """Opens, decodes and, with `floats`, converts a file each time an item is requested."""

    def __init__(self, folder: Path, floats: bool) -> None:
        self.files, self.floats = sorted(folder.glob("*.jpg")), floats

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.files[index]) as file:
            pixels = np.array(file.convert("RGB"))
        image = torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
        return image.float().div(255) if self.floats else image


def rate(batches: Callable[[], Iterator[object]]) -> float:
    """Return the images per second of an epoch."""
    started = time.perf_counter()
    for _ in batches():
        pass
    return IMAGES / (time.perf_counter() - started)


def feeds(folder: Path, images: np.ndarray) -> dict[str, float]:
    """Return the median images per second of each way."""
    workers = os.cpu_count() or 1
    feed = ImageFeed(images, BATCH_SIZE, torch.device("cpu"))

    def loader(floats: bool, workers: int = 0) -> Iterator[object]:
        files = Files(folder, floats)
        return iter(DataLoader(files, BATCH_SIZE, shuffle=True, num_workers=workers))

    ways: dict[str, Callable[[], Iterator[object]]] = {
        "cache, bytes": lambda: (batch.pixels for batch in feed),
        "files, bytes": lambda: loader(False),
        f"files, bytes, {workers} workers": lambda: loader(False, workers),
        "cache, floats": lambda: (batch.images for batch in feed),
        "files, floats": lambda: loader(True),
        f"files, floats, {workers} workers": lambda: loader(True, workers),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            rates[name].append(rate(way))
    return {name: statistics.median(values) for name, values in rates.items()}


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the floating-point operations per second of the product of two square matrices."""
    side = PRODUCT[device.type]
    a, b = (torch.rand(side, side, device=device, dtype=dtype) for _ in range(2))
    (a @ b)[0, 0].item()
    started = time.perf_counter()
    for _ in range(5):
        c = a @ b
    c[0, 0].item()  # waits for a GPU
    return 5 * 2 * side**3 / (time.perf_counter() - started)


def steps(images: np.ndarray, precision: Literal["fp32", "bf16"]) -> dict[str, float]:
    """Measure some steps: images per second, operations per second, and share of time waited."""
    torch.manual_seed(0)
    device = torch.device(default_device())
    model = VAE(latent=100, size=SIZE).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def step(network: Callable[..., Any], x: Tensor) -> None:
        with autocast(device, precision):
            recon, mu, logvar = network(x, torch.randn(len(x), model.latent, device=device))
        optimizer.zero_grad(set_to_none=True)
        named_losses(recon, x, mu, logvar, "bce", 0.3)["loss"].backward()
        optimizer.step()

    feed = ImageFeed(images[: len(images) // BATCH_SIZE * BATCH_SIZE], BATCH_SIZE, device)
    batches = itertools.chain.from_iterable(itertools.repeat(feed))  # epoch after epoch
    first = next(batches).images
    with FlopCounterMode(display=False) as counter:
        step(model, first)
    network = Recorded(model) if device.type == "cuda" else model
    step(network, first)
    waited, started = 0.0, time.perf_counter()
    for _ in range(STEPS[device.type]):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        step(network, batch.images)
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    return {
        "images_a_second": STEPS[device.type] * BATCH_SIZE / seconds,
        "operations_a_second": STEPS[device.type] * counter.get_total_flops() / seconds,
        "waited": waited / seconds,
    }


def precisions(images: np.ndarray) -> dict[str, dict[str, float]]:
    """Return medians of `steps` and the share of a matrix product's rate, for each precision."""
    device = torch.device(default_device())
    found: dict[str, dict[str, list[float]]] = {}
    kinds: tuple[tuple[Literal["fp32", "bf16"], torch.dtype], ...] = (
        ("fp32", torch.float32),
        ("bf16", torch.bfloat16),
    )
    for _ in range(ROUNDS):
        for precision, dtype in kinds:
            measured = steps(images, precision)
            share = measured.pop("operations_a_second") / product_rate(device, dtype)
            for key, value in (measured | {"share_of_product_rate": share}).items():
                found.setdefault(precision, {}).setdefault(key, []).append(value)
    return {
        precision: {key: statistics.median(values) for key, values in columns.items()}
        for precision, columns in found.items()
    }


def processes(folder: Path, out: Path) -> dict[int, float]:
    """Return the images per second of the command, with one process and with two.

    Only the two epochs of the second start count: the first start trains one epoch, and the time of
    a third, which has nothing left to train, is subtracted.
    """
    rates = {}
    for devices in (1, 2):
        place = out / f"{devices}"
        words = [str(folder), "celeba", str(place), "--latents", "3", "--device", "cpu"]
        words += [
            "--size",
            *map(str, PORTRAIT_SIZE),
            "--devices",
            str(devices),
            "--cache",
            str(out),
        ]

        def seconds(epochs: int, words: list[str] = words) -> float:
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "vae.py", *words, "--epochs", str(epochs)],
                cwd=Path(vae.__file__).parent,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                check=True,
                capture_output=True,
            )
            return time.perf_counter() - started

        seconds(1)
        rates[devices] = 2 * 0.9 * IMAGES / (seconds(3) - seconds(3))
    return rates


def main() -> None:
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name) / "images", Path(name) / "out"
        folder.mkdir()
        write_images(folder)
        with contextlib.redirect_stdout(io.StringIO()), open_source(folder) as source:
            images = np.load(cached(source, source.names, SIZE, out)[0], mmap_mode="r")
        fed = feeds(folder, images)
        for title, value in fed.items():
            ratio = fed["cache, bytes" if "bytes" in title else "cache, floats"] / value
            print(f"{title:26} {value:8.0f} images/s, the cache {ratio:.1f} times")
        trained = precisions(images)
        for title, row in trained.items():
            print(
                f"{title:20} {row['images_a_second']:8.1f} images/s, "
                f"{row['share_of_product_rate']:.0%} of a product's rate, "
                f"waits {row['waited']:.2%} of the time"
            )
        rates = processes(folder, out)
        for devices, value in rates.items():
            print(f"{devices} processes {value:17.1f} images/s, {value / rates[1]:.2f} times one")
    save("feed", {"images_a_second": fed, "training": trained, "processes": rates})


if __name__ == "__main__":
    main()
