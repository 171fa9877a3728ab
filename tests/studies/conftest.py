from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from studies.demo_data import enlarge, write_mnist


@pytest.fixture(scope="session")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 training and 100 test images of all digits, as torchvision leaves MNIST."""
    folder = tmp_path_factory.mktemp("mnist")
    source = load_digits()
    images, labels = enlarge(source.images[:500]), source.target[:500].astype(np.uint8)
    parts = {"train": (images[:400], labels[:400]), "t10k": (images[400:], labels[400:])}
    write_mnist(folder / "MNIST" / "raw", parts)
    return folder
