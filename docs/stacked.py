"""Pictures of one run above each other, for the gallery.

python -m docs.stacked OUT/plane_autoencoder.png OUT/plane_vae.png docs/planes.png: 1,200 pixels
wide, in full colour.
"""

import sys
from pathlib import Path

from PIL import Image

from storage import replacing

WIDTH = 1200


def main(pictures: list[Path], out: Path) -> None:
    images = [Image.open(picture).convert("RGB") for picture in pictures]
    scaled = [image.resize((WIDTH, image.height * WIDTH // image.width)) for image in images]
    canvas = Image.new("RGB", (WIDTH, sum(image.height for image in scaled)))
    top = 0
    for image in scaled:
        canvas.paste(image, (0, top))
        top += image.height
    with replacing(out) as file:
        canvas.save(file, format="png", optimize=True)


if __name__ == "__main__":
    main([*map(Path, sys.argv[1:-1])], Path(sys.argv[-1]))
