"""Convolutions over ragged clips whose results do not depend on padding.

Clips are padded for the product alone. Between layers what stands behind a clip's end is set to zero again, so that a
clip sees zeros there, alone or in any batch.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews.lengths import Lengths


class RaggedConv(nn.Module):
    """A 1-D convolution over the tokens of each clip; with a stride, token i stands for inputs from `i * stride` on.

    Args:
        inwards: Channels in.
        outwards: Channels out.
        kernel: Tokens that one output sees, centred at stride 1.
        stride: Steps between outputs; outputs of a clip are its inputs by the stride, rounded up.
        groups: Of channels.
    """

    def __init__(self, inwards: int, outwards: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv = nn.Conv1d(inwards, outwards, kernel, stride, groups=groups)
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)

    def lengths(self, lengths: Lengths) -> Lengths:
        """Of the output."""
        return lengths if self.stride == 1 else lengths.map(lambda number: -(-number // self.stride))

    def forward(self, tokens: Float[Tensor, "tokens inwards"], lengths: Lengths) -> Float[Tensor, "outputs outwards"]:
        out = self.lengths(lengths)
        padded = lengths.pad(tokens).transpose(1, 2)
        left = self.kernel // 2 if self.stride == 1 else (self.kernel - self.stride) // 2
        right = max((out.longest - 1) * self.stride + self.kernel - left - lengths.longest, 0)
        made = self.conv(F.pad(padded, (max(left, 0), right))).transpose(1, 2)
        return out.unpad(made[:, : out.longest])


class ConvPositions(nn.Module):
    """Relative positions by a wide grouped convolution (Baevski et al. 2020, wav2vec 2.0, section 2).

    Args:
        width: Width of a token.
        kernel: Tokens that it sees: 128 in wav2vec 2.0.
        groups: Of channels: 16.
    """

    def __init__(self, width: int, kernel: int = 128, groups: int = 16) -> None:
        super().__init__()
        self.conv = RaggedConv(width, width, kernel, groups=groups)
        nn.init.normal_(self.conv.conv.weight, std=(4 / (kernel * width)) ** 0.5)
        self.conv.conv = nn.utils.parametrizations.weight_norm(self.conv.conv, dim=2)

    def forward(self, tokens: Float[Tensor, "tokens width"], lengths: Lengths) -> Float[Tensor, "tokens width"]:
        return F.gelu(self.conv(tokens, lengths))
