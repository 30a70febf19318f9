# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy
import math
import socket

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from mmrazor.registry import MODELS

from mmdgkd import ConfigError
from mmdgkd.methods.crd.bank_crd_loss import crd_loss, crd_scores, update_bank
from mmdgkd.methods.crd.negatives import SamplesByClass, draw_negatives
from mmdgkd.structures.views import BatchViews, SampleList, ViewSource

TOTAL, DIM, NEGATIVES = 20, 6, 9
LABELS = torch.arange(TOTAL) % 3


def make(learned=True, **kwargs):
    cfg = dict(
        type='mmrazor.BankCRDLoss',
        sample_n=TOTAL,
        dim_out=DIM,
        neg_num=NEGATIVES,
        seed=3)
    torch.manual_seed(0)
    loss = MODELS.build({**cfg, **kwargs})
    if learned:
        loss.learn_classes(LABELS)
    return loss


def samples_of(indices, total=TOTAL):
    views = BatchViews(
        ViewSource('key', total, ''), np.zeros(len(indices), int),
        np.array(indices))
    return SampleList([BaseDataElement() for _ in indices], views)


def feats(num, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(2, num, DIM, generator=generator), dim=2)


def test_by_hand():
    """One sample of four; the third is a negative twice, the fourth once."""
    scores = torch.tensor([[6., 8., 2., 4.]])
    counts = torch.tensor([[0., 0., 2., 1.]])
    loss = crd_loss(
        scores, torch.tensor([1]), counts, torch.tensor(4.), eps=0.)
    noise = 3 / 4
    wanted = -math.log(2 / (2 + noise))
    wanted -= 2 * math.log(noise / (0.5 + noise)) + math.log(noise /
                                                             (1 + noise))
    assert loss.item() == pytest.approx(wanted)
    scores = crd_scores(
        torch.tensor([[.6, .8]]), torch.tensor([[1., 0.], [0., -1.]]), 0.5)
    assert scores[0].tolist() == pytest.approx([math.exp(1.2), math.exp(-1.6)])


def test_a_bank_by_hand():
    bank = torch.tensor([[1., 0.], [0., 1.], [0., -1.]])
    update_bank(bank, torch.tensor([2, 0]), torch.tensor([[1., 0.], [0., 1.]]),
                0.25)
    length = math.hypot(0.25, 0.75)
    assert bank.flatten().tolist() == pytest.approx(
        [0.25 / length, 0.75 / length, 0, 1, 0.75 / length, -0.25 / length])
    # Of two of one sample the last counts.
    update_bank(bank, torch.tensor([1, 1, 0]),
                torch.tensor([[1., 0.], [0., -1.], [0., 1.]]), 0.)
    assert bank[:2].tolist() == [[0., 1.], [0., -1.]]


def test_with_the_same_negatives_it_is_that_of_mmrazor():
    loss = make(temperature=0.5)
    theirs = MODELS.build(
        dict(
            type='mmrazor.CRDLoss',
            sample_n=TOTAL,
            dim_out=DIM,
            neg_num=NEGATIVES,
            temperature=0.5))
    theirs.contrast.memory_v1.copy_(loss.student_bank)
    theirs.contrast.memory_v2.copy_(loss.teacher_bank)
    for step, indices in enumerate(([0, 5, 7], [5, 1, 19], [0, 1, 2])):
        drawn = draw_negatives(3, step, torch.tensor(indices),
                               SamplesByClass.of(LABELS), NEGATIVES)
        packed = []
        for index, row in zip(indices, drawn):
            sample = BaseDataElement()
            sample.set_data(
                dict(
                    sample_idx=torch.tensor(index),
                    contrast_sample_idxs=torch.cat(
                        [torch.tensor([index]), row])))
            packed.append(sample)
        ours, others = feats(3, step), feats(3, step)
        for pair in (ours, others):
            pair.requires_grad_()
        mine = loss(*ours, samples_of(indices))
        their = theirs(*others, packed)
        assert mine.item() == pytest.approx(their.item(), rel=1e-5)
        mine.backward()
        their.backward()
        torch.testing.assert_close(ours.grad, others.grad)
        assert (ours.grad.abs().sum(2) > 0).all()
        torch.testing.assert_close(loss.norms, theirs.contrast.params[2:4])
        torch.testing.assert_close(loss.student_bank,
                                   theirs.contrast.memory_v1)
        torch.testing.assert_close(loss.teacher_bank,
                                   theirs.contrast.memory_v2)


