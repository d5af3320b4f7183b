"""What turns a view into embeddings. Architectures belong to the domains; this is all that the core asks of them."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float, Int
from torch import Tensor, nn

from manyviews.batch import OwnBatch
from manyviews.decoder import Decoder
from manyviews.encoding import Encoding
from manyviews.layout import Layout
from manyviews.nets.decoder import TransformerDecoder
from manyviews.traits import Trait
from manyviews.view import View


class Encoder(nn.Module, ABC):
    """A backbone. Constructor: `(self, spec, /, *, width=…, …)`; the keyword-only parameters are the recipe's.

    `spec` is the data's description (`Source.spec`); an encoder that needs none leaves the parameter out.
    """

    width: int
    """Width of a token."""
    offers: frozenset[Trait] = frozenset()
    causal: bool = False
    """Whether a token sees only itself and those before it in its sample; the choice of an encoder that offers CAUSAL."""
    target_channels: int = 0
    """Channels of `targets`; set by an encoder that offers TOKEN_TARGETS."""
    local_width: int = 0
    """Width of `Encoding.local`; set by an encoder that offers LOCAL_TOKENS."""
    target_classes: int = 0
    """Number of classes in `classes`; set by an encoder that offers TOKEN_CLASSES."""

    @property
    def pooled_width(self) -> int:
        """Width of `Encoding.pooled`."""
        return self.width

    @abstractmethod
    def layout(self, batch: OwnBatch) -> Layout:
        """How this encoder cuts `batch` into tokens. Cheap, and without waiting for the device."""

    @abstractmethod
    def forward(self, view: View) -> Encoding:
        """Encode what the view shows. Hidden tokens are dropped (`present` says which are left) or replaced."""

    def targets(self, batch: OwnBatch, tokens: Int[Tensor, "asked"]) -> Float[Tensor, "asked channels"]:
        """The raw content of these tokens (places in the layout's list), for reconstruction. With TOKEN_TARGETS only.

        Asked token by token, since the content of all may not fit into memory: a graph's sparse features, made dense.
        """
        raise ValueError(f"{type(self).__name__} gives no token targets (it does not offer TOKEN_TARGETS)")

    def classes(self, batch: OwnBatch) -> Int[Tensor, "tokens"]:
        """The content of each token as one of `target_classes` classes; -1 where there is none. With TOKEN_CLASSES only."""
        raise ValueError(f"{type(self).__name__} gives no token classes (it does not offer TOKEN_CLASSES)")

    def decoder(self, width: int, depth: int, heads: int, out: int) -> Decoder:
        """A decoder or predictor that fits this encoder: a Transformer over positions unless the domain has its own."""
        return TransformerDecoder(self.width, width=width, depth=depth, heads=heads, out=out)
