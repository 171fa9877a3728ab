"""The feature maps of the printed network, and what unpooling restores: pictures and tables."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch.nn import functional

import figures
from storage import replacing
from studies.faces.networks import Shape, feature_maps
from studies.shared.answers import fill
from studies.shared.runner import write_picture

TABLE = Path(__file__).with_name("feature_maps.md")
SIZES = (128, 224)  # pixels per side for which feature maps are drawn
Maps = Mapping[int, tuple[list[Shape], list[Shape]]]


def all_feature_maps(latent: int) -> Maps:
    """Return the shapes through encoder and decoder, for each of `SIZES`."""
    return {side: feature_maps(side, latent) for side in SIZES}


def described(maps: Maps) -> dict[int, dict[str, str]]:
    """Return the shape of each layer in words, by the layer's name, for each size of the input."""
    return {side: described_layers(*shapes) for side, shapes in maps.items()}


def described_layers(encoder: list[Shape], decoder: list[Shape]) -> dict[str, str]:
    """Return the shape of each layer in words, by the layer's name."""
    down = ["input", *(f"block {number}" for number in range(1, len(encoder) - 2))]
    up = ["latents", "linear", "unflatten", *(f"block {n}" for n in range(1, len(decoder) - 2))]
    names = [f"encoder, {name}" for name in (*down, "flatten", "linear")]
    names += [f"decoder, {name}" for name in up]
    return dict(zip(names, map(in_words, [*encoder, *decoder]), strict=True))


def in_words(shape: Shape) -> str:
    """Describe a shape in words: height, width and depth, or nodes."""
    if len(shape) == 1:
        return f"{shape[0]} nodes"
    depth, height, width = shape
    return f"{height} x {width} x {depth}"


def describe(latent: int, out: Path) -> None:
    """Write feature_maps.png and feature_maps.md, without any training."""
    maps = all_feature_maps(latent)
    write_picture(figures.feature_maps(maps), out / "feature_maps.png")
    with replacing(out / "feature_maps.md") as file:
        file.write(fill(TABLE, {"feature_maps": described(maps)}).encode())
    print(f"wrote feature_maps.md, feature_maps.png to {out}")


def unpooling_example() -> dict[str, list[list[int]]]:
    """Return the slides' example of max pooling and unpooling: its numbers, row by row.

    "places" are the positions of the maxima in the input, counted row by row from 0.
    """
    numbers = torch.arange(1.0, 17).reshape(1, 1, 4, 4)
    maxima, places = functional.max_pool2d(numbers, 2, return_indices=True)
    # What nn.MaxUnpool2d does, which has no deterministic algorithm.
    restored = torch.zeros(16).scatter(0, places.flatten(), maxima.flatten()).reshape(4, 4)
    found = {"input": numbers, "maxima": maxima, "places": places, "unpooled": restored}
    return {name: x.squeeze().int().tolist() for name, x in found.items()}
