# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import numpy as np
import pytest
import torch
from mmrazor.models.task_modules import RecorderManager
from torch import nn

from mmdgkd import ConfigError
from mmdgkd.methods.student_guided.stochastic_teacher_outputs_recorder import \
    pass_masks


class Teacher(nn.Module):

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 4)

    def forward(self, x):
        return self.fc(x)


def recorded(teachers, feature, **kwargs):
    manager = RecorderManager(
        dict(
            fc=dict(
                type='mmrazor.StochasticTeacherOutputs', source='fc', **
                kwargs)))
    manager.initialize(nn.ModuleDict(teachers))

    def step():
        with manager, torch.no_grad():
            for teacher in teachers.values():
                teacher(feature)
        return manager.get_recorder('fc').get_record_data()

    return step


def test_masks_are_a_function_of_the_counters():
    one = pass_masks(7, 3, 'a', 5, 6, .5)
    assert one.shape == (5, 6) and set(one.ravel()) == {0, 2}
    assert np.array_equal(one, pass_masks(7, 3, 'a', 5, 6, .5))
    # More passes go on where fewer end.
    assert np.array_equal(one, pass_masks(7, 3, 'a', 9, 6, .5)[:5])
    for other in ((8, 3, 'a'), (7, 4, 'a'), (7, 3, 'b')):
        assert not np.array_equal(one, pass_masks(*other, 5, 6, .5))


def test_masks_drop_as_often_as_they_should_and_keep_the_mean():
    masks = pass_masks(0, 0, 'a', 200, 100, .2)
    assert (masks == 0).mean() == pytest.approx(.2, abs=.01)
    assert masks.mean() == pytest.approx(1, abs=.01)


def test_each_pass_is_the_module_on_thinned_features():
    teachers = dict(one=Teacher(), other=Teacher())
    feature = torch.randn(3, 6)
    step = recorded(teachers, feature, num_passes=5, seed=7)
    for number in range(2):
        data = step()
        assert list(data) == ['one', 'other']
        for name, teacher in teachers.items():
            masks = torch.from_numpy(pass_masks(7, number, name, 5, 6, .5))
            for output, mask in zip(data[name], masks):
                wanted = teacher.fc(mask * feature)
                torch.testing.assert_close(output, wanted)


def test_the_thinned_features_themselves():
    feature = torch.randn(3, 6)
    data = recorded(
        dict(one=Teacher()), feature, num_passes=5, seed=7, features=True)()
    masks = torch.from_numpy(pass_masks(7, 0, 'one', 5, 6, .5))
    torch.testing.assert_close(data['one'], masks[:, None] * feature)


def test_without_dropout_each_pass_is_the_teacher_itself():
    teacher, feature = Teacher(), torch.randn(3, 6)
    data = recorded(dict(one=teacher), feature, num_passes=2, drop_prob=0)()
    assert data['one'].shape == (2, 3, 4)
    torch.testing.assert_close(data['one'][1], teacher(feature))


@pytest.mark.parametrize('change, message', [
    (dict(num_passes=0), 'num_passes: 0 must be an integer, 1 or more'),
    (dict(num_passes=2.5), 'num_passes: 2.5 must be an integer'),
    (dict(drop_prob=1), 'drop_prob: 1 must be 0 or more, and below 1'),
])
def test_wrong_settings(change, message):
    with pytest.raises(
            ConfigError, match='StochasticTeacherOutputs.' + message):
        recorded(dict(one=Teacher()), None, **change)


def test_a_module_that_is_given_maps():
    with pytest.raises(
            ConfigError, match='source: "fc" of teacher "one" is not given'):
        recorded(dict(one=Teacher()), torch.randn(2, 3, 6))()
