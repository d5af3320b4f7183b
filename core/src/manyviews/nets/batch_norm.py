"""Batch norm over the units of all processes.

PyTorch's takes its statistics from one process, so that a run on four sees other ones than a run on one with the same batch,
and its SyncBatchNorm runs on GPUs alone. Here each process gives the number, mean and variance of its units, and all put
them together (Chan et al. 1979), which loses nothing to differences of large sums; back through that exchange go the
gradients, so that they equal one process's on the joined batch. Processes may have different numbers of units.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from manyviews import distributed


class BatchNorm(nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` whose statistics in training are those of all processes; alone, or in eval mode, it is the same.

    Every process must come by here in training, as often as the others and in the same order.
    """

    def forward(self, x: Float[Tensor, "units width"]) -> Float[Tensor, "units width"]:
        if not (self.training and distributed.active()):
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
            count, mean, variance = joined(wide)
            self._keep(count.detach(), mean.detach(), variance.detach())
            scale = self.weight * (variance + self.eps).rsqrt()
            return torch.addcmul(self.bias - mean * scale, wide, scale).to(x.dtype)

    @torch.no_grad()
    def _keep(self, count: Float[Tensor, ""], mean: Float[Tensor, "width"], variance: Float[Tensor, "width"]) -> None:
        """In the running statistics, the variance as that of a sample: with one unit fewer below the line."""
        assert self.running_mean is not None, "batch norms here keep their statistics"
        assert self.running_var is not None, "batch norms here keep their statistics"
        assert self.num_batches_tracked is not None, "batch norms here keep their statistics"
        assert self.momentum is not None, "running statistics are averaged with a fixed rate here"
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        sample = variance * count / (count - 1).clamp(min=1)
        self.running_var.lerp_(sample.to(self.running_var.dtype), self.momentum)


@torch.compiler.disable  # type: ignore[untyped-decorator]  # messages between processes are no part of a compiled graph
def joined(
    x: Float[Tensor, "units width"],
) -> tuple[Float[Tensor, ""], Float[Tensor, "width"], Float[Tensor, "width"]]:
    """Number, mean and (biased) variance of all processes' units. A process may have none."""
    variance, mean = torch.var_mean(x, 0, correction=0) if len(x) else (x.sum(0), x.sum(0))
    own = torch.cat([x.new_full((1,), float(len(x))), mean, variance])
    each = distributed.gather(own[None], [1] * distributed.size())
    counts, means, variances = each[:, :1], each[:, 1 : 1 + x.shape[1]], each[:, 1 + x.shape[1] :]
    count = counts.sum()
    shares = counts / count
    mean = (shares * means).sum(0)
    return count, mean, (shares * (variances + (means - mean).square())).sum(0)
