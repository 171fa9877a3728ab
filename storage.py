"""Reading and writing files: whole-file writes, state dicts, pickles that can hold only data."""

import hashlib
import io
import os
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import torch
from torch import nn

from grader.errors import UserError


@contextmanager
def temporary_file(path: Path, size: int = 0) -> Iterator[Path]:
    """Yield a name for a temporary file next to `path`, and remove the file at the end.

    The folder is made if needed. An OSError in the block becomes a UserError about `path`, which
    says that `size` bytes are needed.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        if path.exists() and not path.is_file():
            raise FileExistsError(0, "it is not a regular file")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        found = f"cannot be written ({error.strerror})"
        space = f"{size / 2**20:.1f} MiB of space" if size else "space"
        raise UserError(path, found, f"a file in a folder with write access and {space}") from error


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary file that replaces `path`, whole, if the block ends without an error."""
    with temporary_file(path) as temporary:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def check_writable(sizes: Mapping[Path, int]) -> None:
    """Raise UserError now if files of these sizes, in bytes, could not all be written later.

    Existing files are not changed.
    """
    with ExitStack() as stack:
        for path, size in sizes.items():
            stack.enter_context(temporary_file(path, size)).write_bytes(bytes(size))


def read_bytes(path: Path, expected: str) -> bytes:
    """Return the content of a regular, non-empty file; `expected` says what it should be."""
    try:
        if path.exists() and not path.is_file():
            raise UserError(path, "a folder" if path.is_dir() else "not a regular file", expected)
        content = path.read_bytes()
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", expected) from error
    if not content:
        raise UserError(path, "an empty file", expected)
    return content


def sha256(path: Path) -> str:
    """Return the hexadecimal digest that `sha256sum` prints."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


STATE_DICT = "a state dict saved by 'vae.py ... train'"
RECORD_SIZE = 1024  # bytes that torch.save adds per tensor, at most


def state_dict_size(model: nn.Module) -> int:
    """Return how many bytes `save_state_dict` writes at most.

    The model may be on a device that holds no data, such as `meta`.
    """
    tensors = model.state_dict().values()
    return sum(tensor.nbytes for tensor in tensors) + RECORD_SIZE * (len(tensors) + 8)


def save_state_dict(model: nn.Module, path: Path) -> None:
    """Write only `model.state_dict()`, on the CPU, for `torch.load(..., weights_only=True)`."""
    state = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
    content = io.BytesIO()
    torch.save(state, content)  # writing straight to a full disk, it raises its own errors
    with replacing(path) as file:
        file.write(content.getbuffer())


def load_state_dict(model: nn.Module, path: Path) -> None:
    """Fill `model`, on the CPU, with the weights in `path`.

    Raises UserError if the file is not a state dict of exactly this network, or holds a value that
    is not finite. Some weights may already be in the model by then.
    """
    content = read_bytes(path, STATE_DICT)
    try:
        damaged = zipfile.ZipFile(io.BytesIO(content)).testzip()  # torch.load checks no checksums
        with warnings.catch_warnings(action="ignore"):
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load has no fixed set of errors for a damaged file
        raise UserError(path, "not a file that torch.load can read safely", STATE_DICT) from error
    if damaged:
        raise UserError(path, f"a damaged file ('{damaged}')", STATE_DICT)
    try:
        model.load_state_dict(state)
    except Exception as error:  # other contents can fail in as many ways
        raise UserError(path, "the weights of another network", STATE_DICT) from error
    if not all(bound.isfinite() for weights in model.parameters() for bound in weights.aminmax()):
        raise UserError(path, "weights that are not finite", STATE_DICT)


class DataUnpickler(pickle._Unpickler):
    """A reader for pickles of numbers, strings, lists, tuples and dicts; it refuses all classes.

    It is the pure-Python reader, because the C one allocates any size that a damaged file states.
    """

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is refused")


def save_pickle(value: Mapping[str, Any], path: Path) -> None:
    """Write a dict of lists, numbers and strings."""
    with replacing(path) as file:
        pickle.dump(value, file, protocol=4)


def load_pickle(path: Path, expected: str) -> dict[str, Any]:
    """Read what `save_pickle` wrote. Raises UserError for anything else, without running it."""
    content = read_bytes(path, expected)
    try:
        value = DataUnpickler(io.BytesIO(content)).load()
    except Exception as error:  # a damaged pickle can fail in any of its opcodes
        raise UserError(path, f"not a pickle of plain data ({error})", expected) from error
    if not isinstance(value, dict):
        raise UserError(path, f"a {type(value).__name__}", expected)
    return value
