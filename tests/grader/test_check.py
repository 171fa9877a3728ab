"""`grader check` on a zip as the course requires it, and on zips with one mistake each."""

import io
import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pypdf
import pytest
import torch
from hypothesis import given, settings
from matplotlib.figure import Figure

from grader.assignment import read_assignment
from grader.cli import main
from grader.submission.check import check_submission
from grader.submission.contents import Check, problem_of_address
from tests.mutations import damaged

A3 = read_assignment("a3")
NAME = "2020CSZ1234_2020CSZ5678"
LINK = "https://drive.google.com/file/d/1"


def pdf(pages: int = 1, line: str = "Ann (2020CSZ1234), Bob (2020CSZ5678)") -> bytes:
    content, writer = io.BytesIO(), pypdf.PdfWriter()
    for _ in range(pages):
        page, figure = io.BytesIO(), Figure()
        figure.text(0, 0.9, line)
        figure.savefig(page, format="pdf")
        page.seek(0)
        writer.append(page)
    writer.write(content)
    return content.getvalue()


GOOD: dict[str, str | bytes | None] = {
    f"{NAME}/vae.py": "import torch\n\ntorch.manual_seed(0)\n",
    f"{NAME}/group.txt": "2020CSZ1234\n2020CSZ5678\n",
    f"{NAME}/model_path.txt": f"{LINK}\n",
    f"{NAME}/{NAME}.pdf": pdf(),
}


