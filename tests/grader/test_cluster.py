"""Clusters: nobody without a certificate uses one, and a class is graded whatever breaks.

The machines of a cluster are network namespaces here, joined by a bridge.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

from grader.classroom.batch import cluster
from grader.errors import UserError
from grader.sandbox import launcher
from grader.sandbox.command import Level
from grader.shipping.bundle import ROOT
from tests.grader.classes import grader, make_class
from tests.grader.processes import wait_until


def listening_ports() -> list[int]:
    """Return the TCP ports on which this process and those it started listen."""
    sockets = set()
    for pid in (os.getpid(), *launcher.descendants(os.getpid())):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                sockets |= set(re.findall(r"socket:\[(\d+)\]", str(entry.readlink())))
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path("/proc/net", name).read_text().splitlines()[1:]
    ]
    return [
        int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and row[9] in sockets
    ]


ATTACKER = """
import os, signal, sys, urllib.error, urllib.request
from distributed import Client
from distributed.security import Security

def give_up(*_):
    raise TimeoutError

def try_to(what):
    signal.setitimer(signal.ITIMER_REAL, 120, 2)  # rather than wait for ever
    try:
        print(what(), flush=True)
    except Exception:
        print("refused", flush=True)
    signal.setitimer(signal.ITIMER_REAL, 0)

signal.signal(signal.SIGALRM, give_up)

def run_as(address, security):
    with Client(address, security=security, timeout=60) as client:
        return f"ran as {client.run_on_scheduler(os.getuid)}"

for port in sys.argv[1:]:
    try:
        address = f"http://127.0.0.1:{port}/info/main/workers.html"
        with urllib.request.urlopen(address, timeout=60):
            print("a page", flush=True)
    except urllib.error.HTTPError:
        print("refused", flush=True)
    except Exception:  # no HTTP server
        try_to(lambda: run_as(f"tcp://127.0.0.1:{port}", None))
        try_to(lambda: run_as(f"tls://127.0.0.1:{port}", Security.temporary()))
os._exit(0)  # whatever a client still waits for
"""


def attempts(*ports: int) -> set[str]:
    """Try to run code through ports without this run's certificate; return what happened."""
    assert ports
    attacker = subprocess.run(
        [sys.executable, "-c", ATTACKER, *map(str, ports)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return set(attacker.stdout.splitlines())


def test_nobody_without_a_certificate_uses_the_cluster() -> None:
    with LocalCluster(n_workers=1, scheduler_kwargs={"dashboard_address": "127.0.0.1:0"}) as bare:
        assert f"ran as {os.getuid()}" in attempts(bare.scheduler.port)
        assert attempts(bare.scheduler.http_server.port) == {"a page"}
    with cluster(1, None) as client:
        assert client.submit(os.getuid).result() == os.getuid()
        assert attempts(*listening_ports()) == {"refused"}


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "127.0.0.1:8786", "ws://h:1"])
def test_a_scheduler_without_tls_is_not_used(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    address: str,
) -> None:
    line = f"batch {tmp_path} --data {tmp_path} --out {tmp_path}/run --scheduler {address}"
    assert grader(line, monkeypatch) == 2
    assert "which any user could connect to" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_certificates_no_scheduler_is_used() -> None:
    with pytest.raises(UserError, match="no certificates to show"), cluster(1, "tls://127.0.0.1:1"):
        pass


