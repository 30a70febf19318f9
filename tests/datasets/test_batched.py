# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Batches are bitwise what the pipeline makes one by one."""
import hashlib
import pickle

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.registry import DefaultScope
from mmpretrain.datasets import cifar
from mmpretrain.registry import DATASETS, MODELS

from mmdgkd import ConfigError
from mmdgkd.datasets.batched import BatchedCIFAR10
from mmdgkd.structures.views import views_of

PACK = dict(type='PackInputs')
FLIP = dict(type='RandomFlip', prob=0.3, direction='horizontal')
CROPS = [
    dict(type='RandomCrop', crop_size=8, padding=2),
    dict(type='RandomCrop', crop_size=6),
    dict(type='RandomCrop', crop_size=(7, 5), padding=(1, 0, 2, 3)),
    dict(type='RandomCrop', crop_size=9, padding=(2, 1), pad_val=(7, 8, 9)),
    dict(type='RandomCrop', crop_size=20, padding=1, pad_val=3),
    dict(type='RandomCrop', crop_size=8),
]


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def build(kind, pipeline, mix=None, **kwargs):
    return DATASETS.build(
        dict(
            type='ViewDataset',
            seed=5,
            mix=mix,
            dataset=dict(type=kind, indices=40, pipeline=pipeline, **kwargs)))


def preprocess(data, training=True, **kwargs):
    """The model's inputs and labels of a collated batch."""
    made = MODELS.build(
        dict(
            type='BatchedDataPreprocessor',
            num_classes=10,
            mean=[10, 20, 30.5],
            std=[90, 80, 70],
            to_rgb=True,
            **kwargs))(data, training)
    return made['inputs'], made['data_samples']


@pytest.mark.parametrize('pipeline',
                         [[PACK], [FLIP, PACK]] + [[crop, PACK]
                                                   for crop in CROPS] +
                         [[crop, FLIP, PACK] for crop in CROPS])
def test_the_views_are_those_of_the_pipeline(pipeline):
    one, batched = build('Digits', pipeline), build('BatchedDigits', pipeline)
    assert one.source.key == batched.source.key
    assert one.num_views == batched.num_views
    seen = []
    for epoch in (0, 4):
        items = [(epoch, index) for index in range(37, 1, -1)]
        theirs, samples = preprocess(default_collate(one.__getitems__(items)))
        mine, others = preprocess(pseudo_collate(batched.__getitems__(items)))
        assert torch.equal(mine, theirs)
        for a, b in zip(samples, others):
            assert torch.equal(a.gt_label, b.gt_label)
        a, b = views_of(samples), views_of(others)
        assert a.source.key == b.source.key
        assert a.views.tolist() == b.views.tolist()
        assert a.indices.tolist() == b.indices.tolist() == list(
            range(37, 1, -1))
        seen.append(mine)
    assert torch.equal(*seen) == (one.num_views == 1)


@pytest.mark.parametrize('probs', [None, [.5, .2, .2]])
@pytest.mark.parametrize('pipeline', [[PACK], [CROPS[0], FLIP, PACK]])
def test_mixed_views_are_those_of_the_pipeline(pipeline, probs):
    mix = dict(
        augments=[
            dict(type=kind, alpha=.8)
            for kind in ('Mixup', 'CutMix', 'ResizeMix')
        ],
        probs=probs)
    one = build('Digits', pipeline, mix)
    batched = build('BatchedDigits', pipeline, mix)
    assert one.source.key == batched.source.key
    items = [(epoch, index) for epoch in (1, 2) for index in range(30, 1, -1)]
    theirs, samples = preprocess(default_collate(one.__getitems__(items)))
    mine, others = preprocess(pseudo_collate(batched.__getitems__(items)))
    assert torch.equal(mine, theirs)
    for a, b in zip(samples, others):
        assert torch.equal(a.gt_score, b.gt_score)
        assert torch.equal(a.gt_label, b.gt_label)
    assert not torch.equal(mine[:29], mine[29:])
    partners = []
    for each in map(views_of, (samples, others)):
        assert each.indices.tolist() == [index for _, index in items]
        partners.append(each.partners.tolist())
    assert partners[0] == partners[1]
    drawn = [one.partners_in(epoch)[index] for epoch, index in items]
    # Those that are not mixed are their own.
    own = sum(a != b for a, b in zip(drawn, partners[0]))
    assert (own > 0) == (probs is not None) and own < len(items) / 2
    # Of a batch that is moved to a device all is.
    batch = batched.__getitems__(items[:2])[0]['data_samples']
    batch.to(torch.device('meta'))
    assert batch.others.images.is_meta and batch.scores.is_meta


def test_batches_can_be_mixed_as_in_mmpretrain():
    batched = build('BatchedDigits', [PACK])
    data = pseudo_collate(batched.__getitems__([(0, i) for i in range(6)]))
    inputs, samples = preprocess(
        data, batch_augments=dict(augments=dict(type='Mixup', alpha=1.0)))
    assert inputs.shape == (6, 3, 8, 8)
    assert samples[0].gt_score.shape == (10, )


