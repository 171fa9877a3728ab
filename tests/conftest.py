import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: each worker has one core

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from sklearn.datasets import load_digits

import recipe
import vae
from grader.sandbox import isolation
from studies.demo_data.writers import enlarge, write_mnist

# A busy machine must not make a test fail; fixtures that examples share are never written to.
settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("any machine")

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.hookimpl(tryfirst=True)  # before slow tests are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test in a browser as slow."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")


def pytest_report_header() -> str:
    return f"sandbox: {isolation.best_level()}"


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Give back the umask, which the grader's command line changes."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="module")  # while Playwright runs, no other event loop can
def chromium() -> Iterator[Any]:
    """Provide a Chromium that asks the network for nothing; skip the test if there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chrome")
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium, or playwright install chromium")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def course_data() -> Path:
    """Return the folder of real data sets; skip the test if there is none."""
    if "VAE_DATA" not in os.environ:
        pytest.skip("needs the course's data sets: set VAE_DATA to their folder")
    return Path(os.environ["VAE_DATA"])


def shapes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `count` images of upright bars, lying bars and rings, labelled 1, 4 and 8 in turn."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:28, :28]
    images = np.empty((count, 28, 28), np.uint8)
    labels = np.array([1, 4, 8])[np.arange(count) % 3]
    for i, label in enumerate(labels):
        v, u = y - generator.normal(13.5, 1), x - generator.normal(13.5, 1)
        bar = (abs(u) < 2) & (abs(v) < 9)
        lying = (abs(v) < 2) & (abs(u) < 9)
        ring = abs(np.hypot(u, v) - generator.normal(8, 0.5)) < 1.5
        images[i] = {1: bar, 4: lying, 8: ring}[label] * generator.integers(180, 256)
    return images, labels


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with train.npz, val.npz and test.npz in the course's format.

    Do not write to it.
    """
    folder = tmp_path_factory.mktemp("files")
    for seed, (name, count) in enumerate({"train": 384, "val": 15, "test": 30}.items()):
        images, labels = shapes(count, seed)
        np.savez(folder / f"{name}.npz", data=images, labels=labels)
    return folder


@pytest.fixture(scope="session")
def trained(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with vae.pth, gmm_params.pkl and vae.history.csv.

    The first of the parallel workers that needs it trains the model, once. Do not write to it.
    """
    parallel = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if parallel else base) / "trained"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            words = [str(files / name) for name in ("train.npz", "val.npz")]
            words += ["train", str(folder / "vae.pth"), "--epochs", "96"]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(recipe, "LAYOUT_STEPS", 300)
                assert vae.main(words) == 0
    return folder


@pytest.fixture(scope="session")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in torchvision's layout: 400 training and 100 test images of all digits."""
    folder = tmp_path_factory.mktemp("mnist")
    source = load_digits()
    images, labels = enlarge(source.images[:500]), source.target[:500].astype(np.uint8)
    parts = {"train": (images[:400], labels[:400]), "t10k": (images[400:], labels[400:])}
    write_mnist(folder / "MNIST" / "raw", parts)
    return folder
