"""`faces_ae` and `faces_vae`: facial expressions as a few numbers, and whether these cluster.

The networks are autoencoders, and variational ones, of several latent sizes. Held-out pictures of
two expressions judge them; if several people are known, they show people who are not among the
training images.
"""

import functools
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score
from sklearn.model_selection import LeaveOneGroupOut, LeaveOneOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from typer import Option

import figures
from command_line import default_device
from data import has_array, read_array
from grader.errors import UserError
from losses import kl_divergence, mse, ssim
from storage import replacing, save_state_dict
from studies.faces.answers import ae_answers, feature_table, vae_answers
from studies.faces.networks import (
    NETWORKS,
    SIDE,
    Network,
    Variant,
    VariationalAutoencoder,
    feature_maps,
)
from studies.shared import devices
from studies.shared.devices import Precision, autocast, check_devices, finish, start
from studies.shared.image_cache import (
    Batch,
    ImageFeed,
    Source,
    as_pictures,
    cached,
    in_parts,
    on_device,
    open_source,
)
from studies.shared.measures import psnr, squared_error
from studies.shared.options import Device, Epochs, LearningRate, Preset, count
from studies.shared.runner import Findings, run_study, write_picture
from training import History

TITLES = {
    "faces_ae": "Facial expressions: an autoencoder",
    "faces_vae": "Facial expressions: a variational autoencoder",
}
SIZES = (128, 224)  # pixels per side for which feature maps are drawn
COLUMNS = 8  # faces whose reconstructions are shown over the course of training
FEWEST = 4  # pictures of each of the two expressions, at least


@dataclass(frozen=True)
class Options:
    """How the networks are trained."""

    preset: Annotated[
        Preset, Option(help="full: as many epochs as in the slides; quick: a few minutes")
    ] = "full"
    latents: Annotated[
        list[int], Option(min=2, max=2**14, help="latent units, one network for each value")
    ] = field(default_factory=lambda: [20, 30, 50])
    epochs: Epochs = 1200
    snapshots: Annotated[
        list[int],
        Option(help="epochs after which faces are reconstructed, to show the course of training"),
    ] = field(default_factory=lambda: [20, 200, 400, 800, 1200])
    batch_size: Annotated[
        int, Option(min=2, max=2**20, help="images per step, over all devices")
    ] = 16
    learning_rate: LearningRate = 1e-3
    expressions: Annotated[
        tuple[str, str], Option(help="the two expressions that are held out and distinguished")
    ] = ("happy", "angry")
    held_out: Annotated[
        int, count(help="held-out pictures of each of the two expressions, at most")
    ] = 10
    cache: Annotated[
        Path | None, Option(help="folder for the decoded images; by default OUT_DIR")
    ] = None
    seed: Annotated[
        int,
        Option(
            min=0,
            max=2**32 - 1,
            help="seed of weights, batches, samples and the choice of held-out pictures",
        ),
    ] = 0
    device: Device = field(default_factory=default_device)
    devices: Annotated[int, Option(min=1, max=2**12, help="number of devices to train on")] = 1
    precision: Annotated[
        Precision,
        Option(help="precision of products in training; auto: bf16 if the device is fast in it"),
    ] = "auto"


@dataclass(frozen=True)
class AeOptions(Options):
    """How the autoencoders are built and trained."""

    variant: Annotated[
        Variant, Option(help="the printed network, max-unpooling, or fully connected")
    ] = "printed"
    describe: Annotated[
        bool, Option("--describe", help="only draw and tabulate the printed network's feature maps")
    ] = False


@dataclass(frozen=True)
class VaeOptions(Options):
    """How the VAEs are trained."""

    loss: Annotated[
        Literal["slides", "elbo"],
        Option(help="the slides' loss, or one with the KL summed as in the bound"),
    ] = "slides"


QUICK: dict[str, Any] = {"preset": "quick", "epochs": 20, "snapshots": (2, 5, 10, 20)}
AE_PRESETS = {"full": AeOptions(), "quick": AeOptions(**QUICK)}
VAE_PRESETS = {"full": VaeOptions(), "quick": VaeOptions(**QUICK)}


