"""Train the study's four networks on the same images."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR

from data import ShuffledBatches, random_affine
from grader.errors import UserError
from losses import gaussian_kl
from storage import save_state_dict
from studies.latent_study.images import ROWS, Images
from studies.latent_study.networks import Autoencoder, ConvolutionalVae, classifier, sample
from studies.latent_study.options import Options
from studies.shared.checks import Difference, sign, standard_error
from studies.shared.networks import named_losses
from studies.shared.resume import fit_or_resume
from studies.shared.runner import fingerprint
from training import History

ATTEMPTS = 10  # to train an autoencoder without a dead ReLU
CLIPPED = 0.9  # a ReLU counts as dead if it is 0 for a larger share of the images
FLAT = 1e-3  # it also counts as dead if its standard deviation, relative to its mean, is smaller

Model = Autoencoder | ConvolutionalVae
Network = TypeVar("Network", bound=nn.Module)
Change = Literal["distorted", "wider"]
Step = Callable[[nn.Module, Tensor, float], dict[str, Tensor]]


class DeadUnitError(Exception):
    """A ReLU has the same output for nearly all images, and no gradient to change it."""


@dataclass(frozen=True)
class Run:
    """What every training needs: the options, the images, and the folder for results."""

    options: Options
    train: Images
    test: Images
    out: Path


@dataclass(frozen=True)
class Trained(Generic[Network]):
    """A network and the history of its training."""

    model: Network
    history: History


@dataclass(frozen=True)
class Networks:
    """The four networks, how the second classifier differs, and the autoencoder's attempts."""

    autoencoder: Trained[Autoencoder]
    vae: Trained[ConvolutionalVae]
    classifier: Trained[nn.Module]
    improved: Trained[nn.Module]
    change: Change
    attempts: int

    def with_latents(self) -> dict[str, Trained[Autoencoder] | Trained[ConvolutionalVae]]:
        """Return the two networks that have latents, by name."""
        return {"autoencoder": self.autoencoder, "vae": self.vae}

    def best_classifier(self) -> nn.Module:
        """Return the classifier with the higher test accuracy."""
        before, after = (
            trained.history[-1]["test_accuracy"] for trained in (self.classifier, self.improved)
        )
        return (self.improved if after > before else self.classifier).model

    def save(self, out: Path) -> None:
        """Write the weights of each network to a file in the folder."""
        classifiers = {"classifier": self.classifier, f"classifier_{self.change}": self.improved}
        for name, trained in {**self.with_latents(), **classifiers}.items():
            save_state_dict(trained.model, out / f"{name}.pth")


def train_all(run: Run) -> Networks:
    """Train the four networks; how the first classifier does decides what changes in the second."""
    autoencoder, attempts = train_autoencoder(run)
    plain = train_classifier(run)
    # If it overfits, data help more than filters.
    change: Change = "distorted" if sign(loss_gap(plain.history[-1])) > 0 else "wider"
    improved = train_classifier(run, change)
    return Networks(autoencoder, train_vae(run), plain, improved, change, attempts)


def loss_gap(last: dict[str, float]) -> Difference:
    """Compare a classifier's test loss with its training loss, both from a row of its history."""
    return {
        "difference": last["test_loss"] - last["train_loss"],
        "error": math.hypot(last["test_loss_error"], last["train_loss_error"]),
    }


def train_network(
    run: Run,
    model: Network,
    step: Step,
    evaluate: Callable[[], dict[str, float]],
    name: str,
    attempt: int = 0,
) -> Trained[Network]:
    """Train on batches of indices; add what `evaluate` returns to each epoch's row."""
    options, train, test = run.options, run.train, run.test

    def add_evaluation(history: History) -> None:
        model.eval()
        history[-1] |= evaluate()

    optimizer = Adam(model.parameters(), options.learning_rate, fused=True)
    batches = ShuffledBatches(len(train), options.batch_size, torch.default_generator)
    # Not the preset or the path of the test images: the epochs and the data say it all.
    settings = asdict(options) | {
        "preset": "",
        "test": "",
        "attempt": attempt,
        "data": fingerprint(train.pixels, train.labels, test.pixels, test.labels),
    }
    history = fit_or_resume(
        model,
        step,
        batches,
        optimizer,
        OneCycleLR(optimizer, options.learning_rate, total_steps=options.epochs * len(batches)),
        epochs=options.epochs,
        name=name,
        settings=settings,
        out=run.out,
        after_epoch=add_evaluation,
    )
    return Trained(model, history)


