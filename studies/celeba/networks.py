"""The convolutional VAE of the CelebA assignment, with the assignment's names for its parts."""

import itertools

import torch
from torch import Tensor, nn

from studies.shared.batch_norm import BatchNorm2d
from studies.shared.networks import reparameterize

HALVINGS = 4
COLOURS = 3
SIZE = (218, 178)  # of CelebA's aligned images, height and width


def halved(size: tuple[int, int], times: int) -> tuple[int, int]:
    """Return the height and width after `times` convolutions with stride 2, which round up."""
    height, width = (-(-side // 2**times) for side in size)
    return height, width


class Encoder(nn.Module):
    """The encoder: (B, in_channels, H, W) -> mu and logvar, (B, latent) each."""

    def __init__(
        self, in_channels: int, num_hiddens: int, latent: int, size: tuple[int, int] = SIZE
    ) -> None:
        super().__init__()
        channels = [in_channels, *(num_hiddens * 2**i for i in range(HALVINGS))]
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(before, after, kernel_size=3, stride=2, padding=1),
                    BatchNorm2d(after),
                    nn.ReLU(),
                )
                for before, after in itertools.pairwise(channels)
            )
        )
        height, width = halved(size, HALVINGS)
        self.fc_mu = nn.Linear(channels[-1] * height * width, latent)
        self.fc_logvar = nn.Linear(channels[-1] * height * width, latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.blocks(x).flatten(1)
        return self.fc_mu(features), self.fc_logvar(features)


class Decoder(nn.Module):
    """The decoder: (B, latent) -> (B, COLOURS, H, W) in [0, 1], for any H and W."""

    def __init__(
        self, in_channels: int, num_hiddens: int, latent: int, size: tuple[int, int] = SIZE
    ) -> None:
        super().__init__()
        last = max(1, num_hiddens // 8)
        channels = [in_channels, max(1, num_hiddens // 2), max(1, num_hiddens // 4), last, last]
        sizes = [halved(size, times) for times in range(HALVINGS, -1, -1)]
        self.start = in_channels, *sizes[0]
        self.fc_dec = nn.Linear(latent, in_channels * sizes[0][0] * sizes[0][1])
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(doubling(before, after, target), BatchNorm2d(after), nn.LeakyReLU())
                for before, after, target in zip(channels, channels[1:], sizes[1:], strict=False)
            )
        )
        self.image = nn.Conv2d(last, COLOURS, kernel_size=3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        logits = self.image(self.blocks(self.fc_dec(z).unflatten(1, self.start)))
        # In bfloat16, a probability p above 0.998 would be 1, and log(1 - p) would be infinite.
        return logits.float().sigmoid()


def doubling(before: int, after: int, target: tuple[int, int]) -> nn.ConvTranspose2d:
    """Return a 4 x 4 transposed convolution with stride 2.

    Its padding gives exactly the target's height and width.
    """
    odd = target[0] % 2, target[1] % 2
    padding, output_padding = (1 + odd[0], 1 + odd[1]), odd
    return nn.ConvTranspose2d(
        before, after, kernel_size=4, stride=2, padding=padding, output_padding=output_padding
    )


class VAE(nn.Module):
    """A VAE of (B, enc_in_chnl, H, W) images in [0, 1] whose `size` is (H, W)."""

    def __init__(
        self,
        enc_in_chnl: int = 3,
        enc_num_hidden: int = 32,
        dec_in_chnl: int = 256,
        dec_num_hidden: int = 256,
        latent: int = 3,
        size: tuple[int, int] = SIZE,
    ) -> None:
        super().__init__()
        self.latent = latent
        self.encode = Encoder(enc_in_chnl, enc_num_hidden, latent, size)
        self.decode = Decoder(dec_in_chnl, dec_num_hidden, latent, size)

    @property
    def device(self) -> torch.device:
        """Return the device of the weights."""
        return self.encode.fc_mu.weight.device

    def weight_init(self, mean: float = 0.0, std: float = 0.02) -> None:
        """Sample the weights of every convolution from N(mean, std^2), and set its biases to 0.

        The default is that of Radford et al., "Unsupervised representation learning with deep
        convolutional GANs" (arXiv 1511.06434), section 4.
        """
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, mean, std)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def reparametrize(self, mu: Tensor, logvar: Tensor, noise: Tensor | None = None) -> Tensor:
        """Call `networks.reparameterize`, under the assignment's name."""
        return reparameterize(mu, logvar, noise=noise)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Decode the means of z."""
        return self.decode(self.encode(x)[0])

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return x_rec, mu and logvar."""
        mu, logvar = (part.float() for part in self.encode(x))
        return self.decode(self.reparametrize(mu, logvar, noise)), mu, logvar
