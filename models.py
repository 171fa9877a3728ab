"""The networks of the graded modes, and the blocks that they share with other networks."""

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

PIXELS = 784
CELL = 4  # points per side of a cell of the encoder's grid
NEAR = 8  # points per side of a cell with half a cell around it
WINDOW = 3  # points per side of the window from which the posterior of an image is computed
LEAST_VARIANCE = 1e-6  # of a posterior along an axis
REACH = 3.0  # the latent plane is [-3, 3] x [-3, 3]: all but 0.5 % of a standard normal


def plane(side: int, device: torch.device | None = None) -> Tensor:
    """Return the points of a square grid over the latent plane, row by row: (side * side, 2)."""
    axis = torch.linspace(-REACH, REACH, side, device=device)
    return torch.cartesian_prod(axis, axis)


def square(corner: Tensor, side: int, stride: int) -> Tensor:
    """Return the indices of side x side points that start at (B, 2) corners, in rows of `stride`.

    Returns (B, side * side).
    """
    steps = torch.arange(side, device=corner.device)
    rows, columns = corner[:, :1] + steps, corner[:, 1:] + steps
    return (stride * rows[:, :, None] + columns[:, None, :]).flatten(1)


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
    """Return a network (B, inputs) -> (B, outputs) with residual blocks of one width."""
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


class PlaneFeatures(nn.Module):
    """The features of a point of the plane that the decoder reads: (B, 2) -> (B, outputs).

    They are the point itself; a learned vector from each of several ever finer grids, interpolated
    bilinearly; and sine and cosine waves that repeat in every cell of the finest grid. Grids give a
    small network local detail: Müller et al., "Instant Neural Graphics Primitives" (arXiv
    2201.05989), section 3, without the hashing, which two dimensions do not need. Waves are the
    same in all cells, so what they represent, such as slant and size, is learned from all images at
    once: Tancik et al., "Fourier Features Let Networks Learn High Frequency Functions" (arXiv
    2006.10739).
    """

    def __init__(
        self, sides: tuple[int, ...] = (8, 16, 32), features: int = 16, waves: int = 7
    ) -> None:
        super().__init__()
        self.sides = sides
        self.outputs = 2 + len(sides) * features + 4 * waves
        self.tables = nn.ParameterList(0.1 * torch.randn(side * side, features) for side in sides)
        self.waves = waves

    def forward(self, z: Tensor) -> Tensor:
        unit = ((z + REACH) / (2 * REACH)).clamp(0, 1)
        parts = [z]
        for side, table in zip(self.sides, self.tables, strict=True):
            place = unit * (side - 1)
            corner = place.floor().clamp(max=side - 2)
            right, down = (place - corner).unbind(dim=1)
            # A NaN latent shows in `parts`; it must not become an index.
            first = (corner.nan_to_num() @ place.new_tensor([side, 1])).long()
            rows = first[:, None] + torch.tensor([0, 1, side, side + 1], device=z.device)
            left, up = 1 - right, 1 - down
            weights = torch.stack([left * up, left * down, right * up, right * down], dim=1)
            sums = functional.embedding_bag(rows, table, mode="sum", per_sample_weights=weights)
            parts.append(sums)
        numbers = torch.arange(1, self.waves + 1, device=z.device)
        angles = 2 * math.pi * (self.sides[-1] - 1) * (unit[:, :, None] * numbers).flatten(1)
        return torch.cat([*parts, angles.sin(), angles.cos()], dim=1)


