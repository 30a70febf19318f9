# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy
import math
import re

import pytest
import torch
from mmpretrain.structures import DataSample

from mmdgkd import ConfigError
from mmdgkd.methods.dskd.dskd_loss import DSKDLoss, lsh_loss
from mmdgkd.methods.dskd.feature_denoiser import FeatureDenoiser

LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])


def make(**kwargs):
    torch.manual_seed(0)
    return DSKDLoss(**{**dict(channels=4, seed=7), **kwargs})


def maps(seed=0, classes=3):
    """Maps of student and teacher, whose classifier is right of all."""
    torch.manual_seed(seed)
    student, teacher = torch.randn(2, 8, 4, 6, 6).unbind()
    weight = torch.eye(4)[:classes]
    teacher[torch.arange(8), LABELS] += 5
    return student.requires_grad_(), teacher, LABELS, weight


def test_the_hash_loss_by_hand():
    """MSE and BCE of one hash and one more, of the first of two images."""
    student = torch.tensor([[1., 2.], [9., 9.]])
    other = torch.tensor([[2., 0.], [0., 0.]])
    weight, bias = torch.tensor([[1., 0.], [0., 1.]]), torch.tensor([0., -.5])
    # Hashes of the other are 1 and 0, logits of the student 1 and 1.5.
    mse = (1 + 4) / 2
    bce = (math.log1p(math.exp(-1)) + math.log1p(math.exp(1.5))) / 2
    chosen = torch.tensor([True, False])
    found = lsh_loss(student, other, weight, bias, chosen)
    assert float(found) == pytest.approx(mse + bce)
    assert float(lsh_loss(student, other, weight, bias, ~chosen & chosen)) == 0


def test_scale_and_thresholds_are_those_of_the_first_batch():
    loss = make(hashes=5)
    student, teacher, labels, weight = maps()
    loss(student, teacher, labels, weight)
    torch.testing.assert_close(loss.mean, teacher.mean((0, 2, 3)))
    torch.testing.assert_close(loss.deviation,
                               teacher.std((0, 2, 3), unbiased=False))
    hashes = teacher.mean((2, 3)) @ loss.hash_weight.T + loss.hash_bias
    # The lower of the two in the middle is the threshold.
    assert ((hashes > 1e-6).sum(0) == 4).all()
    before = copy.deepcopy(dict(loss.named_buffers()))
    loss(*maps(1))
    for name, data in loss.named_buffers():
        assert torch.equal(data, before[name]), name


def test_a_channel_that_is_never_on():
    """What it has later, if anything, is no multiple of a tiny number."""
    student, teacher, labels, weight = maps()
    teacher[:, 3] = 0
    loss = make()
    assert loss(student, teacher, labels, weight).isfinite()
    spread = teacher.std((0, 2, 3), unbiased=False).mean()
    assert float(loss.deviation[3]) == pytest.approx(.1 * spread, rel=1e-4)
    assert loss(student, teacher.flip(1), labels, weight) < 1e4
    assert make()(student, 0 * teacher, labels, weight).isfinite()


def test_who_learns_from_what():
    """The denoiser from the teacher's maps, the student from the hashes."""
    student, teacher, labels, weight = maps()
    teacher.requires_grad_()
    loss = make(denoiser_weight=0.)
    loss(student, teacher, labels, weight).backward()
    assert student.grad.abs().sum() > 0 and teacher.grad is None
    assert all(param.grad is None or not param.grad.any()
               for param in loss.parameters())
    student.grad = None
    loss = make(loss_weight=0.)
    loss(student, teacher, labels, weight).backward()
    assert not student.grad.any() and teacher.grad is None
    assert all(param.grad.any() for param in loss.denoiser.parameters())


def test_only_what_the_teacher_classifies_rightly_counts():
    student, teacher, labels, weight = maps()
    loss = make(denoiser_weight=0.)
    loss(student, teacher, 2 - labels, weight).backward()
    # Class 1 is 1 from both sides.
    is_hit = student.grad.flatten(1).any(1)
    assert torch.equal(is_hit, labels == 1)
    assert loss.terms['hashes'] > 0


