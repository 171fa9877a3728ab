"""`latent_study`: what the two latents of an autoencoder and of a VAE encode.

The study trains four networks on the same images: a convolutional autoencoder, its encoder as a
classifier, an improved version of this classifier, and a convolutional VAE.
"""

from dataclasses import asdict
from pathlib import Path

from command_line import choose_device
from studies.latent_study.images import padded
from studies.latent_study.options import PRESETS, Options
from studies.latent_study.pictures import draw
from studies.latent_study.planes import by_quantiles, by_range, make_plane
from studies.latent_study.summary import summarise
from studies.latent_study.training import Run, train_all
from studies.shared.datasets import read_split
from studies.shared.runner import Findings, run_study

ANSWERS = Path(__file__).with_name("answers.md")
TITLE = "What an autoencoder's two numbers know"


def latent_study(before: list[str], after: list[str], usage: str) -> None:
    """Train the networks and do the assignment's exercises with them."""
    run_study(study, PRESETS, TITLE, (before, after, usage))


def study(options: Options, path: Path, out: Path) -> Findings:
    """Do all six exercises."""
    device = choose_device(options.device)
    train, test = (padded(part, device) for part in read_split(path, options.test, options.seed))
    run = Run(options, train, test, out)
    networks = train_all(run)
    networks.save(out)

    autoencoder, vae = networks.autoencoder.model, networks.vae.model
    codes = {
        name: (train.apply(model.encode), test.apply(model.encode))
        for name, model in (("autoencoder", autoencoder), ("vae", vae))
    }
    z, z_vae = codes["autoencoder"][0], codes["vae"][0]
    planes = {
        "autoencoder": make_plane(autoencoder, z, by_range(z)),
        "vae": make_plane(vae, z_vae, by_range(z_vae)),
        "quantiles": make_plane(vae, z_vae, (by_quantiles(), by_quantiles())),
    }
    summary = summarise(run, networks, codes, planes)
    return Findings(asdict(summary), draw(run, networks, planes, summary.all.confusion), ANSWERS)
