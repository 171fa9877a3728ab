"""Which of the processes that train together this one is; alone where there is one."""

from torch import distributed


def process() -> int:
    """The number of this process."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def processes() -> int:
    """How many there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def leads() -> bool:
    """Whether this is the process that measures, draws and writes."""
    return process() == 0
