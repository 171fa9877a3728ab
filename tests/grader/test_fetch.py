"""Weights fetched by link, from an HTTP server that the tests start."""

import contextlib
import json
import threading
import time
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from grader.assignment import read_assignment
from grader.classroom import download as downloading
from grader.classroom.class_run import ClassRun, Entry, find_submissions
from grader.classroom.download import download, is_public
from grader.classroom.fetch import fetch_all, verify
from grader.errors import UserError
from grader.submission import contents

A3 = read_assignment("a3")
WEIGHTS = {"vae.pth": b"weights", "gmm_params.pkl": b"mixture"}


class Quiet(SimpleHTTPRequestHandler):
    redirect = ""  # where /away leads

    def do_GET(self) -> None:
        if self.path != "/away":
            return super().do_GET()
        self.send_response(302)
        self.send_header("Location", self.redirect)
        self.end_headers()
        return None

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Provide a folder and the address at which its files are served."""
    folder = tmp_path / "site"
    folder.mkdir()
    handler = partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def archive(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as target:
        for name, content in files.items():
            target.writestr(name, content)


def submissions(folder: Path, links: dict[str, str]) -> list[Entry]:
    for name, link in links.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "vae.py").write_text("print(1)")
        (folder / name / "model_path.txt").write_text(f"{link}\n")
    return find_submissions(folder)


def test_weights_are_fetched_once_and_changes_show(
    site: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = site
    archive(folder / "good.zip", WEIGHTS)
    archive(folder / "deep.zip", {f"a/b/{name}": content for name, content in WEIGHTS.items()})
    archive(folder / "half.zip", {"vae.pth": b"weights"})
    archive(folder / "climbs.zip", {"../vae.pth": b"weights"})
    archive(folder / "large.zip", {**WEIGHTS, "rest": bytes(3 << 20)})
    (folder / "page.html").write_text("<html>")
    monkeypatch.setattr(downloading, "LARGEST", 2 << 20)
    names = ("good", "deep", "half", "climbs", "large", "absent")
    links = {name: f"{address}/{name}.zip" for name in names}
    links |= {
        "page": f"{address}/page.html",
        "none": "see my mail",
        "closed": "http://127.0.0.1:9/x",
    }
    entries, run = submissions(tmp_path / "class", links), ClassRun(tmp_path / "run")
    records = fetch_all(entries, A3, run, private=True)
    assert sorted(name for name, record in records.items() if "problem" not in record) == [
        "deep",
        "good",
    ]
    for name in ("good", "deep"):
        found = {path.name: path.read_bytes() for path in run.fetched(name).iterdir()}
        assert found == WEIGHTS
        assert records[name]["sha256"] == records["good"]["sha256"]
        assert records[name]["time"].endswith("+00:00")
    for name, message in {
        "half": "half: no gmm_params.pkl in it or behind its link",
        "climbs": "leads outside",
        "large": "more than 2 MiB",
        "absent": "404",
        "page": "page: no vae.pth and no gmm_params.pkl in it or behind its link",
        "none": "expected a link such as",
        "closed": "refused",
    }.items():
        assert message in records[name]["problem"], name
        assert str(run.folder) not in records[name]["problem"], name
        assert run.fetched(name).exists() == (name == "half"), "half of them may be graded"
    assert not list((tmp_path / "run" / "fetched").glob(".*"))

    archive(folder / "bare", WEIGHTS | {"vae.pth": b"new"})
    (tmp_path / "class" / "deep" / "model_path.txt").write_text(f"{address}/bare?id=5\n")
    again = fetch_all(entries, A3, run, private=True)["deep"]
    assert again["links"][0].endswith("bare?id=5"), "another link, whose archive has no ending"
    assert (run.fetched("deep") / "vae.pth").read_bytes() == b"new"
    (tmp_path / "class" / "deep" / "model_path.txt").write_text(f"{address}/deep.zip\n")
    fetch_all(entries, A3, run, private=True)

    archive(folder / "good.zip", WEIGHTS | {"vae.pth": b"better"})
    (folder / "deep.zip").unlink()
    assert fetch_all(entries, A3, run, private=True)["good"] == records["good"], (
        "what is here stays"
    )
    changed = verify(entries, A3, run, private=True)
    assert changed["good"].startswith("other weights (fetched at ")
    assert "404" in changed["deep"]
    assert set(changed) == {"good", "deep"}, "a link that never worked has not changed"


def test_links_and_the_submission_are_put_together(site: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = site
    for name, content in WEIGHTS.items():
        (folder / name).write_bytes(content)
    archive(folder / "all.zip", WEIGHTS)
    archive(folder / "twice.zip", WEIGHTS | {"old/vae.pth": b"before"})
    entries = submissions(
        tmp_path / "class",
        {
            "included": f"{address}/vae.pth",
            "lines": f"{address}/vae.pth\n{address}/gmm_params.pkl",
            "broken": f"{address}/none.zip\nby mail\n{address}/all.zip",
            "unused": f"{address}/all.zip\n{address}/none.zip",
            "twice": f"{address}/twice.zip",
            "many": "\n".join(f"{address}/{number}" for number in range(9)),
        },
    )
    (tmp_path / "class" / "included" / "gmm_params.pkl").write_bytes(b"own")
    run = ClassRun(tmp_path / "run")
    records = fetch_all(entries, A3, run, private=True)
    assert [path.name for path in run.fetched("included").iterdir()] == ["vae.pth"]
    assert "problem" not in records["included"]
    for name in ("lines", "broken", "unused"):
        found = {path.name: path.read_bytes() for path in run.fetched(name).iterdir()}
        assert found == WEIGHTS, name
    assert records["lines"]["found"] == {
        f"{address}/vae.pth": ["vae.pth"],
        f"{address}/gmm_params.pkl": ["gmm_params.pkl"],
    }
    assert "404" in records["broken"]["problem"]
    assert "no vae.pth" not in records["broken"]["problem"]
    assert list(records["unused"]["found"]) == [f"{address}/all.zip"], "the rest is not needed"
    assert f"{address}/twice.zip: 2 files called vae.pth" in records["twice"]["problem"]
    assert len(records["many"]["found"]) == contents.MOST_LINKS


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07::1", True),
        ("127.0.0.1", False),
        ("127.8.8.8", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("::127.0.0.1", False),
        ("fec0::1", False),
        ("::ffff:93.184.215.14", True),
    ],
)
def test_only_addresses_of_the_internet_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_no_link_leads_into_this_network(site: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = site
    archive(folder / "good.zip", WEIGHTS)
    port = address.rpartition(":")[2]
    hosts = ("127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1")
    for number, host in enumerate(hosts):
        (tmp_path / f"{number}").mkdir()
        with pytest.raises(UserError, match="not a public address"):
            download(f"http://{host}:{port}/good.zip", tmp_path / f"{number}")
    for link in ("file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "gopher://127.0.0.1/"):
        with pytest.raises(UserError, match="unknown url type"):
            download(link, tmp_path / "0")
    (tmp_path / "open").mkdir()
    download(f"{address}/good.zip", tmp_path / "open", private=True)
    assert (tmp_path / "open" / "good.zip").is_file()


def test_a_redirect_does_not_lead_into_this_network(
    site: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """127.0.0.2 plays the public address here."""
    folder, address = site
    archive(folder / "good.zip", WEIGHTS)
    monkeypatch.setattr(downloading, "is_public", lambda found: found == "127.0.0.2")
    monkeypatch.setattr(Quiet, "redirect", f"{address}/good.zip")
    with ThreadingHTTPServer(("127.0.0.2", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        link = f"http://127.0.0.2:{server.server_port}/away"
        with pytest.raises(UserError, match=r"127\.0\.0\.1 is not a public address"):
            download(link, tmp_path)
        download(link, tmp_path, private=True)
        server.shutdown()
    assert (tmp_path / "away").read_bytes() == (folder / "good.zip").read_bytes()


class Drip(Quiet):
    """Sends a byte of a header now and then, for ever."""

    def do_GET(self) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b"x")
                time.sleep(0.05)


def test_half_a_file_is_no_file(tmp_path: Path) -> None:
    class Half(Quiet):
        def do_GET(self) -> None:
            self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\nabc")

    with ThreadingHTTPServer(("127.0.0.1", 0), Half) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(UserError, match="3 bytes of 1000"):
            download(f"http://127.0.0.1:{server.server_port}/x", tmp_path, private=True)
        server.shutdown()


def test_a_download_ends_at_its_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "PATIENCE", 0.5)
    with ThreadingHTTPServer(("127.0.0.1", 0), Drip) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        with pytest.raises(UserError, match=r"more than 0\.5 s for the whole download"):
            download(f"http://127.0.0.1:{server.server_port}/x", tmp_path, private=True)
        server.shutdown()


def test_a_killed_fetch_begins_anew(site: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = site
    archive(folder / "good.zip", WEIGHTS)
    entries = submissions(tmp_path / "class", {"one": f"{address}/good.zip"})
    run = ClassRun(tmp_path / "run")
    partial_copy = run.fetched("one").with_name(".one.part")
    partial_copy.mkdir(parents=True)
    (partial_copy / "vae.pth").write_bytes(b"half")
    fetch_all(entries, A3, run, private=True)
    assert (run.fetched("one") / "vae.pth").read_bytes() == b"weights"
    record = json.loads((tmp_path / "run" / "fetched" / "one.fetch.json").read_text())
    assert record["links"] == [f"{address}/good.zip"]


def test_a_drive_s_links_go_through_gdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "asked"  # another process writes to it

    def note(*words: str) -> None:
        with asked.open("a") as file:
            file.write(" ".join(words) + "\n")

    def download(url: str, output: str, quiet: bool, timeout: float) -> None:
        note("file", url)
        archive(Path(output) / "weights.zip", WEIGHTS)

    def download_folder(url: str, output: str, quiet: bool, timeout: float) -> None:
        note("folder", url)
        for name, content in WEIGHTS.items():
            (Path(output) / name).write_bytes(content)

    monkeypatch.setattr("gdown.download", download)
    monkeypatch.setattr("gdown.download_folder", download_folder)
    links = {
        "file": "https://drive.google.com/file/d/1/view?usp=sharing",
        "folder": "https://drive.google.com/drive/folders/2",
    }
    records = fetch_all(submissions(tmp_path / "class", links), A3, ClassRun(tmp_path / "run"))
    assert [record.get("problem") for record in records.values()] == [None, None]
    assert asked.read_text().splitlines() == [" ".join(item) for item in links.items()]
    assert contents.problem_of_address(links["file"], "x") is None
