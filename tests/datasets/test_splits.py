# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy
import itertools

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS, TRANSFORMS

from mmdgkd import ConfigError
from mmdgkd.datasets.held_out import HeldOut
from mmdgkd.datasets.identity import images_key
from mmdgkd.datasets.splits import Split, fold_of, held_out
from mmdgkd.datasets.view_dataset import ViewDataset
from mmdgkd.datasets.view_sampler import ViewSampler

DIGITS = dict(
    type='BatchedDigits',
    split='train',
    indices=40,
    pipeline=[dict(type='PackInputs')])
SPLIT = dict(holdout=10, folds=3, fold=1)


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def views(**kwargs):
    return ViewDataset(copy.deepcopy(DIGITS), **kwargs)


def test_a_holdout_is_a_function_of_its_seed_and_the_length():
    chosen = held_out(50000, 5000)
    assert len(np.unique(chosen)) == 5000 and chosen.max() > 45000
    assert (chosen == held_out(50000, 5000)).all()
    assert (chosen != held_out(50000, 5000, seed=1)).any()
    # The first ones never change: networks of different days are compared.
    assert chosen[:4].tolist() == [16, 33, 39, 47]


def test_a_fold_is_a_function_of_seed_and_index():
    folds = fold_of(np.arange(50000), 4)
    assert folds[:8].tolist() == [3, 1, 1, 0, 3, 2, 3, 2]
    # In another order, of fewer images, of a longer data set.
    assert fold_of(np.array([6, 3]), 4).tolist() == [3, 0]
    counts = np.bincount(folds)
    assert len(counts) == 4 and abs(counts - 12500).max() < 400
    assert (folds != fold_of(np.arange(50000), 4, seed=1)).mean() > .7


def test_what_is_left_out_is_never_sampled():
    split = Split.from_cfg(SPLIT, 'split')
    chosen = split.indices(np.arange(40))
    left_out = set(held_out(40, 10)) | set(
        np.flatnonzero(fold_of(np.arange(40), 3) == 1))
    assert set(chosen) == set(range(40)) - left_out
    dataset = views(split=SPLIT)
    assert len(dataset) == 40
    sampler = ViewSampler(dataset, seed=0)
    assert len(sampler) == len(chosen)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        assert sorted(sampler) == [(epoch, index) for index in chosen]
    endless = ViewSampler(dataset, dict(type='InfiniteSampler'), seed=0)
    pairs = list(itertools.islice(endless, 2 * len(chosen)))
    assert sorted(pairs) == [(epoch, index) for epoch in (0, 1)
                             for index in chosen]


def test_views_and_their_source_are_those_without_a_split():
    """So that teachers of all folds share one store."""
    some, every = views(split=SPLIT), views()
    assert some.source == every.source
    batch, other = (
        data.__getitems__([(3, 7), (0, 2)])[0]['inputs']
        for data in (some, every))
    assert (batch == other).all()


