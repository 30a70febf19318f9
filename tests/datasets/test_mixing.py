# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Views are mixed as MMPretrain mixes a batch, each by its own numbers."""
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import BATCH_AUGMENTS, DATASETS
from mmpretrain.structures import DataSample
from scipy import stats
from torch.utils.data import DataLoader

from mmdgkd import ConfigError
from mmdgkd.datasets.mixing import Mixing
from mmdgkd.datasets.view_sampler import ViewSampler
from mmdgkd.utils.random import mix_seed

MIXUP = dict(type='Mixup', alpha=0.4)
CUTMIX = dict(type='CutMix', alpha=0.4)
MINMAX = dict(type='CutMix', alpha=1.0, cutmix_minmax=[.2, .7])
RESIZEMIX = dict(type='ResizeMix', alpha=0.4)
SIZE = (32, 24)
FLIPS = [
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs')
]


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def draw(augments, indices, view=0, seed=1, **kwargs):
    indices = list(indices)
    return Mixing(augments, **kwargs).draw(seed, [view] * len(indices),
                                           indices, len(indices), SIZE)


def build(mix, kind='Digits', pipeline=FLIPS, indices=41, **kwargs):
    return DATASETS.build(
        dict(
            type='ViewDataset',
            seed=5,
            mix=mix,
            dataset=dict(type=kind, indices=indices, pipeline=pipeline),
            **kwargs))


def theirs(augment, seeds, size=SIZE):
    """The ratio and the box of MMPretrain's, from other seeds."""
    made, drawn = BATCH_AUGMENTS.build(augment), []
    for seed in seeds:
        np.random.seed(seed)
        share = np.random.beta(made.alpha, made.alpha)
        if augment['type'] == 'ResizeMix':
            share = share * .7 + .1
        box, share = made.cutmix_bbox_and_lam(size, share)
        drawn.append((share, *box))
    return np.array(drawn, float).T


def p_of(values, alpha):
    return stats.kstest(values, stats.beta(alpha, alpha).cdf).pvalue


def test_the_ratio_has_the_beta_distribution_of_alpha():
    shares = draw(MIXUP, range(3000)).shares
    assert p_of(shares, 0.4) > 0.05
    # The test would tell a slightly wrong one.
    assert max(p_of(shares, 0.3), p_of(shares, 0.5)) < 1e-3
    # And those of an index over the epochs, not only those of an epoch.
    shares = [float(draw(MIXUP, [0], view).shares[0]) for view in range(1500)]
    assert p_of(shares, 0.4) > 0.01 > p_of(shares, 0.2)


@pytest.mark.parametrize('augment', [CUTMIX, MINMAX, RESIZEMIX])
def test_the_box_has_the_distribution_of_mmpretrain(augment):
    mixes = draw(augment, range(3000))
    mine = [mixes.shares, *mixes.boxes.T.astype(float)]
    other = dict(augment, alpha=2.0, cutmix_minmax=None)
    wrong = []
    for values, same, differs in zip(mine, theirs(augment, range(3000)),
                                     theirs(other, range(3000))):
        assert stats.ks_2samp(values, same).pvalue > 0.01
        wrong.append(stats.ks_2samp(values, differs).pvalue)
    # The test would tell another alpha, or another form of box.
    assert min(wrong) < 1e-6
    top, bottom, left, right = mixes.boxes.T
    area = (bottom - top) * (right - left) / (SIZE[0] * SIZE[1])
    # Labels by the area that is left of the box within the image.
    assert np.allclose(mixes.shares, 1 - area)


def test_one_of_several_by_their_probabilities():
    mixes = draw([MIXUP, MINMAX], range(4000), probs=[.3, .5])
    num = [(mixes.weights != 1).sum(), (mixes.boxes[:, 1] > 0).sum(),
           (~mixes.mixed).sum()]
    assert sum(num) == 4000
    for count, prob in zip(num, (.3, .5, .2)):
        assert stats.binomtest(int(count), 4000, prob).pvalue > 0.01
    # What is not mixed needs no partner.
    assert ((mixes.partners == np.arange(4000)) == ~mixes.mixed).all()
    even = draw([MIXUP, MINMAX], range(2000))
    count = int((even.weights != 1).sum())
    assert stats.binomtest(count, 2000, .5).pvalue > 0.01


@pytest.mark.parametrize('count', [1, 2, 11, 12])
def test_the_partner_is_any_other_sample(count):
    mixing = Mixing(MIXUP)
    counts = np.zeros((count, count))
    for view in range(2000):
        partners = mixing.partners(3, view, count)
        assert (partners[partners] == np.arange(count)).all()
        assert (partners == np.arange(count)).sum() == count % 2
        counts[np.arange(count), partners] += 1
    for index in range(count):
        others = np.delete(counts[index],
                           index) if count % 2 == 0 else (counts[index])
        assert len(others) < 2 or stats.chisquare(others).pvalue > 1e-3
    assert (mixing.partners(4, 0, 99) != mixing.partners(3, 0, 99)).any()


