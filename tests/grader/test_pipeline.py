import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader import metrics
from grader.artifacts import Deviations, read_predictions, read_reconstructions
from grader.assessment.copies import read_data_set, write_copy
from grader.assessment.grade import Grade, Mark, empty_grade
from grader.assessment.pipeline import assess, find_weights
from grader.assessment.stages import Settings, last_words
from grader.assignment import Assignment, read_assignment
from grader.display import result_page, results
from grader.errors import UserError
from grader.sandbox import isolation
from grader.sandbox.command import Level
from grader.sandbox.launcher import descendants
from grader.shipping.bundle import CORE, ROOT, path_of
from grader.verdicts import Verdict
from tests.grader.processes import command_lines, wait_until
from tests.grader.test_exploits import program

SCHEMA = json.loads((Path(__file__).parent / "results.schema.json").read_text())

Submit = Callable[..., Path]


def check_results(grade: Grade) -> dict:
    content = json.loads(json.dumps(results.to_gradescope(grade)))
    jsonschema.validate(content, SCHEMA)
    return content


@pytest.fixture(scope="module")
def honest(
    data_folder: Path, a3: Assignment, level: Level, tmp_path_factory: pytest.TempPathFactory
) -> Grade:
    folder = tmp_path_factory.mktemp("honest")
    (folder / "vae.py").write_text(program())
    return assess(folder, a3, Settings(data_folder, level))


def test_an_honest_submission_gets_a_result_that_explains_itself(honest: Grade) -> None:
    content = check_results(honest)
    names = ["unpack", "rules", "train", "size", "reconstruct", "classify", "probe"]
    assert [step.name for step in honest.steps] == names
    by_name = {test["name"]: test for test in content["tests"]}
    for name in ("Reconstruction", "Classification"):
        assert by_name[name]["max_score"] == 40
        assert 0 < by_name[name]["score"] <= 40
    assert content["score"] == float(sum(mark.points for mark in honest.marks))
    assert "Report: up to 20 points, marked by hand" in content["output"]
    page = result_page.render(honest)
    assert page.count("data:image/png;base64") == 2
    assert "http://" not in page.replace("http-equiv", "")


def test_an_appeal_comes_to_the_same(
    honest: Grade, data_folder: Path, a3: Assignment, level: Level, submit: Submit
) -> None:
    again = assess(submit({"vae.py": program()}), a3, Settings(data_folder, level))
    assert again.record == honest.record
    assert again.sha256 == honest.sha256
    assert again.marks == honest.marks
    assert [step.verdict for step in again.steps] == [step.verdict for step in honest.steps]


def test_the_score_is_that_of_the_files_scored_by_themselves(
    trained: Path, data_folder: Path, a3: Assignment, level: Level, tmp_path: Path
) -> None:
    """This project's own program is graded, and then run and scored by hand."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "grader").mkdir()
    (folder / "grader" / "__init__.py").touch()
    for path in map(path_of, (*CORE, "interruption", "preflight", "vae")):
        shutil.copy(ROOT / path, folder / path)
    for name in ("vae.pth", "gmm_params.pkl"):
        shutil.copy(trained / name, folder)
    limits = a3.stage[1].limits.model_copy(update={"memory_gib": 4, "seconds": 120})
    roomy = [stage.model_copy(update={"limits": limits}) for stage in a3.stage]
    grade = assess(folder, a3.model_copy(update={"stage": roomy}), Settings(data_folder, level))
    assert {flag.source for flag in grade.flags} <= {"rules"}
    assert [str(step.verdict) for step in grade.steps if step.name != "train"] == ["OK"] * 6

    recon, test = (data_folder / f"mnist_1_4_8_{name}.npz" for name in ("test_recon", "test"))
    for path, mode in ((recon, "test_reconstruction"), (test, "test_classifier")):
        subprocess.run([sys.executable, "vae.py", path, mode, "vae.pth"], cwd=folder, check=True)
    images = np.load(recon)["data"] / 255
    path = folder / "vae_reconstructed.npz"
    expected = metrics.reconstruction_scores(
        images, read_reconstructions(path, Deviations(path), 10)
    )
    for name, score in grade.marks[0].parts.items():  # the grader's images are perturbed
        assert score.value == pytest.approx(expected[name].value, abs=0.002)
    path = folder / "vae.csv"
    predicted = read_predictions(path, Deviations(path), 60)
    expected = metrics.classification_scores(np.load(test)["labels"], predicted)
    assert grade.marks[1].value == pytest.approx(expected["classification"].value, abs=1e-12)


OTHER = """
name = "stripes"
title = "Upright or lying"
program = "main.py"
manual = [{ title = "Poster", points = 5.5 }]

