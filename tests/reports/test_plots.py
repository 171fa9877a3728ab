import shutil
from pathlib import Path

import matplotlib.image
import pytest

import vae

PICTURES = {"reconstructions", "manifold", "latent_scatter", "mixture", "confusion", "losses"}


def plots(files: Path, model: Path, out: Path) -> int:
    return vae.main(
        [str(files / "train.npz"), str(files / "val.npz"), "plots", str(out), str(model)]
    )


def test_every_picture_is_written_the_same_twice(
    files: Path, trained: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        assert plots(files, trained / "vae.pth", tmp_path / name) == 0
    assert {path.stem for path in (tmp_path / "a").iterdir()} == PICTURES
    for path in (tmp_path / "a").iterdir():
        assert matplotlib.image.imread(path).std() > 0.01
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_picture_that_cannot_be_written_stops_all(
    files: Path, trained: Path, tmp_path: Path
) -> None:
    (tmp_path / "mixture.png").mkdir()
    assert plots(files, trained / "vae.pth", tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mixture.png"]


def test_without_a_history_there_are_no_loss_curves(
    files: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("vae.pth", "gmm_params.pkl"):
        shutil.copy(trained / name, tmp_path)
    assert plots(files, tmp_path / "vae.pth", tmp_path / "out") == 0
    assert "no loss curves" in capsys.readouterr().out
    assert {path.stem for path in (tmp_path / "out").iterdir()} == PICTURES - {"losses"}


@pytest.mark.parametrize(
    "content", ["", "epoch,loss\n1,much\n", "a,b\n1,2\n", "epoch\n1\n", "\0\0", "a,b\n1\n2,3,4\n"]
)
def test_a_damaged_history_is_an_error(
    files: Path, trained: Path, tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("vae.pth", "gmm_params.pkl"):
        shutil.copy(trained / name, tmp_path)
    (tmp_path / "vae.history.csv").write_text(content)
    assert plots(files, tmp_path / "vae.pth", tmp_path / "out") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()
