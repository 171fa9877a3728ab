from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from grader.assignment import Assignment, StageLimits, read_assignment
from grader.sandbox import isolation
from grader.sandbox.command import Level
from tests.conftest import shapes

A3_FILES = {"train": 120, "val": 15, "test_recon": 10, "test": 60}


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of small data sets with the file names of A3. Do not write to it."""
    folder = tmp_path_factory.mktemp("data")
    for seed, (name, count) in enumerate(A3_FILES.items()):
        images, labels = shapes(count, seed)
        np.savez(folder / f"mnist_1_4_8_{name}.npz", data=images, labels=labels)
    return folder


@pytest.fixture(scope="session")
def a3() -> Assignment:
    """Return A3 with limits for small programs, which a busy machine may run slowly."""
    full = read_assignment("a3")
    limits = StageLimits(seconds=120, memory_gib=1, disk_mib=4, files=50, processes=64, cpus=1)
    stages = [stage.model_copy(update={"limits": limits}) for stage in full.stage]
    return full.model_copy(update={"stage": stages})


@pytest.fixture(scope="session")
def level() -> Level:
    """Return this machine's best level for untrusted code; skip the test if it has none."""
    best = isolation.best_level()
    if best is Level.TRUSTED:
        pytest.skip(
            f"needs a sandbox; python -m grader doctor says how: {isolation.obstacle(Level.FULL)}"
        )
    return best


@pytest.fixture
def submit(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a submission's folder.

    It takes a dict from file names to contents and returns the path of the folder.
    """

    def write(files: dict[str, str | bytes], name: str = "submission") -> Path:
        folder = tmp_path / name
        for file, content in files.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return folder

    return write