class GaussianVAE(nn.Module):
    """A variational autoencoder with a Gaussian posterior (Kingma and Welling, arXiv 1312.6114).

    `encoder`: (B, pixels) -> (B, 4), means and log-variances; `decoder`: (B, 2) -> (B, pixels) in
    [0, 1]. Images are (B, ...) in [0, 1], latents (B, 2).
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and log-variance of the posterior of each image: (B, 2) each."""
        mu, logvar = self.encoder(x.flatten(1)).chunk(2, dim=1)
        return mu, logvar

    def reparameterize(
        self, mu: Tensor, logvar: Tensor, generator: Generator | None = None
    ) -> Tensor:
        """Sample z from N(mu, exp(logvar)) so that gradients reach mu and logvar: (B, 2)."""
        epsilon = torch.empty_like(mu).normal_(generator=generator)
        return mu + epsilon * (0.5 * logvar).exp()

    def decode(self, z: Tensor) -> Tensor:
        """Return the images of (B, 2) latents: (B, pixels) in [0, 1]."""
        return self.decoder(z)

    def forward(
        self, x: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return a reconstruction, (B, pixels), and the posterior's mu and logvar.

        In training mode, a sample from the posterior is decoded; in evaluation mode, its mean is.
        """
        mu, logvar = self.encode(x)
        z = self.reparameterize(mu, logvar, generator) if self.training else mu
        return self.decode(z), mu, logvar


class PlaneEncoder(nn.Module):
    """The networks that find where on the plane an image is: first roughly, then precisely.

    `cell_scores`: hidden layer (B, width) -> scores of all cells, (B, cells^2). `point_scores`:
    hidden layer, error of a first guess and its features -> how much more or less NEAR^2 points
    around the guess score than their cells.
    """

    def __init__(self, features: int, cells: int, width: int) -> None:
        super().__init__()
        self.hidden = residual_mlp(PIXELS, width, width)
        self.cell_scores = nn.Linear(width, cells**2)
        self.point_scores = residual_mlp(width + PIXELS + features, NEAR**2, width, blocks=1)


class VAE(GaussianVAE):
    """The graded network: a VAE with a 2-D latent, from (B, 784), (B, 28, 28) or (B, 1, 28, 28).

    The encoder scores the cells of a square grid over the plane, looks at what the decoder draws at
    the centre of the best cell, and then scores the points around that centre. This is iterative
    amortised inference: Marino et al. (arXiv 1807.09356). The softmax over the points next to the
    best one is a small picture of the posterior: its mean is mu, and its variance along each axis
    gives logvar. So an image that could be at two places need not be placed between them, and
    gradients still reach mu and logvar. This is integral regression: Sun et al. (arXiv 1711.08229).
    """

    encoder: PlaneEncoder
    decoder: nn.Sequential

    def __init__(self, cells: int = 64, width: int = 512, encoder_width: int = 512) -> None:
        features = PlaneFeatures()
        blocks = residual_mlp(features.outputs, PIXELS, width)
        encoder = PlaneEncoder(features.outputs, cells, encoder_width)
        super().__init__(encoder, nn.Sequential(features, blocks, nn.Sigmoid()))
        self.cells = cells
        self.side = cells * CELL  # points per side of the plane's grid

    def points(self) -> Tensor:
        """Return the points of the grid, row by row: (side^2, 2)."""
        return plane(self.side, next(self.parameters()).device)

    def points_of_cells(self) -> Tensor:
        """Return the indices of each cell's points: (cells^2, CELL^2)."""
        device = next(self.parameters()).device
        index = torch.arange(self.side**2, device=device)
        return index.view(self.cells, CELL, self.cells, CELL).transpose(1, 2).reshape(-1, CELL**2)

    def scores(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scores of cells, and indices and scores of the points around the best cell.

        The shapes are (B, cells^2), (B, NEAR^2) and (B, NEAR^2).
        """
        x = x.flatten(1)
        hidden = self.encoder.hidden(x)
        cell_scores = self.encoder.cell_scores(hidden)
        best = cell_scores.argmax(dim=1)
        corner = CELL * torch.stack([best // self.cells, best % self.cells], dim=1)
        corner = (corner - (NEAR - CELL) // 2).clamp(0, self.side - NEAR)
        near = square(corner, NEAR, self.side)
        with torch.no_grad():
            features = self.decoder[0](self.points()[near].mean(dim=1))
            error = x - self.decoder[1:](features)
        point_scores = self.encoder.point_scores(torch.cat([hidden, error, features], dim=1))
        cells = near // self.side // CELL * self.cells + near % self.side // CELL
        return cell_scores, near, point_scores + cell_scores.gather(1, cells)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _, near, point_scores = self.scores(x)
        return self.posterior(near, point_scores)

    def posterior(self, near: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar, (B, 2) each, from indices and scores of points, (B, NEAR^2)."""
        best = scores.argmax(dim=1)
        corner = torch.stack([best // NEAR, best % NEAR], dim=1)
        window = square((corner - WINDOW // 2).clamp(0, NEAR - WINDOW), WINDOW, NEAR)
        shares = scores.gather(1, window).softmax(dim=1)
        points = self.points()[near.gather(1, window)]
        mu = (shares[:, :, None] * points).sum(dim=1)
        variance = (shares[:, :, None] * (points - mu[:, None]).square()).sum(dim=1)
        return mu, (variance + LEAST_VARIANCE).log()
