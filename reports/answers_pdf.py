"""The answers of several runs as a PDF: tables as tables, and each picture below its question."""

import io
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib
from markdown_it.token import Token
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import math_to_image
from PIL import Image as Bitmap
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import (
    Flowable,
    Image,
    KeepTogether,
    ListFlowable,
    ListItem,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
    TableStyle,
)

from reports.answers import READER, Picture, Question

MARGIN, PADDING = 50.0, 6.0  # points, as all lengths here; the padding is ReportLab's own
EDGE = MARGIN + PADDING
WIDTH, HEIGHT = A4[0] - 2 * EDGE, A4[1] - 2 * EDGE
TALLEST = 0.8 * HEIGHT  # of a picture
SHORT = 12  # rows of a table that is not divided between pages
DPI = 150  # of the studies' pictures
FINE = 400  # dots per inch of a formula
SIZE, LEADING = 9.5, 14.5
GREY, RULE = HexColor("#555555"), HexColor("#bbbbbb")
# DejaVu has the letters of most languages, and matplotlib brings it along.
FONTS = {
    "Text": "DejaVuSans",
    "Text-Bold": "DejaVuSans-Bold",
    "Text-Italic": "DejaVuSans-Oblique",
    "Text-BoldItalic": "DejaVuSans-BoldOblique",
    "Mono": "DejaVuSansMono",
}
TAGS = {"strong": "b", "em": "i"}

TEXT = ParagraphStyle(
    "text",
    fontName="Text",
    fontSize=SIZE,
    leading=LEADING,
    spaceAfter=6,
    allowWidows=0,
    allowOrphans=0,
)
CELL = ParagraphStyle("cell", TEXT, fontSize=8, leading=10.5, spaceAfter=0)
HEAD = ParagraphStyle("head", CELL, fontName="Text-Bold")
CAPTION = ParagraphStyle("caption", CELL, textColor=GREY, alignment=1, spaceBefore=3, spaceAfter=10)
ASKED = ParagraphStyle("asked", TEXT, fontName="Text-Italic", keepWithNext=1)
TITLE = ParagraphStyle("title", TEXT, fontName="Text-Bold", fontSize=18, leading=24, spaceAfter=10)
PART = ParagraphStyle(
    "part", TITLE, fontSize=14, leading=19, spaceBefore=16, spaceAfter=6, keepWithNext=1
)
QUESTION = ParagraphStyle("question", PART, fontSize=11, leading=15, spaceBefore=12, spaceAfter=3)


def answers_pdf(
    title: str, authors: Sequence[str], parts: Sequence[tuple[str, Sequence[Question]]]
) -> bytes:
    """Return a PDF of the answers to all questions, by the titles of their parts."""
    fonts = Path(matplotlib.get_data_path(), "fonts", "ttf")
    for name, font in FONTS.items():
        pdfmetrics.registerFont(TTFont(name, fonts / f"{font}.ttf"))
    family = {"normal": "Text", "bold": "Text-Bold", "italic": "Text-Italic"}
    pdfmetrics.registerFontFamily("Text", **family, boldItalic="Text-BoldItalic")
    file = io.BytesIO()
    by = ", ".join(authors)
    document = SimpleDocTemplate(
        file,
        pagesize=A4,
        **dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), MARGIN),
        title=title,
        author=by,
        invariant=1,  # neither date nor random identifier
    )

    def frame(canvas: Any, document: Any) -> None:
        canvas.setFont("Text", 8)
        canvas.setFillColor(GREY)
        canvas.drawString(EDGE, A4[1] - EDGE + 14, title)
        canvas.drawString(EDGE, EDGE - 24, by)
        canvas.drawRightString(A4[0] - EDGE, EDGE - 24, f"page {document.page}")

    with TemporaryDirectory() as folder:
        writer = Writer(Path(folder))
        story = [Paragraph(escape(title), TITLE), Paragraph(escape(by), TEXT)]
        for heading, questions in parts:
            story.append(Paragraph(escape(heading), PART))
            for question in questions:
                story += writer.question(question)
        document.build(story, onFirstPage=frame, onLaterPages=frame)
    return file.getvalue()