def certificate(folder: Path) -> dict[str, str]:
    """Make a certificate as docs/classes.md says; return the settings that Dask needs."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=grading", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(words, check=True, capture_output=True)
    settings = {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True"}
    settings["DASK_DISTRIBUTED__COMM__TLS__CA_FILE"] = str(cert)
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        settings[f"DASK_DISTRIBUTED__COMM__TLS__{role}__CERT"] = str(cert)
        settings[f"DASK_DISTRIBUTED__COMM__TLS__{role}__KEY"] = str(key)
    return settings


class Machines:
    """Network namespaces that are joined by a bridge; each has an address, 10.99.7.N."""

    def __init__(self, names: list[str]) -> None:
        self.tag = f"vg{os.getpid() % 100_000}"
        self.address = {name: f"10.99.7.{number}" for number, name in enumerate(names, 1)}
        self.processes: list[subprocess.Popen] = []

    def namespace(self, name: str) -> str:
        return f"{self.tag}-{name}"

    def __enter__(self) -> "Machines":
        try:
            self.connect()
        except subprocess.CalledProcessError:
            self.__exit__()
            raise
        return self

    def connect(self) -> None:
        ip("netns", "add", self.namespace("switch"))
        inside = ("netns", "exec", self.namespace("switch"), "ip", "link")
        ip(*inside, "add", "bridge", "type", "bridge")
        ip(*inside, "set", "bridge", "up")
        for name, address in self.address.items():
            space = self.namespace(name)
            ip("netns", "add", space)
            ip("link", "add", "eth0", "netns", space, "type", "veth", "peer", "name", name,
               "netns", self.namespace("switch"))  # fmt: skip
            ip(*inside, "set", "dev", name, "master", "bridge", "up")
            ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            ip("-n", space, "link", "set", "lo", "up")

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        for name in (*self.address, "switch"):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "delete", self.namespace(name))

    def link(self, name: str, state: str) -> None:
        """Cut or restore the link of a machine: "down" or "up"."""
        ip("-n", self.namespace("switch"), "link", "set", "dev", name, state)

    def start(self, name: str, *words: object, **settings: Any) -> subprocess.Popen:
        """Start a program on a machine."""
        inside = ["ip", "netns", "exec", self.namespace(name), sys.executable, "-m"]
        process = subprocess.Popen([*inside, *map(str, words)], text=True, **settings)
        self.processes.append(process)
        return process


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def can_make_machines() -> bool:
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("openssl"):
        return False
    try:
        with Machines(["a"]):
            return True
    except subprocess.CalledProcessError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(
    not can_make_machines(), reason="needs root, network namespaces, iproute2 and openssl"
)
def test_a_class_on_two_machines_survives_a_cut_link_and_a_killed_worker(
    tmp_path: Path, data_folder: Path, level: Level
) -> None:
    make_class(tmp_path / "class", 20)
    dask = os.environ | {"PYTHONPATH": str(ROOT)} | certificate(tmp_path)
    # Importing the grader keeps a busy machine's worker from answering for several seconds.
    dask["DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL"] = "30s"
    options: dict[str, Any] = {"env": dask, "cwd": tmp_path, "stderr": subprocess.DEVNULL}
    with Machines(["head", "one", "two", "three"]) as machines:
        address = f"tls://{machines.address['head']}:8786"
        machines.start(
            "head", "distributed.cli.dask_scheduler", "--protocol", "tls", "--no-dashboard",
            "--host", machines.address["head"], **options,
        )  # fmt: skip
        workers = {
            name: machines.start(
                name, "distributed.cli.dask_worker", address, "--protocol", "tls", "--nthreads", 1,
                "--no-dashboard", "--no-nanny", "--death-timeout", 300, "--name", name, **options,
            )
            for name in ("one", "two", "three")
        }  # fmt: skip

        refused = machines.start(
            "three", "grader", "batch", tmp_path / "class", "--data", data_folder, "--out",
            tmp_path / "stolen", "--scheduler", address, cwd=ROOT, stderr=subprocess.PIPE,
        )  # fmt: skip
        message = refused.communicate()[1]
        assert refused.returncode == 2
        assert message.startswith(f"{address}: no certificates to show")
        assert message.count("\n") == 1

        def graded() -> int:
            return len(list((tmp_path / "run").glob("submissions/*/results.json")))

        batch = machines.start(
            "head", "grader", "batch", tmp_path / "class", "--data", data_folder, "--out",
            tmp_path / "run", "--scheduler", address, "--jobs", 3, cwd=ROOT, env=dask,
        )  # fmt: skip
        wait_until(lambda: graded() >= 2 or batch.poll() is not None)
        machines.link("one", "down")
        wait_until(lambda: graded() >= 6 or batch.poll() is not None)
        machines.link("one", "up")
        workers["two"].kill()
        assert batch.wait(600) == 0
        assert 6 < graded() == 20
    here = (tmp_path / "class", "--data", data_folder, "--out", tmp_path / "here", "--jobs", 2)
    assert subprocess.run(command("batch", *here), cwd=ROOT, check=False).returncode == 0
    assert gradebook(tmp_path / "run") == gradebook(tmp_path / "here")


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "grader", *map(str, words)]


def gradebook(run: Path) -> bytes:
    subprocess.run(command("export", run, f"{run}.csv"), cwd=ROOT, check=True, capture_output=True)
    return Path(f"{run}.csv").read_bytes()
