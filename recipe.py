"""The training recipe of `train`: four stages, none of which uses labels.

1. `Layout`: spectral clustering finds which component of the prior each image belongs to, and a
   small Gaussian VAE of half-size images lays each component out on its part of the plane.
2. `FreeLatents`: every training image gets its own latent, found by search within its component,
   while the decoder learns to draw it from there and from the last latent that it was offered.
3. `Amortisation`: the encoder learns to predict where the search would go, also for distorted
   copies.
4. `EvidenceBound`: the whole network minimises its weighted negative evidence lower bound.
"""

import functools
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from clusters import cluster
from data import DigitDataset, ShuffledBatches, distorted
from inference import decode_points, gauss_newton, low_frequencies, squared_distances
from losses import SSIM_WEIGHT, distortion, gaussian_kl, kl_divergence, kl_to_mixture, mse, ssim
from models import PIXELS, REACH, VAE, GaussianVAE, mlp_vae, plane
from training import Batches, History, fit

EPOCHS = 72
SHARES = {"latents": 0.5, "encoder": 0.42, "elbo": 0.08}  # of the epochs, without the layout
# Images; in the second stage, each of them twice.
BATCH_SIZES = {"layout": 128, "latents": 64, "encoder": 128, "elbo": 128}
DISTANCE_ROWS = 512  # rows of a distance matrix at a time

# What follows each stage, in multiples of its own time; only for the time left that is shown.
AHEAD = {"layout": 200.0, "latents": 1.2, "encoder": 0.2, "elbo": 0.0}
# Shares of the time that is left when a stage starts.
TIME_SHARES = {"layout": 0.2, "latents": 0.65, "encoder": 0.65, "elbo": 0.9}
# Peaks of one-cycle schedules.
LEARNING_RATES = {"layout": 2e-3, "latents": 4e-3, "encoder": 2e-3, "elbo": 5e-5}

LAYOUT_STEPS = 500
LAYOUT_SIDE = 14
LAYOUT_WIDTH = 128
MOST_COMPONENTS = 10
MOST_AROUND = 6  # components on a circle; if there are more, one is in the middle
SEPARATION = 4.6  # of the means of neighbouring components, in their standard deviations

SIGMA = 0.004  # standard deviation of the free posteriors
BETA = 0.7  # weight of the KL term in the search
MARGIN = 0.9  # least responsibility of an image's component for its latent; this leaves a gap
SIDE = 128  # points per side of the grid that is searched
SEARCH_INTERVAL = 100  # least steps between two searches; a search costs as much as several steps
OUTSIDE = 1e4  # energy of a point outside the image's component; finite, in case all near it are
TEMPERATURE = 2.0  # of the encoder's targets: 2 is that of a unit-variance Gaussian likelihood
ELBO_BETA = 1.0  # weight of the KL to N(0, I) next to the distortion, in the last stage


class Prior:
    """`count` equal Gaussians, 2 to MOST_COMPONENTS, whose neighbours are SEPARATION apart.

    They are on a circle; if there are seven or more, one is in the middle. Together they have mean
    0 and, averaged over both axes, variance 1.
    """

    def __init__(self, count: int, device: torch.device | None = None) -> None:
        around = count if count <= MOST_AROUND else count - 1
        angles = 2 * math.pi * torch.arange(around, device=device) / around
        means = torch.stack([angles.cos(), angles.sin()], dim=1)
        if around < count:
            means = torch.cat([means.new_zeros(1, 2), means])
        share = (torch.pdist(means).min() / SEPARATION).square()
        radius = (means.square().mean() + share).rsqrt()
        self.means = radius * means
        self.variance = float(radius.square() * share)

    def component_kl(self, mu: Tensor, logvar: Tensor) -> Tensor:
        """Return the KL from N(mu, exp(logvar)) to each of K components, in nats.

        (N, 2) each -> (N, K).
        """
        return gaussian_kl(mu[:, None], logvar[:, None], self.means, self.variance)

    def cost(self, z: Tensor) -> Tensor:
        """Return each component's cost of the latents (N, 2), infinite outside its part: (N, K)."""
        energy = (z[:, None] - self.means).square().sum(dim=2) / (2 * self.variance)
        outside = (-energy).softmax(dim=1) < MARGIN
        return (BETA * energy).masked_fill(outside, math.inf)


Run = Callable[..., History]  # `run_stage`, or what takes its place
LayoutResult = tuple[Tensor, Prior, Tensor]


