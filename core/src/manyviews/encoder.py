"""What turns a view into embeddings. Architectures belong to the domains; this is all that the core asks of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from manyviews.batch import OwnBatch
from manyviews.decoder import Decoder
from manyviews.encoding import Encoding
from manyviews.layout import Layout
from manyviews.lengths import Lengths
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
    axes: int = 1
    """Axes of `Layout.coordinates`; set by an encoder that offers UNPLACED, where they are several. A batch with one place
    along the first of them may leave those out."""
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

    @property
    def map_widths(self) -> tuple[int, ...]:
        """Channels of each of `maps`."""
        return (self.width,)

    def maps(self, view: View) -> tuple[Float[Tensor, "samples channels *grid"], ...]:
        """Features as maps over the input's axes, the finest first; for dense heads. With FEATURE_MAPS only.

        The default is for encoders whose tokens lie on one grid: a single map of them. An encoder with several scales
        (Swin, U-Net, ConvNeXt) gives each, the finest first, and says their `map_widths`.
        """
        encoding = self(view)
        if view.layout.grid is None or encoding.present is not None:
            raise ValueError(f"{type(self).__name__}: maps need all tokens of a grid, the same for every sample")
        axes = [f"axis{number}" for number in range(len(view.layout.grid))]
        sizes = dict(zip(axes, view.layout.grid, strict=True))
        grid = " ".join(axes)
        return (rearrange(encoding.tokens, f"(samples {grid}) width -> samples width {grid}", **sizes),)

    def moments(self, encoding: Encoding, layout: Layout) -> tuple[Float[Tensor, "moments width"], Lengths]:
        """One vector for each moment of each sample, in the order of time, and how many there are. With MOMENTS only.

        The default is for encoders whose tokens are moments; one with several tokens to a moment (bands) gives their mean.
        """
        if encoding.present is not None:
            raise ValueError(f"{type(self).__name__}: moments need all tokens, and some were dropped")
        return encoding.tokens, encoding.lengths

    def stages(self) -> Sequence[nn.Module]:
        """Its layers in the order in which data pass them, for learning rates that fall towards the input.

        The default is its longest `nn.ModuleList`. What stands before the first of them in the order of registration goes
        with the input, what stands behind it with the last layer.
        """
        lists = [part for part in self.modules() if isinstance(part, nn.ModuleList)]
        return tuple(max(lists, key=lambda part: len(list(part)))) if lists else ()

    def decoder(self, width: int, depth: int, heads: int, out: int) -> Decoder:
        """A decoder or predictor that fits this encoder: a Transformer over positions unless the domain has its own."""
        return TransformerDecoder(self.width, width=width, depth=depth, heads=heads, out=out)