class Writer:
    """Makes flowables of Markdown. `folder`: for the pictures of formulas, until all is drawn."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.formulas: dict[tuple[str, float], str] = {}

    def question(self, question: Question) -> Iterator[Flowable]:
        """Yield a question with its pictures and its answer."""
        if question.heading:
            yield Paragraph(self.words(READER.parseInline(question.heading), QUESTION), QUESTION)
        if question.asked:
            yield Paragraph(self.words(READER.parseInline(question.asked), ASKED), ASKED)
        for picture in question.pictures:
            yield from self.picture(picture)
        yield from self.blocks(READER.parse(question.answer))

    def picture(self, picture: Picture) -> Iterator[Flowable]:
        """Yield a picture at its own size, or smaller if the page is, and its caption."""
        with Bitmap.open(picture.path) as file:
            width, height = (72 / DPI * side for side in file.size)
        scale = min(1, WIDTH / width, TALLEST / height)
        image = Image(str(picture.path), scale * width, scale * height)
        image.keepWithNext = True
        yield from (image, Paragraph(escape(picture.caption), CAPTION))

    def blocks(self, tokens: list[Token]) -> Iterator[Flowable]:
        """Yield the paragraphs, lists and tables of Markdown."""
        for first, inside in groups(tokens):
            if first.type == "heading_open":
                yield Paragraph(self.words(inside, QUESTION), QUESTION)
            elif first.type == "paragraph_open":
                yield Paragraph(self.words(inside, TEXT), TEXT)
            elif first.type == "table_open":
                yield from (self.table(inside), Spacer(0, 8))
            elif first.type in ("bullet_list_open", "ordered_list_open"):
                yield self.items(inside, first)
            elif first.type in ("fence", "code_block"):
                yield Paragraph(self.code(first.content).replace("\n", "<br/>"), TEXT)

    def items(self, tokens: list[Token], opening: Token) -> Flowable:
        """Return a list, numbered or not."""
        items = [ListItem(list(self.blocks(inside))) for _, inside in groups(tokens)]
        numbered = opening.type == "ordered_list_open"
        kind = {"bulletType": "1", "start": int(opening.attrs.get("start", 1))}
        return ListFlowable(
            items,
            **(kind if numbered else {"bulletType": "bullet", "start": "•"}),
            bulletFontName="Text",
            bulletFontSize=SIZE,
            leftIndent=16,
            bulletFormat="%s." if numbered else None,
        )

    def table(self, tokens: list[Token]) -> Flowable:
        """Return a table whose columns are as wide as their texts need, and whose head repeats."""
        rows: list[list[Any]] = []
        for place, token in enumerate(tokens):
            if token.type == "tr_open":
                rows.append([])
            elif token.type in ("th_open", "td_open"):
                style = HEAD if token.type == "th_open" else CELL
                rows[-1].append(Paragraph(self.words([tokens[place + 1]], style), style))
        rules = [
            ("LINEBELOW", (0, 0), (-1, -1), 0.4, RULE),
            ("LINEBELOW", (0, 0), (-1, 0), 1, GREY),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (-1, -1), 3),
            ("RIGHTPADDING", (0, 0), (-1, -1), 3),
        ]
        table = Table(rows, widths(rows), repeatRows=1, hAlign="LEFT", style=TableStyle(rules))
        return KeepTogether([table]) if len(rows) <= SHORT else table

    def words(self, tokens: list[Token], style: ParagraphStyle) -> str:
        """Return inline Markdown in the tags of ReportLab."""
        text = ""
        for token in (child for parent in tokens for child in parent.children or []):
            name = TAGS.get(token.tag)
            if token.type == "formula":
                text += self.formula(token.content, style)
            elif token.type == "code_inline":
                text += self.code(token.content)
            elif token.type in ("softbreak", "hardbreak"):
                text += " "
            elif name:
                text += f"<{name}>" if token.nesting == 1 else f"</{name}>"
            else:
                text += escape(token.content)
        return text

    def code(self, text: str) -> str:
        return f'<font face="Mono" size="-0.5">{escape(text)}</font>'

    def formula(self, text: str, style: ParagraphStyle) -> str:
        """Draw a formula; return the tag that puts its picture on the line."""
        key = (text, style.fontSize)
        if key not in self.formulas:
            path = self.folder / f"{len(self.formulas)}.png"
            font = FontProperties(family="DejaVu Sans", size=style.fontSize)
            depth = math_to_image(f"${text}$", path, font, FINE, "png")
            with Bitmap.open(path) as file:
                width, height = (72 / FINE * side for side in file.size)
            size = f'width="{width:.2f}" height="{height:.2f}" valign="{-depth:.2f}"'
            self.formulas[key] = f'<img src="{path}" {size}/>'
        return self.formulas[key]


def groups(tokens: list[Token]) -> Iterator[tuple[Token, list[Token]]]:
    """Yield each token of the outermost level that opens something, with the tokens inside."""
    while tokens:
        first = tokens[0]
        ends = (n for n, t in enumerate(tokens) if t.nesting == -1 and t.level == first.level)
        end = next(ends) if first.nesting else 0
        yield first, tokens[1:end]
        tokens = tokens[end + 1 :]


def widths(rows: list[list[Any]]) -> list[float]:
    """Return the widths of a table's columns, which together are at most that of the page.

    A column is at least as wide as its longest word, and at most as wide as its longest text.
    """
    columns = list(zip(*rows, strict=True))
    least = [8 + max(cell.minWidth() for cell in column) for column in columns]
    most = [8 + max(cell_width(cell) for cell in column) for column in columns]
    spare, wanted = WIDTH - sum(least), sum(most) - sum(least)
    if spare < 0:
        return [WIDTH * width / sum(least) for width in least]
    share = min(1.0, spare / wanted) if wanted > 0 else 0.0
    return [low + share * (high - low) for low, high in zip(least, most, strict=True)]


def cell_width(cell: Paragraph) -> float:
    """Return the width of a paragraph on one line."""
    style = cell.style
    return float(pdfmetrics.stringWidth(cell.getPlainText(), style.fontName, style.fontSize))