@dataclass(frozen=True)
class Faces:
    """Images, (N, 128, 128, 3) bytes, the expression and person on each, and a name for all."""

    images: NDArray[np.uint8]
    expressions: NDArray[np.str_]
    people: NDArray[np.str_]
    name: str

    def __len__(self) -> int:
        return len(self.images)

    def part(self, chosen: NDArray) -> "Faces":
        return Faces(self.images[chosen], self.expressions[chosen], self.people[chosen], self.name)


def faces_ae(before: list[str], after: list[str], usage: str) -> None:
    """Run the study of autoencoders and their feature maps."""
    run_study(ae_study, AE_PRESETS, TITLES["faces_ae"], (before, after, usage))


def faces_vae(before: list[str], after: list[str], usage: str) -> None:
    """Run the study of variational autoencoders."""
    run_study(vae_study, VAE_PRESETS, TITLES["faces_vae"], (before, after, usage))


def ae_study(options: AeOptions, path: Path, out: Path) -> Findings:
    if options.describe:
        describe(options, out)
        sys.exit()
    found = study(options, path, out, "faces_ae")
    maps = all_feature_maps(options)
    pictures = found.pictures | {"feature_maps": figures.feature_maps(maps)}
    return Findings(found.summary, pictures, ae_answers(found.summary, maps))


def vae_study(options: VaeOptions, path: Path, out: Path) -> Findings:
    found = study(options, path, out, "faces_vae")
    return Findings(found.summary, found.pictures, vae_answers(found.summary))


def describe(options: Options, out: Path) -> None:
    """Write feature_maps.png and feature_maps.md, without any training."""
    maps = all_feature_maps(options)
    write_picture(figures.feature_maps(maps), out / "feature_maps.png")
    with replacing(out / "feature_maps.md") as file:
        file.write(feature_table(maps).encode())
    print(f"wrote feature_maps.md, feature_maps.png to {out}")


def all_feature_maps(options: Options) -> dict[int, Any]:
    """Return the shapes through encoder and decoder, for each of `SIZES`."""
    return {side: feature_maps(side, options.latents[0]) for side in SIZES}


def study(options: Options, path: Path, out: Path, mode: str) -> Findings:
    """Train a network for each latent size, then save, measure and draw; the caller answers."""
    check_devices(options.device, options.devices, options.batch_size)
    faces, train, unseen = read_faces(options, path, options.cache or out)
    fabric = start(options.device, options.devices)
    trained = {
        latent: train_network(options, latent, train, unseen, fabric, out, mode)
        for latent in options.latents
    }
    finish()
    for latent, (network, _) in trained.items():
        save_state_dict(network, out / f"{mode}_latent_{latent}.pth")
    networks = {latent: network.eval() for latent, (network, _) in trained.items()}
    z = {latent: encode(network, faces, fabric) for latent, network in networks.items()}
    shown = np.isin(faces.expressions, options.expressions)
    several = len(np.unique(faces.people)) > 1
    summary = {
        "variant": options.loss if isinstance(options, VaeOptions) else "",
        "images": len(train),
        "unseen": len(unseen),
        "people": len(np.unique(train.people)),
        "unseen_people": len(np.unique(unseen.people)),
        "several": several,
        "expressions": options.expressions,
        "epochs": options.epochs,
        "first": {latent: history[0] for latent, (_, history) in trained.items()},
        "last": {latent: history[-1] for latent, (_, history) in trained.items()},
        "best": {
            latent: 1 + int(np.argmin([row["unseen_mse"] for row in history]))
            for latent, (_, history) in trained.items()
        },
        "course": {
            latent: {epoch: history[epoch - 1] for epoch in epochs_shown(options)}
            for latent, (_, history) in trained.items()
        },
        "models": {
            latent: measure(network, train, unseen, fabric)
            | {"clusters": judge_clusters(z[latent][shown], faces.part(shown))}
            for latent, network in networks.items()
        },
    }
    pictures = draw(options, networks, faces, train, unseen, z, fabric, out) | {
        "losses": figures.curves(
            {
                f"L = {latent}: squared error a pixel": {
                    part: np.array([row[f"{key}_mse"] for row in history])
                    for part, key in (("training", "train"), ("unseen", "unseen"))
                }
                for latent, (_, history) in trained.items()
            }
        )
    }
    return Findings(summary, pictures, [])


