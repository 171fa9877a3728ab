"""The networks of the graded modes, and the blocks that they share with others."""

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

PIXELS = 784
WINDOW = 3  # points a side: what the posterior of an image is made of
LEAST_VARIANCE = 1e-5  # of a posterior along an axis
REACH = 3.0  # the latent plane is [-3, 3] x [-3, 3]: all but 0.5 % of a standard normal


def plane(side: int, device: torch.device | None = None) -> Tensor:
    """The points of a square grid over the latent plane, row by row: (side * side, 2)."""
    axis = torch.linspace(-REACH, REACH, side, device=device)
    return torch.cartesian_prod(axis, axis)


class ResidualBlock(nn.Module):
    """x + f(x), where f is a layer norm and one hidden layer: (B, width) -> (B, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, width)
        self.contract = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.contract(functional.silu(self.expand(self.norm(x))))


def residual_mlp(inputs: int, outputs: int, width: int, blocks: int = 2) -> nn.Sequential:
    """(B, inputs) -> (B, outputs) through residual blocks of one width."""
    return nn.Sequential(
        nn.Linear(inputs, width),
        *(ResidualBlock(width) for _ in range(blocks)),
        nn.LayerNorm(width),
        nn.Linear(width, outputs),
    )


def mlp_vae(pixels: int, width: int) -> "GaussianVAE":
    """Return a plain VAE with a 2-D latent."""
    decoder = nn.Sequential(residual_mlp(2, pixels, width), nn.Sigmoid())
    return GaussianVAE(residual_mlp(pixels, 4, width), decoder)


class FeatureGrids(nn.Module):
    """A point of the plane, and what grids of ever finer mesh hold there: (B, 2) -> (B, outputs).

    A learned vector lies at each point of each grid; between them they are interpolated bilinearly.
    It gives a small network fine detail over a small space. Müller et al., "Instant Neural Graphics
    Primitives" (arXiv 2201.05989), section 3, without the hashing, which two dimensions can spare.
    """

    def __init__(self, sides: tuple[int, ...] = (16, 32, 64, 128), features: int = 16) -> None:
        super().__init__()
        self.sides = sides
        self.outputs = 2 + len(sides) * features
        self.tables = nn.ParameterList(0.1 * torch.randn(side * side, features) for side in sides)

    def forward(self, z: Tensor) -> Tensor:
        unit = ((z + REACH) / (2 * REACH)).clamp(0, 1)
        parts = [z]
        for side, table in zip(self.sides, self.tables, strict=True):
            place = unit * (side - 1)
            corner = place.floor().clamp(max=side - 2)
            right, down = (place - corner).unbind(dim=1)
            # A latent that is no number shows in `parts`; it must not become an index.
            first = (corner.nan_to_num() @ place.new_tensor([side, 1])).long()
            rows = first[:, None] + torch.tensor([0, 1, side, side + 1], device=z.device)
            left, up = 1 - right, 1 - down
            weights = torch.stack([left * up, left * down, right * up, right * down], dim=1)
            sums = functional.embedding_bag(rows, table, mode="sum", per_sample_weights=weights)
            parts.append(sums)
        return torch.cat(parts, dim=1)


class GaussianVAE(nn.Module):
    """A variational autoencoder with a Gaussian posterior (Kingma and Welling, arXiv 1312.6114).

    `encoder`: (B, pixels) -> (B, 4), means and log-variances; `decoder`: (B, 2) -> (B, pixels) in
    [0, 1]. Images are (B, ...) in [0, 1], latents (B, 2).
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the posterior of each image: (B, 2) each."""
        mu, logvar = self.encoder(x.flatten(1)).chunk(2, dim=1)
        return mu, logvar

    def reparameterize(
        self, mu: Tensor, logvar: Tensor, generator: Generator | None = None
    ) -> Tensor:
        """Draw z from N(mu, exp(logvar)) so that gradients reach both: (B, 2)."""
        epsilon = torch.empty_like(mu).normal_(generator=generator)
        return mu + epsilon * (0.5 * logvar).exp()

    def decode(self, z: Tensor) -> Tensor:
        """Return the images of (B, 2) latents: (B, pixels) in [0, 1]."""
        return self.decoder(z)

    def forward(
        self, x: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return a reconstruction, (B, pixels), and the posterior's mu and logvar.

        Decodes a draw from the posterior in training mode, and its mean in evaluation mode.
        """
        mu, logvar = self.encode(x)
        z = self.reparameterize(mu, logvar, generator) if self.training else mu
        return self.decode(z), mu, logvar


class VAE(GaussianVAE):
    """The graded network: a VAE with a 2-D latent, from (B, 784), (B, 28, 28) or (B, 1, 28, 28).

    The encoder has an output for each point of a square grid over the latent plane. The softmax in
    the window around the largest is a small picture of the posterior: its mean is mu, its variance
    along each axis gives logvar. So an image that could lie at two places need not lie between
    them, and gradients still reach both. Integral regression: Sun et al., arXiv 1711.08229.
    """

    def __init__(self, side: int = 64, width: int = 512) -> None:
        grids = FeatureGrids()
        encoder = residual_mlp(PIXELS, side * side, width=384)
        blocks = residual_mlp(grids.outputs, PIXELS, width)
        super().__init__(encoder, nn.Sequential(grids, blocks, nn.Sigmoid()))
        self.side = side

    def cells(self) -> Tensor:
        """Return the grid's points: (side * side, 2)."""
        return plane(self.side, next(self.parameters()).device)

    def scores(self, x: Tensor) -> Tensor:
        """Return the encoder's output for each point of the grid: (B, side * side)."""
        return self.encoder(x.flatten(1))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.posterior(self.scores(x))

    def posterior(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar, (B, 2) each, of the softmax around the highest score."""
        peak = scores.argmax(dim=1, keepdim=True)
        corner = torch.cat([peak // self.side, peak % self.side], dim=1)
        corner = (corner - WINDOW // 2).clamp(0, self.side - WINDOW)
        steps = torch.arange(WINDOW, device=scores.device)
        rows, columns = corner[:, :1] + steps, corner[:, 1:] + steps  # (B, WINDOW) each
        window = (self.side * rows[:, :, None] + columns[:, None, :]).flatten(1)
        shares = scores.gather(1, window).softmax(dim=1)
        points = self.cells()[window]
        mu = (shares[:, :, None] * points).sum(dim=1)
        variance = (shares[:, :, None] * (points - mu[:, None]).square()).sum(dim=1)
        return mu, (variance + LEAST_VARIANCE).log()