@pytest.mark.parametrize('augment', [MIXUP, CUTMIX, MINMAX, RESIZEMIX])
def test_images_and_labels_are_those_of_mmpretrain(augment, monkeypatch):
    """Mixed before the normalization, as after it but for rounding."""
    mixing, made = Mixing(augment), BATCH_AUGMENTS.build(augment)
    images = torch.randint(0, 256, (2, 3, *SIZE), dtype=torch.uint8)
    scores = torch.eye(2)
    mean, std = torch.tensor([[120., 110, 90], [50, 60, 70]])[..., None, None]
    monkeypatch.setattr(torch, 'randperm', lambda _: torch.tensor([1, 0]))
    for index in range(20):
        mixes = mixing.draw(3, [4], [index], 20, SIZE)
        np.random.seed(mix_seed(3, 4, index))
        np.random.choice(1)
        wanted = made(((images - mean) / std).clone(), scores.clone())
        found = (mixes.images(images[:1], images[1:]) - mean) / std
        assert torch.allclose(found[0], wanted[0][0], atol=1e-5)
        assert torch.equal(
            mixes.scores(scores[:1], scores[1:])[0], wanted[1][0])


def test_a_mixed_view_is_a_function_of_its_numbers():
    dataset = build(dict(augments=[MIXUP, CUTMIX, RESIZEMIX]))
    items = [(epoch, index) for epoch in (0, 2) for index in range(41)]
    batch = dataset.__getitems__(items)
    for i in (0, 17, 50, 81):
        alone, again = dataset[items[i]], build(dataset_cfg())[items[i]]
        for other in (alone, again):
            assert torch.equal(other['inputs'], batch[i]['inputs'])
            assert torch.equal(other['data_samples'].gt_score,
                               batch[i]['data_samples'].gt_score)
    assert not torch.equal(batch[3]['inputs'], batch[44]['inputs'])
    # The partner's image is its own view in that epoch.
    mixes = dataset.mixing.draw(5, [2], [7], 41, (8, 8))
    plain = build(None)
    both = [
        plain[2, int(index)]['inputs'][None]
        for index in (7, mixes.partners[0])
    ]
    assert torch.equal(dataset[2, 7]['inputs'], mixes.images(*both)[0])


def dataset_cfg():
    return dict(augments=[MIXUP, CUTMIX, RESIZEMIX])


def test_the_key_has_the_recipe():
    plain = build(None)
    keys = {
        build(mix, **kwargs).source.key
        for kwargs in ({}, dict(num_views=2))
        for mix in (dict(augments=MIXUP), dict(augments=[MIXUP]),
                    dict(augments=[MIXUP], num_classes=10))
    }
    assert len(keys) == 1 and plain.source.key not in keys
    for mix in (dict(augments=dict(MIXUP, alpha=.5)), dict(augments=CUTMIX),
                dict(augments=MIXUP, probs=.5),
                dict(augments=dict(CUTMIX, correct_lam=False))):
        keys.add(build(mix).source.key)
    assert len(keys) == 5
    # A pipeline that draws nothing has one view, but not where it is mixed.
    still = [FLIPS[1]]
    assert build(None, pipeline=still).num_views == 1
    assert build(dict(augments=MIXUP), pipeline=still).num_views is None
    assert 'mixed by Mixup' in build(dict(augments=MIXUP)).source.summary


def test_a_limited_number_of_views_repeats():
    dataset = build(dict(augments=MIXUP), num_views=2)
    assert torch.equal(dataset[0, 3]['inputs'], dataset[4, 3]['inputs'])
    assert not torch.equal(dataset[0, 3]['inputs'], dataset[1, 3]['inputs'])
    assert (dataset.partners_in(1) == dataset.partners_in(3)).all()


@pytest.mark.parametrize('sampler, most', [
    (dict(type='DefaultSampler', shuffle=True), 42),
    (dict(type='DefaultSampler', shuffle=False), 80),
])
def test_each_image_is_read_once(sampler, most, monkeypatch):
    """By the usual sampler; by any other the views are the same."""
    dataset, reads = build(dict(augments=MIXUP)), []
    sampler = ViewSampler(dataset, sampler, seed=2)
    view_at = type(dataset)._view_at
    monkeypatch.setattr(
        type(dataset), '_view_at', lambda self, *pair:
        (reads.append(pair), view_at(self, *pair))[1])
    loader = DataLoader(
        dataset, 8, sampler=sampler, collate_fn=lambda samples: samples)
    seen = {
        sample['data_samples'].sample_idx: sample['inputs']
        for samples in loader
        for sample in samples
    }
    assert 41 <= len(reads) <= most and (len(reads) > 60) == (most == 80)
    assert sorted(seen) == list(range(41))
    for index in (0, 20, 40):
        assert torch.equal(seen[index], dataset[0, index]['inputs'])