def test_the_weight_counts():
    one, other = make(), make(loss_weight=0.8)
    assert other(*feats(4), samples_of(range(4))).item() == pytest.approx(
        0.8 * one(*feats(4), samples_of(range(4))).item())


def test_it_goes_on_from_its_state():
    """Banks, constants and classes are all that it has but the clock."""
    loss = make()
    loss(*feats(4), samples_of(range(4)))
    other = make(learned=False)
    other.load_state_dict(copy.deepcopy(loss.state_dict()))
    other._clock.tick()
    one, two = (
        part(*feats(4, 1), samples_of(range(2, 6))) for part in (loss, other))
    assert torch.equal(one, two)
    for name, data in loss.state_dict().items():
        assert torch.equal(data, other.state_dict()[name]), name


def test_half_precision_stays_out_of_it():
    wanted = make()(*feats(4), samples_of(range(4)))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(make()(*feats(4), samples_of(range(4))), wanted)


def _on_a_rank(rank, port, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    loss = make()
    if rank:  # it begins with the banks of the first
        loss.student_bank.zero_()
    losses = []
    for step in range(2):
        part = slice(4 * rank, 4 * rank + 4)
        # Sample 0 is in both halves of the second batch.
        indices = [*range(8)] if step == 0 else [0, 9, 3, 4, 8, 0, 2, 1]
        losses.append(
            loss(*feats(8, step)[:, part], samples_of(indices[part])))
    torch.save([losses, loss.state_dict()], f'{folder}/{rank}.pth')
    torch.distributed.destroy_process_group()


def test_all_ranks_update_the_same_banks(tmp_path):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    torch.multiprocessing.start_processes(
        _on_a_rank, (port, str(tmp_path)), nprocs=2, start_method='fork')
    (first, state), (second, other) = (
        torch.load(tmp_path / f'{rank}.pth') for rank in range(2))
    alone = make()
    for step, indices in enumerate((range(8), [0, 9, 3, 4, 8, 0, 2, 1])):
        wanted = alone(*feats(8, step), samples_of(indices))
        assert (first[step] + second[step]).item() / 2 == pytest.approx(
            wanted.item(), rel=1e-5)
    for name, data in alone.state_dict().items():
        assert torch.equal(state[name], other[name]), name
        torch.testing.assert_close(state[name], data)


@pytest.mark.parametrize('change, message', [
    (dict(neg_num=0), 'BankCRDLoss.neg_num: 0 must be an integer, 1 or'),
    (dict(sample_n=2.5), 'BankCRDLoss.sample_n: 2.5 must be an integer'),
    (dict(dim_out='a'), "BankCRDLoss.dim_out: 'a' must be an integer"),
    (dict(temperature=0), 'BankCRDLoss.temperature: 0 must be positive'),
    (dict(momentum=1.0), 'BankCRDLoss.momentum: 1.0 must be 0 or more, and'),
])
def test_wrong_settings(change, message):
    with pytest.raises(ConfigError, match=message):
        make(learned=False, **change)


def test_wrong_data():
    loss = make(learned=False)
    for change, message in (
        (lambda: loss.learn_classes(LABELS[:7]),
         'sample_n: is 20, but there are 7 samples of training data; set it '),
        (lambda: loss.learn_classes(LABELS * 0), 'neg_num: all training data '
         'is of one class'),
        (lambda: loss(*feats(2), samples_of([0, 1])), 'sample_n: it is not '
         'known which class each sample is of; add .*SampleClassesHook'),
        (lambda: loss(*feats(2), samples_of([0, 1], 21)),
         'sample_n: is 20, but there are 21'),
        (lambda: loss(*feats(2), [BaseDataElement()] * 2),
         'sample_n: the data samples have no index in the data set'),
        (lambda: loss(*feats(2)[..., :5], samples_of([0, 1])),
         r'dim_out: is 6, but s_feats is of shape \(2, 5\)'),
    ):
        with pytest.raises(ConfigError, match=message):
            change()