class Layout:
    """The first stage: the ELBO of a Gaussian VAE of small images, each with its component's prior.

    Spectral clustering finds the component of each image. The components are placed around the
    middle of the plane in the order of their mean images around the mean of all images.
    """

    def __init__(self, dataset: DigitDataset, count: int, generator: Generator) -> None:
        self.generator = generator
        images = dataset.images.view(-1, 1, 28, 28)
        self.images = functional.adaptive_avg_pool2d(images, LAYOUT_SIDE).flatten(1)
        self.prior = Prior(count, self.images.device)
        clusters = cluster(images[:, 0], count).to(self.images.device)
        self.components = self.places(clusters, count)[clusters]

    def places(self, clusters: Tensor, count: int) -> Tensor:
        """Return the component of the prior for each cluster: (count,)."""
        members = functional.one_hot(clusters, count).to(self.images.dtype)
        means = members.T @ (self.images - self.images.mean(dim=0)) / len(self.images)
        parts = torch.linalg.svd(means, full_matrices=False)
        x, y = (parts.U * parts.S)[:, :2].T
        order = torch.atan2(y, x).argsort()
        if count > MOST_AROUND:
            middle = (x.square() + y.square()).argmin()
            order = torch.cat([middle[None], order[order != middle]])
        return order.argsort()

    def step(self, model: GaussianVAE, index: Tensor, _progress: float) -> dict[str, Tensor]:
        x = self.images[index]
        recon, mu, logvar = model(x, self.generator)
        # A small pixel represents several pixels of the full-size image.
        reconstruction = (PIXELS / LAYOUT_SIDE**2) * mse(recon, x)
        own = self.components[index, None]
        kl = self.prior.component_kl(mu, logvar).gather(1, own).mean()
        return {"loss": reconstruction + kl, "reconstruction": reconstruction, "kl": kl}

    @torch.no_grad()
    def result(self, model: GaussianVAE) -> LayoutResult:
        """Return the latent of each image (N, 2), the prior, and each image's component (N,)."""
        return model.encode(self.images)[0], self.prior, self.components