def test_what_cannot_be_read_may_be_skipped(monkeypatch):
    dataset = build(dict(augments=MIXUP), skip_unreadable=True)
    kind, broken = type(dataset.dataset), 7
    get = kind.prepare_data

    def prepare(self, index):
        if index == broken:
            raise OSError('broken')
        return get(self, index)

    partner = int(dataset.partners_in(0)[broken])
    monkeypatch.setattr(kind, 'prepare_data', prepare)
    found = dataset[0, partner]['inputs']
    mixes = dataset.mixing.draw(5, [0], [partner], 41, (8, 8))
    plain = build(None)
    both = [plain[0, index]['inputs'][None] for index in (partner, 8)]
    assert torch.equal(found, mixes.images(*both)[0])
    assert dataset[0, broken]['data_samples'].sample_idx == 8


@pytest.mark.parametrize('labels, wanted', [
    (dict(gt_label=[1, 3]), [0, 1, 0, 1]),
    (dict(gt_label=2), [0, 0, 1, 0]),
    (dict(gt_score=[.5, .5, 0., 0.]), [.5, .5, 0, 0]),
])
def test_labels_as_scores(labels, wanted):
    sample, mixing = DataSample(), Mixing(MIXUP, num_classes=4)
    for key, value in labels.items():
        getattr(sample, f'set_{key}')(
            value if key == 'gt_label' else torch.tensor(value))
    assert mixing.scores(sample).tolist() == wanted


def test_names_of_classes_in_an_array():
    mixing = Mixing(MIXUP)
    mixing.learn_classes(None), mixing.learn_classes(np.array(['a', 'b']))
    assert mixing.num_classes == 2


@pytest.mark.parametrize('change, message', [
    (dict(augments=dict(type='Mixup', alpha=1)),
     'ViewDataset.mix.augments: Mixup.alpha: 1 must be a float above 0'),
    (dict(augments=dict(type='Mixup')), 'Mixup.alpha: None must be a float'),
    (dict(augments=[]), 'ViewDataset.mix: .* must be dict'),
    (dict(augments=['Mixup']), "'Mixup' must be dict"),
    (dict(augments=dict(type='PuzzleMix', alpha=1.)),
     "'PuzzleMix' is none of Mixup, CutMix, ResizeMix"),
    (dict(augments=dict(MIXUP, beta=1)), "unexpected keyword argument 'beta'"),
    (dict(augments=dict(CUTMIX, cutmix_minmax=[.7, .2])),
     r'CutMix.cutmix_minmax: \[0.7, 0.2\] must be two numbers'),
    (dict(augments=dict(RESIZEMIX, lam_max=.05)),
     r'ResizeMix.lam_min, lam_max: \(0.1, 0.05\) must be'),
    (dict(augments=MIXUP, probs=[.5, .2
                                 ]), r'probs: \[0.5, 0.2\] must be 1 pr'),
    (dict(augments=[MIXUP, CUTMIX], probs=[.8, .3]), 'whose sum is at most 1'),
    (dict(augments=[MIXUP], probs=1), 'probs: 1 must be 1 probabilities'),
    (dict(augments=MIXUP, prob=.5), 'ViewDataset.mix.prob: is unknown'),
])
def test_bad_input(change, message):
    with pytest.raises(ConfigError, match=message) as error:
        Mixing.from_cfg(change)
    assert '\n' not in str(error.value)


def test_images_that_cannot_be_mixed():
    pipeline = [
        dict(
            type='RandomChoiceResize',
            scales=[(4, 4), (8, 8)],
            resize_type='Resize'), FLIPS[1]
    ]
    sizes = build(dict(augments=MIXUP), pipeline=pipeline)
    with pytest.raises(ConfigError, match='which cannot be mixed; add a'):
        sizes.__getitems__([(0, i) for i in range(20)])
    with pytest.raises(ConfigError, match='of a known number of classes'):
        Mixing(MIXUP).scores(DataSample().set_gt_label(2))
    with pytest.raises(ConfigError, match=r'here are \[2\] of 2 classes'):
        Mixing(MIXUP, num_classes=2).scores(DataSample().set_gt_label(2))
