"""Download what a student's link leads to: from public addresses only, within a deadline.

The link is untrusted. It could lead to services of this machine or its network, directly or by a
redirect, and the other side could send a byte a minute. So another process makes the request, and
is killed at the deadline. Each connection goes to an address that was checked.
"""

import contextlib
import http.client
import ipaddress
import math
import multiprocessing
import resource
import shutil
import signal
import socket
import ssl
import time
import urllib.request
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gdown

from ..errors import UserError, reason

LARGEST = 256 << 20  # bytes
TIMEOUT = 60.0  # seconds without an answer
PATIENCE = 300.0  # seconds for a whole download
DRIVES = ("drive.google.com", "docs.google.com")
# IPv6 addresses that stand for IPv4 ones: by NAT64, and in an old form.
TRANSLATED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")))
EXPECTED = "a link that gives an archive, or a folder, with the weights"


def is_public(address: str) -> bool:
    """Check whether an IP address belongs to the public internet, and to one machine there."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        if any(found in network for network in TRANSLATED) or found.is_site_local:
            return False
    return found.is_global and not found.is_multicast


def connect(host: str, port: int, timeout: float | None, private: bool) -> socket.socket:
    """Connect to the first address of a host that answers.

    Unless `private`, raises OSError, without connecting, if any of its addresses is not public.
    """
    found = [entry[4] for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    addresses = [(str(address[0]), port) for address in found]
    if not private and not all(is_public(address) for address, _ in addresses):
        raise PermissionError(0, f"{host} is not a public address (--allow-private permits it)")
    problem: OSError | None = None
    for address in addresses:
        try:
            connected = socket.create_connection(address, timeout)
        except OSError as error:
            problem = error
            continue
        if not private and connected.getsockname()[0] == connected.getpeername()[0]:
            connected.close()
            raise PermissionError(0, f"{host} is this machine (--allow-private permits it)")
        return connected
    raise problem or OSError(0, f"{host} has no address")


def opener(private: bool) -> urllib.request.OpenerDirector:
    """Return an opener for http and https alone, without proxies, that checks each address."""

    class CheckedHTTP(http.client.HTTPConnection):
        def connect(self) -> None:
            self.sock = connect(self.host, self.port, self.timeout, private)

    class CheckedHTTPS(http.client.HTTPSConnection):
        def connect(self) -> None:
            plain = connect(self.host, self.port, self.timeout, private)
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(plain, server_hostname=self.host)

    class Handler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
        def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(CheckedHTTP, request)

        def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(CheckedHTTPS, request)

    made = urllib.request.OpenerDirector()
    for handler in (
        Handler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        made.add_handler(handler)
    return made


def request_file(link: str, folder: Path, private: bool) -> None:
    """Download the file behind a link. Raises UserError, OSError."""
    target = folder / (Path(urlsplit(link).path).name or "weights")
    with opener(private).open(link, timeout=TIMEOUT) as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy)
        size = copy.tell()
        announced = source.headers.get("Content-Length", str(size))
    if announced != str(size):
        raise UserError(target, f"{size} bytes of {announced}", EXPECTED)


def request_from_drive(link: str, folder: Path) -> None:
    """Download from Google Drive, whose links first lead to a web page."""
    if "/folders/" in link:
        gdown.download_folder(url=link, output=str(folder), quiet=True, timeout=TIMEOUT)
    else:
        gdown.download(url=link, output=f"{folder}/", quiet=True, timeout=TIMEOUT)


def size_of(folder: Path) -> int:
    """Return the bytes of the files below a folder, in which another process writes."""
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            size += path.lstat().st_size
    return size


def request(link: str, folder: Path, private: bool, pipe: Connection) -> None:
    """Download in this process, which is for nothing else; send what went wrong, or ""."""
    signal.alarm(math.ceil(PATIENCE) + 1)  # in case the grader is killed
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing too much raises an OSError instead
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * LARGEST, 2 * LARGEST))
    problem = ""
    try:
        if urlsplit(link).hostname in DRIVES:
            request_from_drive(link, folder)
        else:
            request_file(link, folder, private)
    except UserError as error:
        problem = str(error)
    except Exception as error:  # networks and drives fail in many ways
        problem = f"{type(error).__name__}: {reason(error)}"
    pipe.send(problem)


def download(link: str, folder: Path, private: bool = False) -> None:
    """Download `link` to files in `folder`.

    Raises UserError if that fails, takes longer than PATIENCE, or leads to an address that is not
    public, unless `private`.
    """
    processes: Any = multiprocessing.get_context("fork")
    receiver, sender = processes.Pipe(duplex=False)
    child = processes.Process(target=request, args=(link, folder, private, sender), daemon=True)
    child.start()
    sender.close()
    given_up = time.monotonic() + PATIENCE
    while not receiver.poll(min(1, PATIENCE)):
        if time.monotonic() >= given_up or size_of(folder) > LARGEST:
            break
    child.kill()
    child.join()
    if size_of(folder) > LARGEST:
        problem = f"more than {LARGEST >> 20} MiB"
    elif time.monotonic() >= given_up:
        problem = f"more than {PATIENCE:g} s for the whole download"
    else:
        problem = "the download ended early"
        with contextlib.suppress(EOFError):
            problem = receiver.recv()
    if problem:
        raise UserError(link, problem, EXPECTED)
