"""The graph, and the graph with its features at other nodes: the corruption of DGI."""

from __future__ import annotations

from dataclasses import replace

import torch

from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews.views.choose import ranks
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.dgi import Corrupted
from manyviews_graphs.features import take_rows


class Shuffle(ViewGenerator):
    """The batch as it is, and with the rows of its features permuted (DGI, Velickovic et al. 2019).

    Rows change places within each graph; where samples are neighbourhoods, which share nodes, within the whole batch.
    """

    gives = frozenset({Trait.SEVERAL_VIEWS, Trait.PRETEXT_TARGET})
    needs = frozenset({Trait.OWN_TOKENS})
    target = Corrupted

    def forward(self, batch: GraphBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        nodes = batch.lengths
        scope = Lengths.equal(1, nodes.total, nodes.tensor.device) if batch.seeded else nodes
        order = scope.starts()[scope.owners()] + ranks(scope, generator)
        shuffled = replace(batch, x=take_rows(batch.x, order, batch.x._nnz() if batch.x.layout == torch.sparse_csr else None))
        return View(batch, layout, target=Corrupted(False)), View(shuffled, self.cut(shuffled), target=Corrupted(True))
