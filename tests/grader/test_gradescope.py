"""The autograder in Gradescope's layout: in a folder, and in its own mount namespace."""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.assignment import read_assignment
from grader.classroom import fetch as fetching
from grader.display.results import OUTPUT_SIZE, cut, storable
from grader.sandbox.command import Level
from grader.shipping import gradescope
from grader.shipping.gradescope import for_gradescope, grade_upload, pack, read_upload
from tests.grader.test_check import GOOD, NAME
from tests.grader.test_lessons import TAUGHT

SCHEMA = json.loads((Path(__file__).parent / "results.schema.json").read_text())
HONEST = (Path(__file__).parents[1] / "hostile" / "honest.py").read_text()
HOSTILE = f"""{HONEST}
from pathlib import Path
for place in ("source", "results"):
    try:
        print(sorted(p.name for p in Path("ROOT", place).rglob("*")), "was listed")
        Path("ROOT", place, "results.json").write_text('{{"score": 100}}')
        print("was written")
    except OSError as error:
        print("refused", error)
"""
METADATA = {
    "created_at": "2024-11-12T20:00:00.000000-08:00",
    "assignment": {"due_date": "2024-11-11T18:00:00.000000-08:00"},
    "users": [{"id": 1, "assignment": {"due_date": "2024-11-12T18:00:00.000000-08:00"}}, {"id": 2}],
    "previous_submissions": [],
}


@pytest.fixture
def root(tmp_path: Path, data_folder: Path) -> Path:
    """Return a folder laid out as /autograder, with an honest submission without weights."""
    folder = tmp_path / "autograder"
    with zipfile.ZipFile(io.BytesIO(pack("a3", data_folder))) as archive:
        archive.extractall(folder / "source")
    inner = folder / "submission" / NAME
    inner.mkdir(parents=True)
    for name, content in GOOD.items():
        assert content is not None
        data = content.encode() if isinstance(content, str) else content
        (folder / "submission" / name).write_bytes(data)
    (inner / "vae.py").write_text(f"{HONEST}\n\nmain()\n")
    (folder / "submission_metadata.json").write_text(json.dumps(METADATA))
    return folder


def results(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "results" / "results.json").read_text())
    jsonschema.validate(content, SCHEMA)
    return content


def with_weights(root: Path) -> None:
    """Train the submission in its own folder, as its authors would."""
    inner, data = root / "submission" / NAME, root / "source" / "data"
    sets = [str(data / f"mnist_1_4_8_{name}.npz") for name in ("train", "val")]
    command = [sys.executable, "vae.py", *sets, "train", "vae.pth", "gmm_params.pkl"]
    subprocess.run(command, cwd=inner, check=True, capture_output=True)


def test_an_upload_is_graded_and_its_lateness_counts(root: Path, level: Level) -> None:
    with_weights(root)
    grade_upload(root)
    found = results(root)
    assert found["extra_data"]["verdicts"]["classify"] == "OK", found
    assert found["extra_data"]["late"]["days"] == 1, "the later due date of the two members"
    full = sum(test.get("score", 0) for test in found["tests"])
    assert found["score"] == pytest.approx(full * 0.95, abs=0.006)
    assert found["output"].startswith("1 days late: 5% less")
    assert not any(text in json.dumps(found) for text in TAUGHT)
    assert (root / "results").stat().st_mode & 0o077 == 0