def test_partners_are_not_left_out():
    mix = dict(augments=[dict(type='Mixup', alpha=1.)])
    some, every = views(split=SPLIT, mix=mix), views(mix=mix)
    for epoch in range(5):
        partners = some.partners_in(epoch)
        left_out = np.setdiff1d(np.arange(40), some.chosen)
        assert not np.isin(partners[some.chosen], left_out).any()
        assert (partners[partners[some.chosen]] == some.chosen).all()
    # Other partners are other images.
    assert some.source != every.source
    sampler = ViewSampler(some, seed=0)
    order = np.array(list(sampler))[:, 1]
    partners = some.partners_in(0)
    together = partners[order[:-1:2]] == order[1::2]
    assert together[:len(some.chosen) // 2 - 1].all()
    assert sorted(order) == some.chosen.tolist()


def test_what_takes_the_place_of_an_unreadable_image_is_not_left_out():
    dataset = views(split=SPLIT, skip_unreadable=True)
    for index in range(40):
        assert dataset._after(index) in dataset.chosen
    assert dataset._after(int(dataset.chosen[-1])) == dataset.chosen[0]


REPEATED = [
    dict(type='RepeatDataset', times=2, dataset=DIGITS),
    dict(type='ClassBalancedDataset', oversample_thr=.2, dataset=DIGITS),
    dict(type='ConcatDataset', datasets=[DIGITS, DIGITS]),
    dict(
        type='ConcatDataset',
        datasets=[DIGITS, dict(DIGITS, indices=-30),
                  dict(DIGITS)])
]


@pytest.mark.parametrize('cfg', REPEATED)
def test_what_repeats_images_does_not_part_them(cfg):
    """Each image by its pixels: none is in both parts."""
    cfg = copy.deepcopy(cfg)
    for part in (cfg.get('datasets') or [cfg['dataset']]):
        part['type'] = 'Digits'
    train = ViewDataset(copy.deepcopy(cfg), split=dict(holdout=10))
    part = HeldOut(copy.deepcopy(cfg), 10)
    assert len(part) == 10

    def pixels(dataset, indices):
        return {dataset[int(i)]['inputs'].numpy().tobytes() for i in indices}

    seen = pixels(train.dataset, train.chosen)
    held = pixels(part, range(10))
    assert len(held) == 10 and not seen & held
    assert len(train.chosen) < len(train) - 9
    with pytest.raises(ConfigError, match='chain.folds: an image is known by'):
        ViewDataset(copy.deepcopy(cfg), split=dict(folds=2, fold=0))


def test_a_part_of_a_data_set_in_memory():
    """MMPretrain's replaces its data set by that part."""
    cfg = dict(
        type='KFoldDataset',
        dataset=dict(DIGITS, type='Digits'),
        fold=1,
        num_splits=2)
    dataset = ViewDataset(copy.deepcopy(cfg), split=dict(holdout=4))
    assert (len(dataset), len(dataset.chosen)) == (20, 16)
    assert dataset[int(dataset.chosen[3])]['inputs'].shape[0] == 3


def test_a_wrapper_that_does_not_say_which_its_samples_are():

    class Halves(torch.utils.data.Dataset):
        metainfo = {}

        def __init__(self):
            self.dataset = DATASETS.build(copy.deepcopy(DIGITS))

        def __len__(self):
            return 20

        def __getitem__(self, index):
            return self.dataset[2 * index]

    with pytest.raises(ConfigError, match='Halves does not say which images'):
        ViewDataset(Halves(), split=dict(holdout=3))
    ViewDataset(Halves())


def test_fewer_batches_than_there_are():
    """As with num_batch_per_epoch, by which MMEngine makes it shorter."""

    class Sliced:
        chosen = np.arange(5, 35)

        def __len__(self):
            return 8

    sampler = ViewSampler(Sliced(), seed=0)
    assert sorted(index for _, index in sampler) == [*range(5, 13)]


def test_a_sampler_sees_the_classes_of_what_is_left():
    dataset = views(split=SPLIT)
    part = ViewSampler(dataset).sampler.dataset
    assert [part.get_cat_ids(i) for i in range(len(part))
            ] == [dataset.get_cat_ids(int(i)) for i in dataset.chosen]
    assert part.get_gt_labels().tolist() == [
        dataset.get_cat_ids(int(i))[0] for i in dataset.chosen
    ]


def test_held_out_images_are_the_rest():
    whole = DATASETS.build(copy.deepcopy(DIGITS))
    part = HeldOut(copy.deepcopy(DIGITS), 10)
    indices = held_out(40, 10)
    assert len(part) == 10 and part.metainfo == whole.metainfo
    assert [part.get_cat_ids(i) for i in range(10)
            ] == [whole.get_cat_ids(int(i)) for i in indices]
    batch = part.__getitems__([3, 0])[0]
    assert batch['data_samples'].indices.tolist() == indices[[3, 0]].tolist()
    single = HeldOut(dict(DIGITS, type='Digits'), 10)
    assert not hasattr(single, '__getitems__')
    assert single[3]['data_samples'].sample_idx == indices[3]


def test_held_out_images_of_wrappers_have_its_indices():
    """Not those of a data set inside, of which there may be two."""
    single = dict(DIGITS, type='Digits')
    both = HeldOut(
        dict(
            type='ConcatDataset',
            datasets=[dict(single, indices=[*range(20)]), single]), 10)
    assert [part['data_samples'].sample_idx
            for part in both] == both.indices.tolist()


def test_held_out_images_by_their_indices():
    part = HeldOut(copy.deepcopy(DIGITS), 10)
    indices = held_out(40, 10)
    assert [part.place_of(int(i)) for i in indices] == [*range(10)]
    for other in set(range(-1, 41)) - set(indices):
        with pytest.raises(IndexError, match='is not held out'):
            part.place_of(other)


@TRANSFORMS.register_module()
class UnreadableAt(BaseTransform):
    """Some files are no images."""

    def __init__(self, places):
        self.places = places

    def transform(self, results):
        if results['sample_idx'] in self.places:
            raise OSError(f'no image {results["sample_idx"]}')
        return results


def test_a_held_out_image_that_cannot_be_read_may_be_skipped(monkeypatch):
    """As one that is trained on."""
    indices = held_out(40, 10).tolist()
    said = []
    monkeypatch.setattr('mmdgkd.datasets.held_out.print_log',
                        lambda text, **_: said.append(text))

    def build(places, **kwargs):
        pipeline = [
            dict(type='UnreadableAt', places=places),
            dict(type='PackInputs')
        ]
        return HeldOut(
            dict(DIGITS, type='Digits', pipeline=pipeline), 10, **kwargs)

    with pytest.raises(OSError, match=f'no image {indices[9]}'):
        build(indices[9:])[9]
    part = build(indices[9:], skip_unreadable=True)
    for _ in range(2):
        found = [part[i]['data_samples'].sample_idx for i in range(10)]
        # By which it is found again.
        assert found == indices
        assert torch.equal(part[9]['inputs'], part[0]['inputs'])
    assert len(said) == 1 and f'sample {indices[9]} cannot be read' in said[0]
    with pytest.raises(ConfigError, match='none of the 10 images can be read'):
        build(indices, skip_unreadable=True)[0]


def test_held_out_images_are_loaded_when_they_are_needed(tmp_path):
    missing = dict(
        type='CIFAR10', data_root=str(tmp_path / 'no'), lazy_init=True)
    assert not len(HeldOut(missing, 10, lazy_init=True).indices)
    assert not (tmp_path / 'no').exists()
    part = HeldOut(dict(DIGITS, lazy_init=True), 10, lazy_init=True)
    part.full_init()
    assert part.indices.tolist() == held_out(40, 10).tolist()


@pytest.mark.parametrize('holdout', [-1, 0, True, 2.5])
def test_a_holdout_that_is_no_number_of_images(holdout):
    with pytest.raises(
            ConfigError, match=f'HeldOut.holdout: {holdout} must be an int'):
        HeldOut(copy.deepcopy(DIGITS), holdout)


@pytest.mark.parametrize('cfg, message', [
    (dict(holdout=-1), r'split.holdout: -1 must be an integer, 0 or more'),
    (dict(holdout=True), r'split.holdout: True must be an integer'),
    (dict(folds=1), r'split.folds: 1 leaves nothing to train on'),
    (dict(folds=3, fold=3), r'split.fold: 3 must be from 0 to 2, or None'),
    (dict(part=3), r'split.part: is unknown'),
    (5, r'split: must be dict.holdout=...., not 5'),
])
def test_bad_splits(cfg, message):
    with pytest.raises(ConfigError, match=message):
        Split.from_cfg(cfg, 'split')


def test_a_fold_of_all():
    with pytest.raises(
            ConfigError,
            match='chain.folds: of 2 folds of 1 training images '):
        for fold in (0, 1):
            Split(folds=2, fold=fold).indices(np.arange(1))


def test_the_same_images_have_one_key(tmp_path):

    def key(**kwargs):
        return images_key(
            DATASETS.build(dict(copy.deepcopy(DIGITS), **kwargs)))

    own = key()
    flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
    assert own == key() == key(pipeline=[flip, dict(type='PackInputs')])
    repeated = dict(
        type='RepeatDataset', times=2, dataset=copy.deepcopy(DIGITS))
    assert images_key(DATASETS.build(repeated)) == own
    others = [key(indices=indices) for indices in (39, range(39, -1, -1))]
    assert len({own, *others, key(split='test')}) == 4
    # Files are known by their names below data_root, wherever that is.
    keys = set()
    for root in ('a', 'b'):
        for name in ('0/one.png', '1/two.png'):
            (tmp_path / root / name).parent.mkdir(parents=True)
            (tmp_path / root / name).write_bytes(root.encode())
        for prefix in ('', '0'):
            keys.add(
                images_key(
                    DATASETS.build(
                        dict(
                            type='CustomDataset',
                            data_root=str(tmp_path / root),
                            data_prefix=prefix,
                            with_label=False,
                            pipeline=[]))))
    assert len(keys) == 2


def test_a_holdout_of_all():
    for make in (lambda: views(split=dict(holdout=40)),
                 lambda: HeldOut(copy.deepcopy(DIGITS), 40)):
        with pytest.raises(
                ConfigError,
                match='chain.holdout: 40 of 40 training images leaves none'):
            make()
