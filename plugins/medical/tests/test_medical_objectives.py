"""Objectives of volumes: longhand values in float64, identities, collapse, gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from manyviews.errors import UserError
from manyviews.objectives.soft_dice import soft_dice
from manyviews_medical.objectives.alice import Alignment
from manyviews_medical.objectives.global_local import contrast, local_contrast, who
from manyviews_medical.objectives.graph_matching import (
    SINKHORN,
    Affinities,
    balanced,
    edges,
    implicit,
    likest,
    marginals,
    mistaken,
    nearest,
)
from manyviews_medical.objectives.swin_ssl import Turned, contrast_error, filling_error, rotation_error
from manyviews_medical.objectives.voco import alike, assignment, near_and_far
from manyviews_medical.objectives.volume_fusion import FusionMap, fusion_loss, refuse_other_steps


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def cosine(one: torch.Tensor, two: torch.Tensor) -> float:
    dot = sum(float(a) * float(b) for a, b in zip(one, two, strict=True))
    return dot / math.sqrt(sum(float(a) ** 2 for a in one)) / math.sqrt(sum(float(b) ** 2 for b in two))


def test_volume_fusion_longhand() -> None:
    logits, truth = randn(2, 3, 2, 2), torch.tensor([[[0, 1], [2, 2]], [[1, 1], [0, 2]]])
    known = torch.tensor([[[True, True], [True, False]], [[True, True], [True, True]]])
    found = fusion_loss(logits, FusionMap(truth, 3, known), dice=0.7).value
    entropies, both, mine, theirs = [], [0.0] * 3, [0.0] * 3, [0.0] * 3
    for sample in range(2):
        for x in range(2):
            for y in range(2):
                if not known[sample, x, y]:
                    continue
                each = [math.exp(float(logits[sample, step, x, y])) for step in range(3)]
                right = int(truth[sample, x, y])
                entropies.append(-math.log(each[right] / sum(each)))
                for step in range(3):
                    mine[step] += each[step] / sum(each)
                    theirs[step] += step == right
                    both[step] += each[step] / sum(each) * (step == right)
    dice = sum(1 - (2 * both[s] + 1e-5) / (mine[s] + theirs[s] + 1e-5) for s in range(3)) / 3
    assert_close(found.item(), sum(entropies) / len(entropies) + 0.7 * dice)


def test_volume_fusion_is_zero_where_all_is_right_and_ignores_what_is_unknown() -> None:
    truth = torch.randint(3, (2, 4, 4, 4), generator=torch.Generator().manual_seed(0))
    sure = torch.nn.functional.one_hot(truth, 3).movedim(-1, 1).double() * 100
    assert fusion_loss(sure, FusionMap(truth, 3), 1.0).value < 1e-6
    known = torch.zeros(2, 4, 4, 4, dtype=torch.bool)
    known[0] = True
    wrong = sure.clone()
    wrong[1] = -wrong[1]
    assert fusion_loss(wrong, FusionMap(truth, 3, known), 1.0).value < 1e-6
    assert_close(soft_dice(sure.softmax(1), truth, known), torch.ones(3, dtype=torch.float64), rtol=1e-6, atol=1e-6)


def test_an_answer_that_is_alike_everywhere_has_the_entropy_of_the_steps() -> None:
    truth = torch.arange(5).repeat(8).reshape(1, 40, 1)
    found = fusion_loss(torch.zeros(1, 5, 40, 1, dtype=torch.float64), FusionMap(truth, 5), 0.0)
    assert_close(found.value.item(), math.log(5))


def test_views_and_objective_speak_of_one_ladder() -> None:
    with pytest.raises(UserError, match=r"the views mix in 4 steps, and the objective tells 5 apart; set `steps` of both"):
        refuse_other_steps(5, 4)


def test_swin_ssl_longhand() -> None:
    logits, turns = randn(3, 4), torch.tensor([0, 3, 1])
    voxels, whole = randn(3, 1, 2, 2, seed=1), randn(3, 1, 2, 2, seed=2)
    question = Turned(turns, whole)
    each = [-float(logits[i, t]) + math.log(sum(math.exp(float(v)) for v in logits[i])) for i, t in enumerate(turns.tolist())]
    assert_close(rotation_error(logits, question).item(), sum(each) / 3)
    wanted = sum(abs(float(a) - float(b)) for a, b in zip(voxels.flatten(), whole.flatten(), strict=True)) / 12
    assert_close(filling_error(voxels, question).item(), wanted)
    z, total = randn(2, 3, 5, seed=3), 0.0
    flat = z.reshape(6, 5)
    for anchor in range(6):
        rest = sum(math.exp(cosine(flat[anchor], flat[other]) / 0.5) for other in range(6) if other != anchor)
        total -= cosine(flat[anchor], flat[(anchor + 3) % 6]) / 0.5 - math.log(rest)
    assert_close(contrast_error(z, 0.5).item(), total / 6)


def test_voco_longhand() -> None:
    randoms, bases = randn(2, 3, 4), randn(2, 2, 4, seed=1)
    share = torch.tensor([[[0.5, 0.5], [1.0, 0.0], [0.25, 0.25]], [[0.0, 0.3], [0.0, 0.0], [0.9, 0.1]]], dtype=torch.float64)
    said = assignment(randoms, bases)
    near, far, weight, nowhere = 0.0, 0.0, 0.0, 0
    for b in range(2):
        for r in range(3):
            for k in range(2):
                s, y = max(cosine(randoms[b, r], bases[b, k]), 0.0), float(share[b, r, k])
                assert_close(said[b, r, k].item(), s)
                near -= y * math.log(max(1 - abs(y - s), 1e-6))
                weight += y
                far += s**2 if y == 0 else 0.0
                nowhere += y == 0
    found = near_and_far(said, share)
    assert_close(found[0].item(), near / weight)
    assert_close(found[1].item(), far / nowhere)
    pairs = [max(cosine(bases[b, 0], bases[b, 1]), 0.0) ** 2 for b in range(2)]
    assert_close(alike(bases).item(), sum(pairs) / 2)


def test_voco_is_zero_for_the_right_answer_and_large_at_collapse() -> None:
    bases = torch.eye(3, dtype=torch.float64)[None]
    share = torch.eye(3, dtype=torch.float64)[None]
    near, far = near_and_far(assignment(bases, bases), share)
    assert near.item() == pytest.approx(0)
    assert far.item() == 0
    assert alike(bases).item() == 0
    same = torch.ones(1, 3, 3, dtype=torch.float64)
    assert near_and_far(assignment(same, same), share)[1].item() == pytest.approx(1)
    assert alike(same).item() == pytest.approx(1)
    assert alike(torch.ones(1, 1, 3)).item() == 0


@pytest.mark.parametrize("positives", [False, True])
def test_global_contrast_longhand(positives: bool) -> None:
    z, part = randn(2, 4, 3), torch.tensor([0, 1, 0, 2])
    positive, negative = who(torch.arange(4), part, part, 2, positives=positives)
    found = contrast(z.flatten(0, 1), z.flatten(0, 1), positive, negative, 0.1)
    flat, parts, units = z.reshape(8, 3), part.repeat(2).tolist(), list(range(4)) * 2
    for anchor in range(8):
        rest = sum(math.exp(cosine(flat[anchor], flat[o]) / 0.1) for o in range(8) if parts[o] != parts[anchor])
        mine = [o for o in range(8) if o != anchor and (parts[o] == parts[anchor] if positives else units[o] == units[anchor])]
        each = [math.exp(cosine(flat[anchor], flat[o]) / 0.1) for o in mine]
        assert_close(found[anchor].item(), sum(-math.log(e / (e + rest)) for e in each) / len(each))


def test_local_contrast_longhand() -> None:
    one, two = randn(1, 3, 4, 2), randn(1, 3, 4, 2, seed=1)
    regions = [[each[0, :, x : x + 2, 0:2].mean((1, 2)) for x in (0, 2)] for each in (one, two)]
    total = 0.0
    for here in range(2):
        there = 1 - here
        right = math.exp(cosine(regions[0][here], regions[1][here]) / 0.1)
        others = [cosine(regions[0][here], regions[view][there]) for view in (0, 1)]
        total -= math.log(right / (right + sum(math.exp(other / 0.1) for other in others)))
    assert_close(local_contrast([one, two], 2, 0.1).item(), total / 2)
    with pytest.raises(UserError, match=r"views hold a single region of 2 voxels"):
        local_contrast([one[:, :, :2], two[:, :, :2]], 2, 0.1)
    with pytest.raises(UserError, match=r"regions of 9 voxels are larger than the views' 2"):
        local_contrast([one, two], 9, 0.1)


def test_contrasts_at_collapse_are_the_logarithm_of_the_candidates() -> None:
    z, part = torch.ones(8, 3, dtype=torch.float64), torch.arange(4)
    positive, negative = who(torch.arange(4), part, part, 2, positives=False)
    assert_close(contrast(z, z, positive, negative, 0.1), torch.full((8,), math.log(7), dtype=torch.float64))
    flat = torch.ones(1, 3, 8, 8, dtype=torch.float64)
    assert_close(local_contrast([flat, flat], 4, 0.1).item(), math.log(4 + 3))


def softmax(values: list[float]) -> list[float]:
    most = max(values)
    powers = [math.exp(value - most) for value in values]
    return [power / sum(powers) for power in powers]


def test_alignment_longhand() -> None:
    torch.manual_seed(0)
    layer, asked, tokens = Alignment(4, 3, 2).double().requires_grad_(False), randn(1, 2, 4), randn(1, 3, 3, seed=1)
    query, both = asked[0] @ layer.query.weight.T, tokens[0] @ layer.content.weight.T
    for place in range(2):
        read: list[float] = []
        for head in (slice(0, 2), slice(2, 4)):
            keys, values = both[:, :4][:, head], both[:, 4:][:, head]
            share = softmax([float(query[place, head] @ key) / math.sqrt(2) for key in keys])
            read += [sum(s * float(v[c]) for s, v in zip(share, values, strict=True)) for c in range(2)]
        x = asked[0, place] + torch.tensor(read, dtype=torch.float64) @ layer.join.weight.T
        x = (x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt()
        x = x + layer.feed[2](layer.feed[0](x).clamp(min=0))
        x = (x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt()
        assert_close(layer(asked, tokens)[0, place], x)


def affinities(nodes: int = 4, near: int = 2) -> Affinities:
    one, two = randn(nodes, 3), randn(nodes, 3, seed=1)
    left, right = nearest(one, near), nearest(two, near)
    cosine = torch.einsum("imf,anf->iman", edges(one, left), edges(two, right))
    return Affinities(randn(nodes, nodes, seed=2).requires_grad_(), cosine.detach().requires_grad_(), left, right)


def longhand_marginals(nodes: torch.Tensor, given: Affinities, second: float, temperature: float, rounds: int) -> torch.Tensor:
    def even(scores: list[list[float]]) -> list[list[float]]:
        match = [[math.exp(value) for value in row] for row in scores]
        for _ in range(SINKHORN):
            match = [[value / sum(row) for value in row] for row in match]
            sums = [sum(row[a] for row in match) for a in range(len(match))]
            match = [[value / total for value, total in zip(row, sums, strict=True)] for row in match]
        return match

    count, near = len(nodes), given.left.shape[1]
    match = even([[float(nodes[i, a]) / temperature for a in range(count)] for i in range(count)])
    for _ in range(rounds):
        scores = []
        for i in range(count):
            row = []
            for a in range(count):
                pull = 0.0
                for m in range(near):
                    for n in range(near):
                        pull += float(given.edges[i, m, a, n]) * match[int(given.left[i, m])][int(given.right[a, n])]
                row.append((float(nodes[i, a]) + second * pull / near) / temperature)
            scores.append(row)
        match = even(scores)
    return torch.tensor(match, dtype=torch.float64)


def test_graph_matching_longhand() -> None:
    given = affinities()
    found, match = implicit(given, 0.7, 0.5, 2, 0.3)
    plain = Affinities(given.nodes.detach(), given.edges.detach(), given.left, given.right)
    now = longhand_marginals(plain.nodes, plain, 0.7, 0.5, 2)
    assert_close(match, now)
    wrong = sum(float(now[i, a]) if i != a else 1 - float(now[i, a]) for i in range(4) for a in range(4))
    assert_close(found.item(), wrong / 4)
    moved = given.nodes.detach().clone()
    for i in range(4):
        for a in range(4):
            moved[i, a] += 0.3 if i == a else -0.3
    then = longhand_marginals(moved, plain, 0.7, 0.5, 2)
    found.backward()
    assert_close(given.nodes.grad, (now - then) / (0.3 * 4))
    for i, m, a, n in ((0, 0, 1, 1), (3, 1, 2, 0), (2, 0, 2, 1)):
        i2, a2 = int(given.left[i, m]), int(given.right[a, n])
        pair = [float(match[i, a] * match[i2, a2]) for match in (now, then)]
        assert_close(given.edges.grad[i, m, a, n].item(), 0.7 * (pair[0] - pair[1]) / 2 / (0.3 * 4))


def test_neighbours_and_regions_longhand() -> None:
    z = randn(5, 3)
    for node, found in enumerate(nearest(z, 2).tolist()):
        far = sorted((float((z[node] - z[other]).square().sum()), other) for other in range(5) if other != node)
        assert found == [other for _, other in far[:2]]
    one, two = randn(2, 3, 4), randn(2, 3, 4, seed=1)
    for i in range(2):
        for a in range(2):
            each = [[cosine(p, q) for q in two[a]] for p in one[i]]
            there = sorted((max(row) for row in each), reverse=True)[:2]
            back = sorted((max(row[q] for row in each) for q in range(3)), reverse=True)[:2]
            assert_close(likest(one, two, 2)[i, a].item(), (sum(there) + sum(back)) / 4)


def test_a_right_matching_is_no_mistake_and_edges_tell_twins_apart() -> None:
    assert mistaken(torch.eye(3, dtype=torch.float64)).item() == 0
    alike = balanced(torch.zeros(4, 4, dtype=torch.float64))
    assert mistaken(alike).item() == pytest.approx(2 * 3 / 4)  # at collapse each is matched to all
    z = torch.tensor([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0], [5.0, 3.0]], dtype=torch.float64)
    near = nearest(z, 1)
    cosine_ = torch.einsum("imf,anf->iman", edges(z, near), edges(z, near))
    given = Affinities(torch.zeros(4, 4, dtype=torch.float64), cosine_, near, near)
    given.nodes[0, 0] = given.nodes[3, 3] = 0.2  # two are known by themselves, the others by their edges to them
    first, second = (mistaken(marginals(given, weight, 0.1, 5)) for weight in (0.0, 1.0))
    assert second < first / 2


def test_gradients_are_those_of_finite_differences() -> None:
    share = torch.rand(1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.5
    randoms, bases = randn(1, 2, 3).requires_grad_(), randn(1, 2, 3, seed=5).requires_grad_()
    assert torch.autograd.gradcheck(lambda r, b: near_and_far(assignment(r, b), share)[0] + alike(b), (randoms, bases))
    logits, truth = randn(1, 3, 2, 2).requires_grad_(), torch.tensor([[[0, 1], [2, 1]]])
    assert torch.autograd.gradcheck(lambda x: fusion_loss(x, FusionMap(truth, 3), 1.0).value, (logits,))
