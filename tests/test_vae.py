"""The command lines of the assignment, end to end, on small made-up data."""

import json
import operator
import os
import pickle
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import graded
import grader
import interruption
import recipe
import vae
from checkpoint import load_model
from inference import decode, encode
from models import VAE
from tests.conftest import shapes

ROOT = Path(vae.__file__).parent
OUTPUTS = ("vae.pth", "gmm_params.pkl", "vae.history.csv")


@pytest.fixture
def folder(files: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current directory: a copy of the data and the trained files that may be spoilt."""
    for path in (*files.iterdir(), *trained.iterdir()):
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def brief_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "LAYOUT_STEPS", 20)


BRIEFLY = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import recipe, vae
recipe.LAYOUT_STEPS = 20
sys.exit(vae.main(sys.argv[1:]))
"""


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run vae.py in a process of its own, with a brief layout."""
    command = [sys.executable, "-c", BRIEFLY, *words]
    environment = os.environ | environment
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def main(line: str) -> int:
    return vae.main(line.split())


def test_help_lists_the_modes(capsys: pytest.CaptureFixture[str]) -> None:
    assert vae.main([]) == 0
    bare = capsys.readouterr().out
    assert main("--help") == 0
    assert capsys.readouterr().out == bare
    for line in (
        "python vae.py TRAIN VAL train [vae.pth [gmm_params.pkl]]",
        "python vae.py TEST test_reconstruction [vae.pth]",
        "python vae.py TEST test_classifier [vae.pth [gmm_params.pkl]]",
        "python vae.py KIND demo_data OUT_DIR",
    ):
        assert line in bare


def test_the_version_is_the_grader_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("--version") == 0
    assert capsys.readouterr().out == f"vae.py {grader.__version__}\n"


@pytest.mark.parametrize("name", vae.GRADED | vae.extra_modes())
def test_the_help_of_every_mode_ends_in_a_command(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    modes = vae.GRADED | vae.extra_modes()
    said = []
    for words in ([*modes[name][0].split(), name, "--help"], [name, "--help"]):
        with pytest.raises(SystemExit) as exit_:
            vae.main(words)
        assert exit_.value.code == 0
        said.append(" ".join(capsys.readouterr().out.split()))
    assert said[0] == said[1]
    example = said[0].partition("Example: python vae.py ")[2]
    assert vae.find_mode(example.split(), modes) == name


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a b trian", "python vae.py TRAIN VAL train"),
        ("a train", "python vae.py TRAIN VAL train"),
        ("train a b", "python vae.py TRAIN VAL train"),
        ("a b test_classifer", "python vae.py TEST test_classifier"),
        ("data beta-vae out", "python vae.py DATA beta_vae OUT_DIR"),
        ("what is this", "what 'python vae.py' lists"),
    ],
)
def test_an_unknown_mode_is_an_error(
    line: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line) == 2
    out, err = capsys.readouterr()
    assert not out
    assert expected in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("line", ["segment segment out", "celeba celeba out", "train val train"])
def test_data_may_be_called_as_the_mode(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line) == 2
    assert capsys.readouterr().err.startswith(f"{line.split()[0]}: ")


def test_the_data_sets_are_not_swapped(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("val.npz train.npz train m.pth") == 2
    assert "val.npz: fewer images than in train.npz; expected TRAIN before VAL" in (
        capsys.readouterr().err
    )
    assert not Path("m.pth").exists()


def test_train_says_what_it_did(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("train.npz val.npz train new/folder/m.pth --epochs 2") == 0
    out = capsys.readouterr().out
    count = sum(p.numel() for p in VAE().parameters())
    assert f"Total number of parameters: {count}\n" in out
    assert "of 15 validation images" in out
    names = ("m.pth", "gmm_params.pkl", "m.history.csv", "m.training.json")
    assert f"wrote {', '.join(f'new/folder/{name}' for name in names)} in" in out
    record = json.loads((folder / "new/folder/m.training.json").read_text())
    assert record["epochs"] == 3, "one at least for each stage after the layout"
    assert record["seconds"] > 0
    assert "\r" not in out, "a progress line is for terminals"
    assert re.search(r"^layout: 21 steps, ", out, re.MULTILINE)
    assert re.search(r"^latents: 1 epochs, ", out, re.MULTILINE)
    rows = (folder / "new/folder/m.history.csv").read_text().splitlines()
    assert rows[0] == "epoch,loss,reconstruction,kl,ssim,cross_entropy,cross_entropy_near"
    assert [row.split(",")[0] for row in rows[1:]] == [str(epoch + 1) for epoch in range(10)]


def test_the_files_have_the_course_format(folder: Path) -> None:
    state = torch.load("vae.pth", weights_only=True)
    VAE().load_state_dict(state)
    mixture = pickle.loads(Path("gmm_params.pkl").read_bytes())
    assert set(mixture) == {"weights", "means", "covariances", "labels", "model_sha256"}
    assert sorted(mixture["labels"]) == [1, 4, 8]

    assert main("test.npz test_reconstruction vae.pth") == 0
    with np.load("vae_reconstructed.npz") as arrays:
        assert arrays.files == ["data"]
        recon = arrays["data"]
    images = np.load("test.npz")["data"]
    assert recon.dtype == np.float32
    assert recon.shape == images.shape
    assert recon.min() >= 0
    assert recon.max() <= 1
    error = np.square(recon - images / 255).mean(axis=(1, 2))
    assert error.mean() < np.square(images / 255 - (images / 255).mean(axis=0)).mean()

    assert main("test.npz test_classifier vae.pth gmm_params.pkl") == 0
    lines = Path("vae.csv").read_text().splitlines()
    assert lines[0] == "Predicted_Label"
    assert np.mean(np.array(lines[1:], int) == np.load("test.npz")["labels"]) > 0.9


def test_the_latents_of_the_answers_are_kept_where_the_grader_asks_for_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(Path("vae.pth"), torch.device("cpu"))
    images = np.load("test.npz")["data"] / 255
    assert main("test.npz test_reconstruction vae.pth") == 0
    assert not Path("vae_latents.npz").exists()
    monkeypatch.setenv("VAE_LATENTS", "vae_latents.npz")
    assert main("test.npz test_reconstruction vae.pth") == 0
    with np.load("vae_latents.npz") as arrays, np.load("vae_reconstructed.npz") as recon:
        again = decode(model, arrays["z"]).reshape(images.shape)
        np.testing.assert_array_equal(again, recon["data"])
    assert main("test.npz test_classifier vae.pth gmm_params.pkl") == 0
    with np.load("vae_latents.npz") as arrays:
        np.testing.assert_array_equal(arrays["z"], encode(model, images.astype(np.float32)))


def test_the_optional_paths_have_defaults(folder: Path) -> None:
    assert main("test.npz test_reconstruction") == 0
    assert main("test.npz test_classifier") == 0
    expected = (folder / "vae.csv").read_bytes()
    (folder / "elsewhere").mkdir()
    for name in OUTPUTS:
        shutil.move(name, folder / "elsewhere" / name)
    assert main("test.npz test_classifier elsewhere/vae.pth") == 0
    assert (folder / "vae.csv").read_bytes() == expected
    assert main("test.npz test_classifier") == 2


@pytest.mark.parametrize("shape", [(30, 1, 28, 28), (30, 784)])
def test_other_layouts_and_no_labels_give_the_same_answers(
    folder: Path, shape: tuple[int, ...]
) -> None:
    images = np.load("test.npz")["data"]
    np.savez("other.npz", data=images.reshape(shape) / 255)
    answers = []
    for name in ("test.npz", "other.npz"):
        assert main(f"{name} test_reconstruction") == 0
        assert main(f"{name} test_classifier") == 0
        answers.append((np.load("vae_reconstructed.npz")["data"], Path("vae.csv").read_bytes()))
    assert answers[1][0].shape == shape
    np.testing.assert_allclose(answers[1][0].reshape(30, 28, 28), answers[0][0], atol=1e-5)
    assert answers[0][1] == answers[1][1]


@pytest.mark.slow
def test_two_runs_give_the_same_bytes_on_any_number_of_threads(folder: Path) -> None:
    contents = []
    for name, threads in (("a", "1"), ("b", "2")):
        words = f"train.npz val.npz train {name}/vae.pth --epochs 3".split()
        process = run(*words, OMP_NUM_THREADS=threads)
        assert process.returncode == 0, process.stderr
        assert main(f"test.npz test_reconstruction {name}/vae.pth") == 0
        assert main(f"test.npz test_classifier {name}/vae.pth") == 0
        paths = [
            *(Path(name) / output for output in OUTPUTS),
            Path("vae_reconstructed.npz"),
            Path("vae.csv"),
        ]
        contents.append([path.read_bytes() for path in paths])
        time.sleep(2.1)  # time stamps in a zip have a resolution of 2 s
    assert contents[0] == contents[1]


@pytest.mark.slow
def test_labels_of_the_training_file_are_not_read(folder: Path) -> None:
    images = np.load("train.npz")["data"]
    expected = []
    for labels in ({}, {"labels": np.array([None])}, {"labels": np.arange(3)}):
        np.savez("other.npz", data=images, **labels)
        assert main("other.npz val.npz train other.pth other.pkl --epochs 1") == 0
        expected.append(Path("other.pth").read_bytes() + Path("other.pkl").read_bytes())
    assert expected[0] == expected[1] == expected[2]


@pytest.mark.slow
def test_labels_of_the_validation_file_do_not_reach_the_vae(folder: Path) -> None:
    images, labels = (np.load("val.npz")[name] for name in ("data", "labels"))
    contents = []
    for seed in range(2):
        np.savez("other.npz", data=images, labels=np.random.default_rng(seed).permutation(labels))
        assert main("train.npz other.npz train other.pth other.pkl --epochs 10") == 0
        contents.append([Path(f"other.{end}").read_bytes() for end in ("pth", "pkl")])
    assert contents[0][0] == contents[1][0]
    assert contents[0][1] != contents[1][1]


def test_the_order_and_company_of_test_images_do_not_matter(folder: Path) -> None:
    images = np.load("test.npz")["data"]
    np.savez("reversed.npz", data=images[::-1])
    np.savez("few.npz", data=images[:4])
    recon = []
    for name in ("test", "reversed", "few"):
        assert main(f"{name}.npz test_reconstruction") == 0
        recon.append(np.load("vae_reconstructed.npz")["data"])
    np.testing.assert_array_equal(recon[1], recon[0][::-1])
    np.testing.assert_array_equal(recon[2], recon[0][:4])


@pytest.mark.slow
def test_the_budget_stops_training_cleanly(folder: Path) -> None:
    process = run(
        "train.npz", "val.npz", "train", "short.pth", "--epochs", "100000", "--budget", "0.05"
    )
    assert process.returncode == 0, process.stderr
    assert "stopped by the clock after" in process.stdout
    assert main("test.npz test_reconstruction short.pth") == 0
    assert main("test.npz test_classifier short.pth") == 0


def test_a_full_disk_is_found_before_training(folder: Path) -> None:
    """A limit on file sizes imitates a full disk: the model exceeds it, the other files do not."""
    before = {p: p.read_bytes() for p in folder.iterdir()}
    limit = 1 << 20
    process = subprocess.run(
        [sys.executable, "-c", BRIEFLY, "train.npz", "val.npz", "train"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert process.returncode == 2
    assert process.stdout == "", "no training has begun"
    assert process.stderr.startswith("vae.pth: cannot be written (File too large); expected a file")
    assert "MiB of space" in process.stderr
    assert process.stderr.count("\n") == 1
    assert {p: p.read_bytes() for p in folder.iterdir()} == before


def test_a_disk_that_fills_up_later_leaves_the_old_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.read_bytes() for p in folder.iterdir()}
    monkeypatch.setattr(graded, "check_outputs", lambda *_: None)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        assert main("train.npz val.npz train --epochs 1") == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert capsys.readouterr().err.count("\n") == 1
    assert {p: p.read_bytes() for p in folder.iterdir()} == before


def heed_interrupts() -> None:
    """Restore the default action on SIGINT, which a shell disables for its background jobs."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def endless_training() -> Iterator[subprocess.Popen[str]]:
    """Start `train`, and yield its process one second after it prints its number of parameters."""
    words = ("train.npz", "val.npz", "train", "--epochs", "100000")
    command = [sys.executable, "-u", str(ROOT / "vae.py"), *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, preexec_fn=heed_interrupts
    ) as process:
        assert process.stdout is not None
        assert "parameters" in process.stdout.readline()
        time.sleep(1)
        yield process


def test_killed_training_leaves_the_old_files(folder: Path) -> None:
    before = {name: Path(name).read_bytes() for name in OUTPUTS}
    with endless_training() as process:
        process.kill()
    assert {name: Path(name).read_bytes() for name in OUTPUTS} == before


class Killed(BaseException):
    """What ends a training in these tests."""


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_bytes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three epochs are of the free latents, three of the encoder, and one of the whole network."""
    monkeypatch.setattr(recipe, "SEARCH_INTERVAL", 4)
    monkeypatch.setattr(interruption, "SAVE_INTERVAL", 0)
    save = interruption.SavedTraining.save
    line = "train.npz val.npz train {}.pth {}.pkl --epochs 6"
    assert main(line.format("whole", "whole")) == 0
    for epoch, place in (
        (2, "latents: goes on after 2 of 3"),
        (4, "encoder: goes on after 1 of 3"),
        (7, "elbo: goes on after 1 of 1"),
    ):
        left = iter(range(epoch))

        def kill(
            saved: interruption.SavedTraining,
            state: Callable[[], dict[str, Any]],
            left: Iterator[int] = left,
        ) -> None:
            save(saved, state)
            next(left)
            if operator.length_hint(left) == 0:
                raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(interruption.SavedTraining, "save", kill)
            with pytest.raises(Killed):
                main(line.format("killed", "killed"))
        assert Path("killed.state").exists()
        capsys.readouterr()
        assert main(line.format("killed", "killed")) == 0
        assert place in capsys.readouterr().out
        for ending in ("pth", "history.csv", "pkl"):
            assert Path(f"killed.{ending}").read_bytes() == Path(f"whole.{ending}").read_bytes()
        assert not list(Path().glob("*.state"))


def test_an_interrupt_is_no_traceback(folder: Path) -> None:
    with endless_training() as process:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_only_numpy_and_torch_are_imported(folder: Path) -> None:
    """The packages that torch itself imports, its optimizers included, do not count."""
    lines = (
        "test.npz test_reconstruction",
        "test.npz test_classifier",
        "train.npz val.npz train --epochs 1",
    )
    calls = "; ".join(f"assert vae.main({line.split()!r}) == 0" for line in lines)
    ours = f"sys.path.insert(0, {str(ROOT)!r}); import recipe, vae; recipe.LAYOUT_STEPS = 20; "
    torch_alone = (
        "import torch; torch.use_deterministic_algorithms(True); "
        "torch.optim.AdamW([torch.zeros(1, requires_grad=True)]).step()"
    )
    names = [packages_after(program) for program in (ours + calls, torch_alone)]
    own = {path.stem for path in ROOT.glob("*.py")} | {"grader"}
    assert names[0] - names[1] - own - sys.stdlib_module_names <= {"numpy"}


def packages_after(program: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has loaded after running `program`."""
    text = f"import sys; {program}; print(*sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in process.stdout.splitlines()[-1].split()}


def test_a_device_can_be_forced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_DEVICE", "nonsense")
    assert main("test.npz test_reconstruction --device cpu") == 0
    assert main("test.npz test_reconstruction") == 2
    monkeypatch.setenv("VAE_DEVICE", "cpu")
    assert main("test.npz test_reconstruction") == 0


def test_a_new_model_with_an_old_mixture_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = Path("gmm_params.pkl").read_bytes()
    assert main("train.npz val.npz train --epochs 1") == 0
    Path("gmm_params.pkl").write_bytes(old)
    capsys.readouterr()
    assert main("test.npz test_classifier") == 2
    assert "the mixture of another model" in capsys.readouterr().err


def spoil(name: str) -> None:
    """Create the wrong input that a case below names."""
    images, _ = shapes(6, 0)
    match name:
        case "one_class.npz":
            np.savez(name, data=images, labels=np.ones(6, int))
        case "eleven_classes.npz":
            np.savez(name, data=np.repeat(images, 2, axis=0)[:11], labels=np.arange(11))
        case "no_labels.npz":
            np.savez(name, data=images)
        case "folder":
            Path(name).mkdir()
        case "cut.pth":
            Path(name).write_bytes(Path("vae.pth").read_bytes()[:-1000])
        case "other.pth":
            torch.save(torch.nn.Linear(2, 2).state_dict(), name)
        case "text.pkl":
            Path(name).write_text("weights")
        case "no_means.pkl":
            Path(name).write_bytes(pickle.dumps({"weights": [1.0]}))
        case "three_numbers.pkl":
            value = {"weights": [1.0], "means": [[0.0, 0.0, 0.0]], "labels": [1]}
            Path(name).write_bytes(pickle.dumps(value | {"covariances": [np.eye(3).tolist()]}, 4))
        case "no_labels.pkl":
            value = pickle.loads(Path("gmm_params.pkl").read_bytes())
            del value["labels"]
            Path(name).write_bytes(pickle.dumps(value, 4))
        case "nested.pkl":
            value = pickle.loads(Path("gmm_params.pkl").read_bytes())
            nested: list[Any] = [0.0]
            for _ in range(40):
                nested = [nested, nested]
            Path(name).write_bytes(pickle.dumps(value | {"means": nested}, 4))
        case "pipe":
            os.mkfifo(name)
        case "vae_reconstructed.npz":
            shutil.copy("test.npz", name)
        case "crc.pth":
            content = bytearray(Path("vae.pth").read_bytes())
            content[len(content) // 3] ^= 0x40  # inside a large weight matrix
            Path(name).write_bytes(content)
        case "large.pth":
            torch.save({k: t * 1e30 for k, t in torch.load("vae.pth").items()}, name)
        case "full":
            Path(name).symlink_to("/proc")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("nothing.npz val.npz train", "nothing.npz: cannot be read"),
        ("train.npz folder train", "folder: a folder"),
        ("train.npz no_labels.npz train", "no 'labels'"),
        ("train.npz one_class.npz train", "1 class"),
        ("train.npz eleven_classes.npz train", "11 classes"),
        ("train.npz val.npz train train.npz", "another file has"),
        ("train.npz val.npz train vae.pth vae.pth", "another file has"),
        ("vae_reconstructed.npz test_reconstruction", "another file has"),
        ("train.npz val.npz train pipe", "pipe: cannot be written (it is not a regular file)"),
        ("test.npz test_reconstruction crc.pth", "crc.pth: a damaged file"),
        ("test.npz test_reconstruction large.pth", "large.pth: weights that lead to infinite"),
        ("test.npz test_classifier vae.pth nested.pkl", "no lists of numbers called means"),
        ("test.npz test_reconstruction --device meta", "device: 'meta'"),
        ("train.npz val.npz train folder", "folder: cannot be written"),
        ("train.npz val.npz train val.npz/vae.pth", "cannot be written"),
        ("train.npz val.npz train full/vae.pth", "cannot be written"),
        ("train.npz val.npz train a b c", "unrecognized arguments: c"),
        ("train.npz val.npz train .", "cannot be written (it is not a regular file)"),
        ("train.npz val.npz train --epochs 0", "--epochs 0: not above 0"),
        ("train.npz val.npz train --epochs many", "invalid int value: 'many'"),
        ("train.npz val.npz train --budget nan", "--budget nan: not a number of minutes"),
        ("train.npz val.npz train --epoch 3", "unrecognized arguments"),
        ("train.npz val.npz train --device tpu", "device: 'tpu'"),
        ("test.npz test_reconstruction nothing.pth", "nothing.pth: cannot be read"),
        ("test.npz test_reconstruction folder", "folder: a folder"),
        ("test.npz test_reconstruction cut.pth", "cut.pth: not a file that torch.load"),
        ("test.npz test_reconstruction other.pth", "other.pth: the weights of another network"),
        ("test.npz test_reconstruction gmm_params.pkl", "gmm_params.pkl: not a file"),
        ("test.npz test_classifier vae.pth nothing.pkl", "nothing.pkl: cannot be read"),
        ("test.npz test_classifier vae.pth text.pkl", "text.pkl: not a pickle of plain data"),
        ("test.npz test_classifier vae.pth no_means.pkl", "no lists of numbers called means"),
        ("test.npz test_classifier vae.pth three_numbers.pkl", "means of shape (1, 3)"),
        ("test.npz test_classifier vae.pth no_labels.pkl", "labels of type object"),
        ("test.npz test_classifier vae.pth vae.pth", "vae.pth: not a pickle of plain data"),
        ("tpu demo_data out", "KIND: 'tpu'"),
    ],
)
def test_a_mistake_is_one_line_and_touches_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], line: str, found: str
) -> None:
    for name in line.split():
        if not Path(name).exists():
            spoil(name.split("/")[0])
    for name in ("vae.csv", "vae_reconstructed.npz"):
        if not Path(name).exists():
            Path(name).write_text("old")
    before = {p: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    assert main(line) == 2
    out, err = capsys.readouterr()
    assert found in err
    assert "; expected " in err
    assert err.count("\n") == 1
    assert out == ""
    assert {p: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_model_trained_on_a_gpu_works_on_the_cpu(folder: Path) -> None:
    assert main("train.npz val.npz train --epochs 5 --device cuda") == 0
    assert main("test.npz test_classifier --device cpu") == 0
