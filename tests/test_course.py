"""The default recipe on the course's own data."""

from pathlib import Path

import pytest

from benchmarks.common import course_file, run_vae
from benchmarks.scores import classification, reconstruction


@pytest.mark.slow
def test_the_default_recipe_reaches_its_scores(course_data: Path, tmp_path: Path) -> None:
    run_vae(course_file("train"), course_file("val"), "train", cwd=tmp_path)
    scores = reconstruction(course_file("test"), tmp_path)
    assert scores["one_minus_mse"] >= 0.971
    assert scores["ssim"] >= 0.69
    assert classification(course_file("test"), tmp_path)["classification"] >= 0.97
