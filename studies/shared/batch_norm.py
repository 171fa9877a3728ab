"""Batch normalisation over the whole batch, even if it is spread over several processes."""

from typing import Any

import torch
from torch import Tensor, distributed, nn

from studies.shared.processes import processes


class Sum(torch.autograd.Function):
    """The sum of all processes' tensors; gradients flow back to each of them."""

    @staticmethod
    def forward(_context: Any, x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total


def over_processes(x: Tensor) -> Tensor:
    return Sum.apply(x)  # type: ignore[no-untyped-call]


class BatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` whose training statistics are those of all processes' images.

    PyTorch's own SyncBatchNorm does the same on GPUs, but does not support CPUs. The state dict is
    that of the plain layer, so weights load wherever they were trained. Ioffe and Szegedy, "Batch
    Normalization" (arXiv 1502.03167).
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or processes() == 1:
            return super().forward(x)
        values, axes = x.float(), (0, 2, 3)
        count = torch.tensor([x.numel() / self.num_features], device=x.device)
        sums = over_processes(torch.cat([values.sum(axes), count]))
        mean, total = sums[:-1] / sums[-1], sums[-1]
        centred = values - mean[:, None, None]
        variance = over_processes(centred.square().sum(axes)) / total
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(variance * total / (total - 1), self.momentum or 0.0)
            self.num_batches_tracked += 1
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)