def test_without_views_samples_have_the_index_and_draws_differ():
    dataset = build('BatchedDigits', [CROPS[0], PACK]).dataset
    first, samples = preprocess(pseudo_collate(dataset.__getitems__([3, 9])))
    assert [sample.sample_idx for sample in samples] == [3, 9]
    others = [
        preprocess(pseudo_collate(dataset.__getitems__([3, 9])))[0]
        for _ in range(4)
    ]
    assert any(not torch.equal(first, other) for other in others)


def test_a_replaced_pipeline_is_drawn_from():
    """As MMPretrain's SwitchRecipeHook does it."""
    batched = build('BatchedDigits', [PACK])
    batch = batched.__getitems__([(0, 1), (0, 2)])[0]['data_samples']
    assert batch.offsets is None and batch.flips is None
    batched.dataset.pipeline = build('Digits',
                                     [CROPS[0], FLIP, PACK]).dataset.pipeline
    batch = batched.__getitems__([(0, 1), (0, 2)])[0]['data_samples']
    assert batch.offsets is not None and batch.flips is not None
    one = build('Digits', [CROPS[0], FLIP, PACK])
    assert batch.views.source.key == one.source.key
    assert torch.equal(batch.cut()[1], one[0, 2]['inputs'])
    with pytest.raises(ConfigError, match='not "ColorJitter" there'):
        batched.dataset.pipeline = build(
            'Digits',
            [dict(type='ColorJitter', brightness=.4), PACK]).dataset.pipeline
        batched.__getitems__([(0, 1)])


def test_ordinary_data_passes_through():
    data = build('Digits', [PACK]).__getitems__([1, 2, 3])
    stock = MODELS.build(
        dict(type='ClsDataPreprocessor', mean=[1] * 3, std=[2] * 3))
    mine = MODELS.build(
        dict(type='BatchedDataPreprocessor', mean=[1] * 3, std=[2] * 3))
    for collate in (default_collate, pseudo_collate):
        assert torch.equal(
            mine(collate(data))['inputs'],
            stock(collate(data))['inputs'])


@pytest.mark.parametrize('pipeline, name', [
    ([dict(type='ColorJitter', brightness=.4), PACK], 'ColorJitter'),
    ([FLIP, CROPS[0], PACK], 'RandomCrop'),
    ([dict(FLIP, direction='vertical'), PACK], 'RandomFlip'),
    ([dict(CROPS[0], padding_mode='reflect'), PACK], 'RandomCrop'),
    ([FLIP], 'nothing'),
])
def test_other_transforms_are_refused(pipeline, name):
    with pytest.raises(
            ConfigError,
            match=f'BatchedDigits supports RandomCrop .*, not "{name}" there: '
            'use Digits for it') as error:
        build('BatchedDigits', pipeline)
    assert '\n' not in str(error.value)


def test_some_of_the_samples():
    """vis_tsne keeps those of some classes; the images are theirs."""
    cfg = dict(type='BatchedDigits', split='train', pipeline=[PACK])
    whole, kept = DATASETS.build(cfg), DATASETS.build(cfg)
    kept.get_subset_([7, 3])
    for subset in (kept, whole.get_subset([7, 3])):
        found, = subset.__getitems__([0, 1])
        expected, = whole.__getitems__([7, 3])
        assert torch.equal(found['inputs'], expected['inputs'])
        assert torch.equal(found['data_samples'].labels,
                           expected['data_samples'].labels)


def test_files_are_hashed_once(tmp_path, monkeypatch):
    """Until one changes; MMPretrain does it four times for two splits."""
    folder = tmp_path / 'few'
    folder.mkdir()
    lists = {}
    for split, count in (('train', 3), ('test', 2)):
        data = pickle.dumps(
            dict(
                data=np.zeros((count, 3072), np.uint8),
                labels=list(range(count))))
        (folder / split).write_bytes(data)
        lists[f'{split}_list'] = [[split, hashlib.md5(data).hexdigest()]]
    few = type('Few', (BatchedCIFAR10, ), dict(lists, base_folder='few'))
    hashed = []
    check = cifar.check_md5
    monkeypatch.setattr(
        cifar, 'check_md5',
        lambda path, md5: hashed.append(path) or check(path, md5))

    def lengths():
        return [
            len(
                few(data_root=str(tmp_path),
                    split=split,
                    pipeline=[PACK],
                    metainfo=dict(classes=['a', 'b', 'c']),
                    download=False)) for split in ('train', 'test')
        ]

    for _ in range(2):
        assert lengths() == [3, 2] and len(hashed) == 2
    (folder / 'test').write_bytes(b'cut')
    with pytest.raises(RuntimeError, match='Cannot find Few dataset'):
        lengths()
