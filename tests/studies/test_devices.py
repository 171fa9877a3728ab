"""A training run on two processes, started as by a user, compared with the same run on one."""

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vae
from studies.celeba.networks import VAE
from studies.shared.devices import Recorded

REPOSITORY = Path(vae.__file__).parent
# Each batch of 15 is shared unevenly, and the last batch, of one image, is left out.
LINE = "--latents 2 --size 32 24 --num-hidden 4 --epochs 3 --batch-size 15 --precision fp32"


@pytest.fixture
def portraits(tmp_path: Path) -> Path:
    """Return an .npz of smooth images that are quick to learn; 91 of them are for training."""
    generator = np.random.default_rng(0)
    shades = generator.integers(0, 255, (101, 2, 1, 3)).astype(np.uint8)
    images = shades.repeat(16, axis=1).repeat(24, axis=2)
    np.savez(tmp_path / "images.npz", data=images)
    return tmp_path / "images.npz"


def history(out: Path) -> np.ndarray:
    return np.loadtxt(out / "latent_2.csv", delimiter=",", skiprows=1)


@pytest.mark.slow
def test_two_processes_train_as_one_does(portraits: Path, tmp_path: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "VAE_DEVICE": "cpu"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    for name, start, devices in (
        ("one", [sys.executable], "1"),
        ("two", [sys.executable], "2"),
        ("torchrun", torchrun, "1"),
    ):
        words = [str(portraits), "celeba", str(tmp_path / name), *LINE.split()]
        subprocess.run(
            [*start, "vae.py", *words, "--devices", devices],
            cwd=REPOSITORY,
            env=environment,
            check=True,
            capture_output=True,
            timeout=300,
        )
    one, two, other = (history(tmp_path / name) for name in ("one", "two", "torchrun"))
    # The order of sums differs; batch normalisation uses the whole batch in both cases.
    assert two[:, 1] == pytest.approx(one[:, 1], rel=1e-4)
    assert two == pytest.approx(one, rel=0.02)
    assert (other == two).all()
    assert one[-1, 1] < one[0, 1]
    x = torch.rand(8, 3, 32, 24, generator=torch.Generator().manual_seed(0))
    recon = []
    for name in ("one", "two"):
        model = VAE(3, 4, 32, 32, 2, (32, 24)).eval()
        model.load_state_dict(torch.load(tmp_path / name / "celeba_latent_2.pth"))
        recon.append(model.decode(model.encode(x)[0]))
    assert torch.allclose(recon[0], recon[1], atol=2e-3)
    # One process resumes what two processes left.
    line = LINE.replace("--epochs 3", "--epochs 4").split()
    assert vae.main([str(portraits), "celeba", str(tmp_path / "two"), *line]) == 0
    assert len(history(tmp_path / "two")) == 4


class Halves(torch.nn.Module):
    """A small network with batch statistics and two outputs; the loss needs only one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))

    def forward(self, x: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.layers(x)
        return features.mean((2, 3)) * noise, features


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_recorded_steps_are_those_of_the_network() -> None:
    torch.manual_seed(0)
    plain = Halves().cuda().train()
    network = copy.deepcopy(plain)
    recorded = Recorded(network)
    optimizers = [torch.optim.SGD(part.parameters(), 0.1) for part in (plain, network)]
    for size in (8, 8, 5, 8):  # the third batch does not have the recorded size
        x, noise = torch.rand(size, 3, 9, 9).cuda(), torch.rand(size, 4).cuda()
        found = []
        parts: tuple[Callable[..., Any], ...] = plain, recorded
        for part, optimizer in zip(parts, optimizers, strict=True):
            optimizer.zero_grad(set_to_none=True)
            loss = part(x, noise)[0].square().mean()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        assert found[0] == pytest.approx(found[1], rel=1e-4)
    for one, other in zip(plain.state_dict().values(), network.state_dict().values(), strict=True):
        assert torch.allclose(one, other, atol=1e-4)
    assert network.eval()(x, noise)[0].shape == (8, 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_on_a_gpu_goes_on_where_it_ended(
    portraits: Path, tmp_path: Path, precision: str
) -> None:
    line = [*LINE.replace("fp32", precision).split(), "--device", "cuda"]
    words = [str(portraits), "celeba"]
    assert vae.main([*words, str(tmp_path / "whole"), *line]) == 0
    shorter = [*line, "--epochs", "1"]
    assert vae.main([*words, str(tmp_path / "parts"), *shorter]) == 0
    assert vae.main([*words, str(tmp_path / "parts"), *line]) == 0
    whole, parts = (history(tmp_path / name) for name in ("whole", "parts"))
    assert parts == pytest.approx(whole, rel=1e-3)
    assert np.isfinite(whole).all()