def train_autoencoder(run: Run) -> tuple[Trained[Autoencoder], int]:
    """Return an autoencoder without a dead ReLU, and the number of attempts.

    If the input of a latent's ReLU is negative for every image, its output is always 0 and has no
    gradient. This latent is dead, and the plane of the two latents is a line. Each attempt starts
    with other weights. Raises UserError if all attempts fail.
    """
    for attempt in range(ATTEMPTS):
        try:
            return attempt_autoencoder(run, attempt), attempt + 1
        except DeadUnitError as error:
            print(f"autoencoder_{attempt}: {error}; this attempt failed")
    raise UserError(
        "training",
        f"a dead ReLU in each of {ATTEMPTS} attempts",
        "another --seed or a smaller --learning-rate",
    )


def attempt_autoencoder(run: Run, attempt: int) -> Trained[Autoencoder]:
    """Train an autoencoder. Raises DeadUnitError after the first epoch with a dead ReLU."""
    train, test = run.train, run.test
    torch.manual_seed(run.options.seed + attempt)
    model = Autoencoder().to(train.pixels.device)
    model.initialise(train.floats(torch.randperm(len(train))[:ROWS]))

    def step(model: nn.Module, index: Tensor, _progress: float) -> dict[str, Tensor]:
        x = train.floats(index)
        return {"loss": functional.mse_loss(model(x), x)}

    def evaluate() -> dict[str, float]:
        black = test.apply(lambda x: model(x).flatten(1).amax(dim=1) == 0)
        check_alive(test.apply(model.encode).cpu().numpy(), black.cpu().numpy())
        errors = test.apply(lambda x: (model(x) - x).square().mean(dim=(1, 2, 3)))
        return {"test_loss": float(errors.mean())}

    return train_network(run, model, step, evaluate, f"autoencoder_{attempt}", attempt)


def check_alive(z: NDArray, black: NDArray[np.bool_]) -> None:
    """Check that the latents, (N, 2), differ, and that few decoded images are black.

    `black`, (N,), marks the images whose reconstruction is black. Raises DeadUnitError.
    """
    if black.mean() > CLIPPED:
        raise DeadUnitError("the decoder's last ReLU is dead")
    for number, unit in enumerate(z.T, start=1):
        if np.mean(unit == 0) > CLIPPED or unit.std() < FLAT * max(unit.mean(), 1e-12):
            raise DeadUnitError(f"the ReLU of latent {number} is dead")


def train_classifier(run: Run, change: Change | None = None) -> Trained[nn.Module]:
    """Train a classifier: the encoder with a dense layer at its end.

    "distorted" trains it on distorted images; "wider" gives it twice the filters.
    """
    options, train, test = run.options, run.train, run.test
    torch.manual_seed(options.seed)
    device = train.pixels.device
    filters = {"filters": 32} if change == "wider" else {}
    model = classifier(len(train.names), **filters).to(device)
    generator = torch.default_generator

    def step(model: nn.Module, index: Tensor, _progress: float) -> dict[str, Tensor]:
        x = train.floats(index)
        if change == "distorted":
            x = random_affine(x[:, 0].cpu(), generator)[:, None].to(device)
        return {"loss": functional.cross_entropy(model(x), train.labels[index])}

    # As many training images as there are test images, without distortion.
    order = np.random.default_rng(options.seed).permutation(len(train))[: len(test)]
    seen = train.part(torch.from_numpy(order).to(device))

    def evaluate() -> dict[str, float]:
        found = {}
        for part, images in (("train", seen), ("test", test)):
            logits = images.apply(model)
            right = logits.argmax(dim=1) == images.labels
            losses = functional.cross_entropy(logits, images.labels, reduction="none")
            found[f"{part}_loss"] = float(losses.mean())
            found[f"{part}_loss_error"] = standard_error(losses.cpu())
            found[f"{part}_accuracy"] = float(right.float().mean())
        return found

    name = f"classifier_{change}" if change else "classifier"
    return train_network(run, model, step, evaluate, name)


def train_vae(run: Run) -> Trained[ConvolutionalVae]:
    """Train a VAE with two latents."""
    options, train, test = run.options, run.train, run.test
    torch.manual_seed(options.seed)
    model = ConvolutionalVae().to(train.pixels.device)

    def step(model: nn.Module, index: Tensor, _progress: float) -> dict[str, Tensor]:
        x = train.floats(index)
        recon, mu, logvar = model(x)
        return named_losses(recon, x, mu, logvar, "mse", options.beta)

    def evaluate() -> dict[str, float]:
        generator = torch.Generator().manual_seed(options.seed)

        def terms(x: Tensor) -> Tensor:
            mu, logvar = model.posterior(x)
            noise = torch.randn(mu.shape, generator=generator).to(mu.device)
            recon = model.decode(sample(mu, 0.5 * logvar, noise))
            squared = (recon - x).square().sum(dim=(1, 2, 3))
            return torch.stack([squared, gaussian_kl(mu, logvar)], dim=1)

        reconstruction, kl = test.apply(terms).mean(dim=0).tolist()
        return {"test_reconstruction": reconstruction, "test_kl": kl}

    return train_network(run, model, step, evaluate, "vae")
