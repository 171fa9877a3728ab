import io
import json
import os
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from grader.assignment import read_assignment
from grader.classroom.class_run import METADATA as METADATA_FILE
from grader.classroom.class_run import ClassRun, Plan, find_submissions, hash_submission, keys
from grader.errors import UserError
from grader.submission.unpacking import open_submission
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


WORK = {
    "vae.py": "print(1)",
    "net.py": "x = 1",
    "group.txt": "2020CSZ1234\n",
    "model_path.txt": "https://drive.google.com/file/d/1",
    "2020CSZ1234.pdf": "%PDF-1.4",
}
LEFT = {".DS_Store": "x", "__MACOSX/._work": "x", ".ipynb_checkpoints/vae-checkpoint.py": "x"}
EXPORT = """---
submission_1:
  :submitters:
  - :name: Ada
    :sid: 2020CSZ1234
  :created_at: 2024-11-11 10:00:00 Z
"""


def lay_out(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def pack(path: Path, files: dict[str, str], between: str = "/") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("/", between), text)


def pack_tar(path: Path, files: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


def in_folder(files: dict[str, str]) -> dict[str, str]:
    return {f"2020CSZ1234/{name}": text for name, text in files.items()}


MOODLE = "Ada Lovelace_12345_assignsubmission_file_"


def commented(home: Path) -> None:
    pack(home / MOODLE / "submission.zip", in_folder(WORK))
    lay_out(home / MOODLE, {"comments.pdf": "%PDF-1.4"})


def zipped_export(home: Path) -> None:
    pack(home / "submission_1" / "submission.zip", in_folder(WORK))
    lay_out(home, {METADATA_FILE: EXPORT})


LAYOUTS: dict[str, Callable[[Path], object]] = {
    "a folder": lambda home: lay_out(home / "ada", WORK),
    "a folder in a folder": lambda home: lay_out(home / "ada", in_folder(WORK)),
    "a folder with what systems leave": lambda home: lay_out(home / "ada", WORK | LEFT),
    "a zip": lambda home: pack(home / "ada.zip", in_folder(WORK)),
    "a zip without a folder": lambda home: pack(home / "ada.zip", WORK),
    "a zip of macOS": lambda home: pack(home / "ada.zip", in_folder(WORK) | LEFT),
    "a zip of Windows": lambda home: pack(home / "ada.zip", in_folder(WORK), "\\"),
    "a tar archive": lambda home: pack_tar(home / "ada.tar.gz", in_folder(WORK) | LEFT),
    "Moodle, a tar archive": lambda home: pack_tar(home / MOODLE / "a.tgz", in_folder(WORK)),
    "Moodle": lambda home: pack(home / MOODLE / "submission.zip", in_folder(WORK)),
    "Moodle, with a comment": commented,
    "Moodle, unpacked": lambda home: lay_out(home / MOODLE, in_folder(WORK)),
    "Gradescope": lambda home: lay_out(
        home, {f"submission_1/{n}": t for n, t in WORK.items()} | {METADATA_FILE: EXPORT}
    ),
    "Gradescope, a zip": zipped_export,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_work_is_the_same_submission_in_every_layout(tmp_path: Path, layout: str) -> None:
    home = tmp_path / "class"
    LAYOUTS[layout](home)
    lay_out(tmp_path / "expected", WORK)
    expected = open_submission(tmp_path / "expected", A3, tmp_path / "copy")
    (entry,) = find_submissions(home)
    (tmp_path / "tree").mkdir()
    found = open_submission(entry.path, A3, tmp_path / "tree")
    assert found.sha256 == expected.sha256, "so its result is the same"
    assert found.contents.members == ["2020CSZ1234"]
    assert [(c.rule, c.passed) for c in found.contents.checks] == [
        (c.rule, c.passed) for c in expected.contents.checks
    ]


def test_a_link_or_a_pipe_stops_nobody(tmp_path: Path) -> None:
    folder = make_class(tmp_path / "class", 1)
    (folder / "dangling.zip").symlink_to("/nowhere")
    (folder / "other.zip").symlink_to(folder / "s00.zip")
    (folder / "etc").symlink_to("/etc")
    os.mkfifo(folder / "pipe.zip")
    (folder / "fifo").mkdir()
    os.mkfifo(folder / "fifo" / "vae.py")
    (folder / "loop").mkdir()
    (folder / "loop" / "up").symlink_to("..")
    (folder / "dir.zip").mkdir()
    (folder / "zero.zip").touch()
    problems: list[str] = []
    entries = find_submissions(folder, problems)
    assert [entry.id for entry in entries] == ["dir.zip", "fifo", "loop", "s00", "zero"]
    assert problems == [
        f"{name}: left out: a link or a device"
        for name in ("dangling.zip", "etc", "other.zip", "pipe.zip")
    ]
    for entry in entries:
        assert hash_submission(entry.path)
        (tmp_path / entry.id).mkdir()
        if entry.id != "s00":
            with pytest.raises(UserError):
                open_submission(entry.path, A3, tmp_path / entry.id)


def test_zips_and_folders_are_submissions_and_notes_are_not(tmp_path: Path) -> None:
    folder = make_class(tmp_path / "class", 2)
    for name in ("notes.txt", "Thumbs.db", "desktop.ini"):
        (folder / name).write_text("x")
    (folder / ".hidden").mkdir()
    (folder / "__MACOSX").mkdir()
    (folder / "tree").mkdir()
    (folder / "tree" / "vae.py").write_text("")
    (folder / "moodle").mkdir()
    (folder / "s00.zip").rename(folder / "moodle" / "submission.zip")
    (folder / "s01").mkdir()
    problems: list[str] = []
    found = {entry.id: entry.path.name for entry in find_submissions(folder, problems)}
    assert found == {"moodle": "submission.zip", "s01": "s01", "s01.zip": "s01.zip", "tree": "tree"}
    assert problems == [
        ".hidden, Thumbs.db, __MACOSX, desktop.ini: left out: hidden, or left by a system or tool",
        "notes.txt: left out: neither a folder nor an archive nor a program",
    ]


def test_what_was_handed_in_instead_of_a_zip_gets_a_row(tmp_path: Path) -> None:
    names = ["a.rar", "b.7z", "c.tar.gz", "d.ipynb", "e.py", "f.ZIP"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    found = find_submissions(tmp_path)
    assert [entry.id for entry in found] == [*names[:5], "f"]
    for entry in found:
        (tmp_path / "out").mkdir()
        with pytest.raises(UserError, match=r"expected a \.zip file"):
            open_submission(entry.path, A3, tmp_path / "out")
        (tmp_path / "out").rmdir()


@pytest.mark.parametrize("other", ["Thumbs.db", "desktop.ini", ".DS_Store", "report.PDF", "a.docx"])
def test_the_only_zip_in_a_folder_is_the_submission(tmp_path: Path, other: str) -> None:
    ada = tmp_path / "class" / "ada"
    (ada / "__MACOSX").mkdir(parents=True)
    for name in ("work.zip", other):
        (ada / name).write_bytes(b"x")
    (entry,) = find_submissions(tmp_path / "class")
    assert entry.path.name == "work.zip"
    (ada / "second.zip").write_bytes(b"x")
    (entry,) = find_submissions(tmp_path / "class")
    with pytest.raises(UserError, match=r"no vae\.py, but the archives second\.zip, work\.zip"):
        open_submission(entry.path, A3, tmp_path / "out")


def test_an_export_of_gradescope_tells_times_and_students(tmp_path: Path) -> None:
    for name in ("submission_1", "submission_2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vae.py").write_text("")
    (tmp_path / "submission_metadata.yml").write_text(METADATA)
    one, two = find_submissions(tmp_path)
    assert (one.id, one.students) == ("submission_1", ["2020CSZ0001"])
    assert one.submitted == datetime(2024, 11, 12, 4, tzinfo=UTC)
    assert (two.students, two.submitted) == (["Bob"], datetime(2024, 11, 12, 1, tzinfo=UTC))


@pytest.mark.parametrize("text", ["", "[]", "a: b: c", "submission_2: {}", "../outside: {}", "\0"])
def test_other_metadata_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "submission_1").mkdir()
    (tmp_path / "submission_metadata.yml").write_text(text)
    with pytest.raises(UserError, match=r"submission_metadata\.yml"):
        find_submissions(tmp_path)


def test_a_row_that_lacks_something_stops_nobody(tmp_path: Path) -> None:
    for name in ("submission_1", "submission_2", "submission_3", "submission_4"):
        (tmp_path / name).mkdir()
    rows = (
        "submission_3: {':created_at': soon, ':submitters': [{':sid': S3}, 7]}\n5: null\n../x: {}\n"
    )
    (tmp_path / "submission_metadata.yml").write_text(METADATA + rows)
    problems: list[str] = []
    entries = {entry.id: entry for entry in find_submissions(tmp_path, problems)}
    assert list(entries) == ["submission_1", "submission_2", "submission_3"]
    assert (entries["submission_3"].students, entries["submission_3"].submitted) == (["S3"], None)
    assert problems == [
        "submission_metadata.yml: ../x: left out: it has no folder",
        "submission_metadata.yml: 5: left out: it has no folder",
        "submission_metadata.yml: submission_3: graded, but its row has no time; it is not late",
        "submission_4: left out: submission_metadata.yml has no such row",
    ]


YAML = st.recursive(
    st.none() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [":submitters", ":created_at", ":sid", "submission_1", "x", "..", "", "5", 5]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(table=YAML)
def test_any_metadata_gives_its_rows_or_one_line(tmp_path: Path, table: object) -> None:
    (tmp_path / "submission_1").mkdir(exist_ok=True)
    (tmp_path / "submission_metadata.yml").write_text(yaml.safe_dump(table))
    try:
        (entry,) = find_submissions(tmp_path)
    except UserError as error:
        assert "submission_metadata.yml" in str(error)
    else:
        assert entry.id == "submission_1"


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