def read_faces(options: Options, path: Path, folder: Path) -> tuple[Faces, Faces, Faces]:
    """Return all pictures, those to train on and those held out.

    The pictures are PERSON/EXPRESSION/picture or EXPRESSION/picture, or an .npz with labels and
    their names.
    """
    with open_source(path) as source:
        expressions, people = map(np.array, describe_source(source))
        kept, held_out = split(expressions, people, options, path)
        file = cached(source, source.names, (SIDE, SIDE), folder)
    faces = Faces(np.load(file, mmap_mode="r"), expressions, people, file.stem)
    return faces, faces.part(kept), faces.part(held_out)


def describe_source(source: Source) -> tuple[list[str], list[str]]:
    """Return the expression and the person of each image."""
    if source.path.suffix != ".npz":
        places = [Path(name).parent for name in source.names]
        return [place.name for place in places], [str(place.parent) for place in places]
    expected = "'labels' (N,), numbers of 'label_names', and perhaps 'subjects' (N,)"
    labels = read_array(source.path, "labels", expected)
    names = read_array(source.path, "label_names", expected)
    try:
        if labels.min() < 0:
            raise IndexError(f"number {labels.min()}")
        expressions = [str(names[label]) for label in labels]
    except (IndexError, TypeError) as error:
        raise UserError(source.path, f"'labels' that name nothing ({error})", expected) from error
    people = [""] * len(labels)
    if has_array(source.path, "subjects"):
        people = [str(person) for person in read_array(source.path, "subjects", expected)]
    if {len(expressions), len(people)} != {len(source.names)}:
        raise UserError(source.path, f"{len(labels)} labels", f"{len(source.names)}, {expected}")
    return expressions, people


