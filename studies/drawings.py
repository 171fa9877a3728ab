"""Garments and creatures drawn by program, which stand in for data that would need a download."""

import colorsys

import numpy as np
from PIL import Image, ImageDraw

from studies.pokemon_dataset import TYPES

Point = tuple[float, float]
FINE = 4  # times the size at which outlines are drawn, for soft edges
GARMENT_SIDE = 28
CREATURE_SIDE = 120


def mirrored(right: list[Point]) -> list[Point]:
    """An outline that is symmetric about x = 0.5, from the points of its right half."""
    return right + [(1 - x, y) for x, y in reversed(right)]


def garment(kind: int, generator: np.random.Generator) -> np.ndarray:
    """One of Fashion-MNIST's ten kinds as uint8 (28, 28), light on black, no two alike."""
    wide, low, arm = generator.uniform(-0.04, 0.04, 3)
    shoulder, hem = 0.68 + wide, 0.9 + low / 2
    body = [(0.58, 0.1), (shoulder, 0.14)]
    short = [(0.88 + arm, 0.34), (0.78 + arm, 0.42), (shoulder - 0.02, 0.3)]
    long = [(0.9 + arm, 0.8 + low), (0.8 + arm, 0.82 + low), (shoulder, 0.34)]
    straight, flared = [(shoulder, hem)], [(0.6 + wide, 0.45), (0.74 + wide, hem)]
    shoe = [(0.06, 0.72 + low), (0.3, 0.6), (0.62 + wide, 0.42 + low), (0.74, 0.5), (0.92, 0.46)]
    heel, top = [(0.94, 0.45), (0.94, 0.8), (0.88, 0.8), (0.84, 0.6 + low)], 0.1 + low
    outlines: dict[int, list[Point]] = {
        0: mirrored(body + short + straight),
        1: mirrored(
            [(0.68 + wide, 0.08), (0.72 + wide, 0.94 + low), (0.57, 0.94 + low), (0.5, 0.3)]
        ),
        2: mirrored([*body, *long, (shoulder, hem)]),
        3: mirrored([(0.56, 0.08), (0.62 + wide, 0.12), *flared]),
        4: mirrored([*body, *long, (shoulder + 0.04, 0.96)]),
        5: [(0.06, 0.76), (0.4, 0.7), (0.84, 0.45 + low), *heel, (0.44, 0.78), (0.06, 0.82)],
        6: mirrored([*body, *long, (shoulder - 0.02, hem)]),
        7: [*shoe, (0.94, 0.74), (0.06, 0.8)],
        8: mirrored([(0.62, 0.34), (0.8 + wide, 0.38), (0.88 + wide, 0.9 + low)]),
        9: [(0.08, 0.7), (0.4, 0.56), (0.48, top), (0.84, top), (0.9, 0.82), (0.06, 0.82)],
    }
    size = FINE * GARMENT_SIDE
    canvas = Image.new("L", (size, size))
    pen = ImageDraw.Draw(canvas)
    shade = int(generator.integers(120, 250))
    pen.polygon([(x * size, y * size) for x, y in outlines[kind]], fill=shade)
    if kind == 8:  # the handle of a bag
        pen.arc(
            (0.36 * size, 0.12 * size, 0.64 * size, 0.6 * size), 180, 360, fill=shade, width=FINE
        )
    if kind in (4, 6):  # what opens in front
        pen.line((size / 2, 0.12 * size, size / 2, 0.96 * size), fill=shade // 3, width=FINE)
    small = np.asarray(canvas.resize((GARMENT_SIDE, GARMENT_SIDE), Image.Resampling.BOX), float)
    cloth = 1 + 0.08 * generator.standard_normal(small.shape)
    return np.clip(small * cloth, 0, 255).astype(np.uint8)


def creature(kind: str, generator: np.random.Generator) -> Image.Image:
    """A creature in the colour of its type, RGBA (120, 120) on a transparent ground."""
    size = FINE * CREATURE_SIDE
    canvas = Image.new("RGBA", (size, size))
    pen = ImageDraw.Draw(canvas)
    hue = (TYPES.index(kind) / len(TYPES) + generator.uniform(-0.02, 0.02)) % 1
    fill, belly = (
        tuple(int(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, value))
        for saturation, value in ((0.75, 0.85), (0.3, 1.0))
    )
    width, height, head = generator.uniform((0.16, 0.16, 0.12), (0.3, 0.26, 0.2))
    ears, legs = generator.uniform(0.08, 0.24), int(generator.integers(2, 5))
    top = 0.62 - height

    def oval(x: float, y: float, across: float, down: float, colour: tuple[int, ...]) -> None:
        box = (x - across, y - down, x + across, y + down)
        pen.ellipse([size * end for end in box], fill=colour, outline=(30, 30, 30), width=FINE)

    for side in (-1, 1):
        tip = (0.5 + side * head * 1.2, top - head - ears)
        base = [(0.5 + side * head * 0.2, top - head * 0.6), (0.5 + side * head, top - head * 0.2)]
        pen.polygon([(x * size, y * size) for x, y in (tip, *base)], fill=fill)
    for leg in np.linspace(-0.7, 0.7, legs):
        oval(0.5 + leg * width, 0.62 + height, 0.05, 0.08, fill)
    oval(0.5, 0.62, width, height, fill)
    oval(0.5, 0.66, width * 0.6, height * 0.6, belly)
    oval(0.5, top - head * 0.4, head, head, fill)
    for side in (-1, 1):
        oval(0.5 + side * head * 0.4, top - head * 0.5, head * 0.16, head * 0.22, (20, 20, 20))
    return canvas.resize((CREATURE_SIDE, CREATURE_SIDE), Image.Resampling.BOX)