def test_a_nonce_is_echoed_where_a_harness_gives_one(
    root: Path, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = root / "submission" / NAME / "vae.py"
    program.write_text(f"import os\nprint(os.environ.get('AUTOGRADER_NONCE'))\n{HONEST}\nmain()\n")
    with_weights(root)
    monkeypatch.setenv("AUTOGRADER_NONCE", "a1b2c3")
    grade_upload(root)
    found = results(root)
    assert found["nonce"] == "a1b2c3"
    assert json.dumps(found).count("a1b2c3") == 1, "no submission sees it"
    monkeypatch.delenv("AUTOGRADER_NONCE")
    grade_upload(root)
    assert "nonce" not in results(root)


@given(st.text(st.characters(exclude_categories=())))  # lone surrogates too
def test_a_database_can_store_every_text(text: str) -> None:
    kept = storable(text)
    assert "\0" not in kept
    kept.encode()
    assert storable({text: [text, (1, None, text)]}) == {kept: [kept, [1, None, kept]]}


@given(st.text(min_size=1), st.integers(1, 30_000))
def test_texts_are_cut_at_bytes(text: str, times: int) -> None:
    whole = text * times
    assert len(cut(whole).encode()) <= OUTPUT_SIZE
    assert len(cut(whole)) >= min(len(whole), OUTPUT_SIZE // 6 - 1)


def test_without_weights_nothing_is_trained_unless_the_assignment_says_so(
    root: Path, level: Level
) -> None:
    grade_upload(root)
    assert results(root)["extra_data"]["verdicts"]["train"] == "SKIPPED"
    toml = root / "source" / "assignment.toml"
    toml.write_text(toml.read_text() + "\n[gradescope]\ntraining_minutes = 2\n")
    grade_upload(root)
    assert results(root)["extra_data"]["verdicts"]["train"] == "OK"
    limits = for_gradescope(read_assignment(str(toml))).stage_named("train").limits
    assert limits.seconds == 120


def test_weights_behind_the_link_are_fetched_where_none_came_along(
    root: Path, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_weights(root)
    inner, asked = root / "submission" / NAME, []
    weights = {name: (inner / name).read_bytes() for name in ("vae.pth", "gmm_params.pkl")}

    def download(link: str, folder: Path, private: bool) -> None:
        asked.append(link)
        for name, content in weights.items():
            (folder / name).write_bytes(content)

    monkeypatch.setattr(fetching, "download", download)
    grade_upload(root)
    assert asked == []
    for name in weights:
        (inner / name).unlink()
    grade_upload(root)
    found = results(root)
    assert asked == ["https://drive.google.com/file/d/1"]
    assert found["extra_data"]["weights"] == "fetched"
    assert found["extra_data"]["fetched"]["links"] == asked
    assert found["extra_data"]["verdicts"]["classify"] == "OK"

    def fail(link: str, folder: Path, private: bool) -> None:
        raise OSError("no network")

    monkeypatch.setattr(fetching, "download", fail)
    grade_upload(root)
    assert "the link did not give them" in results(root)["output"]
    assert "no network" in results(root)["extra_data"]["fetched"]["problem"]


def test_a_partial_result_is_there_from_the_first_second(
    root: Path, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_weights(root)
    seen: list[dict[str, Any]] = []
    write = gradescope.write_results

    def spy(content: dict[str, Any], where: Path) -> None:
        write(content, where)
        seen.append(results(where))

    monkeypatch.setattr(gradescope, "write_results", spy)
    grade_upload(root)
    assert seen[0]["score"] == 0
    assert all("Grading has started" in content["output"] for content in seen[:-1])
    assert "Grading has started" not in seen[-1]["output"]
    assert len(seen) > 6
    scores = [content["score"] for content in seen]
    assert scores == sorted(scores)
    assert 0 < scores[-3] <= scores[-1], "the steps so far count before the probes are done"


def test_a_hostile_upload_reaches_neither_source_nor_results(root: Path, level: Level) -> None:
    with_weights(root)
    grade_upload(root)
    honest = results(root)
    program = root / "submission" / NAME / "vae.py"
    program.write_text(HOSTILE.replace("ROOT", str(root)) + "\n\nmain()\n")
    grade_upload(root)
    found = results(root)
    assert found["score"] == honest["score"]
    output = next(s for s in found["extra_data"]["steps"] if s["name"] == "classify")["output"]
    assert output.count("refused") == 2, output
    assert "was written" not in output


def test_uploads_beyond_the_limit_keep_the_score_before(root: Path) -> None:
    toml = root / "source" / "assignment.toml"
    toml.write_text(toml.read_text() + "\n[gradescope]\nuploads_a_day = 2\n")
    earlier = [
        {"submission_time": f"2024-11-12T{hour}:00:00.000000-08:00", "score": str(hour)}
        for hour in (10, 12)
    ]
    metadata = METADATA | {"previous_submissions": earlier}
    (root / "submission_metadata.json").write_text(json.dumps(metadata))
    grade_upload(root)
    found = results(root)
    assert found["score"] == 12
    assert "More than 2 uploads" in found["output"]


def test_only_the_first_uploads_show_their_marks(root: Path, level: Level) -> None:
    """A student who cannot see the total while improving on it must think about the task."""
    toml = root / "source" / "assignment.toml"
    toml.write_text(toml.read_text() + "\n[gradescope]\nfeedback_uploads = 2\n")
    for count, shown in ((1, True), (2, False)):
        earlier = [{"submission_time": "2024-11-12T10:00:00-08:00"}] * count  # not graded yet
        metadata = METADATA | {"previous_submissions": earlier}
        (root / "submission_metadata.json").write_text(json.dumps(metadata))
        grade_upload(root)
        found = results(root)
        marks = [test for test in found["tests"] if "score" in test]
        assert marks
        assert all(("visibility" in test) != shown for test in marks)
        assert ("points" in found["output"]) == shown
        assert bool(found["leaderboard"]) <= shown


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"users": 3}', '{"created_at": 5, "users": [null], "assignment": 1}']
)
def test_strange_metadata_cost_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "metadata.json").write_text(text)
    upload = read_upload(tmp_path / "metadata.json")
    assert (upload.submitted, upload.due, upload.earlier) == (None, None, [])


def test_an_error_of_the_grader_is_said_to_be_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradescope, "best_level", lambda: Level.TRUSTED)
    grade_upload(root)
    found = results(root)
    assert found["score"] == 0
    assert "not at fault" in found["output"]
    assert "no sandbox" in found["extra_data"]["error"]


NAMESPACE = """
set -euo pipefail
mount -t tmpfs tmpfs /usr/local/lib
mkdir --parents /autograder
mount -t tmpfs tmpfs /autograder
cp --recursive ROOT/. /autograder
HIDE
cp /autograder/source/run_autograder /autograder
chmod +x /autograder/run_autograder
bash /autograder/source/setup.sh
cd /autograder
./run_autograder
cp /autograder/results/results.json ROOT/results.json
"""


@pytest.mark.slow
@pytest.mark.parametrize("hide", ["", "mount --bind /bin/false /usr/bin/bwrap"])
def test_the_real_programs_in_a_layout_of_their_own(
    root: Path, hide: str, submit: Callable[..., Path]
) -> None:
    """setup.sh and run_autograder run as root, with and without namespaces for submissions."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs a mount namespace: run as root on Linux")
    with_weights(root)
    script = NAMESPACE.replace("ROOT", str(root)).replace("HIDE", hide)
    environment = os.environ | {"PIP_EXTRA_INDEX_URL": os.environ.get("PIP_EXTRA_INDEX_URL", "")}
    process = subprocess.run(
        ["unshare", "--mount", "bash", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    found = json.loads((root / "results.json").read_text())
    jsonschema.validate(found, SCHEMA)
    assert found["extra_data"]["record"]["level"] == ("confined" if hide else "full")
    assert found["extra_data"]["verdicts"]["classify"] == "OK"
    assert found["score"] > 40