class FreeLatents:
    """The second stage: each training image has its own posterior, N(z, SIGMA^2 I).

    In a search, a grid over the plane is shifted at random and decoded. Each image is offered the
    nearest point within the part of its component, after one Gauss-Newton step from there. It moves
    only if that lowers its negative ELBO. No gradient could move it as far. The decoder learns to
    draw it from its latent and from the last offer, which keeps other good places open: the encoder
    need not find the one place. Latents without an encoder: Bojanowski et al., "Optimizing the
    Latent Space of Generative Networks" (arXiv 1707.05776).
    """

    def __init__(
        self, model: VAE, dataset: DigitDataset, generator: Generator, start: LayoutResult
    ) -> None:
        self.model, self.dataset, self.generator = model, dataset, generator
        self.z, self.prior, self.components = start
        self.offers = self.z
        self.steps = 0  # since the last search

    def search_if_due(self, steps: int) -> None:
        """Count `steps` of training, and search once there were SEARCH_INTERVAL since the last."""
        self.steps += steps
        if self.steps >= SEARCH_INTERVAL:
            self.search()
            self.steps = 0

    @torch.no_grad()
    def search(self) -> None:
        """Offer each image a latent, and move it there if that is better."""
        shift = torch.rand(2, generator=self.generator, device=self.z.device) - 0.5
        points = plane(SIDE, self.z.device) + shift * (2 * REACH / (SIDE - 1))
        decoded = low_frequencies(decode_points(self.model, points))
        costs = self.prior.cost(points)
        found, self.offers = self.z.clone(), self.z.clone()
        for k in range(len(costs.T)):
            inside = costs[:, k].isfinite()
            part = points[inside], decoded[inside], costs[inside, k]
            for rows in (self.components == k).nonzero()[:, 0].split(DISTANCE_ROWS):
                x = self.dataset[rows]
                own = self.losses(x, self.model.decode(self.z[rows]), self.z[rows], k)
                offer, offered = self.nearest(x, k, *part)
                found[rows] = torch.where((offered < own)[:, None], offer, self.z[rows])
                self.offers[rows] = offer
        self.z = found

    def nearest(
        self, x: Tensor, k: int, points: Tensor, decoded: Tensor, costs: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the latents of images of component k, and their losses.

        A latent is the nearest point or, if that is better, one Gauss-Newton step from it.
        `points`, `decoded` and `costs`: the component's points, the coefficients of their images,
        and their costs in the component.
        """
        z = points[(squared_distances(low_frequencies(x), decoded) + costs).argmin(dim=1)]
        moved, recon = gauss_newton(self.model, x, z, 2 * REACH / (SIDE - 1))
        before = self.losses(x, recon, z, k)
        after = self.losses(x, self.model.decode(moved), moved, k)
        return torch.where((after < before)[:, None], moved, z), torch.minimum(after, before)

    def losses(self, x: Tensor, recon: Tensor, z: Tensor, k: int) -> Tensor:
        """Return the negative ELBO of images of component k, up to a constant: (N,)."""
        return distortion(recon, x) + self.prior.cost(z)[:, k]

    def step(self, model: VAE, index: Tensor, _progress: float) -> dict[str, Tensor]:
        x = self.dataset[index].repeat(2, 1)
        z = torch.cat([self.z[index], self.offers[index]])
        noise = torch.empty_like(z).normal_(generator=self.generator)
        terms = reconstruction_terms(model.decode(z + SIGMA * noise), x)
        logvar = torch.full_like(z, 2 * math.log(SIGMA))
        terms["kl"] = kl_to_mixture(self.prior.component_kl(z, logvar))
        return terms


class Amortisation:
    """The third stage: the encoder learns the posterior over its grid, and nothing else changes.

    The target is the posterior of a unit-variance Gaussian likelihood and the prior to the power of
    BETA / 2, within the component of the image. So the encoder is right about a copy only if it
    finds the component of the original. The target of a cell is the sum of its points' shares.
    """

    def __init__(
        self, model: VAE, dataset: DigitDataset, latents: FreeLatents, generator: Generator
    ) -> None:
        self.dataset, self.generator = dataset, generator
        self.components = latents.components
        self.low = low_frequencies(decode_points(model, model.points()))
        self.costs = latents.prior.cost(model.points()).T.contiguous()
        points_of_cells = model.points_of_cells()
        self.parts = []  # for each component: its cells, and its points' coefficients and costs
        for costs in self.costs:
            cells = costs.isfinite()[points_of_cells].any(dim=1).nonzero()[:, 0]
            points = points_of_cells[cells].flatten()
            low = self.low[points]
            self.parts.append((cells, low.T.contiguous(), low.square().sum(dim=1) + costs[points]))

    def step(self, model: VAE, index: Tensor, _progress: float) -> dict[str, Tensor]:
        copies = distorted(self.dataset[index], self.generator, 1.0)
        whole = torch.arange(len(index), device=index.device) % 4 == 0
        x = torch.where(whole[:, None], self.dataset[index], copies)
        cell_scores, near, point_scores = model.scores(x)
        low, components = low_frequencies(x), self.components[index]
        in_cells = self.cross_entropy_of_cells(cell_scores, low, components)
        energy = (low[:, None] - self.low[near]).square().sum(dim=2)
        energy = energy + self.costs[components[:, None], near].clamp(max=OUTSIDE)
        target = (-energy / TEMPERATURE).softmax(dim=1)
        near_by = functional.cross_entropy(point_scores, target)
        return {
            "loss": in_cells + near_by,
            "cross_entropy": in_cells,
            "cross_entropy_near": near_by,
        }

    def cross_entropy_of_cells(self, scores: Tensor, low: Tensor, components: Tensor) -> Tensor:
        """Return the cross-entropy of (B, cells^2) scores to the posterior over cells, in nats."""
        log_shares = scores.log_softmax(dim=1)
        total = torch.zeros((), device=scores.device)
        for k, (cells, points, costs) in enumerate(self.parts):
            rows = (components == k).nonzero()[:, 0]
            log_target = torch.addmm(
                costs, low[rows], points, beta=-1 / TEMPERATURE, alpha=2 / TEMPERATURE
            )
            target = log_target.softmax(dim=1).unflatten(1, (len(cells), -1)).sum(dim=2)
            total = total - (target * log_shares[rows[:, None], cells]).sum()
        return total / len(scores)


class EvidenceBound:
    """The fourth stage: encoder and decoder minimise the weighted negative ELBO together.

    The loss is the distortion of a reconstruction from a sample of the posterior, plus the KL from
    the posterior to N(0, I), weighted by ELBO_BETA. So the posterior of an image becomes as wide as
    the differences between its decoded images allow.
    """

    def __init__(self, dataset: DigitDataset, generator: Generator) -> None:
        self.dataset, self.generator = dataset, generator

    def step(self, model: VAE, index: Tensor, _progress: float) -> dict[str, Tensor]:
        x = self.dataset[index]
        recon, mu, logvar = model(x, self.generator)
        terms = reconstruction_terms(recon, x)
        terms["kl"] = kl_divergence(mu, logvar)
        return terms | {"loss": terms["loss"] + ELBO_BETA * terms["kl"]}


def reconstruction_terms(recon: Tensor, x: Tensor) -> dict[str, Tensor]:
    """Return the squared error and SSIM of a batch, and the distortion they add up to as "loss"."""
    squared_error = mse(recon, x)
    similarity = ssim(recon.view(-1, 28, 28), x.view(-1, 28, 28)).mean()
    loss = squared_error - SSIM_WEIGHT * similarity
    return {"loss": loss, "reconstruction": squared_error, "ssim": similarity}


def run_stage(
    name: str,
    model: nn.Module,
    stage: Any,
    batches: Mapping[str, Batches[Tensor]],
    lengths: Mapping[str, int],
    deadline: float = math.inf,
    after_epoch: Callable[[History], None] | None = None,
    begin: Callable[[Optimizer, LRScheduler], History] | None = None,
) -> History:
    """Train `model` by the steps of `stage`, but no longer than its share of the time left.

    It stops early, and prints that it did, if it would otherwise leave too little time before
    `deadline`, in `time.monotonic` seconds. `batches` and `lengths`, in epochs, are those of all
    stages. `begin` restores the optimizer and the scheduler, and returns the epochs that an earlier
    attempt made.
    """
    started = time.monotonic()
    deadline = started + TIME_SHARES[name] * (deadline - started)
    epochs, rate = lengths[name], LEARNING_RATES[name]
    steps = epochs * len(batches[name])
    optimizer = AdamW(model.parameters(), rate, betas=(0.9, 0.99), fused=True)
    scheduler = OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.2)
    history = fit(
        model,
        stage.step,
        batches[name],
        optimizer,
        scheduler,
        epochs=epochs,
        deadline=deadline,
        history=begin(optimizer, scheduler) if begin else None,
        after_epoch=after_epoch,
        ahead=AHEAD[name],
    )
    cut = scheduler.last_epoch < steps
    end = f", stopped by the clock after {scheduler.last_epoch} of {steps} steps" if cut else ""
    length = f"{steps} steps" if name == "layout" else f"{epochs} epochs"
    print(f"{name}: {length}, {time.monotonic() - started:.0f} s{end}", flush=True)
    return history


def train_vae(
    images: np.ndarray, components: int, device: torch.device, epochs: int, run: Run = run_stage
) -> tuple[VAE, History]:
    """Train a VAE on (N, ...) images: the layout, then `epochs` passes over the images.

    `components` is the number of clusters to divide the images into. The seed that torch was last
    given determines every random number, except in clustering, where the seed is fixed. `run` runs
    the stages. From then on, this process uses one thread of the CPU: batches are so small that two
    threads are hardly faster, and they add numbers in another order.
    """
    torch.set_num_threads(1)
    generator = Generator(device).manual_seed(torch.initial_seed())
    dataset = DigitDataset(images, device)
    batches = {
        name: ShuffledBatches(len(dataset), size, generator) for name, size in BATCH_SIZES.items()
    }
    lengths = {name: max(1, round(share * epochs)) for name, share in SHARES.items()}
    lengths["layout"] = math.ceil(LAYOUT_STEPS / len(batches["layout"]))
    model = VAE().to(device)
    print(f"Total number of parameters: {sum(p.numel() for p in model.parameters())}")

    scout = mlp_vae(LAYOUT_SIDE**2, LAYOUT_WIDTH).to(device)
    layout = Layout(dataset, components, generator)
    run = functools.partial(run, batches=batches, lengths=lengths)
    history = run("layout", scout, layout)
    latents = FreeLatents(model, dataset, generator, layout.result(scout))

    def search_between_epochs(passed: History) -> None:
        if len(passed) < lengths["latents"]:
            latents.search_if_due(len(batches["latents"]))

    history += run("latents", model, latents, after_epoch=search_between_epochs)
    history += run("encoder", model, Amortisation(model, dataset, latents, generator))
    history += run("elbo", model, EvidenceBound(dataset, generator))
    return model, history