def zip_of(path: Path, files: dict[str, str | bytes | None]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def zipped(files: dict[str, str | bytes | None]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text or "")
    return content.getvalue()


def failed(checks: list[Check]) -> list[str]:
    return [f"{check.rule}: {check.message}" for check in checks if check.passed is False]


def test_a_submission_as_the_course_asks_for_it_passes(tmp_path: Path) -> None:
    checks = check_submission(zip_of(tmp_path / "submission.zip", GOOD), A3)
    assert failed(checks) == []
    assert len(checks) > 15


def test_the_limit_is_on_all_trained_files_together(tmp_path: Path) -> None:
    """The grader adds them up too; 8 bytes of a file that is not a state dict are a number."""
    weights = io.BytesIO()
    torch.save({"a": torch.zeros(300)}, weights)
    limit = A3.artefact["vae.pth"].model_copy(update={"numbers_allowed": 400})
    task = A3.model_copy(update={"artefact": A3.artefact | {"vae.pth": limit}})
    for size, passed in ((800, True), (808, False)):
        files = {**GOOD, f"{NAME}/vae.pth": weights.getvalue()}
        files[f"{NAME}/gmm_params.pkl"] = bytes(size)
        checks = check_submission(zip_of(tmp_path / f"{size}.zip", files), task)
        verdicts = [check.passed for check in checks if "400 numbers" in check.rule]
        assert verdicts == [passed]


def moved(change: Callable[[str], str]) -> dict[str, str | bytes | None]:
    """Return the good files under other names."""
    gone: dict[str, str | bytes | None] = dict.fromkeys(GOOD)
    return gone | {change(name): content for name, content in GOOD.items()}


BROKEN: dict[str, tuple[dict[str, str | bytes | None], str]] = {
    "no folder": (moved(lambda name: name.split("/")[1]), "no folder in it"),
    "two folders": ({"other/notes.py": "x = 1"}, "2 folders"),
    "a file outside the folder": ({"notes.py": "x = 1"}, "outside the folder: notes.py"),
    "macOS": ({f"__MACOSX/{NAME}/._vae.py": "x"}, "left by a system or a tool: remove"),
    "a zip within": ({f"{NAME}/submission.zip": "PK"}, "submission.zip is an archive"),
    "data": ({f"{NAME}/mnist_train.npz": "PK"}, "mnist_train.npz is a data set"),
    "notes": ({f"{NAME}/notes.docx": "x"}, "notes.docx is not part of the submission"),
    "backslashes": (moved(lambda name: name.replace("/", "\\")), "has backslashes between folders"),
    "absolute path": ({"/etc/passwd": "x"}, "leads outside"),
    "no program": ({f"{NAME}/vae.py": None}, "no vae.py"),
    "no group": ({f"{NAME}/group.txt": None}, "group.txt is missing"),
    "names in the group": (
        {f"{NAME}/group.txt": "Ann\n2020CSZ1234\n"},
        "'Ann' is not an entry number",
    ),
    "a member twice": ({f"{NAME}/group.txt": "2020CSZ1234\n" * 2}, "is listed twice"),
    "other digits": (
        {f"{NAME}/group.txt": "2020CSZ1234".translate({ord(c): ord(c) + 0xFEE0 for c in "0123"})},
        "is not an entry number",
    ),
    "a crowd": (
        {f"{NAME}/group.txt": "".join(f"2020CSZ{i:04d}\n" for i in range(50))},
        "more than 10 lines",
    ),
    "empty group": ({f"{NAME}/group.txt": "\n"}, "group.txt is empty"),
    "latin-1 group": ({f"{NAME}/group.txt": b"2020CSZ\xe9"}, "'2020CSZé' is not an entry"),
    "utf-16 group": ({f"{NAME}/group.txt": b"\xff\xfe2"}, "not a text"),
    "no link": ({f"{NAME}/model_path.txt": None}, "model_path.txt is missing"),
    "an empty link": ({f"{NAME}/model_path.txt": ""}, "model_path.txt: an empty file"),
    "a path for a link": ({f"{NAME}/model_path.txt": "C:/vae.pth"}, "expected a link such as"),
    "the example link": ({f"{NAME}/model_path.txt": "https://example.com/x"}, "still the example"),
    "no report": ({f"{NAME}/{NAME}.pdf": None}, f"the report is missing; expected {NAME}.pdf"),
    "another report's name": (
        {f"{NAME}/{NAME}.pdf": None, f"{NAME}/report.pdf": pdf()},
        f"the report is called report.pdf; expected {NAME}.pdf",
    ),
    "four pages": ({f"{NAME}/{NAME}.pdf": pdf(4)}, "has 4 pages; 3 are allowed"),
    "no names": ({f"{NAME}/{NAME}.pdf": pdf(1, "My report")}, "first line is 'My report'"),
    "numbers alone": (
        {f"{NAME}/{NAME}.pdf": pdf(1, "2020CSZ1234, 2020CSZ5678")},
        "expected names and entry numbers",
    ),
    "no PDF": ({f"{NAME}/{NAME}.pdf": "Word"}, "no PDF"),
    "half a PDF": ({f"{NAME}/{NAME}.pdf": pdf()[:300]}, "a damaged or locked PDF"),
    "a forbidden import": ({f"{NAME}/vae.py": "import timm\n"}, "vae.py:1: imports timm"),
    "no Python": ({f"{NAME}/vae.py": "%matplotlib\n"}, "is not valid Python"),
    "damaged weights": ({f"{NAME}/vae.pth": "x"}, "vae.pth: not a zip archive"),
    "200 MB": ({f"{NAME}/vae.pth": bytes(200 << 20)}, "200 MiB, and 100 are allowed"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_mistake_gets_its_line(tmp_path: Path, name: str) -> None:
    change, message = BROKEN[name]
    found = failed(check_submission(zip_of(tmp_path / "submission.zip", GOOD | change), A3))
    assert any(message in line for line in found), found


def test_a_link_and_another_name_get_theirs(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "work.zip", GOOD)
    entry = zipfile.ZipInfo(f"{NAME}/link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, "/etc/passwd")
    found = failed(check_submission(path, A3))
    assert any("rename it to submission.zip" in line for line in found)
    assert any("a link or a device" in line for line in found)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04"])
def test_what_is_no_zip_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "submission.zip").write_bytes(content)
    found = failed(check_submission(tmp_path / "submission.zip", A3))
    assert any("the zip can be opened" in line for line in found)


@settings(max_examples=100)
@given(content=damaged(zipped(GOOD)))
def test_a_damaged_zip_is_checked_to_the_end(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "submission.zip"
    path.write_bytes(content)
    assert check_submission(path, A3)


def test_of_a_folder_the_rules_about_the_zip_are_not_asked(tmp_path: Path) -> None:
    with zipfile.ZipFile(zip_of(tmp_path / "submission.zip", GOOD)) as archive:
        archive.extractall(tmp_path)
    checks = check_submission(tmp_path / NAME, A3)
    assert failed(checks) == []
    assert sum(check.passed is None for check in checks) == 6


@pytest.mark.parametrize(
    ("link", "good"),
    [
        (LINK, True),
        ("http://host.edu/~ann/vae.pth", True),
        ("ftp://host.edu/vae.pth", False),
        ("drive.google.com/file", False),
        ("https://", False),
        ("https://[", False),
        ("https://a b.com", False),
        ("https://www.example.org/", False),
        ("https://counterexample.com/x", True),
        ("", False),
    ],
)
def test_links(link: str, good: bool) -> None:
    assert (problem_of_address(link, "place") is None) is good


def test_the_command_says_so_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = zip_of(tmp_path / "submission.zip", GOOD)
    monkeypatch.setattr(sys, "argv", ["grader", "check", str(path)])
    assert main() == 0
    assert "FAIL" not in capsys.readouterr().out
    (tmp_path / "model_path.txt").write_text("https://example.com/x\n")
    monkeypatch.setattr(sys, "argv", ["grader", "check", str(tmp_path / "model_path.txt")])
    assert main() == 1
    assert "still the example link" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["grader", "check", str(tmp_path / "nothing.zip")])
    assert main() == 2
    assert capsys.readouterr().err.count("\n") == 1
