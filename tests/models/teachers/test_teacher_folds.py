# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Which images a teacher was not trained on."""
import numpy as np
import pytest

from mmdgkd import ConfigError
from mmdgkd.datasets.splits import fold_of
from mmdgkd.models.teachers.teacher_folds import TeacherFolds
from mmdgkd.structures.views import BatchViews, SampleList, ViewSource


def samples(indices, partners=None):
    indices = np.array(indices, np.int64)
    views = BatchViews(
        ViewSource('key', 100, 'a hundred'), 0 * indices, indices,
        None if partners is None else np.array(partners, np.int64))
    return SampleList([None] * len(indices), views)


def test_those_of_the_fold_that_it_left_out():
    folds = TeacherFolds.from_cfg(
        dict(num=3, seed=5, left_out=dict(a=0, b=2)), 'abc')
    # A later batch may have larger indices.
    for indices in ([4, 1, 1], [70, 3], []):
        wanted = fold_of(np.array(indices, int), 3, 5)
        found = folds.unseen(samples(indices), 'unseen_weight')
        assert list(found) == ['a', 'b']
        assert found['a'].tolist() == (wanted == 0).tolist()
        assert found['b'].tolist() == (wanted == 2).tolist()


def test_of_a_mixed_image_neither_part_was_trained_on():
    folds = TeacherFolds.from_cfg(dict(num=2, left_out=dict(a=0)), 'ab')
    fold = fold_of(np.arange(100), 2)
    (a, b), (c, d) = (np.flatnonzero(fold == k)[:2] for k in (0, 1))
    found = folds.unseen(
        samples([a, a, a, c, c, c], [b, c, a, a, d, c]), 'unseen_weight')
    assert found['a'].tolist() == [True, False, True, False, False, False]
    # The partner may have a larger index than all of the batch.
    folds = TeacherFolds.from_cfg(dict(num=2, left_out=dict(a=0)), 'ab')
    last = int(np.flatnonzero(fold == 0)[-1])
    found = folds.unseen(samples([a], [last]), 'unseen_weight')
    assert found['a'].tolist() == [True]


def test_where_no_teacher_leaves_a_fold_out_nothing_is_needed():
    folds = TeacherFolds.from_cfg(dict(num=2, left_out={}), 'ab')
    for given in (None, [object()], samples([1, 2])):
        assert folds.unseen(given, 'here') == {}


def test_without_views():
    folds = TeacherFolds.from_cfg(dict(num=2, left_out=dict(a=0)), 'ab')
    for given in (None, [object()]):
        with pytest.raises(ConfigError, match='here: needs .* chain.folds'):
            folds.unseen(given, 'here')


def test_none_is_none():
    assert TeacherFolds.from_cfg(None, 'ab') is None
    assert not TeacherFolds.from_cfg(dict(num=2), 'ab').left_out


@pytest.mark.parametrize('cfg, message', [
    (dict(num=1), 'folds.num: 1 must be an integer, 2 or'),
    (dict(left_out={}), 'folds.num: None must be an integer'),
    (dict(num=2, seed=-1), 'folds.seed: -1 must be an integer, 0 or more'),
    (dict(num=2, left_out=dict(c=0)), 'left_out: "c" is no teacher here'),
    (dict(num=2, left_out=dict(a=2)), 'left_out.a: 2 must be from 0 to 1'),
    (dict(num=2, left_out=[1]), r'left_out: \[1\] must be a fold by teacher'),
    (dict(num=2, left_out=dict(a=True)), 'left_out.a: True must be from 0 '),
    (5, r'folds: 5 must be dict\(num='),
    (dict(num=2, folds=3), 'folds.folds: is unknown'),
])  # yapf: disable
def test_mistakes_are_refused(cfg, message):
    with pytest.raises(ConfigError, match=message):
        TeacherFolds.from_cfg(cfg, 'ab')
