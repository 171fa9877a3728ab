"""Training on one device or several, in the precision in which the device is fast.

Lightning Fabric starts the processes and averages their gradients. It was chosen because it leaves
the loop to us: `training.fit` runs unchanged. (Accelerate would too, but starts its processes only
with a command of its own.) Fabric's mixed precision would need to run the backward pass itself, so
PyTorch's own is used instead; bfloat16 needs no scaling of losses.
"""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor, distributed, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from command_line import choose_device
from grader.errors import UserError
from studies.shared.image_cache import Batch, ImageFeed
from studies.shared.processes import leads
from studies.shared.resume import fit_or_resume
from training import History

Precision = Literal["auto", "bf16", "fp32"]


def is_fast_in_bfloat16(device: torch.device) -> bool:
    """Check whether bfloat16 products are faster than float32 products on this machine."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return a context that computes products in bfloat16, if `precision` requires it.

    With "auto", it does so if the device is fast in bfloat16. Autocast's cache of converted weights
    is off, because each weight is used once per step, and `Recorded` forbids the cache.
    """
    fast = precision == "bf16" or (precision == "auto" and is_fast_in_bfloat16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=fast, cache_enabled=False)


class Recorded:
    """A network in training whose kernels were recorded, so that the GPU gets them all at once.

    The GPU runs our networks' kernels in less time than a CPU needs to start them one by one. The
    first batch is recorded, as CUDA graphs. A batch of another size goes through the network.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.shapes: list[torch.Size] = []
        self.replay: Callable[..., Any] | None = None

    def __call__(self, *inputs: Tensor) -> Any:
        shapes = [x.shape for x in inputs]
        if self.replay is None:
            self.shapes, self.replay = shapes, self.record(inputs)
        return self.replay(*inputs) if shapes == self.shapes else self.network(*inputs)

    def record(self, inputs: tuple[Tensor, ...]) -> Callable[..., Any]:
        """Return a function that does what the network does, for inputs of these shapes."""
        # The warm-up runs a few steps, which batch normalisation would count.
        buffers = {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The AccumulateGrad node's stream")  # of the warm-up
            torch.cuda.make_graphed_callables(self.network, tuple(x.clone() for x in inputs))
        for name, buffer in self.network.named_buffers():
            buffer.copy_(buffers[name])
        return vars(self.network).pop("forward")


def counts(devices: int) -> tuple[int, int]:
    """Count the processes here and on all machines, as requested or as torchrun started them."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", devices))
    return here, int(os.environ.get("WORLD_SIZE", here))


def check_devices(device_name: str, devices: int, batch_size: int) -> None:
    """Raise UserError if more devices are requested than exist, or than a batch has images."""
    device, (here, world) = choose_device(device_name), counts(devices)
    available = torch.cuda.device_count() if device.type == "cuda" else os.cpu_count() or 1
    if here > available:
        raise UserError("command line", f"--devices {here}", f"at most {available}")
    if world > batch_size:
        raise UserError("command line", f"--batch-size {batch_size}", f"at least {world} images")


def start(device_name: str, devices: int) -> Fabric:
    """Start Fabric with `devices` processes, or in those that torchrun has started.

    With more than one process, the calling command runs again for each of the others.
    """
    here, world = counts(devices)
    fabric = Fabric(
        accelerator=choose_device(device_name).type,
        devices=here,
        num_nodes=world // here,
        strategy="ddp" if world > 1 else "auto",
    )
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric.launch()
    if not leads():
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends
    return fabric


def finish() -> None:
    """Continue in the leading process alone, and end the others."""
    leading = leads()
    if distributed.is_initialized():
        distributed.destroy_process_group()
    if not leading:
        sys.exit()


def train(
    fabric: Fabric,
    network: nn.Module,
    step: Callable[[Callable[..., Any], Batch, float], dict[str, Tensor]],
    feed: ImageFeed,
    *,
    learning_rate: float,
    epochs: int,
    name: str,
    settings: Mapping[str, Any],
    out: Path,
    judge: Callable[[int], dict[str, float]],
) -> History:
    """Train a network with Adam on all devices of `fabric`, as `resume.fit_or_resume` does.

    Losses in the history are means over all devices. After each epoch, the leading process calls
    `judge` with the epoch's number, and adds what it returns to the epoch's row.
    """
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = Adam(network.parameters(), learning_rate, fused=True)
    scheduler = LambdaLR(optimizer, lambda _: 1.0)
    model, engine = fabric.setup(network, optimizer)
    alone = fabric.device.type == "cuda" and fabric.world_size == 1
    trained: Callable[..., Any] = Recorded(network) if alone else model

    def make_step(given: nn.Module, batch: Batch, progress: float) -> dict[str, Tensor]:
        # The copy with which the cost is estimated is not recorded.
        return step(trained if given is model else given, batch, progress)

    def add(history: History) -> None:
        for key, value in history[-1].items():
            mean = fabric.all_reduce(torch.tensor(value, device=fabric.device))
            assert isinstance(mean, Tensor)
            history[-1][key] = mean.item()
        if leads():
            network.eval()
            history[-1] |= judge(len(history))

    return fit_or_resume(
        model,
        make_step,
        feed,
        engine,
        scheduler,
        epochs=epochs,
        name=name,
        settings=settings,
        out=out,
        after_epoch=add,
    )
