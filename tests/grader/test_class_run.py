import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from grader.assignment import read_assignment
from grader.classroom.class_run import ClassRun, Plan, find_submissions, hash_submission, keys
from grader.errors import UserError
from tests.grader.classes import make_class

A3 = read_assignment("a3")
METADATA = """
submission_1:
  :submitters:
  - :name: Ann
    :sid: '2020CSZ0001'
    :email: ann@example.org
  :created_at: 2024-11-11 20:00:00.000000000 -08:00
  :score: 3.0
submission_2:
  :submitters:
  - :name: Bob
  :created_at: 2024-11-12 01:00:00.000000000 Z
"""


def test_zips_and_folders_are_submissions_and_other_files_are_not(tmp_path: Path) -> None:
    folder = make_class(tmp_path / "class", 2)
    (folder / "notes.txt").write_text("x")
    (folder / ".hidden").mkdir()
    (folder / "tree").mkdir()
    (folder / "tree" / "vae.py").write_text("")
    (folder / "moodle").mkdir()
    (folder / "s00.zip").rename(folder / "moodle" / "submission.zip")
    (folder / "s01").mkdir()
    found = {entry.id: entry.path.name for entry in find_submissions(folder)}
    assert found == {"moodle": "submission.zip", "s01": "s01", "s01.zip": "s01.zip", "tree": "tree"}


def test_an_export_of_gradescope_tells_times_and_students(tmp_path: Path) -> None:
    for name in ("submission_1", "submission_2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vae.py").write_text("")
    (tmp_path / "submission_metadata.yml").write_text(METADATA)
    one, two = find_submissions(tmp_path)
    assert (one.id, one.students) == ("submission_1", ["2020CSZ0001"])
    assert one.submitted == datetime(2024, 11, 12, 4, tzinfo=UTC)
    assert (two.students, two.submitted) == (["Bob"], datetime(2024, 11, 12, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "a: b: c",
        "submission_1: {}",
        METADATA.replace("submission_2", "../outside"),
        METADATA.replace("submission_2", "absent"),
    ],
)
def test_other_metadata_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "submission_1").mkdir()
    (tmp_path / "submission_metadata.yml").write_text(text)
    with pytest.raises(UserError, match=r"submission_metadata\.yml"):
        find_submissions(tmp_path)


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_a_folder_without_submissions_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError):
        find_submissions(tmp_path / name)


def test_a_key_changes_with_all_that_matters_and_with_nothing_else(
    tmp_path: Path, data_folder: Path
) -> None:
    folder = make_class(tmp_path / "class", 2)
    plan, run = Plan(folder, "a3", data_folder), ClassRun(tmp_path / "run")
    entries = find_submissions(folder)
    before = keys(entries, A3, plan, run)
    assert before == keys(entries, A3, plan, run)
    assert before["s00"] != before["s01"]
    (folder / "s00.zip").write_bytes((folder / "s00.zip").read_bytes() + b"\0")
    after = keys(entries, A3, plan, run)
    assert after["s00"] != before["s00"]
    assert after["s01"] == before["s01"]
    other = A3.model_copy(update={"seed": 1})
    assert keys(entries, other, plan, run)["s01"] != before["s01"]
    trained = Plan(folder, "a3", data_folder, train=True)
    assert keys(entries, A3, trained, run)["s01"] != before["s01"]
    run.fetched("s01").mkdir(parents=True)
    (run.fetched("s01") / "vae.pth").write_bytes(b"x")
    assert keys(entries, A3, plan, run)["s01"] != before["s01"]


def test_a_link_for_a_submission_is_known_by_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"one")
    (tmp_path / "link.zip").symlink_to(tmp_path / "target")
    first = hash_submission(tmp_path / "link.zip")
    (tmp_path / "target").write_bytes(b"two")
    assert hash_submission(tmp_path / "link.zip") != first


def test_a_folder_s_hash_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "link").symlink_to("/etc/passwd")
    first = hash_submission(tmp_path / "work")
    (tmp_path / "work" / "link").unlink()
    (tmp_path / "work" / "link").symlink_to("/dev/zero")
    assert hash_submission(tmp_path / "work") != first


def test_the_index_has_a_row_for_each_result(tmp_path: Path) -> None:
    run = ClassRun(tmp_path)
    extra = {"members": ["A", "B"], "verdicts": {"train": "OK"}, "flags": [{}]}
    result = {"key": "k", "score": 2.5, "execution_time": 1.0, "extra_data": extra}
    for name in ("b", "a"):
        run.home(name).mkdir(parents=True)
        (run.home(name) / "results.json").write_text(json.dumps(result))
    with sqlite3.connect(run.index()) as database:
        rows = database.execute("SELECT id, score, members, flags FROM submissions").fetchall()
    assert rows == [("a", 2.5, "A,B", 1), ("b", 2.5, "A,B", 1)]
    run.set_aside("a")
    assert run.result("a") is None
    assert run.earlier("a") == result


@pytest.mark.parametrize("text", [None, "", "[]", "{}"])
def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match="no record of a run"):
        ClassRun(tmp_path).plan()
