"""`latent_study`: what the two latents of an autoencoder and of a VAE know about images.

Four networks on the same images: a convolutional autoencoder, its encoder turned into a classifier,
that classifier improved, and a convolutional VAE.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import binomtest, fisher_exact, norm
from sklearn.metrics import confusion_matrix
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR
from typer import Option

import figures
from command_line import choose_device, default_device
from data import ShuffledBatches, random_affine
from grader.errors import UserError
from losses import gaussian_kl
from storage import save_state_dict
from studies.latent_study.answers import answers
from studies.latent_study.networks import SIDE as PADDED
from studies.latent_study.networks import Autoencoder, ConvolutionalVae, classifier
from studies.shared.datasets import SIDE, ImageSet, read_split
from studies.shared.measures import nearest_distance, pca_mse
from studies.shared.networks import named_losses, reparameterize
from studies.shared.options import BatchSize, Device, Preset, Seed, weight
from studies.shared.resume import fit_or_resume
from studies.shared.runner import Findings, fingerprint, run_study
from training import History

TITLE = "What an autoencoder's two numbers know"
ROWS = 1000  # images per batch when a network is only evaluated
SHOWN = 10  # images shown above their reconstructions
FIRST = 1000  # test images; the assignment's number
GRID = 15
ATTEMPTS = 10  # to train an autoencoder with no dead latent
CLIPPED = 0.9  # a ReLU counts as dead if it is 0 for a larger share of the images
FLAT = 1e-3  # likewise if its deviation, relative to its mean, is smaller
OVERFITTED = 1.2  # above this ratio of test to training loss, data help more than filters
RECOGNISED = 0.9  # a decoded image is recognised if its class has a higher probability
LEVEL = 0.05  # significance level, for all classes together

Model = Autoencoder | ConvolutionalVae


@dataclass(frozen=True)
class Options:
    """How the networks are trained."""

    preset: Annotated[
        Preset, Option(help="full: the assignment's epochs; quick: about a minute on 5,000 images")
    ] = "full"
    epochs: Annotated[
        int, Option(min=1, max=10**6, help="passes over the training images, for each network")
    ] = 30
    batch_size: BatchSize = 128
    learning_rate: Annotated[
        float,
        Option(
            min=1e-12,
            max=1,
            help="highest learning rate of Adam; it rises and falls during training",
        ),
    ] = 3e-3
    beta: Annotated[float, weight(help="weight of the VAE's KL term")] = 1.0
    test: Annotated[
        Path | None,
        Option(help="held-out images; by default DATA's own test part, or a tenth of DATA"),
    ] = None
    seed: Seed = 0
    device: Device = field(default_factory=default_device)


PRESETS = {"full": Options(), "quick": Options(preset="quick", epochs=8)}


class DeadUnitError(Exception):
    """A ReLU has the same output for nearly all images, and no gradient to change it."""


@dataclass(frozen=True)
class Images:
    """Images as (N, 1, 32, 32) bytes, their labels (N,), and the name of each label."""

    pixels: Tensor
    labels: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pixels)

    def floats(self, index: Tensor | slice) -> Tensor:
        return self.pixels[index].float() / 255

    def apply(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply a function to all images, `ROWS` at a time, without gradients."""
        with torch.no_grad():
            parts = [function(x.float() / 255) for x in self.pixels.split(ROWS)]
        return torch.cat(parts)


def latent_study(before: list[str], after: list[str], usage: str) -> None:
    """Train the networks and do the assignment's exercises with them."""
    run_study(study, PRESETS, TITLE, (before, after, usage))


