"""Faces from several runs of `celeba` side by side, for the gallery.

python -m docs.compare OUT_DIR... docs/faces.jpg: for each run and each size of its latent space,
decode the same samples from the prior, and print a table of what was measured.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

import figures
from storage import load_state_dict
from studies.celeba.networks import VAE
from studies.shared.image_cache import as_pictures

FACES = 8


def faces(folder: Path, latent: int, size: tuple[int, int]) -> np.ndarray:
    """Decode samples from the prior to images, (FACES, H, W, 3)."""
    weights = folder / f"celeba_latent_{latent}.pth"
    width = torch.load(weights, weights_only=True)["encode.blocks.0.0.weight"].shape[0]
    vae = VAE(3, width, 8 * width, 8 * width, latent, size)
    load_state_dict(vae, weights)
    z = torch.randn(FACES, latent, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return as_pictures(vae.eval().decode(z))


def main(folders: list[Path], picture: Path) -> None:
    rows, names = [], []
    print("| beta | latents | SSIM, held out | KL, nats | diversity | prior's draws off by, nats |")
    print("|---|---|---|---|---|---|")
    for folder in folders:
        found = json.loads((folder / "summary.json").read_text())
        for latent, model in found["models"].items():
            rows.append(faces(folder, int(latent), tuple(found["size"])))
            names.append(f"beta {found['beta']:g}, L = {latent}")
            print(
                f"| {found['beta']:g} | {latent} | {model['ssim']:.3f} | {model['kl']:.0f} "
                f"| {model['diversity_prior']:.3f} | {model['prior_gap']:.1f} |"
            )
    figures.image_grid(rows, "Faces from the prior", names).savefig(picture, dpi=100)


if __name__ == "__main__":
    main([*map(Path, sys.argv[1:-1])], Path(sys.argv[-1]))
