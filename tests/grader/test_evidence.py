"""What people mark is kept with the result: the report's pages, also of programs that fail."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pypdf
import pytest
from PIL import Image
from pypdf.generic import DictionaryObject, FloatObject, NameObject, RectangleObject

from grader.assessment.grade import Section, empty_grade
from grader.assessment.pipeline import assess
from grader.assessment.stages import Settings
from grader.assignment import Assignment
from grader.display.evidence import all_evidence
from grader.errors import UserError
from grader.sandbox.command import Level
from grader.submission.pdf import MOST_PAGES, SIDE, draw_pages
from tests.grader.test_check import pdf

BROKEN = "def broken(:\n"


@pytest.mark.parametrize("pages", [1, 3])
def test_a_report_s_pages_are_kept_though_its_program_fails(
    submit: Callable[..., Path], a3: Assignment, data_folder: Path, level: Level, pages: int
) -> None:
    number = "2020CSZ1234"
    files = {"vae.py": BROKEN, "group.txt": number, f"{number}.pdf": pdf(pages)}
    grade = assess(submit(files), a3, Settings(data_folder, level))
    (section,) = grade.sections
    assert section.title == "Report"
    assert [name for name, _ in section.pictures] == [f"page {n + 1}" for n in range(pages)]
    assert all(SIDE - 2 <= max(pixels.shape) <= SIDE for _, pixels in section.pictures)
    assert all(pixels.std() > 0 for _, pixels in section.pictures), "something is drawn"
    (kept,) = json.loads(json.dumps(all_evidence(grade)))
    content = base64.b64decode(kept["pictures"][0]["src"].partition(",")[2])
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (kept["pictures"][0]["width"], kept["pictures"][0]["height"])


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "no report"), (pdf()[:300], "damaged or locked PDF"), (b"%PDF-1.4", "damaged")],
)
def test_a_report_that_cannot_be_drawn_is_a_remark(
    submit: Callable[..., Path],
    a3: Assignment,
    data_folder: Path,
    level: Level,
    content: bytes | None,
    problem: str,
) -> None:
    files = {"vae.py": BROKEN} | ({"report.pdf": content} if content else {})
    (section,) = assess(submit(files), a3, Settings(data_folder, level)).sections
    assert problem in section.problem
    assert "/" not in section.problem
    assert not section.pictures


def test_a_report_that_is_a_link_shows_nobody_else_s(tmp_path: Path, level: Level) -> None:
    (tmp_path / "other.pdf").write_bytes(pdf())
    (tmp_path / "report.pdf").symlink_to(tmp_path / "other.pdf")
    with pytest.raises(UserError):
        draw_pages(tmp_path / "report.pdf", level)


def test_a_huge_page_is_reduced_and_a_long_report_is_cut(tmp_path: Path, level: Level) -> None:
    writer = pypdf.PdfWriter()
    for _ in range(MOST_PAGES + 5):
        writer.add_blank_page(14_400, 100)
    page = writer.pages[0]
    page[NameObject("/UserUnit")] = FloatObject(1_000)
    page.mediabox = RectangleObject((0, 0, 1e6, 1e6))
    page[NameObject("/Resources")] = DictionaryObject()
    writer.write(tmp_path / "long.pdf")
    pages, count = draw_pages(tmp_path / "long.pdf", level)
    assert (len(pages), count) == (MOST_PAGES, MOST_PAGES + 5)
    assert all(max(pixels.shape) <= SIDE for pixels in pages)


def test_evidence_is_harmless(a3: Assignment) -> None:
    """No tag, link or script of a student's gets into it."""
    grade = empty_grade(a3, "one")
    text = "<script>alert(1)</script> [x](javascript:alert(1)) ![y](http://a.example/b.png)"
    grade.sections = [
        Section("Report", 20, text, "</script>", (("p", np.zeros((2, 3, 3), np.uint8)),))
    ]
    (kept,) = all_evidence(grade)
    assert "<script" not in kept["html"]
    assert "<a" not in kept["html"]
    assert "<img" not in kept["html"]
