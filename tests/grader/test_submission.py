import contextlib
import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from grader.assignment import read_assignment
from grader.errors import UserError
from grader.submission import unpacking
from grader.submission.unpacking import Submission, open_submission
from tests.mutations import damaged

A3 = read_assignment("a3")
GROUP = "2020CSZ1234\n2020CSZ5678\n"
GOOD = {
    "work/vae.py": "print(1)",
    "work/group.txt": GROUP,
    "work/model_path.txt": "https://drive.google.com/file/d/1",
    "work/2020CSZ1234_2020CSZ5678.pdf": "%PDF-1.4",
}


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def open_zip(tmp_path: Path, content: bytes, name: str = "submission.zip") -> Submission:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "tree").mkdir()
    return open_submission(tmp_path / name, A3, tmp_path / "tree")


def test_a_submission_as_the_course_asks_for_it_leaves_no_remark(tmp_path: Path) -> None:
    found = open_zip(tmp_path, zipped(GOOD))
    assert found.remarks == []
    assert found.contents.members == ["2020CSZ1234", "2020CSZ5678"]
    assert found.contents.report == found.folder / "2020CSZ1234_2020CSZ5678.pdf"
    assert (found.folder / "vae.py").read_text() == "print(1)"


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        ({"work/group.txt": None}, "group.txt is missing"),
        ({"work/group.txt": "Ann\n" + GROUP}, "'Ann' is not an entry number"),
        ({"work/group.txt": GROUP.replace("\n", "\r\n")}, None),
        ({"work/group.txt": "\ufeff" + GROUP}, None),
        ({"work/group.txt": GROUP.encode("utf-16")}, None),
        ({"work/group.txt": b"\xff\xfe\x00"}, "group.txt: not a text"),
        ({"work/group.txt": "2020CSZ1234"}, "expected 2020CSZ1234.pdf"),
        ({"work/2020CSZ1234_2020CSZ5678.pdf": None}, "the report is missing"),
        ({"__MACOSX/._vae.py": "x"}, "no part of the work: __MACOSX"),
        ({"work/.git/a": "x", "work/.git/b": "x", "work/Thumbs.db": ""}, "work/.git, work/Thumbs"),
    ],
)
def test_what_deviates_becomes_a_remark(
    tmp_path: Path, change: dict[str, str | bytes | None], remark: str | None
) -> None:
    files = {name: text for name, text in (GOOD | change).items() if text is not None}
    found = open_zip(tmp_path, zipped(files))
    assert len(found.remarks) == (remark is not None)
    assert all(remark in text for text in found.remarks if remark)


def test_where_the_program_lies_is_found_and_remarked_upon(tmp_path: Path) -> None:
    flat = {name.removeprefix("work/"): text for name, text in GOOD.items()}
    (found,) = open_zip(tmp_path, zipped(flat)).remarks
    assert "at the top of the zip" in found


def test_another_zip_name_is_remarked_upon(tmp_path: Path) -> None:
    (found,) = open_zip(tmp_path, zipped(GOOD), "mine.zip").remarks
    assert "mine.zip; expected submission.zip" in found


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ("../outside", "leads outside"),
        ("work/../../outside", "leads outside"),
        ("/etc/outside", "leads outside"),
        ("work\\..\\..\\outside", "leads outside"),
        ("\\etc\\outside", "leads outside"),
        ("work\\vae.py", "both 'work/vae.py' and 'work/vae.py'"),
        ("work/VAE.py", "both 'work/vae.py' and 'work/VAE.py'"),
        ("work/vae.py", "both 'work/vae.py' and 'work/vae.py'"),
        ("work/vae.py/inner", "below a file"),
        ("a/" * 30 + "b", "deep or long"),
        ("work/\x1b[2J", "control characters"),
        ("work/\u2028", "control characters"),
        (link("work/link"), "a link or a device"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_that_could_write_elsewhere_is_refused(
    tmp_path: Path, entry: str | zipfile.ZipInfo, found: str
) -> None:
    content = io.BytesIO(zipped(GOOD))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(UserError, match=found):
        open_zip(tmp_path, content.getvalue())
    outside = [path for path in tmp_path.iterdir() if path.name not in ("submission.zip", "tree")]
    assert outside == []


def test_any_name_that_a_keyboard_can_write_is_a_name(tmp_path: Path) -> None:
    odd = (
        "9.41\u202fPM.png",
        "a\xa0b",
        "family \U0001f468\u200d\U0001f469",
        "\u200fhebrew",
        "\ufeffx",
    )
    found = open_zip(tmp_path, zipped(GOOD | {f"work/{name}": "x" for name in odd}))
    assert found.remarks == []
    assert all((found.folder / name).is_file() for name in odd)


def test_backslashes_between_folders_are_remarked_upon(tmp_path: Path) -> None:
    files = {name.replace("/", "\\"): text for name, text in GOOD.items()}
    found = open_zip(tmp_path, zipped({"work\\": "", "work\\empty\\": ""} | files))
    assert found.remarks == ["the zip has backslashes between folders; expected /"]
    assert (found.folder / "vae.py").read_text() == "print(1)"


def test_an_archive_without_the_program_or_with_two_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no vae\.py"):
        open_zip(tmp_path, zipped({"work/main.py": ""}))
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(UserError, match=r"2 files called vae\.py"):
        open_zip(other, zipped({"one/vae.py": "", "two/vae.py": ""}))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip", b"Rar!\x1a\x07\x00" * 9])
def test_what_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UserError, match="zip"):
        open_zip(tmp_path, content)


