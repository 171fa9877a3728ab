"""Count the numbers in a file of weights, without loading it.

A limit on a network's parameters is only as good as the count. The bytes that are in the file are
divided by the size of the number types that its pickle names, which is read opcode by opcode.
"""

import io
import pickletools
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from .artifacts import array_names, open_zip, read_file, read_header
from .errors import UserError

LARGEST_GRAPH = 1 << 20  # bytes; the pickle that describes a state dict, without its weights
GRAPH_SIZE, TENSOR_SIZE = 4096, 1024  # bytes that a description needs: in all, and for a tensor
NAME_SIZE, LATEST = 100, 8  # characters of a text, and values, that are kept of a pickle
FLOAT32 = 4  # bytes
MORE = 1.05  # times as many float32 numbers as were counted are worth a look
LOOSE = 0.01  # of the arrays' bytes, outside of them, are worth one too
LEGACY = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the end of the first pickle of old state dicts
LEGACY_PICKLES = 5  # the mark, a version, facts about the machine, the state dict, the storages
OPTIMIZER = {"exp_avg", "exp_avg_sq", "momentum_buffer", "param_groups"}

# Bytes of each number; a complex number is two.
ITEM_BYTES = {
    **{"DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2},
    **{"LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1},
    **{"BoolStorage": 1, "ComplexFloatStorage": 4, "ComplexDoubleStorage": 8},
}
# Types without a storage class of their own are named after the storage, which is untyped.
UNTYPED = "UntypedStorage"
TYPE_BYTES = {"uint16": 2, "uint32": 4, "uint64": 8}


@dataclass(frozen=True)
class Count:
    """The numbers in a file, and what staff or the student should know of them.

    `doubt` says why there may be more numbers than were counted. `hint` says why there may be more
    than the author thinks.
    """

    numbers: int
    doubt: str = ""
    hint: str = ""


def number_sizes(graph: IO[bytes]) -> tuple[dict[str, int], bool]:
    """Return the bytes per number in each storage that a pickle names, and if it has an optimizer.

    Reads to the end of the pickle. PyTorch refers to a storage as the persistent id ('storage',
    torch.FloatStorage, key, device, length); these are the last values pushed before the opcode
    BINPERSID. If a storage has several types, the smallest counts.
    """
    sizes: dict[str, int] = {}
    memo: dict[int, object] = {}
    pushed: list[object] = []
    untyped = ""  # the key of a storage whose type comes later
    optimizer = False
    argument: Any
    for opcode, argument, _ in pickletools.genops(graph):
        name = opcode.name
        if name == "MARK":
            pushed = []
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = pushed[-1] if pushed else None
        elif name == "MEMOIZE":
            memo[len(memo)] = pushed[-1] if pushed else None
        elif name in ("BINGET", "LONG_BINGET"):
            pushed.append(memo.get(argument))
        elif name == "STACK_GLOBAL":
            pushed[-2:] = [str(pushed[-1])] if pushed else []
        elif name == "BINPERSID" and len(pushed) >= 5 and pushed[-5] == "storage":
            key, kind = str(pushed[-3]), str(pushed[-4]).split()[-1]
            size = ITEM_BYTES.get(kind, 1)
            untyped = key if kind == UNTYPED else ""
            sizes[key] = min(size, sizes.get(key, size))
        elif isinstance(argument, str | int):
            pushed.append(argument[:NAME_SIZE] if isinstance(argument, str) else argument)
            optimizer = optimizer or argument in OPTIMIZER
            del pushed[:-LATEST]
        if untyped and pushed and (size := TYPE_BYTES.get(str(pushed[-1]).split()[-1], 0)):
            sizes[untyped], untyped = size, ""
    return sizes, optimizer


def counted(path: Path, numbers: int, size: int, loose: int = 0, optimizer: bool = False) -> Count:
    """Return the count of `numbers` in `size` bytes, and of `loose` bytes that are in no array.

    There is a doubt if the numbers are larger than those of a usual network, or bytes are loose.
    """
    doubt = hint = ""
    if size / FLOAT32 > MORE * numbers or loose > LOOSE * size:
        doubt = (
            f"{path.name}: {numbers:,} numbers by their types, in {size:,} bytes, which could hold "
            f"{size // FLOAT32:,} float32 numbers; {loose:,} more bytes belong to no array"
        )
    if optimizer:
        hint = f"{path.name} holds an optimizer's state, which counts; save only the state_dict()"
    return Count(numbers + loose // FLOAT32, doubt, hint)


def count_numbers(path: Path) -> Count:
    """Count the numbers in a file of `torch.save`, parameters and buffers alike, or of `np.savez`.

    A record that the description does not name counts as one number per byte, and other bytes that
    a zip need not have as float32 numbers. Raises UserError for any other file.
    """
    expected = "a state dict saved by torch.save"
    content = read_file(path, expected)
    try:
        if LEGACY in content[:100]:
            return count_legacy(path, content)
        archive = open_zip(path, content, expected)
        if any(name.endswith("/data.pkl") for name in archive.namelist()):
            return count_state_dict(path, archive, len(content), expected)
        return count_arrays(path, archive, len(content), expected)
    except UserError:
        raise
    except Exception as error:  # genops and numpy document no exceptions for damaged files
        raise UserError(path, "a damaged description of its numbers", expected) from error


def count_state_dict(path: Path, archive: zipfile.ZipFile, size: int, expected: str) -> Count:
    """Count the numbers in the present format of PyTorch, a zip of `size` bytes."""
    graphs = [entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl")]
    if len(graphs) != 1 or graphs[0].file_size > LARGEST_GRAPH:
        raise UserError(path, f"a zip with {len(graphs)} of PyTorch's data.pkl", expected)
    sizes, optimizer = number_sizes(io.BytesIO(archive.read(graphs[0])))
    folder = graphs[0].filename.removesuffix("data.pkl") + "data/"
    records = [entry for entry in archive.infolist() if entry.filename.startswith(folder)]
    if not records:
        raise UserError(path, "no tensors", expected)
    numbers = sum(
        stored(entry) // sizes.get(entry.filename.removeprefix(folder), 1) for entry in records
    )
    known = sum(entry.compress_size for entry in (*records, *graphs))
    loose = max(0, size - known - described(archive)) + extra(graphs[0].file_size, sizes)
    return counted(path, numbers, sum(map(stored, records)), loose, optimizer)


def stored(entry: zipfile.ZipInfo) -> int:
    """Return the bytes of an entry, of which there may be more than it declares."""
    return max(entry.file_size, entry.compress_size)


def extra(size: int, sizes: dict[str, int]) -> int:
    """Return the bytes of a description that its tensors do not need: it could hold numbers too."""
    return max(0, size - GRAPH_SIZE - TENSOR_SIZE * len(sizes))


def described(archive: zipfile.ZipFile) -> int:
    """Return the most bytes that describe the entries of an archive, with PyTorch's padding."""
    return 4096 + sum(
        170 + 2 * len(entry.filename) + 2 * len(entry.extra) + len(entry.comment)
        for entry in archive.infolist()
    )


def count_legacy(path: Path, content: bytes) -> Count:
    """Count the numbers in the format of PyTorch before 1.6: pickles, then all storages."""
    sizes: dict[str, int] = {}
    optimizer, stream = False, io.BytesIO(content[:LARGEST_GRAPH])
    for _ in range(LEGACY_PICKLES):
        found, has_one = number_sizes(stream)
        sizes, optimizer = sizes | found, optimizer or has_one
    rest = len(content) - stream.tell()
    numbers = rest // min(sizes.values(), default=1)
    return counted(path, numbers, rest, extra(stream.tell(), sizes), optimizer)


def count_arrays(path: Path, archive: zipfile.ZipFile, size: int, expected: str) -> Count:
    """Count the numbers in NumPy's format, a zip of `size` bytes."""
    numbers = taken = 0
    for name in array_names(archive):
        with archive.open(name) as file:
            _, _, dtype = read_header(file)
        numbers += archive.getinfo(name).file_size // max(1, dtype.itemsize)
        taken += archive.getinfo(name).compress_size
    if not numbers:
        raise UserError(path, "no tensors", expected)
    loose = max(0, size - taken - described(archive))
    return counted(path, numbers, taken, loose)
