from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import torch
from torch import nn

from checkpoint import load_model
from inference import (
    ROWS,
    decode,
    encode,
    gauss_newton,
    low_frequencies,
    reconstruct,
    search,
    squared_distances,
)
from losses import distortion
from models import VAE, GaussianVAE, plane
from tests.conftest import shapes


def model() -> VAE:
    torch.manual_seed(0)
    return VAE().eval()


def images(n: int) -> np.ndarray:
    return np.random.default_rng(0).random((n, 28, 28), np.float32)


def test_an_image_comes_out_the_same_whatever_comes_with_it() -> None:
    vae, x = model(), images(2 * ROWS + 7)
    together = encode(vae, x)
    for n in (1, 2, 7, ROWS - 1, ROWS, ROWS + 1):
        np.testing.assert_array_equal(encode(vae, x[:n]), together[:n])
    recon = reconstruct(vae, x)
    np.testing.assert_array_equal(reconstruct(vae, x[3:4]), recon[3:4])
    np.testing.assert_array_equal(reconstruct(vae, x[ROWS:]), recon[ROWS:])


def test_without_search_a_reconstruction_is_the_decoded_latent() -> None:
    vae, x = model(), images(5)
    with torch.inference_mode():
        expected = vae.decode(vae.encode(torch.from_numpy(x.reshape(5, 784)))[0]).numpy()
    for shape in ((5, 28, 28), (5, 1, 28, 28), (5, 784)):
        recon = reconstruct(vae, x.reshape(shape), encoder_only=True)
        assert recon.shape == shape
        assert recon.dtype == np.float32
        # Rounding depends on the size of the batch, and the waves amplify it.
        np.testing.assert_allclose(recon.reshape(5, 784), expected, atol=1e-4)


def test_decodes_float64_latents() -> None:
    assert decode(model(), np.zeros((3, 2))).shape == (3, 784)


def test_squared_distances_are_those_of_numpy_less_the_row_s_own_length() -> None:
    x, others = images(4).reshape(4, 784), images(9).reshape(9, 784)[::-1].copy()
    wide = x.astype(np.float64)
    expected = np.square(wide[:, None] - others).sum(axis=2) - np.square(wide).sum(axis=1)[:, None]
    found = squared_distances(torch.from_numpy(x), torch.from_numpy(others))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_low_frequencies_are_those_of_scipy_and_keep_distances() -> None:
    x = shapes(40, 0)[0] / np.float32(255)
    low = low_frequencies(torch.from_numpy(x.reshape(40, 784)))
    expected = scipy.fft.dctn(x.astype(np.float64), axes=(1, 2), norm="ortho")[:, :12, :12]
    np.testing.assert_allclose(low, expected.reshape(40, 144), atol=1e-4)
    whole, kept = (torch.pdist(v) for v in (torch.from_numpy(x.reshape(40, 784)), low))
    assert (kept <= whole + 1e-3).all()
    assert np.corrcoef(whole, kept)[0, 1] > 0.99


class Plate(GaussianVAE):
    """A decoder that is linear in z, so that one Gauss-Newton step is exact."""

    decoder: nn.Linear

    def __init__(self) -> None:
        super().__init__(nn.Identity(), nn.Linear(2, 784))


def test_a_gauss_newton_step_solves_least_squares_but_goes_no_farther_than_told() -> None:
    torch.manual_seed(0)
    plate, x, z = Plate(), torch.rand(6, 784), torch.zeros(6, 2)
    weights, bias = plate.decoder.weight.detach(), plate.decoder.bias.detach()
    expected = torch.linalg.lstsq(weights, (x - bias).T).solution.T
    with torch.no_grad():
        far, recon = gauss_newton(plate, x, z, 1e3)
        short, _ = gauss_newton(plate, x, z, 0.01)
    torch.testing.assert_close(far, expected, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(recon, bias.expand(6, 784))
    torch.testing.assert_close(short.norm(dim=1), torch.full((6,), 0.01))
    torch.testing.assert_close(
        short / 0.01, expected / expected.norm(dim=1, keepdim=True), atol=1e-2, rtol=0
    )


@pytest.mark.slow
def test_the_search_is_as_good_as_a_finer_grid_and_better_than_the_encoder(
    trained: Path, files: Path
) -> None:
    vae = load_model(trained / "vae.pth", torch.device("cpu"))
    x = np.load(files / "test.npz")["data"].reshape(30, 784) / np.float32(255)
    found, encoded = (
        distortion(torch.from_numpy(decode(vae, z)), torch.from_numpy(x))
        for z in (search(vae, x), encode(vae, x))
    )
    decoded = torch.from_numpy(decode(vae, plane(200).numpy()))
    exhaustive = torch.stack([distortion(decoded, image).min() for image in torch.from_numpy(x)])
    assert (found <= encoded + 1e-4).all()
    assert found.mean() < encoded.mean() - 0.1
    assert found.mean() < exhaustive.mean() + 0.1