def split(
    expressions: NDArray[np.str_], people: NDArray[np.str_], options: Options, path: Path
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices to train on, and those of held-out pictures of the two expressions.

    If there are several people, no picture of a held-out person is trained on.
    """
    counts = {name: int((expressions == name).sum()) for name in options.expressions}
    if len(counts) < 2 or min(counts.values()) < FEWEST:
        found = ", ".join(f"{count} of {name!r}" for name, count in counts.items())
        others = ", ".join(sorted(set(expressions.tolist())))
        raise UserError(path, found, f"two --expressions, {FEWEST} each, out of: {others}")
    generator = np.random.default_rng(options.seed)
    wanted = {name: min(options.held_out, count // 2) for name, count in counts.items()}
    pool = everything = np.arange(len(expressions))
    order = generator.permutation(np.unique(people))
    if len(order) > 1:
        away = np.zeros(len(expressions), bool)
        for person in order:
            if all((away & (expressions == name)).sum() >= wanted[name] for name in wanted):
                break
            away |= people == person
        pool = np.flatnonzero(away)
    chosen = np.concatenate(
        [
            generator.permutation(pool[expressions[pool] == name])[: wanted[name]]
            for name in options.expressions
        ]
    )
    kept = np.setdiff1d(everything, pool if len(order) > 1 else chosen)
    if len(kept) < COLUMNS:
        found = f"{len(kept)} pictures to train on"
        raise UserError(path, found, f"{COLUMNS} at least, besides those held out")
    return kept, chosen


def epochs_shown(options: Options) -> list[int]:
    """Return the epochs of the snapshots before the last epoch, and the last epoch."""
    return sorted(
        {epoch for epoch in options.snapshots if 0 < epoch < options.epochs} | {options.epochs}
    )


def train_network(
    options: Options, latent: int, train: Faces, unseen: Faces, fabric: Fabric, out: Path, mode: str
) -> tuple[Network, History]:
    """Train a network with `latent` latents; return it and its errors in each epoch."""
    torch.manual_seed(options.seed)
    network: Network
    if isinstance(options, AeOptions):
        network = NETWORKS[options.variant](latent)
    else:
        network = VariationalAutoencoder(latent)

    def step(model: Callable[..., Any], batch: Batch, _progress: float) -> dict[str, Tensor]:
        x = batch.images
        with autocast(fabric.device, options.precision):
            if isinstance(options, VaeOptions):
                noise = torch.randn(batch.whole, latent, device=fabric.device)[batch.rows]
                recon, mu, logvar = model(x, noise)
                losses = vae_losses(recon, x, mu, logvar, options.loss, batch.whole)
            else:
                losses = {"loss": nn.functional.mse_loss(model(x), x)}
        return {name: batch.share * value for name, value in losses.items()}

    seen, apart = spread(train.images, len(unseen)), unseen.images
    snapshots = epochs_shown(options)

    def judge(epoch: int) -> dict[str, float]:
        with autocast(fabric.device, options.precision):
            if epoch in snapshots:
                keep_snapshot(network, seen, apart, snapshot(out, latent, epoch), fabric)
            return {
                f"{part}_mse": squared_error(
                    functools.partial(reconstruct, network), in_parts(images, fabric.device)
                )
                for part, images in (("train", seen), ("unseen", apart))
            }

    left_out = (
        *("preset", "latents", "epochs", "snapshots", "describe"),
        *("cache", "device", "devices"),
    )
    history = devices.train(
        fabric,
        network,
        step,
        ImageFeed(train.images, options.batch_size, fabric.device),
        learning_rate=options.learning_rate,
        epochs=options.epochs,
        name=f"{mode}_{latent}",
        settings=asdict(options)
        | dict.fromkeys(left_out, "")
        | {"latent": latent, "data": train.name},
        out=out,
        judge=judge,
    )
    return network, history


def vae_losses(
    recon: Tensor, x: Tensor, mu: Tensor, logvar: Tensor, kind: str, whole: int
) -> dict[str, Tensor]:
    """Return a batch's loss, as in the slides or as in the bound, and its terms.

    `whole`: the number of images of all processes; these images are a share of them. The slides sum
    the squared error over the whole batch, but average the KL over images and latents. So the KL
    weighs 1 / (images * latents) of what it does in the bound. "elbo" sums both over an image, and
    averages them over images.
    """
    squared, kl = mse(recon, x), kl_divergence(mu, logvar)
    if kind == "slides":
        squared, kl = squared * whole, kl / mu.shape[1]
    return {"loss": squared + kl, "reconstruction": squared, "kl": kl}


def reconstruct(network: Network, x: Tensor) -> Tensor:
    """Reconstruct images from their latents, or, for a VAE, from their posterior means."""
    if isinstance(network, VariationalAutoencoder):
        return network.decode(network.encode(x))
    return network(x)


def snapshot(out: Path, latent: int, epoch: int) -> Path:
    """Return where the reconstructions after an epoch are kept, in case training resumes later."""
    return out / f"snapshot_{latent}_{epoch}.npz"


@torch.no_grad()
def keep_snapshot(
    network: Network, seen: NDArray[np.uint8], unseen: NDArray[np.uint8], path: Path, fabric: Fabric
) -> None:
    """Write the present reconstructions of `COLUMNS` images of each part."""
    seen_recon, unseen_recon = (
        as_pictures(reconstruct(network, on_device(images, fabric.device)))
        for images in (spread(seen), spread(unseen))
    )
    with replacing(path) as file:
        np.savez_compressed(file, seen=seen_recon, unseen=unseen_recon)


def spread(images: NDArray, count: int = COLUMNS) -> NDArray:
    """Return `count` of the images, at equal distances.

    The images are in the order of people or expressions.
    """
    return images[np.linspace(0, len(images) - 1, count).round().astype(int)]


@torch.no_grad()
def encode(network: Network, faces: Faces, fabric: Fabric) -> NDArray[np.float32]:
    """Return the latents of all faces, (N, latent)."""
    parts = [network.encode(x).cpu().numpy() for x in in_parts(faces.images, fabric.device)]
    return np.concatenate(parts)


@torch.no_grad()
def measure(network: Network, train: Faces, unseen: Faces, fabric: Fabric) -> dict[str, float]:
    """Measure how well training faces and unseen faces are recovered."""
    found = {}
    for name, faces in (("train", train), ("unseen", unseen)):
        sums = np.zeros(3)
        for x in in_parts(faces.images, fabric.device):
            recon = reconstruct(network, x)
            means = (recon - x).square().mean(), ssim(recon, x).mean(), psnr(recon, x).mean()
            sums += len(x) * np.array([float(mean) for mean in means])
        for key, value in zip(("mse", "ssim", "psnr"), sums / len(faces), strict=True):
            found[f"{name}_{key}"] = float(value)
    return found


def judge_clusters(z: NDArray, faces: Faces) -> dict[str, Any]:
    """Measure whether latents, (N, latent), form clusters by expression, and by person.

    There are two expressions. The probe is a logistic regression, tested on a person, or on a
    picture, that it was not trained on. In the first case, pictures of one person with one
    expression count as one unit, because they are much alike. A unit is right if most of its
    pictures are.
    """
    found: dict[str, Any] = {"silhouette": float(silhouette_score(z, faces.expressions))}
    _, people = np.unique(faces.people, return_inverse=True)
    if 1 < people.max() + 1 < len(people):
        found["silhouette_of_people"] = float(silhouette_score(z, people))
    showing = [len(set(faces.people[faces.expressions == e])) for e in set(faces.expressions)]
    apart = min(showing) > 1  # without any one person, both expressions remain
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    splits = LeaveOneGroupOut() if apart else LeaveOneOut()

    def is_right(codes: NDArray) -> NDArray[np.bool_]:
        groups = people if apart else None
        predicted = cross_val_predict(probe, codes, faces.expressions, cv=splits, groups=groups)
        return predicted == faces.expressions

    def accuracy(right: NDArray[np.bool_]) -> float:
        return float(np.mean([right[faces.expressions == e].mean() for e in set(kinds)]))

    right = is_right(z)
    names = np.char.add(np.char.add(faces.people, "/"), faces.expressions)
    _, unit = np.unique(names if apart else np.arange(len(z)), return_inverse=True)
    shares = np.bincount(unit, right) / np.bincount(unit)
    kinds = faces.expressions[np.unique(unit, return_index=True)[1]]
    _, counts = np.unique(kinds, return_counts=True)
    return found | {
        "left_out": "person" if apart else "picture",
        "probe": accuracy(right),
        "plane": accuracy(is_right(PCA(2, svd_solver="full").fit_transform(z))),
        "units": len(shares),
        "right": int((shares > 0.5).sum()),
        "chance": float(counts.max() / counts.sum()),
    }


@torch.no_grad()
def draw(
    options: Options,
    networks: Mapping[int, Network],
    faces: Faces,
    train: Faces,
    unseen: Faces,
    z: Mapping[int, NDArray],
    fabric: Fabric,
    out: Path,
) -> dict[str, Figure]:
    """Draw recovered faces, planes of latents, and the course of training; return them by name."""
    rows: list[NDArray] = []
    names: list[str] = []
    for expression in options.expressions:
        x = on_device(unseen.part(unseen.expressions == expression).images, fabric.device)
        rows += [as_pictures(x)]
        rows += [as_pictures(reconstruct(network, x)) for network in networks.values()]
        names += [expression, *(f"L = {latent}" for latent in networks)]
    shown = np.isin(faces.expressions, options.expressions)
    planes = {}
    for latent, codes in z.items():
        own = codes[shown]
        perplexity = min(30, len(own) // 4)
        planes[f"L = {latent}, PCA"] = PCA(2, svd_solver="full").fit_transform(own)
        tsne = TSNE(2, perplexity=perplexity, random_state=options.seed, init="pca")
        planes[f"L = {latent}, t-SNE"] = tsne.fit_transform(own)
    pictures = {
        "recovered": figures.image_grid(rows, names),
        "latents": figures.planes(planes, faces.expressions[shown], columns=2),
    }
    originals: dict[str, NDArray] = {
        "seen": spread(spread(train.images, len(unseen))),
        "unseen": spread(unseen.images),
    }
    for latent in networks:
        course = {e: snapshot(out, latent, e) for e in epochs_shown(options)}
        stored = {e: np.load(path) for e, path in course.items() if path.exists()}
        rows, names = [], []
        for part, images in originals.items():
            rows += [images / 255, *(found[part] for found in stored.values())]
            names += [part, *(f"epoch {epoch}" for epoch in stored)]
        pictures[f"course_{latent}"] = figures.image_grid(rows, names)
    return pictures
