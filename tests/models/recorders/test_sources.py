# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy

import pytest
import torch
from mmrazor.registry import TASK_UTILS
from torch import nn

from mmdgkd import ConfigError
from mmdgkd.models.recorders.sources import (check_stock_source,
                                             initialize_stock)


def network(**parts):
    return nn.ModuleDict(parts)


def check(kind, source, model, owner='the teachers'):
    recorder = TASK_UTILS.build(
        dict(type=f'mmrazor.{kind}Recorder', source=source))
    check_stock_source(recorder, model, owner)


def refused(*args):
    with pytest.raises(ConfigError) as error:
        check(*args)
    assert '\n' not in str(error.value)
    return str(error.value)


TEACHERS = nn.ModuleDict({
    'big': network(head=network(fc=nn.Linear(2, 2))),
    'odd': network(body=nn.Identity()),
})


def test_what_is_there():
    check('ModuleOutputs', 'big.head.fc', TEACHERS)
    check('ModuleInputs', 'odd.body', TEACHERS)
    check('Parameter', 'big.head.fc.bias', TEACHERS)
    check('FunctionOutputs', 'torch.nn.functional.relu', TEACHERS)


def test_what_is_not_there_is_reported_with_what_is_similar():
    assert refused('ModuleOutputs', 'big.head.gc', TEACHERS) == (
        'source: "big.head.gc" is no module of teacher "big"; similar: '
        'big.head.fc, big.head')
    assert refused('ModuleInputs', 'odd.head.fc', TEACHERS) == (
        'source: "odd.head.fc" is no module of teacher "odd"; its parts: body')
    assert refused('Parameter', 'big.head.fc.bais', TEACHERS).startswith(
        'source: "big.head.fc.bais" is no parameter of teacher "big"; similar:'
        ' big.head.fc.bias')


def test_a_teacher_has_to_be_named():
    assert refused('ModuleOutputs', 'head.fc', TEACHERS) == (
        'source: "head.fc" begins with none of the teachers big, odd; put the '
        'name of one in front, such as "big.head.fc", or use '
        "type='mmrazor.MultiTeacherOutputs' for all of them")


def test_logits_of_a_stock_recorder():
    """Of a teacher that it names; a copy of both records by itself."""

    def initialized(source, kind='ModuleOutputs'):
        teachers = nn.ModuleDict(dict(big=nn.Sequential(nn.Linear(2, 3))))
        recorder = TASK_UTILS.build(
            dict(type=f'mmrazor.{kind}Recorder', source=source))
        initialize_stock(recorder, teachers, 'the teachers')
        return recorder, teachers

    first = initialized('big.logits')
    second = copy.deepcopy(first)
    for recorder, teachers in (first, second):
        with recorder:
            scores = teachers['big'](torch.ones(1, 2))
        assert recorder.get_record_data() is scores
    for args, message in ((('logits', ), 'begins with none of the teachers'),
                          (('big.logits', 'ModuleInputs'), 'is no module of'),
                          ((dict(big='0'), ), 'is by network, which is for')):
        with pytest.raises(ConfigError, match=message):
            initialized(*args)


def test_the_student_has_no_name():
    student = nn.Sequential(nn.Linear(2, 2))
    check('ModuleOutputs', '0', student, 'the student')
    assert refused('ModuleOutputs', 'head.fc', student, 'the student') == (
        'source: "head.fc" is no module of the student; its parts: 0')
