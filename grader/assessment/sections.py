"""What people mark: the sections of a notebook, files that came with a submission, the report."""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import replace

from ..artifacts import read_file, without_folder
from ..errors import UserError, printable
from ..judging import Manual
from ..submission.images import decode_images
from ..submission.notebook import Cell, Notebook, Output
from ..submission.pdf import draw_pages
from ..texts import decoded
from .grade import Section
from .stages import Bench

HEADING = re.compile(r"^[ ]{0,3}(#{1,6})[ \t]+(.*)$", re.MULTILINE)
FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)  # a # there is no heading
TERMINAL_CODE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours, and lines written again
DECODED = ("image/png", "image/jpeg")
MOST_PICTURES = 60  # of a submission
LARGEST_PICTURE = 16 << 20  # bytes
LARGEST_TEXT, LARGEST_PRINTED = 20_000, 4_000  # characters


def headings(cell: Cell) -> list[tuple[int, str]]:
    """Return the levels and texts of the headings in a cell."""
    if cell.cell_type != "markdown":
        return []
    found = HEADING.finditer(FENCED.sub("", cell.source))
    return [(len(match[1]), match[2].strip(" \t#")) for match in found]


def section_cells(notebook: Notebook, pattern: str, others: list[str]) -> list[Cell]:
    """Return the cells of the sections whose heading matches a pattern, in their order.

    A section ends before a heading that matches one of the `others`, or of a higher level: students
    and teachers are not careful about the levels below it.
    """
    found: list[Cell] = []
    inside = 0  # the level of the section's heading, or 0
    for cell in notebook.cells:
        for level, text in headings(cell):
            if re.search(pattern, text, re.IGNORECASE):
                inside = level if not inside else min(inside, level)
            elif level < inside or any(re.search(p, text, re.IGNORECASE) for p in others):
                inside = 0
        if inside:
            found.append(cell)
    return found


def pictures_in(cell: Cell) -> Iterator[tuple[str, bytes]]:
    """Yield the pictures of a cell, and where they are: its outputs', and those pasted into it."""
    outputs = [output.data for output in cell.outputs]
    for contents in [*outputs, *cell.attachments.values()]:
        kind = next((kind for kind in DECODED if kind in contents), None)
        if kind is None:
            continue
        try:
            content = base64.b64decode(contents[kind], validate=False)
        except (binascii.Error, ValueError):
            content = b""
        yield f"cell {cell.number}", content[:LARGEST_PICTURE]


def printed_text(output: Output) -> str:
    """Return the text of an output. Objects that are shown as a picture have none."""
    if any(kind in output.data for kind in DECODED):
        return ""
    text = output.text or output.data.get("text/markdown") or output.data.get("text/plain", "")
    return TERMINAL_CODE.sub("", text)


def printed_in(cells: list[Cell]) -> str:
    """Return what the cells printed and returned as plain text, cut after 4,000 characters."""
    texts = [printed_text(output) for cell in cells for output in cell.outputs]
    text = "\n".join(part.rstrip("\n") for part in texts if part.strip())
    more = len(text) - LARGEST_PRINTED
    return text[:LARGEST_PRINTED] + (f"\n[{more:,} more characters]" if more > 0 else "")


def shortened(text: str) -> str:
    """Return the beginning of an answer, and how much more there is."""
    more = len(text) - LARGEST_TEXT
    return text[:LARGEST_TEXT] + (f"\n\n({more:,} more characters)" if more > 0 else "")


def of_notebook(
    notebook: Notebook, manual: Manual, others: list[str]
) -> tuple[Section, list[tuple[str, bytes]]]:
    """Return the section of a notebook that people mark, and its pictures, not yet decoded."""
    assert manual.section is not None
    cells = section_cells(notebook, manual.section, others)
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    pictures = [picture for cell in cells for picture in pictures_in(cell)]
    problem = "" if cells else f"the notebook has no heading like '{manual.section}'"
    section = Section(manual.title, manual.points, shortened(text), printed_in(cells))
    return replace(section, problem=problem), pictures


def of_artefact(bench: Bench, manual: Manual) -> tuple[Section, list[tuple[str, bytes]]]:
    """Return an artefact that people mark; if it is a picture, that is not yet decoded."""
    assert manual.artefact is not None
    section = Section(manual.title, manual.points)
    path = bench.made.get(manual.artefact)
    try:
        if path is None:
            return replace(section, problem=f"no {manual.artefact}"), []
        content = read_file(path, "a text or a picture", LARGEST_PICTURE)
        if bench.assignment.artefact[manual.artefact].kind == "picture":
            return section, [(manual.artefact, content)]
        return replace(section, text=shortened(decoded(content))), []
    except (UserError, ValueError) as error:
        return replace(
            section, problem=f"{manual.artefact} cannot be read ({printable(str(error)[:100])})"
        ), []


def of_report(bench: Bench, manual: Manual) -> Section:
    """Return the pages of the report, for a part that people mark in nothing else."""
    section, path = Section(manual.title, manual.points), bench.submission.contents.report
    if path is None:
        return replace(section, problem="no report")
    try:
        pages, count = draw_pages(path, bench.settings.level)
    except UserError as error:
        return replace(section, problem=without_folder(error, path.parent))
    more = f"{count - len(pages)} more pages" if count > len(pages) else ""
    named = tuple((f"page {number}", page) for number, page in enumerate(pages, 1))
    return replace(section, pictures=named, problem=more)


def gather_sections(bench: Bench) -> list[Section]:
    """Return what people mark in a submission, in the order of the assignment."""
    evidence = {section.title: section for section in gather_evidence(bench)}
    if bench.assignment.submission.report:
        for manual in bench.assignment.manual:
            if not (manual.section or manual.artefact):
                evidence[manual.title] = of_report(bench, manual)
    return [evidence[m.title] for m in bench.assignment.manual if m.title in evidence]


def gather_evidence(bench: Bench) -> list[Section]:
    """Return the sections and artefacts that people mark. Pictures beyond the limit are counted."""
    notebook = bench.executed or bench.submission.notebook
    wanted = [m for m in bench.assignment.manual if m.section or m.artefact]
    patterns = [m.section for m in wanted if m.section]
    evidence = [
        of_notebook(notebook, manual, [p for p in patterns if p != manual.section])
        if manual.section and notebook
        else of_artefact(bench, manual)
        for manual in wanted
    ]
    references = [m.reference for m in wanted if m.reference]
    every = [(n, *picture) for n, (_, own) in enumerate(evidence) for picture in own]
    shown = every[:MOST_PICTURES]
    pixels = decode_images([part[2] for part in shown], bench.settings.level)
    contents = [bench.assignment.companion(name).read_bytes() for name in references]
    known = dict(zip(references, decode_images(contents, bench.settings.level), strict=True))
    sections = []
    for number, (section, own) in enumerate(evidence):
        read = [(part[1], p) for part, p in zip(shown, pixels, strict=False) if part[0] == number]
        problems = [section.problem] if section.problem else []
        problems += [f"{name} cannot be read" for name, found in read if found is None]
        if len(read) < len(own):
            problems.append(f"{len(own) - len(read)} more pictures, beyond {MOST_PICTURES} in all")
        pictures = tuple((name, p) for name, p in read if p is not None)
        reference = known.get(wanted[number].reference or "")
        sections.append(
            replace(section, pictures=pictures, reference=reference, problem="; ".join(problems))
        )
    return sections