[data.pictures]
file = "pictures.npz"
shuffled = true

[[stage]]
name = "tell"
words = ["--input", "{pictures}", "--output=answer.csv"]
makes = ["answer.csv"]

[artefact."answer.csv"]
kind = "labels"
of = "pictures"
column = "upright"

[[metric]]
name = "told"
title = "Told apart"
artefact = "answer.csv"
parts = { accuracy = 1 }
points = 12.5

[[probe]]
kind = "order"
stage = "tell"
artefact = "answer.csv"
limit = 1
"""

TELLER = """
import argparse
import numpy as np
parser = argparse.ArgumentParser()
parser.add_argument("--input")
parser.add_argument("--output")
words = parser.parse_args()
x = np.load(words.input)["data"]
upright = x.std(axis=2).mean(axis=1) > x.std(axis=1).mean(axis=1)
np.savetxt(words.output, upright, fmt="%d", header="upright", comments="")
"""


def test_another_assignment_needs_no_other_grader(
    tmp_path: Path, submit: Submit, level: Level
) -> None:
    """It has one stage, another program and command line, other image sizes and another metric."""
    (tmp_path / "stripes.toml").write_text(OTHER)
    images, labels = np.zeros((40, 12, 16), np.uint8), np.arange(40) % 2
    images[labels == 1, :, 3:5], images[labels == 0, 5:7, :] = 255, 255
    np.savez(tmp_path / "pictures.npz", data=images, labels=labels)
    assignment = read_assignment(str(tmp_path / "stripes.toml"))
    grade = assess(submit({"main.py": TELLER}), assignment, Settings(tmp_path, level))
    assert [str(step.verdict) for step in grade.steps] == ["OK"] * 4
    assert grade.points == Decimal("12.50")
    assert check_results(grade)["tests"][-1]["max_score"] == 12.5
    assert result_page.render(grade)


def test_weights_are_taken_from_the_first_place_that_has_them(
    submit: Submit, data_folder: Path, a3: Assignment, level: Level, tmp_path: Path
) -> None:
    settings = Settings(data_folder, level, only=("train",))
    plain = submit({"vae.py": program()})
    assert assess(plain, a3, settings).step("train").verdict is Verdict.OK
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    for name in ("vae.pth", "gmm_params.pkl"):
        (fetched / name).write_bytes(b"weights")
    with_weights = Settings(data_folder, level, weights_folder=fetched)
    assert assess(plain, a3, with_weights).weights == "fetched"
    included = submit({"vae.py": program(), "vae.pth": b"x", "gmm_params.pkl": b"y"}, "included")
    grade = assess(included, a3, with_weights)
    assert grade.weights == "included"
    assert grade.step("train").verdict is Verdict.SKIPPED
    assert grade.step("reconstruct").verdict is Verdict.RUNTIME_ERROR
    assert grade.points == 0
    again = assess(included, a3, Settings(data_folder, level, train=True))
    assert again.weights == "trained"
    assert again.points > 0
    half = submit({"vae.py": program(), "vae.pth": b"x"}, "half")
    assert assess(half, a3, Settings(data_folder, level)).weights == "trained"


NAMES = ["vae.pth", "gmm_params.pkl"]
HELD = st.sets(st.sampled_from(NAMES))


@given(
    included=HELD,
    fetched=HELD,
    places=st.lists(st.sampled_from(["included", "fetched", "trained"]), unique=True),
)
def test_what_is_there_is_used_or_all_is_trained(
    included: set[str],
    fetched: set[str],
    places: list[Literal["included", "fetched", "trained"]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("weights")
    held: dict[str, set[str]] = {"included": included, "fetched": fetched}
    for place, names in held.items():
        (home / place).mkdir()
        for name in names:
            (home / place / name).touch()
    task = read_assignment("a3").model_copy(update={"weights": places})
    grade = empty_grade(task, "x")
    bench: Any = SimpleNamespace(
        assignment=task,
        settings=SimpleNamespace(train=False, weights_folder=home / "fetched"),
        submission=SimpleNamespace(folder=home / "included"),
        made={},
        grade=grade,
    )
    find_weights(bench)
    trained = "trained" in places
    before = places[: places.index("trained")] if trained else places
    there = set().union(*(held[place] for place in before))
    if trained and there != {*NAMES}:
        assert (grade.weights, bench.made) == ("trained", {})
        return
    assert set(bench.made) == there
    whole = [place for place in before if held[place] == {*NAMES}]
    if whole:
        assert grade.weights == whole[0]
        assert {path.parent.name for path in bench.made.values()} == {whole[0]}
    for name, path in bench.made.items():
        assert path == home / path.parent.name / name
        assert path.parent.name in grade.weights


def test_weights_in_two_places_are_put_together(
    submit: Submit, data_folder: Path, a3: Assignment, level: Level, tmp_path: Path
) -> None:
    home = submit({"vae.py": program()})
    sets = [str(data_folder / f"mnist_1_4_8_{name}.npz") for name in ("train", "val")]
    command = [sys.executable, "vae.py", *sets, "train", "vae.pth", "gmm_params.pkl"]
    subprocess.run(command, cwd=home, check=True, capture_output=True)
    (tmp_path / "fetched").mkdir()
    (home / "vae.pth").rename(tmp_path / "fetched" / "vae.pth")
    settings = Settings(data_folder, level, weights_folder=tmp_path / "fetched")
    grade = assess(home, a3, settings)
    assert grade.weights == "vae.pth fetched, gmm_params.pkl included"
    assert f"the weights are put together: {grade.weights}" in grade.remarks
    assert all(mark.value for mark in grade.marks)
    task = a3.without_training()
    alone = assess(submit({"vae.py": program()}, "alone"), task, settings)
    assert alone.step("train").message.endswith("the submission has no gmm_params.pkl")
    assert alone.step("reconstruct").verdict is Verdict.OK
    assert alone.step("classify").message == "there is no gmm_params.pkl to go on with"
    assert alone.mark("reconstruction").value


def test_a_failed_stage_leaves_the_marks_of_the_others(
    submit: Submit, data_folder: Path, a3: Assignment, level: Level
) -> None:
    after = "def reconstruct(test_path, model_path):\n    raise KeyError('mu')"
    grade = assess(submit({"vae.py": program(after=after)}), a3, Settings(data_folder, level))
    assert grade.step("reconstruct").verdict is Verdict.RUNTIME_ERROR
    assert grade.step("reconstruct").message.startswith(
        "the program ended with an error: KeyError in vae.py, line "
    )
    assert grade.marks[0].points == 0
    assert grade.marks[1].points > 20
    check_results(grade)


def test_a_submission_that_cannot_be_opened_gets_a_result_too(
    tmp_path: Path, data_folder: Path, a3: Assignment, level: Level
) -> None:
    (tmp_path / "submission.zip").write_bytes(b"no zip")
    grade = assess(tmp_path / "submission.zip", a3, Settings(data_folder, level))
    assert grade.step("unpack").verdict is Verdict.WRONG_FORMAT
    content = check_results(grade)
    assert content["score"] == 0
    assert str(tmp_path) not in json.dumps(content)
    assert result_page.render(grade)


def test_a_format_penalty_is_taken_where_the_assignment_says_so(
    submit: Submit, data_folder: Path, a3: Assignment, level: Level
) -> None:
    text = program().replace('"Predicted_Label"', '"label"').replace("[label]", "[float(label)]")
    folder = submit({"vae.py": text.replace('["label"]', '["predicted label"]')})
    settings = Settings(data_folder, level)
    lenient = assess(folder, a3, settings)
    strict = assess(folder, a3.model_copy(update={"format_penalty": 0.1}), settings)
    assert lenient.marks[1].value == strict.marks[1].value
    assert float(strict.marks[1].points) == pytest.approx(
        0.9 * float(lenient.marks[1].points), abs=0.01
    )
    assert strict.marks[0].points == lenient.marks[0].points


def test_a_stage_that_took_long_earns_a_remark(
    submit: Submit, data_folder: Path, a3: Assignment, level: Level
) -> None:
    limits = a3.stage[0].limits.model_copy(update={"remark_seconds": 0.01})
    slow = [a3.stage[0].model_copy(update={"limits": limits}), *a3.stage[1:]]
    task = a3.model_copy(update={"stage": slow})
    grade = assess(submit({"vae.py": program()}), task, Settings(data_folder, level))
    assert any("train took 0 minutes" in remark for remark in grade.remarks)


def test_points_are_rounded_once_and_to_the_nearest_cent() -> None:
    assert Mark("a", "A", 40, value=0.745).points == Decimal("29.80")
    assert Mark("a", "A", 1, value=0.005).points == Decimal("0.01")
    assert Mark("a", "A", 1, value=1.005).points == Decimal("1.00")
    assert Mark("a", "A", 3, value=-0.2).points == 0
    assert Mark("a", "A", 3).points == 0


def test_missing_data_is_the_graders_mistake(
    submit: Submit, a3: Assignment, tmp_path: Path, level: Level
) -> None:
    with pytest.raises(UserError, match=r"mnist_1_4_8_train\.npz: no such file"):
        assess(submit({"vae.py": program()}), a3, Settings(tmp_path, level))


def test_a_data_set_is_taken_under_any_of_its_names(
    submit: Submit, data_folder: Path, a3: Assignment, level: Level, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(data_folder, folder)
    (folder / "mnist_1_4_8_val.npz").rename(folder / "mnist_1_4_8_val_recon.npz")
    grade = assess(submit({"vae.py": program()}), a3, Settings(folder, level))
    usual = assess(submit({"vae.py": program()}), a3, Settings(data_folder, level))
    assert grade.marks == usual.marks
    assert grade.record["data"] == usual.record["data"]
    (folder / "mnist_1_4_8_val_recon.npz").unlink()
    with pytest.raises(UserError, match=r"mnist_1_4_8_val\.npz: no such file"):
        assess(submit({"vae.py": program()}), a3, Settings(folder, level))


def test_a_copy_shows_no_label_and_answers_come_back_in_order(
    data_folder: Path, a3: Assignment, tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    data = read_data_set("test", a3.data["test"], data_folder, 0)
    assert data.labels is not None
    write_copy(data, tmp_path / "copy.npz", generator)
    original = np.load(data_folder / "mnist_1_4_8_test.npz")
    with np.load(tmp_path / "copy.npz") as copy:
        assert copy["data"].dtype == original["data"].dtype
        assert copy["labels"].dtype == original["labels"].dtype
        assert set(copy["labels"]) <= {1, 4, 8}
        assert (copy["labels"] == data.labels[data.order]).mean() < 0.6
        assert not np.array_equal(copy["data"], original["data"])
        assert np.array_equal(data.restore(copy["data"]), data.stored)
    val = read_data_set("val", a3.data["val"], data_folder, 0)
    assert val.labels is not None
    write_copy(val, tmp_path / "val.npz", generator)
    with np.load(tmp_path / "val.npz") as copy:
        assert np.array_equal(copy["labels"], val.labels)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_perturbed_images_differ_by_one_grey_value_and_always_alike(
    tmp_path: Path, a3: Assignment, data_folder: Path, dtype: type
) -> None:
    stored = np.load(data_folder / "mnist_1_4_8_test.npz")["data"]
    scale = 1 if dtype is np.uint8 else 255
    np.savez(tmp_path / "mnist_1_4_8_test.npz", data=(stored / scale).astype(dtype))
    part = a3.data["test"]
    once, again = (read_data_set("test", part, tmp_path, 0) for _ in range(2))
    assert np.array_equal(once.stored, again.stored)
    assert once.stored.dtype == dtype
    plain = read_data_set("test", part.model_copy(update={"perturbed": False}), tmp_path, 0)
    change = (once.images - plain.images) * 255
    assert np.abs(change).max() == pytest.approx(1, abs=1e-3)
    assert (np.abs(change) > 0.5).reshape(len(stored), -1).any(axis=1).all()
    background = (plain.images == 0) | (plain.images == 1)
    assert (change[background] == 0).all()
    assert np.array_equal(once.order, plain.order)


SLEEPER = "import sys, time\nprint('{mark}')\ntime.sleep(1 if '{word}' in sys.argv else 0)\n"


@pytest.mark.parametrize(
    "word",
    [
        "train",
        pytest.param("test_reconstruction", marks=pytest.mark.slow),
        pytest.param("test_classifier", marks=pytest.mark.slow),
    ],
)
def test_a_grader_that_is_killed_leaves_a_result_and_nothing_else(
    submit: Submit, data_folder: Path, tmp_path: Path, level: Level, word: str
) -> None:
    folder = submit({"vae.py": program(SLEEPER.format(mark=tmp_path.name, word=word))})
    out = tmp_path / "out"
    options = ["--data", str(data_folder), "--out", str(out)]
    words = [sys.executable, "-m", "grader", "run", str(folder), *options]
    grader = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)
    while not (begun := at_work(word, grader.pid)):
        assert grader.poll() is None
        time.sleep(0.01)
    grader.send_signal(signal.SIGKILL)
    grader.wait()
    wait_until(lambda: not begun & dict(command_lines()).keys())
    assert [path.name for path in out.iterdir()] == ["results.json"]
    left = json.loads((out / "results.json").read_text())
    jsonschema.validate(left, SCHEMA)
    assert left["output"].startswith("Grading has started.")
    subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    whole = json.loads((out / "results.json").read_text())
    jsonschema.validate(whole, SCHEMA)
    assert "Grading has started." not in whole["output"]
    assert {path.stat().st_mode & 0o077 for path in (out, *out.iterdir())} == {0}


def at_work(word: str, grader: int) -> set[int]:
    """Return the processes, started by a grader, that are running a stage of a submission."""
    running = (pid for pid, words in command_lines() if words[1:2] == ["vae.py"] and word in words)
    return set(running) & set(descendants(grader))


@pytest.mark.parametrize("other", [Level.CONFINED, Level.TRUSTED])
def test_every_level_comes_to_the_same_marks(
    honest: Grade, submit: Submit, data_folder: Path, a3: Assignment, other: Level
) -> None:
    if (why := isolation.obstacle(other)) is not None:
        pytest.skip(why)
    grade = assess(submit({"vae.py": program()}), a3, Settings(data_folder, other))
    if other is Level.TRUSTED:  # private images are not perturbed
        values = [mark.value for mark in honest.marks]
        assert [mark.value for mark in grade.marks] == pytest.approx(values, abs=0.002)
    else:
        assert grade.marks == honest.marks
    assert grade.record["level"] == str(other)


LINES = st.one_of(
    st.text(max_size=40),
    st.builds('File "{}/{}.py", line {}'.format, st.text(), st.text(), st.integers(0, 99_999)),
    st.builds('File "ran/vae.py", line {}'.format, st.integers(0, 99_999)),
    st.builds('File "ran/{}", line {}'.format, st.text(), st.integers(0, 99_999)),
    st.builds("{}: {}".format, st.sampled_from(["ValueError", "print", "x"]), st.text()),
)


@given(lines=st.lists(LINES, max_size=5))
def test_last_words_that_students_must_not_read_say_only_where(
    tmp_path: Path, lines: list[str]
) -> None:
    (tmp_path / "vae.py").write_text("one\ntwo\n")
    told = last_words("\n".join(lines), Path("ran"), tmp_path, whole=False)
    assert re.fullmatch(
        r"nothing was printed|(ValueError|an error of its own)( in vae\.py, line [1-3])?", told
    )


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("import numpy as np\n\nnp.load('no.npz')\n", "FileNotFoundError in vae.py, line 3"),
        (
            "from torch import nn\nnn.Linear(2, 2).load_state_dict({'x': 1})\n",
            "RuntimeError in vae.py, line 2",
        ),
        ("import inner.net\n", "ZeroDivisionError in inner/net.py, line 1"),
        (
            "class OwnError(Exception): pass\nraise OwnError(3)\n",
            "an error of its own in vae.py, line 2",
        ),
    ],
)
def test_an_error_is_placed_in_the_student_s_own_file(
    tmp_path: Path, program: str, told: str
) -> None:
    ran, home = tmp_path / "work", tmp_path / "submission"
    for folder in (ran, home):
        (folder / "inner").mkdir(parents=True)
        (folder / "vae.py").write_text(program)
        (folder / "inner" / "net.py").write_text("1 / 0\n")
    words = [sys.executable, "vae.py"]
    done = subprocess.run(words, cwd=ran, capture_output=True, text=True, check=False)
    assert last_words(done.stderr, ran, home, whole=False) == told
    whole = last_words(done.stderr, ran, home, whole=True)
    assert whole.endswith(told[told.index(" in ") :])
    assert str(ran) not in whole


@pytest.mark.parametrize(("count", "dtype"), [(1, np.uint8), (2, np.float32), (3, np.float64)])
def test_few_images_of_any_type_raise_no_alarm(
    submit: Submit,
    a3: Assignment,
    data_folder: Path,
    level: Level,
    tmp_path: Path,
    count: int,
    dtype: type,
) -> None:
    scale = 1 if dtype is np.uint8 else 255
    for path in data_folder.iterdir():
        with np.load(path) as arrays:
            kept = dict(arrays)
        if "test" in path.name:
            kept = {name: values[:count] for name, values in kept.items()}
        kept["data"] = (kept["data"] / scale).astype(dtype)
        np.savez(tmp_path / path.name, **kept)
    folder = submit({"vae.py": program().replace(" / 255", f" / {255 // scale}")})
    grade = assess(folder, a3, Settings(tmp_path, level))
    assert grade.step("probe").verdict is Verdict.OK
    assert [flag for flag in grade.flags if "could not" in flag.evidence] == []
    assert [flag for flag in grade.flags if "no answers" in flag.evidence] == []


def test_labels_of_no_class_are_remarked_upon(
    submit: Submit, data_folder: Path, a3: Assignment, level: Level
) -> None:
    after = """
        def classify(test_path, model_path, gmm_path):
            write_labels(np.arange(len(images(test_path))) % 3)
    """
    grade = assess(submit({"vae.py": program(after=after)}), a3, Settings(data_folder, level))
    assert "vae.csv has labels that are no class of the data set" in grade.remarks