def test_a_bomb_is_stopped_while_it_unpacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MOST_BYTES", 4 << 20)
    with pytest.raises(UserError, match="more than 4 MiB"):
        open_zip(tmp_path, zipped({"work/vae.py": "", "work/zeros": bytes(64 << 20)}))
    size = sum(path.stat().st_size for path in (tmp_path / "tree").rglob("*"))
    assert size <= 5 << 20


def tarred(members: Iterable[tarfile.TarInfo], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a compressed tar archive with vae.py and these members, whose content is zeros."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz", format=form) as archive:
        for member in (member_of("work/vae.py"), *members):
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return content.getvalue()


def member_of(name: str, size: int = 0, **fields: Any) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    for field, value in fields.items():
        setattr(member, field, value)
    return member


def test_a_tar_archive_is_read_with_a_remark(tmp_path: Path) -> None:
    content = tarred([member_of("work/net.py", 9), member_of("work/.git/x")])
    for name, packed in (("a.tar.gz", content), ("b.TAR", gzip.decompress(content))):
        home = tmp_path / name[0]
        home.mkdir()
        found = open_zip(home, packed, name)
        assert found.remarks[:2] == [
            "the submission is a tar archive; expected a zip",
            "left out, because hidden or no part of the work: work/.git",
        ]
        assert sorted(path.name for path in found.folder.iterdir()) == ["net.py", "vae.py"]
    (tmp_path / "c").mkdir()
    with pytest.raises(UserError, match=r"c\.tgz: not a sound tar archive"):
        open_zip(tmp_path / "c", b"no archive", "c.tgz")


@pytest.mark.parametrize(
    ("member", "found"),
    [
        (member_of("../outside"), "leads outside"),
        (member_of("/etc/outside"), "leads outside"),
        (member_of("work/vae.py"), "both 'work/vae.py' and 'work/vae.py'"),
        (member_of("work/VAE.py"), "both 'work/vae.py' and 'work/VAE.py'"),
        (member_of("work/vae.py/inner"), "below a file"),
        (member_of("work/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "a link or"),
        (member_of("work/hard", type=tarfile.LNKTYPE, linkname="work/vae.py"), "a link or"),
        (member_of("work/pipe", type=tarfile.FIFOTYPE), "a link or a device"),
        (member_of("work/zero", 600 << 20), "more than 512 MiB when unpacked"),
        (member_of("work/x", pax_headers={"comment": "x" * (9 << 20)}), "not a sound tar archive"),
    ],
)
def test_a_tar_archive_that_could_do_harm_is_refused(
    tmp_path: Path, member: tarfile.TarInfo, found: str
) -> None:
    with pytest.raises(UserError, match=found):
        open_zip(tmp_path, tarred([member]), "a.tar.gz")
    outside = [path.name for path in tmp_path.iterdir()]
    assert sorted(outside) == ["a.tar.gz", "tree"]


@given(content=damaged(tarred([member_of("work/net.py", 9)])))
def test_a_damaged_tar_archive_is_read_or_refused(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with contextlib.suppress(UserError):
        open_zip(tmp_path_factory.mktemp("damaged"), content, "a.tar.gz")


def test_too_many_entries_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2001 entries"):
        open_zip(tmp_path, zipped({f"work/{i}": "" for i in range(2001)}))


def test_a_folder_is_copied_without_hidden_files_and_links_are_refused(
    tmp_path: Path, submit: Callable[..., Path]
) -> None:
    folder = submit({"vae.py": "print(1)", ".git/config": "x", "inner/data.json": "{}"})
    (tmp_path / "tree").mkdir()
    found = open_submission(folder, A3, tmp_path / "tree")
    copied = sorted(p.relative_to(found.folder).as_posix() for p in found.folder.rglob("*"))
    assert copied == ["inner", "inner/data.json", "vae.py"]
    assert any(remark.endswith("no part of the work: .git") for remark in found.remarks)
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match="a link"):
        open_submission(folder, A3, tmp_path / "tree2")


def test_the_same_content_has_the_same_digest_however_packed(tmp_path: Path) -> None:
    first = open_zip(tmp_path, zipped(GOOD)).sha256
    other = tmp_path / "other"
    other.mkdir()
    backwards = dict(reversed(GOOD.items()))
    assert open_zip(other, zipped(backwards)).sha256 == first
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    hidden = {"work/.hidden/net.py": "print(3)", "work/.profile": "", "__MACOSX/._vae.py": ""}
    found = open_zip(elsewhere, zipped(GOOD | hidden))
    assert found.sha256 == first, "what is left out is no part of it"
    assert not list(found.folder.glob(".*"))
    (remark,) = found.remarks
    assert remark.endswith("__MACOSX, work/.hidden, work/.profile")
    unpacked = tmp_path / "as_a_folder"
    with zipfile.ZipFile(elsewhere / "submission.zip") as archive:
        archive.extractall(unpacked)
    assert open_submission(unpacked, A3, tmp_path / "copy").sha256 == first
    third = tmp_path / "third"
    third.mkdir()
    assert open_zip(third, zipped(GOOD | {"work/vae.py": "print(2)"})).sha256 != first


@given(content=damaged(zipped(GOOD)))
def test_a_damaged_archive_is_read_or_refused(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    try:
        open_zip(tmp_path_factory.mktemp("damaged"), content)
    except UserError:
        return
