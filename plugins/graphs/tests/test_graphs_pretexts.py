"""Pretext questions against networkx and loops; what they ask is nowhere in the view; the read-out's loss longhand."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.objective import Branch
from manyviews.testing.toy import ToyEncoder, ToySpec
from manyviews.view import View
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.edges import Edges
from manyviews_graphs.gcn import GCN
from manyviews_graphs.pretexts import pairs
from manyviews_graphs.pretexts.distances import distances
from manyviews_graphs.pretexts.objective import PretextAnswer
from manyviews_graphs.pretexts.properties import clustering, neighbours
from manyviews_graphs.pretexts.question import QUESTIONS, Question
from manyviews_graphs.pretexts.similarity import row_norms
from manyviews_graphs.pretexts.views import Pretext
from manyviews_graphs.spec import GraphSpec

GRAPH = nx.karate_club_graph()
TASKS = list(QUESTIONS)


def batch_of(edges: list[tuple[int, int]], lengths: list[int]) -> GraphBatch:
    draw = torch.Generator().manual_seed(0)
    one, two = torch.tensor([*edges, *[(b, a) for a, b in edges if a != b]]).T
    x = torch.randn(sum(lengths), 5, generator=draw) * (torch.rand(sum(lengths), 5, generator=draw) < 0.6)
    joined = Edges.of(one, two, sum(lengths))
    return GraphBatch(x, joined, Lengths.of(lengths), edge_x=torch.randn(len(joined), 3, generator=draw))


def karate() -> GraphBatch:
    return batch_of(list(GRAPH.edges), [len(GRAPH)])


def undirected(batch: GraphBatch) -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from(range(batch.edges.nodes))
    graph.add_edges_from(zip(batch.edges.source.tolist(), batch.edges.target.tolist(), strict=True))
    return graph


def view_of(batch: GraphBatch, seed: int = 0, **parameters) -> View:
    layout = GCN(GraphSpec(channels=5), width=4).layout(batch)
    (view,) = Pretext(**parameters)(batch, layout, torch.Generator().manual_seed(seed))
    return view


def asked(question: Question) -> list[tuple]:
    """(one, two, answer) of what is known."""
    two = question.one if question.two is None else question.two
    rows = zip(question.one.tolist(), two.tolist(), question.answer.tolist(), question.known.tolist(), strict=True)
    return [row[:3] for row in rows if row[3]]


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_masked_edges_are_gone_and_asked_for_beside_as_many_that_never_were(share: float) -> None:
    batch = karate()
    view = view_of(batch, task="edge_mask", share=share)
    before, after = undirected(batch), undirected(view.batch)
    positive = {frozenset((one, two)) for one, two, answer in asked(view.target) if answer == 1}
    negative = [frozenset((one, two)) for one, two, answer in asked(view.target) if answer == 0]
    assert len(positive) == round(share * before.number_of_edges()) == len(negative)
    assert positive == {frozenset(edge) for edge in before.edges} - {frozenset(edge) for edge in after.edges}
    assert all(len(pair) == 2 and not before.has_edge(*pair) for pair in negative)
    assert len(view.batch.edges) == 2 * after.number_of_edges()
    assert view.batch.edge_x is not None
    assert len(view.batch.edge_x) == len(view.batch.edges)


def test_edges_are_asked_for_within_a_graph(two_graphs: GraphBatch) -> None:
    owners = two_graphs.lengths.owners().tolist()
    for seed in range(20):
        view = view_of(two_graphs, seed, task="edge_mask", share=0.5)
        for one, two, _ in asked(view.target):
            assert owners[one] == owners[two]
            assert one != two


def test_a_graph_without_a_free_pair_leaves_it_unasked() -> None:
    batch = batch_of([(0, 1), (1, 2), (0, 2)], [3])
    question = view_of(batch, task="edge_mask").target
    assert [answer for _, _, answer in asked(question)] == [1]


def test_a_graph_without_edges_asks_nothing(spec: GraphSpec) -> None:
    batch = karate()
    batch = replace(batch, edges=Edges(batch.edges.source[:0], batch.edges.target[:0], 34), edge_x=batch.edge_x[:0])
    assert asked(view_of(batch, task="edge_mask").target) == []


def test_distances_are_networkx_s() -> None:
    batch = karate()
    far = distances(batch.edges, torch.arange(34))
    truth = dict(nx.all_pairs_shortest_path_length(GRAPH))
    assert far.tolist() == [[min(truth[one][two], 4) for one in range(34)] for two in range(34)]


def test_distances_go_both_ways_along_an_edge() -> None:
    edges = Edges.of(torch.tensor([0, 2, 3]), torch.tensor([1, 1, 2]), 5)
    assert distances(edges, torch.tensor([0])).flatten().tolist() == [0, 1, 2, 3, 4]


def test_pairs_at_each_distance_and_within_a_graph() -> None:
    edges = [(i, i + 1) for i in range(9)]
    batch = batch_of([*edges, (10, 11), (11, 12)], [10, 3])
    question = view_of(batch, task="pairwise_distance", anchors=13, partners=2).target
    graph, seen = undirected(batch), {}
    for one, two, answer in asked(question):
        assert (one < 10) == (two < 10)
        assert answer == min(nx.shortest_path_length(graph, one, two), 4) - 1
        seen.setdefault((one, answer), []).append(two)
    for one in range(13):
        for answer in range(4):
            truth = {two for two in range(13) if (one < 10) == (two < 10) and two != one}
            truth = {two for two in truth if min(nx.shortest_path_length(graph, one, two), 4) - 1 == answer}
            found = seen.get((one, answer), [])
            assert len(found) == len(set(found)) == min(2, len(truth))
            assert set(found) <= truth


def test_nodes_without_a_path_count_as_far() -> None:
    batch = batch_of([(0, 1), (2, 3)], [4])
    question = view_of(batch, task="pairwise_distance", anchors=4, partners=3).target
    assert {answer for one, two, answer in asked(question) if (one < 2) != (two < 2)} == {3}


def test_degree_and_clustering_are_networkx_s() -> None:
    batch = karate()
    assert neighbours(batch.edges).tolist() == [GRAPH.degree(node) for node in range(34)]
    assert_close(clustering(batch.edges).double(), torch.tensor(list(nx.clustering(GRAPH).values()), dtype=torch.float64))


def test_self_loops_are_no_neighbours(two_graphs: GraphBatch) -> None:
    assert neighbours(two_graphs.edges).tolist() == [1, 2, 1, 0, 0, 2, 2, 2]
    assert clustering(two_graphs.edges).tolist() == [0, 0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("name", ["degree", "log_degree", "clustering"])
def test_a_property_is_asked_of_every_node(name: str) -> None:
    question = view_of(karate(), task="node_property", property=name).target
    assert question.answer.shape == (34, 1)
    assert question.known.all()
    if name == "log_degree":
        assert_close(question.answer.flatten(), neighbours(karate().edges).log1p())


def test_closeness_to_centres() -> None:
    """Two cliques on a line of nodes, and a pair of nodes that nothing leads to."""
    graph = nx.barbell_graph(5, 3)
    batch = batch_of([*graph.edges, (13, 14)], [15])
    question = view_of(batch, task="distance_cluster", clusters=2).target
    centres = [int(column.argmax()) for column in (question.answer == 1).long().mT]
    assert question.answer.shape == (15, 2)
    assert (question.answer[13:] == 0).all()
    for column in range(2):
        sources = [node for node in range(13) if question.answer[node, column] == 1]
        truth = [source for source in sources if is_centre(graph, source, question.answer[:, column])]
        assert truth, centres


def is_centre(graph: nx.Graph, node: int, closeness: torch.Tensor) -> bool:
    far = nx.single_source_shortest_path_length(graph, node)
    return all(abs(1 / max(distance, 1) - float(closeness[other])) < 1e-6 for other, distance in far.items())


def test_what_is_constant_is_found_once() -> None:
    batch, again = karate(), karate()
    views = Pretext(task="distance_cluster", clusters=3)
    layout = GCN(GraphSpec(channels=5), width=4).layout(batch)
    first, second = (views(batch, layout, torch.Generator())[0].target for _ in range(2))
    assert first is second
    assert views(again, layout, torch.Generator())[0].target is not first
    assert_close(views(again, layout, torch.Generator())[0].target.answer, first.answer)


@pytest.mark.parametrize("sparse", [False, True])
def test_most_and_least_similar_nodes(sparse: bool) -> None:
    batch = karate()
    x = batch.x
    batch = replace(batch, x=x.to_sparse_csr()) if sparse else batch
    question = view_of(batch, task="pairwise_similarity", anchors=34, partners=3).target
    alike = F.normalize(x, dim=1) @ F.normalize(x, dim=1).T
    full = x.norm(dim=1) > 0
    found: dict[int, list[tuple[int, float]]] = {}
    for one, two, (answer,) in asked(question):
        assert_close(torch.tensor(answer), alike[one, two])
        found.setdefault(one, []).append((two, answer))
    for one in range(34):
        others = sorted(float(alike[one, two]) for two in range(34) if two != one and full[two]) if full[one] else []
        answers = sorted(answer for _, answer in found.get(one, []))
        assert_close(answers, others[:3] + others[-3:], rtol=0, atol=3e-5)


def test_similar_nodes_are_of_the_same_graph(two_graphs: GraphBatch) -> None:
    owners = two_graphs.lengths.owners().tolist()
    question = view_of(two_graphs, task="pairwise_similarity", anchors=8, partners=2).target
    assert all(owners[one] == owners[two] and one != two for one, two, _ in asked(question))


def test_row_norms(sparse_ring: GraphBatch, ring: GraphBatch) -> None:
    assert_close(row_norms(sparse_ring.x), ring.x.norm(dim=1))
    assert_close(row_norms(ring.x), ring.x.norm(dim=1))


def test_large_graphs_are_asked_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = karate()
    for task in ("pairwise_distance", "pairwise_similarity"):
        whole = view_of(batch, task=task, anchors=10, partners=40).target
        with monkeypatch.context() as patch:
            patch.setattr(pairs, "MOST", 100)
            parts = view_of(batch, task=task, anchors=10, partners=40).target
        one, two = (sorted((*row[:2], torch.tensor(row[2]).sum().item()) for row in asked(q)) for q in (whole, parts))
        assert_close(torch.tensor(one), torch.tensor(two))


@pytest.mark.parametrize("task", TASKS)
def test_a_seed_repeats_the_question(task: str) -> None:
    one, two = (view_of(karate(), 5, task=task, anchors=6).target for _ in range(2))
    assert torch.equal(one.one, two.one)
    assert torch.equal(one.answer, two.answer)


def answer(task: str, view: View, spec: GraphSpec) -> tuple[PretextAnswer, Branch]:
    torch.manual_seed(0)
    objective, encoder = PretextAnswer(task=task), GCN(spec, width=8).double()
    return objective, Branch(encoder, torch.nn.Identity(), objective.predictor(encoder, 8).double(), "token")


@pytest.mark.parametrize("task", TASKS)
def test_loss_longhand(task: str, spec: GraphSpec) -> None:
    batch = replace(karate(), x=karate().x.double())
    view = view_of(batch, task=task, anchors=9)
    objective, student = answer(task, view, spec)
    nodes, losses = student.encoder(view).tokens, []
    for one, two, wanted in asked(view.target):
        read = nodes[one] if view.target.two is None else (nodes[one] - nodes[two]).abs()
        out = student.predictor(read)
        if isinstance(wanted, list):
            losses.append(sum((out[k] - wanted[k]) ** 2 for k in range(len(wanted))) / len(wanted))
        else:
            losses.append(out.logsumexp(0) - out[wanted])
    found = objective((view,), student, None, torch.Generator())
    assert_close(found.value, torch.stack(losses).mean())
    assert ("accuracy" in found.metrics) == (task in ("edge_mask", "pairwise_distance"))


@pytest.mark.parametrize("task", TASKS)
def test_fifty_steps_improve(task: str, spec: GraphSpec) -> None:
    batch = replace(karate(), x=karate().x.double())
    view = view_of(batch, task=task)
    objective, student = answer(task, view, spec)
    optimizer, losses = torch.optim.Adam(student.parameters(), lr=0.01), []
    for _ in range(50):
        value = objective((view,), student, None, torch.Generator()).value
        optimizer.zero_grad()
        value.backward()
        assert any(p.grad.abs().sum() > 0 for p in student.encoder.parameters() if p.grad is not None)
        optimizer.step()
        losses.append(value.item())
    assert losses[-1] < 0.95 * losses[0]


def test_views_and_objective_of_one_task_have_one_question() -> None:
    for task, question in QUESTIONS.items():
        assert Pretext(task=task).target is PretextAnswer(task=task).target is question
    assert issubclass(Pretext(task="edge_mask").target, Pretext.target)


@pytest.mark.parametrize("task", ["node_property", "pairwise_distance", "distance_cluster"])
def test_neighbourhoods_cannot_tell_of_whole_graphs(task: str, seeded: GraphBatch) -> None:
    with pytest.raises(UserError, match=f"`task: {task}` asks about whole graphs, and sampled neighbourhoods have lost edges"):
        view_of(seeded, task=task)


def test_pairs_of_neighbourhoods_may_be_of_different_seeds(seeded: GraphBatch) -> None:
    question = view_of(seeded, task="pairwise_similarity", anchors=8, partners=7).target
    owners = seeded.lengths.owners().tolist()
    assert any(owners[one] != owners[two] for one, two, _ in asked(question))


def test_clusters_are_of_one_graph_and_not_too_many(two_graphs: GraphBatch, ring: GraphBatch) -> None:
    with pytest.raises(UserError, match=r"the clusters of one graph, and this batch has 3\nchoose pairwise_distance"):
        view_of(two_graphs, task="distance_cluster")
    with pytest.raises(UserError, match="the largest connected part of the graph has 8 nodes, and 9 clusters are asked for"):
        view_of(ring, task="distance_cluster", clusters=9)


def test_different_numbers_of_clusters_are_refused(ring: GraphBatch, spec: GraphSpec) -> None:
    view = view_of(ring, task="distance_cluster", clusters=3)
    objective, student = answer("distance_cluster", view, spec)
    with pytest.raises(UserError, match="the views ask for 3 clusters, and the objective answers 10"):
        objective((replace(view, batch=replace(ring, x=ring.x.double())),), student, None, torch.Generator())


def test_input_that_holds_the_answer_is_refused() -> None:
    by_degree = GCN(GraphSpec(channels=5, features="degree", max_degree=4), width=4)
    for task in ("edge_mask", "node_property"):
        with pytest.raises(UserError, match=f"degrees that the nodes have as features tell the answer of `task: {task}`"):
            PretextAnswer(task=task).predictor(by_degree, 4)
    PretextAnswer(task="pairwise_similarity").predictor(by_degree, 4)
    placed = GCN(GraphSpec(channels=5), width=4)
    placed.spec = GraphSpec(channels=5, place_kind="rwpe", place_channels=2)
    with pytest.raises(UserError, match=r"the positional encodings \(rwpe\) tell the answer of `task: edge_mask`"):
        PretextAnswer(task="edge_mask").predictor(placed, 4)


def test_encoders_that_are_not_of_graphs_have_nothing_to_leak() -> None:
    assert PretextAnswer().predictor(ToyEncoder(ToySpec(channels=2), width=8), 8).out_features == 2
