"""Garments, creatures and faces drawn by code, to replace data that need a download."""

import colorsys
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from studies.pokemon.dataset import TYPES

Point = tuple[float, float]
FINE = 4  # outlines are drawn this many times larger, for soft edges
GARMENT_SIDE = 28
CREATURE_SIDE = 120


def mirrored(right: list[Point]) -> list[Point]:
    """Return an outline that is symmetric about x = 0.5, from the points of its right half."""
    return right + [(1 - x, y) for x, y in reversed(right)]


def garment(kind: int, generator: np.random.Generator) -> np.ndarray:
    """Draw one of Fashion-MNIST's ten kinds as uint8 (28, 28), light on black, no two alike."""
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
    if kind in (4, 6):  # coats and shirts open at the front
        pen.line((size / 2, 0.12 * size, size / 2, 0.96 * size), fill=shade // 3, width=FINE)
    small = np.asarray(canvas.resize((GARMENT_SIDE, GARMENT_SIDE), Image.Resampling.BOX), float)
    cloth = 1 + 0.08 * generator.standard_normal(small.shape)
    return np.clip(small * cloth, 0, 255).astype(np.uint8)


def creature(kind: str, generator: np.random.Generator) -> Image.Image:
    """Draw a creature in the colour of its type: RGBA (120, 120), on a transparent background."""
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


@dataclass(frozen=True)
class Person:
    """The features of a face that are the same in all its pictures; colours in [0, 1]^3."""

    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    width: float
    long_hair: bool
    beard: bool

    @classmethod
    def drawn(cls, generator: np.random.Generator) -> "Person":
        tone = generator.uniform(0.35, 1.0)
        hue, dark = generator.uniform(0.03, 0.12), generator.uniform(0.1, 0.7)
        return cls(
            colorsys.hsv_to_rgb(0.06, 0.45, tone),
            colorsys.hsv_to_rgb(hue, 0.6, dark),
            generator.uniform(0.26, 0.34),
            bool(generator.random() < 0.5),
            bool(generator.random() < 0.25),
        )


# Bend of the mouth (positive: corners up), its opening, and tilt of the brows (inner ends down).
EXPRESSIONS = {
    "happy": (0.07, 0.02, 0.0),
    "angry": (-0.04, 0.0, 0.05),
    "sad": (-0.05, 0.0, -0.05),
    "surprise": (0.0, 0.09, -0.02),
}


def face(
    person: Person, expression: str, size: tuple[int, int], generator: np.random.Generator
) -> Image.Image:
    """Draw a portrait, RGB of (height, width), with its own pose, light and background."""
    high, wide = (FINE * side for side in size)
    bend, opening, tilt = EXPRESSIONS[expression]
    bend, turn = bend + generator.normal(0, 0.01), generator.uniform(-0.05, 0.05)
    light = generator.uniform(0.7, 1.1)
    ground = colorsys.hsv_to_rgb(generator.random(), 0.4, generator.uniform(0.2, 0.9))

    def shade(colour: tuple[float, float, float], strength: float = 1.0) -> tuple[int, int, int]:
        red, green, blue = (min(255, int(255 * light * strength * part)) for part in colour)
        return red, green, blue

    canvas = Image.new("RGB", (wide, high), shade(ground))
    pen = ImageDraw.Draw(canvas)

    def oval(x: float, y: float, across: float, down: float, colour: tuple[int, int, int]) -> None:
        box = ((x - across) * wide, (y - down) * high, (x + across) * wide, (y + down) * high)
        pen.ellipse(box, fill=colour)

    middle = 0.5 + turn
    hair = shade(person.hair)
    if person.long_hair:
        oval(0.5, 0.62, person.width + 0.12, 0.42, hair)
    oval(0.5, 1.08, 0.42, 0.24, shade((0.3, 0.35, 0.5)))
    oval(0.5, 0.36, person.width + 0.05, 0.26, hair)
    oval(0.5, 0.52, person.width, 0.33, shade(person.skin))
    if person.beard:
        oval(middle, 0.74, person.width * 0.6, 0.1, hair)
    for side in (-1, 1):
        x = middle + side * 0.13
        oval(x, 0.48, 0.05, 0.028, shade((1, 1, 1)))
        oval(x + turn / 3, 0.48, 0.022, 0.024, shade((0.15, 0.1, 0.1)))
        ends = [(x - side * 0.07, 0.41 + tilt), (x + side * 0.07, 0.41 - tilt / 2)]
        pen.line([(a * wide, b * high) for a, b in ends], fill=hair, width=3 * FINE)
    nose = [(middle, 0.5), (middle + 2 * turn + 0.02, 0.6), (middle - 0.03, 0.6)]
    pen.polygon([(x * wide, y * high) for x, y in nose], fill=shade(person.skin, 0.8))
    across = np.linspace(-0.11, 0.11, 9)
    curve = bend * (1 - (across / 0.11) ** 2)
    lower = [(middle + x, 0.7 + y + opening) for x, y in zip(across, curve, strict=True)]
    upper = [(middle + x, 0.7 + y / 3) for x, y in zip(across[::-1], curve[::-1], strict=True)]
    pen.polygon([(x * wide, y * high) for x, y in lower + upper], fill=shade((0.6, 0.15, 0.15)))
    return canvas.resize((size[1], size[0]), Image.Resampling.BOX)
