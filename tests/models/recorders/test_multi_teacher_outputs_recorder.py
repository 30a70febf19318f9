# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmrazor.models.task_modules import RecorderManager
from torch import nn

from mmdgkd import ConfigError


class Teacher(nn.Module):

    def __init__(self, factor):
        super().__init__()
        self.factor = factor
        self.fc = nn.Identity()

    def forward(self, x):
        return self.fc(x * self.factor), self.fc((x, -x))


@pytest.fixture
def teachers():
    return nn.ModuleDict({'one': Teacher(1), 'ten': Teacher(10)})


@pytest.fixture
def manager(teachers):
    manager = RecorderManager(
        dict(fc=dict(type='mmrazor.MultiTeacherOutputs', source='fc')))
    manager.initialize(teachers)
    return manager


def test_a_mapping_over_those_that_ran(teachers, manager):
    recorder = manager.get_recorder('fc')
    with manager:
        assert recorder.get_record_data() == {}
        teachers['ten'](torch.ones(1))
    assert recorder.get_record_data() == {'ten': torch.tensor([10.])}
    with manager:
        for teacher in teachers.values():
            teacher(torch.ones(1))
    assert recorder.get_record_data() == {'one': 1, 'ten': 10}
    # The second call returned a pair.
    assert recorder.get_record_data(1, data_idx=1) == {'one': -1, 'ten': -1}


def test_nothing_is_recorded_outside(teachers, manager):
    with manager:
        pass
    teachers['one'](torch.ones(1))
    assert manager.get_recorder('fc').get_record_data() == {}


def test_a_teacher_without_the_module_is_named(teachers):
    teachers['odd'] = nn.Sequential(nn.Identity())
    manager = RecorderManager(
        dict(fc=dict(type='mmrazor.MultiTeacherOutputs', source='fc')))
    with pytest.raises(
            ConfigError,
            match='^source: "fc" is no module of teacher "odd"; its parts: 0'):
        manager.initialize(teachers)


def test_calls_can_be_taken_down_again(teachers, manager):
    recorder = manager.get_recorder('fc')
    with manager:
        teachers['ten'](torch.ones(1))
    calls = recorder.records_of('ten')
    assert recorder.records_of('one') == [] and len(calls) == 2
    with manager:
        for outputs in calls:
            recorder.record('ten', outputs)
        teachers['one'](torch.ones(1))
    assert recorder.get_record_data() == {'one': 1, 'ten': 10}
    assert recorder.records_of('ten') == calls
