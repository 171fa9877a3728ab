"""The number of this process among those that train together; it may be the only one."""

from torch import distributed


def process() -> int:
    """Return the number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def processes() -> int:
    """Return the number of processes that train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def leads() -> bool:
    """Check whether this is the process that measures, draws and writes."""
    return process() == 0
