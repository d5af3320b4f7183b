"""A masked autoencoder as one would write it with PyTorch's own layers: what ours is timed against at equal sizes.

He et al. 2022, "Masked Autoencoders Are Scalable Vision Learners": shown patches alone go through the encoder, a narrower
decoder sees them with mask tokens in the other places, squared error on what was hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PlainMAE(nn.Module):
    """Encoder and decoder over (samples, patches, channels)."""

    def __init__(
        self, channels: int, patches: int, width: int, depth: int, heads: int, *, decoder: tuple[int, int, int]
    ) -> None:
        super().__init__()
        own_width, own_depth, own_heads = decoder
        self.inwards = nn.Linear(channels, width)
        self.encoder, self.norm = _blocks(width, depth, heads), nn.LayerNorm(width)
        self.between = nn.Linear(width, own_width)
        self.mask_token = nn.Parameter(torch.zeros(own_width))
        self.decoder, self.last = _blocks(own_width, own_depth, own_heads), nn.LayerNorm(own_width)
        self.outwards = nn.Linear(own_width, channels)
        self.register_buffer("position", _sines(patches, width))
        self.register_buffer("own_position", _sines(patches, own_width))

    def forward(self, x: Tensor, hidden: float) -> Tensor:
        """The loss, with a share of each sample's patches hidden."""
        samples, patches, _ = x.shape
        kept = patches - round(hidden * patches)
        order = torch.rand(samples, patches, device=x.device).argsort(1)
        back = order.argsort(1)
        shown, width = order[:, :kept, None], self.between.in_features
        tokens = (self.inwards(x) + self.position).gather(1, shown.expand(-1, -1, width))
        tokens = self.between(self.norm(self.encoder(tokens)))
        masks = self.mask_token.to(tokens.dtype).expand(samples, patches - kept, -1)
        whole = torch.cat([tokens, masks], 1).gather(1, back[..., None].expand(-1, -1, tokens.shape[2]))
        predicted = self.outwards(self.last(self.decoder(whole + self.own_position)))
        error = (predicted.float() - x).square().mean(-1)
        return error.gather(1, order[:, kept:]).mean()


def _blocks(width: int, depth: int, heads: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)


def _sines(places: int, width: int) -> Tensor:
    angles = torch.arange(places)[:, None] * 10_000.0 ** -(torch.arange(width // 2) / (width // 2))
    return torch.cat([angles.sin(), angles.cos()], 1)
