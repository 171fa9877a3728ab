"""A course with a code base of several modules, described by its file alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from grader.assessment.grade import Grade
from grader.assessment.pipeline import assess
from grader.assessment.stages import Settings
from grader.assignment import read_assignment
from grader.sandbox.command import Level

CS236 = read_assignment("cs236")
UTILS = """import math
import no_such_package_for_plots
import torch
from codebase.models.vae import VAE
from torch.nn import functional as F


def sample_gaussian(m, v):
    return m + v.sqrt() * torch.randn_like(m)


def log_normal(x, m, v):
    return -0.5 * ((x - m) ** 2 / v + v.log() + math.log(2 * math.pi)).sum(-1)


def log_normal_mixture(z, m, v):
    each = log_normal(z.unsqueeze(1), m, v)
    return torch.logsumexp(each, dim=1) - math.log(m.shape[1])


def log_bernoulli(x, logits):
    return -F.binary_cross_entropy_with_logits(logits, x, reduction='none').sum(-1)
"""
VAE = """import torch
from codebase import utils as ut
from codebase.models import nns
from torch import nn


class VAE(nn.Module):
    def __init__(self, nn='v1', name='vae', z_dim=2):
        super().__init__()
        network = getattr(nns, nn)
        self.enc, self.dec = network.Encoder(z_dim), network.Decoder(z_dim)

    def prior(self, z):
        return ut.log_normal(z, torch.zeros_like(z), torch.ones_like(z))

    def terms(self, x):
        m, v = self.enc(x)
        z = ut.sample_gaussian(m, v)
        kl = ut.log_normal(z, m, v) - self.prior(z)
        return kl, -ut.log_bernoulli(x, self.dec(z))

    def negative_elbo_bound(self, x):
        kl, rec = (term.mean() for term in self.terms(x))
        return kl + rec, kl, rec

    def negative_iwae_bound(self, x, iw):
        kl, rec = self.terms(x.repeat(iw, 1))
        bound = torch.logsumexp(-(kl + rec).reshape(iw, -1), dim=0) - torch.tensor(iw).log()
        return -bound.mean(), kl.mean(), rec.mean()
"""
GMVAE = """import torch
from codebase import utils as ut
from codebase.models.vae import VAE


class GMVAE(VAE):
    def __init__(self, nn='v1', z_dim=2, k=500, name='gmvae'):
        super().__init__(nn, name, z_dim)
        self.means = torch.nn.Parameter(torch.randn(1, k, z_dim))

    def prior(self, z):
        means = self.means.expand(len(z), -1, -1)
        return ut.log_normal_mixture(z, means, torch.ones_like(means))
"""
NETWORK = """import torch
from torch import nn


class Encoder(nn.Module):
    def __init__(self, z_dim):
        super().__init__()
        self.net = nn.Linear(784, 2 * z_dim)

    def forward(self, x):
        m, h = self.net(x).chunk(2, dim=1)
        return m, nn.functional.softplus(h) + 1e-8


class Decoder(nn.Sequential):
    def __init__(self, z_dim):
        super().__init__(nn.Linear(z_dim, 100), nn.ELU(), nn.Linear(100, 784))
"""
RUN = """import argparse
from codebase.models.vae import VAE

parser = argparse.ArgumentParser()
parser.add_argument('--z', type=int, required=True)
args = parser.parse_args()
vae = VAE(z_dim=args.z)
"""
FILES = {
    "run_vae.py": RUN,
    "run_gmvae.py": RUN,
    "codebase/__init__.py": "",
    "codebase/utils.py": UTILS,
    "codebase/models/__init__.py": "",
    "codebase/models/vae.py": VAE,
    "codebase/models/gmvae.py": GMVAE,
    "codebase/models/nns/__init__.py": "from . import v1\nplace = __file__\n",
    "codebase/models/nns/v1.py": NETWORK,
}


@pytest.fixture
def grade(tmp_path: Path, level: Level, submit: Callable[..., Path]) -> Callable[..., Grade]:
    """Return a function that grades the code base with one replacement in a file."""

    def run(file: str = "run_vae.py", old: str = "", new: str = "") -> Grade:
        assert old in FILES[file]
        folder = submit(FILES | {file: FILES[file].replace(old, new)})
        return assess(folder, CS236, Settings(tmp_path, level))

    return run


def lost(grade: Grade) -> set[str]:
    return {mark.name for mark in grade.marks if mark.value != 1}


def test_a_sound_code_base_gets_all_points(grade: Callable[..., Grade]) -> None:
    found = grade()
    assert lost(found) == set()
    assert float(found.points) == CS236.possible == 100


FAULTS = [
    ("codebase/utils.py", "v.sqrt() *", "v *", {"sample_spread"}),
    (
        "codebase/models/vae.py",
        "return kl + rec, kl, rec",
        "return kl - rec, kl, rec",
        {"elbo_sum"},
    ),
    ("codebase/utils.py", "- math.log(m.shape[1])", "", {"log_normal_mixture"}),
    ("codebase/models/gmvae.py", "class GMVAE", "class Mixture", {"gmvae_scalars", "gmvae_sum"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("file", "old", "new", "marks"), FAULTS)
def test_each_fault_costs_its_own_marks(
    grade: Callable[..., Grade], file: str, old: str, new: str, marks: set[str]
) -> None:
    assert marks <= lost(grade(file, old, new))