def test_the_student_of_the_teachers_maps_is_hardly_changed():
    """With a denoiser that knows the noise nothing is left to learn."""
    loss = make(start=1, denoising_steps=1, guidance=0.)
    _, teacher, labels, weight = maps()
    loss(teacher, teacher, labels, weight)
    # The least noise, 1e-4 of the variance, and one step from there.
    scaled = loss._scaled(teacher)
    draw = torch.Generator().manual_seed(0)
    found = loss._denoised(scaled, labels, weight, None, draw)
    assert (found - scaled).abs().mean() < .02


def test_denoising_begins_at_the_start():
    assert make()._path() == [299, 239, 179, 119, 59]
    assert make(start=1000, denoising_steps=1)._path() == [999]
    assert make(start=3, denoising_steps=2)._path() == [2, 0]


def test_half_precision_stays_out_of_it():
    wanted = make()(*maps())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(make()(*maps()), wanted)


def test_a_denoiser_learns():
    torch.manual_seed(0)
    loss = make(loss_weight=0.)
    optimizer = torch.optim.Adam(loss.parameters(), 1e-2)
    found = []
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(*maps())
        value.backward()
        optimizer.step()
        found.append(float(value.detach()))
    assert sum(found[-10:]) < .8 * sum(found[:10])


def test_it_goes_on_from_its_state():
    """All that is drawn is a function of the seed and the iteration."""
    loss, other = make(), make()
    loss(*maps())
    other.load_state_dict(loss.state_dict())
    other._clock.tick()
    one, two = (each(*maps(1)) for each in (loss, other))
    assert torch.equal(one, two)
    fresh = make(seed=8)
    assert not torch.equal(fresh(*maps()), make()(*maps()))


def test_labels_of_data_samples():
    student, teacher, labels, weight = maps()
    samples = [DataSample().set_gt_label(int(label)) for label in labels]
    assert torch.equal(make()(student, teacher, samples, weight),
                       make()(student, teacher, labels, weight))


def test_the_denoiser_is_light():
    denoiser = FeatureDenoiser(64)
    maps = torch.randn(2, 64, 8, 8)
    assert denoiser(maps, torch.tensor([0, 999])).shape == maps.shape
    count = sum(param.numel() for param in denoiser.parameters())
    # 64,000 of it are the steps; a ResNet-8 has 78,042.
    assert count - 64000 < 15000


@pytest.mark.parametrize('change, message', [
    (dict(channels=0), 'channels: 0 must be an integer, 1 or more'),
    (dict(start=2000), 'start: 2000 must be an integer, 1 or more, and at '
     'most 1000'),
    (dict(start=3, denoising_steps=4), 'denoising_steps: 4 must be an integer,'
     ' 1 or more, and at most 3'),
    (dict(guidance=-1), 'guidance: -1 must be 0 or more'),
    (dict(hashes=0), 'hashes: 0 must be an integer'),
])
def test_wrong_settings(change, message):
    with pytest.raises(ConfigError, match=re.escape(f'DSKDLoss.{message}')):
        make(**change)


@pytest.mark.parametrize('change, message', [
    (dict(s_maps=torch.zeros(8, 3, 6, 6)), 'channels: is 4, but s_maps has '),
    (dict(t_maps=torch.zeros(8, 4)), 'channels: is 4, but t_maps has '),
    (dict(t_weight=torch.zeros(3, 5)), 'channels: is 4, but the classifier'),
    (dict(labels=torch.zeros(8, 3)), 'labels: have the shape (8, 3); each '),
])
def test_what_does_not_fit(change, message):
    inputs = dict(zip(('s_maps', 't_maps', 'labels', 't_weight'), maps()))
    with pytest.raises(ConfigError, match=re.escape(f'DSKDLoss.{message}')):
        make()(**{**inputs, **change})