def study(options: Options, path: Path, out: Path) -> Findings:
    """Do all six exercises."""
    device = choose_device(options.device)
    train, test = (padded(part, device) for part in read_split(path, options.test, options.seed))
    autoencoder, history, attempts = train_autoencoder(options, train, test, out)
    plain, plain_history = train_classifier(options, train, test, out, "classifier")
    overfitted = plain_history[-1]["test_loss"] > OVERFITTED * plain_history[-1]["train_loss"]
    change = "distorted" if overfitted else "wider"
    improved, improved_history = train_classifier(
        options, train, test, out, f"classifier_{change}", distort=overfitted, wide=not overfitted
    )
    vae, vae_history = train_vae(options, train, test, out)
    models: dict[str, Model] = {"autoencoder": autoencoder, "vae": vae}
    histories = {"autoencoder": history, "vae": vae_history}
    for name, model in {**models, "classifier": plain, f"classifier_{change}": improved}.items():
        save_state_dict(model, out / f"{name}.pth")

    better = improved_history[-1]["test_accuracy"] > plain_history[-1]["test_accuracy"]
    best = improved if better else plain
    known = train.floats(slice(None))[..., 2:-2, 2:-2].cpu().numpy()
    held_out = test.floats(slice(None))[..., 2:-2, 2:-2].cpu().numpy()
    codes = {name: (train.apply(m.encode), test.apply(m.encode)) for name, m in models.items()}
    grids = {
        "autoencoder": by_range(codes["autoencoder"][0]),
        "vae": by_range(codes["vae"][0]),
        "quantiles": (by_quantiles(), by_quantiles()),
    }
    predicted = {name: neighbours(code, train) for name, code in codes.items()}
    drawn = {
        name: decode_grid(models.get(name, vae), *grid, device) for name, grid in grids.items()
    }
    summary: dict[str, Any] = {
        "images": len(train),
        "held_out": len(test),
        "classes": train.names,
        "epochs": options.epochs,
        "beta": options.beta,
        "attempts": attempts,
        "pca_mse": pca_mse(flat(known), flat(held_out), 2),
        "real_distance": nearest_distance(flat(held_out), flat(known)),
        "losses": {name: {"first": rows[0], "last": rows[-1]} for name, rows in histories.items()},
        "models": {
            name: measure(model, train, test, codes[name]) for name, model in models.items()
        },
        "first": judge_neighbours(predicted["autoencoder"][:FIRST], train, test),
        "all": judge_neighbours(predicted["autoencoder"], train, test),
        "vae_all": judge_neighbours(predicted["vae"], train, test),
        "classifier": {
            "last": plain_history[-1],
            "best": lowest(column(plain_history, "test_loss")),
            "parameters": size(plain),
        },
        "improvement": {
            "change": change,
            "last": improved_history[-1],
            "parameters": size(improved),
        },
        "grids": {
            name: judge_grid(
                drawn[name], grid, codes.get(name, codes["vae"])[0], best, known, train.names
            )
            for name, grid in grids.items()
        },
    }
    pictures = draw(test, models, codes, train, grids, drawn) | {
        "loss": figures.curves(
            {
                "squared error a pixel": {
                    "training": column(history, "loss"),
                    "test": column(history, "test_loss"),
                }
            },
            "thousand iterations",
            -(-len(train) // options.batch_size) / 1000,
        ),
        "vae_loss": figures.curves(
            {
                name: {
                    "training": column(vae_history, key),
                    "test": column(vae_history, f"test_{key}"),
                }
                for key, name in (
                    ("reconstruction", "squared error an image"),
                    ("kl", "KL divergence (nats)"),
                )
            }
        ),
        "classifier": figures.curves(
            {
                title: {
                    f"{kind}, {part}": column(rows, f"{part}_{key}")
                    for kind, rows in (("as asked", plain_history), (change, improved_history))
                    for part in ("train", "test")
                }
                for key, title in (("loss", "cross-entropy (nats)"), ("accuracy", "accuracy"))
            }
        ),
        "confusion": figures.confusion_matrix(
            np.array(summary["all"]["confusion"]), np.array(train.names)
        ),
    }
    return Findings(summary, pictures, answers(summary))


def column(history: History, name: str) -> NDArray:
    return np.array([row[name] for row in history])


def lowest(losses: NDArray) -> dict[str, float]:
    """Return the lowest of the losses after each epoch, (epochs,), and its epoch."""
    return {"epoch": int(losses.argmin()) + 1, "loss": float(losses.min())}


def flat(images: NDArray) -> NDArray:
    return images.reshape(len(images), -1)


def size(model: nn.Module) -> int:
    """Count the parameters of a model."""
    return sum(p.numel() for p in model.parameters())


def padded(images: ImageSet, device: torch.device) -> Images:
    """Pad 28 x 28 images with a black border, as bytes on the device."""
    margin = (PADDED - SIDE) // 2
    pixels = functional.pad(torch.from_numpy(images.images), 4 * [margin])[:, None]
    return Images(pixels.to(device), torch.from_numpy(images.labels).to(device), images.names)


def train_network(
    model: nn.Module,
    step: Callable[[nn.Module, Tensor, float], dict[str, Tensor]],
    judge: Callable[[], dict[str, float]],
    options: Options,
    train: Images,
    test: Images,
    out: Path,
    name: str,
    attempt: int = 0,
) -> History:
    """Train on batches of indices; add what `judge` returns to each epoch's row of the history."""

    def keep(history: History) -> None:
        model.eval()
        history[-1] |= judge()

    optimizer = Adam(model.parameters(), options.learning_rate, fused=True)
    batches = ShuffledBatches(len(train), options.batch_size, torch.default_generator)
    settings = asdict(options) | {
        "preset": "",
        "test": "",
        "attempt": attempt,
        "data": fingerprint(train.pixels, train.labels, test.pixels, test.labels),
    }
    return fit_or_resume(
        model,
        step,
        batches,
        optimizer,
        OneCycleLR(optimizer, options.learning_rate, total_steps=options.epochs * len(batches)),
        epochs=options.epochs,
        name=name,
        settings=settings,
        out=out,
        after_epoch=keep,
    )


def train_autoencoder(
    options: Options, train: Images, test: Images, out: Path
) -> tuple[Autoencoder, History, int]:
    """Return an autoencoder with no dead latent, its losses, and the number of attempts.

    A ReLU whose input is negative for every image is 0 for all and has no gradient: its latent is
    dead, and the plane of the two latents is a line. Each attempt starts with other weights.
    """
    for attempt in range(ATTEMPTS):
        torch.manual_seed(options.seed + attempt)
        model = Autoencoder().to(train.pixels.device)
        model.initialise(train.floats(torch.randperm(len(train))[:ROWS]))

        def step(model: nn.Module, index: Tensor, _progress: float) -> dict[str, Tensor]:
            x = train.floats(index)
            return {"loss": functional.mse_loss(model(x), x)}

        def judge(model: Autoencoder = model) -> dict[str, float]:
            black = test.apply(lambda x: model(x).flatten(1).amax(dim=1) == 0)
            check_alive(test.apply(model.encode).cpu().numpy(), black.cpu().numpy())
            errors = test.apply(lambda x: (model(x) - x).square().mean(dim=(1, 2, 3)))
            return {"test_loss": float(errors.mean())}

        try:
            name = f"autoencoder_{attempt}"
            history = train_network(model, step, judge, options, train, test, out, name, attempt)
        except DeadUnitError as error:
            print(f"autoencoder_{attempt}: {error}; begun anew with other weights")
            continue
        return model, history, attempt + 1
    raise UserError(
        "training",
        f"a dead ReLU in each of {ATTEMPTS} attempts",
        "another --seed or a smaller --learning-rate",
    )


def check_alive(z: NDArray, black: NDArray[np.bool_]) -> None:
    """Raise DeadUnitError if (N, 2) latents are on a line, or nearly all images `black`, (N,)."""
    if black.mean() > CLIPPED:
        raise DeadUnitError("the decoder's last ReLU is dead")
    for number, unit in enumerate(z.T, start=1):
        if np.mean(unit == 0) > CLIPPED or unit.std() < FLAT * max(unit.mean(), 1e-12):
            raise DeadUnitError(f"the ReLU of latent {number} is dead")


def train_classifier(
    options: Options,
    train: Images,
    test: Images,
    out: Path,
    name: str,
    distort: bool = False,
    wide: bool = False,
) -> tuple[nn.Module, History]:
    """Train a classifier: the encoder with a dense layer at its end.

    `distort` trains it on distorted images; `wide` gives it twice the filters.
    """
    torch.manual_seed(options.seed)
    device = train.pixels.device
    filters = {"filters": 32} if wide else {}
    model = classifier(len(train.names), **filters).to(device)
    generator = torch.default_generator

    def step(model: nn.Module, index: Tensor, _progress: float) -> dict[str, Tensor]:
        x = train.floats(index)
        if distort:
            x = random_affine(x[:, 0].cpu(), generator)[:, None].to(device)
        return {"loss": functional.cross_entropy(model(x), train.labels[index])}

    # As many training images as there are test images, without distortion.
    order = np.random.default_rng(options.seed).permutation(len(train))[: len(test)]
    chosen = torch.from_numpy(order).to(device)
    seen = Images(train.pixels[chosen], train.labels[chosen], train.names)

    def judge() -> dict[str, float]:
        found = {}
        for part, images in (("train", seen), ("test", test)):
            logits = images.apply(model)
            right = logits.argmax(dim=1) == images.labels
            found[f"{part}_loss"] = float(functional.cross_entropy(logits, images.labels))
            found[f"{part}_accuracy"] = float(right.float().mean())
        return found

    return model, train_network(model, step, judge, options, train, test, out, name)


def train_vae(
    options: Options, train: Images, test: Images, out: Path
) -> tuple[ConvolutionalVae, History]:
    """Train a VAE with two latents; its loss includes the KL."""
    torch.manual_seed(options.seed)
    model = ConvolutionalVae().to(train.pixels.device)

    def step(model: nn.Module, index: Tensor, _progress: float) -> dict[str, Tensor]:
        x = train.floats(index)
        recon, mu, logvar = model(x)
        return named_losses(recon, x, mu, logvar, "mse", options.beta)

    def judge() -> dict[str, float]:
        generator = torch.Generator().manual_seed(options.seed)

        def terms(x: Tensor) -> Tensor:
            mu, logvar = model.posterior(x)
            noise = torch.randn(mu.shape, generator=generator).to(mu.device)
            recon = model.decode(reparameterize(mu, logvar, noise))
            squared = (recon - x).square().sum(dim=(1, 2, 3))
            return torch.stack([squared, gaussian_kl(mu, logvar)], dim=1)

        reconstruction, kl = test.apply(terms).mean(dim=0).tolist()
        return {"test_reconstruction": reconstruction, "test_kl": kl}

    return model, train_network(model, step, judge, options, train, test, out, "vae")


def measure(
    model: Model, train: Images, test: Images, codes: tuple[Tensor, Tensor]
) -> dict[str, Any]:
    """Measure one model's latents and reconstructions; errors are per pixel of the 28 x 28."""
    z = codes[0].cpu().numpy()

    def error(x: Tensor) -> Tensor:
        return (model.decode(model.encode(x)) - x)[..., 2:-2, 2:-2].square().mean(dim=(1, 2, 3))

    cells = counted(by_range(codes[0]), codes[0])
    return {
        "train_mse": float(train.apply(error).mean()),
        "test_mse": float(test.apply(error).mean()),
        "range": [[float(z[:, i].min()), float(z[:, i].max())] for i in (0, 1)],
        "mean": z.mean(axis=0).tolist(),
        "deviation": z.std(axis=0).tolist(),
        "clipped": [float((z[:, i] == 0).mean()) for i in (0, 1)],
        "clipped_both": float((z == 0).all(axis=1).mean()),
        "clipped_by_class": {
            name: float((z == 0).any(axis=1)[train.labels.cpu().numpy() == label].mean())
            for label, name in enumerate(train.names)
        },
        "occupied": float((cells > 0).mean()),
        "densest": float(np.sort(cells.ravel())[::-1][: cells.size // 10].sum() / len(z)),
    }


def neighbours(codes: tuple[Tensor, Tensor], train: Images) -> NDArray[np.int64]:
    """Return the class of the nearest training image in the plane, for each test image."""
    z, z_test = (part.cpu().numpy() for part in codes)
    return KNeighborsClassifier(1).fit(z, train.labels.cpu().numpy()).predict(z_test)


def judge_neighbours(predicted: NDArray[np.int64], train: Images, test: Images) -> dict[str, Any]:
    """Rate the predicted classes (N,) of the first N test images, overall and by class."""
    truth, count = test.labels.cpu().numpy()[: len(predicted)], len(train.names)
    right = predicted == truth
    shares = np.bincount(train.labels.cpu().numpy(), minlength=count) / len(train)
    parts = [(right[truth == label], right[truth != label]) for label in range(count)]
    tests = [
        fisher_exact([[own.sum(), (~own).sum()], [rest.sum(), (~rest).sum()]]).pvalue
        for own, rest in parts
    ]
    rows = {}
    for name, share, significant, (own, rest) in zip(
        train.names, shares, holm(tests), parts, strict=True
    ):
        difference = "better" if significant and own.mean() > rest.mean() else "worse"
        verdict = difference if significant else "as the rest"
        rows[name] = rated(own) | {"random": float(share), "verdict": verdict}
    confusion = confusion_matrix(truth, predicted, labels=range(count))
    return rated(right) | {
        "random": float(shares[truth].mean()),
        "classes": rows,
        "confusion": confusion.tolist(),
        "overlaps": overlaps(confusion, train.names),
    }


def rated(right: NDArray[np.bool_]) -> dict[str, Any]:
    """Count the right predictions, with a 95 % interval of their share: Wilson (1927)."""
    if not len(right):
        return {"number": 0, "right": 0, "accuracy": 0.0, "interval": [0.0, 1.0]}
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    return {
        "number": len(right),
        "right": int(right.sum()),
        "accuracy": float(right.mean()),
        "interval": [float(interval.low), float(interval.high)],
    }


def holm(probabilities: list[float]) -> list[bool]:
    """Find which of several tests are significant together: Holm (1979)."""
    order = np.argsort(probabilities)
    significant = [False] * len(probabilities)
    for rank, i in enumerate(order):
        if probabilities[i] > LEVEL / (len(probabilities) - rank):
            break
        significant[i] = True
    return significant


def overlaps(confusion: NDArray, names: tuple[str, ...]) -> dict[str, float]:
    """Return the five pairs of classes confused most often, and the share of both that is."""
    counts = confusion.sum(axis=1)
    shares = {
        f"{names[i]} and {names[j]}": float(
            (confusion[i, j] + confusion[j, i]) / max(counts[i] + counts[j], 1)
        )
        for i in range(len(names))
        for j in range(i)
    }
    return dict(sorted(shares.items(), key=lambda item: -item[1])[:5])


def by_range(z: Tensor) -> tuple[NDArray, NDArray]:
    """Return equidistant values of each latent, from its minimum to its maximum."""
    low, high = z.min(dim=0).values.cpu().numpy(), z.max(dim=0).values.cpu().numpy()
    x, y = np.linspace(low, high, GRID).T
    return x, y


def by_quantiles() -> NDArray:
    """Divide N(0, 1) into `GRID` parts of equal probability, and return the middle of each."""
    return norm.ppf((np.arange(GRID) + 0.5) / GRID)


def counted(grid: tuple[NDArray, NDArray], z: Tensor) -> NDArray:
    """Count the latents (N, 2) nearest to each point of a grid: (GRID, GRID), z2 first."""
    edges = [np.concatenate([[-np.inf], (v[1:] + v[:-1]) / 2, [np.inf]]) for v in grid]
    x, y = z.cpu().numpy().T
    return np.histogram2d(x, y, bins=edges)[0].T


@torch.no_grad()
def decode_grid(model: Model, x: NDArray, y: NDArray, device: torch.device) -> Tensor:
    """Decode a grid of latents to (GRID, GRID, 32, 32) images, y along the first axis."""
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
    return model.decode(torch.from_numpy(points).to(device)).unflatten(0, (len(y), len(x)))[:, :, 0]


@torch.no_grad()
def judge_grid(
    images: Tensor,
    grid: tuple[NDArray, NDArray],
    z: Tensor,
    judge: nn.Module,
    known: NDArray,
    names: tuple[str, ...],
) -> dict[str, Any]:
    """Measure which classes a classifier sees in decoded images, and how near to real they are."""
    probabilities = judge(images.flatten(0, 1)[:, None]).softmax(dim=1).cpu().numpy()
    sure = (probabilities.max(axis=1) > RECOGNISED).reshape(GRID, GRID)
    seen = probabilities.argmax(axis=1).reshape(GRID, GRID)
    pictures = images[..., 2:-2, 2:-2].cpu().numpy().reshape(GRID * GRID, -1)
    occupied = counted(grid, z) > 0
    ink = pictures.reshape(GRID, GRID, -1).mean(axis=2)
    return {
        "recognised": float(sure.mean()),
        "recognised_occupied": float(sure[occupied].mean()),
        "recognised_empty": float(sure[~occupied].mean()) if (~occupied).any() else None,
        "occupied": float(occupied.mean()),
        "distance": nearest_distance(pictures, flat(known)),
        "classes": {name: int((sure & (seen == label)).sum()) for label, name in enumerate(names)},
        "left_to_right": [names[seen[GRID // 2, i]] for i in range(GRID)],
        "bottom_to_top": [names[seen[i, GRID // 2]] for i in range(GRID)],
        "ink_left_to_right": [float(ink[:, 0].mean()), float(ink[:, -1].mean())],
        "ink_bottom_to_top": [float(ink[0].mean()), float(ink[-1].mean())],
    }


def draw(
    test: Images,
    models: Mapping[str, Model],
    codes: Mapping[str, tuple[Tensor, Tensor]],
    train: Images,
    grids: Mapping[str, tuple[NDArray, NDArray]],
    drawn: Mapping[str, Tensor],
) -> dict[str, Figure]:
    """Draw reconstructions, scatter plots and grids, and return them by name."""
    first = Images(test.pixels[:SHOWN], test.labels[:SHOWN], test.names)
    originals = first.apply(lambda x: x)[:, 0].cpu().numpy()
    classes = np.array(train.names)[train.labels.cpu().numpy()]
    pictures: dict[str, Figure] = {}
    for name, model in models.items():
        recon = model.decode(first.apply(model.encode))[:, 0].detach().cpu().numpy()
        points = codes[name][0].cpu().numpy(), classes
        images = drawn[name].cpu().numpy()
        pictures |= {
            f"reconstructions_{name}": figures.reconstruction_rows(originals, recon),
            f"latents_{name}": figures.latent_plane(*grids[name], points=points),
            f"grid_{name}": figures.latent_plane(*grids[name], images=images),
            f"plane_{name}": figures.latent_plane(*grids[name], points, images),
        }
    quantiles = drawn["quantiles"].cpu().numpy()
    pictures["grid_vae_quantiles"] = figures.manifold(quantiles, *grids["quantiles"])
    return pictures
