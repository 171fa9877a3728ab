"""Pictures in a submission, decoded in a sandbox: a decoder is a target for a crafted file.

What comes out is raw pixels, which need no decoder.
"""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..artifacts import read_file
from ..errors import UserError
from ..sandbox import isolation
from ..sandbox.command import Command, Level, Limits, SandboxError, interpreter
from ..sandbox.resources import temporary_folder

LIMITS = Limits(seconds=120, memory=2 << 30, disk=512 << 20, files=1_000, processes=16, cpus=1)
SIDE = 1_000  # pixels; larger pictures are reduced
HEADER = struct.Struct("<II")  # width and height, before the pixels
DECODER = f"""
import struct, sys
from PIL import Image
Image.MAX_IMAGE_PIXELS = 50_000_000
for name in sys.argv[1:]:
    try:
        with Image.open(name, formats=("PNG", "JPEG", "GIF", "WEBP")) as image:
            if image.mode.startswith("I;16"):
                image = image.point(lambda value: value / 256).convert("L")
            image.thumbnail(({SIDE}, {SIDE}))
            whole = image.convert("RGBA")
        paper = Image.new("RGBA", whole.size, "white")
        paper.alpha_composite(whole)
        with open(name + ".rgb", "wb") as file:
            file.write(struct.pack("<II", *whole.size) + paper.convert("RGB").tobytes())
    except Exception as error:
        print(name, type(error).__name__, file=sys.stderr)
"""


def decode_images(contents: list[bytes], level: Level) -> list[NDArray[np.uint8] | None]:
    """Return the pixels of pictures, (H, W, 3) each, or None for one that cannot be read."""
    if not contents:
        return []
    with temporary_folder() as scratch:
        scratch.chmod(0o711)
        folder = scratch / "work"
        folder.mkdir(mode=0o700)
        names = [str(number) for number in range(len(contents))]
        for name, content in zip(names, contents, strict=True):
            (folder / name).write_bytes(content)
        try:
            words = (interpreter(), "-I", "-c", DECODER, *names)
            isolation.run(Command(words, folder), LIMITS, level)
        except SandboxError:
            return [None] * len(contents)
        return [read_pixels(folder / f"{name}.rgb", SIDE) for name in names]


def read_pixels(path: Path, side: int) -> NDArray[np.uint8] | None:
    """Read a picture of at most `side` x `side` pixels that a decoder wrote in the sandbox.

    Return None if it wrote nothing, or something else.
    """
    try:
        content = read_file(path, "pixels", HEADER.size + 3 * side * side)
        width, height = HEADER.unpack_from(content)
        return np.frombuffer(content, np.uint8, offset=HEADER.size).reshape(height, width, 3)
    except (UserError, struct.error, ValueError):
        return None
