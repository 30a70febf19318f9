# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The view of (seed, epoch, index), wherever and whenever it is made."""
import copy
import functools
import hashlib
import itertools
import os
import pickle
import random
import runpy
import secrets
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS, TRANSFORMS
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader

from mmdgkd import ConfigError
from mmdgkd.datasets.generators import (code_of, find_generators,
                                        seed_generators)
from mmdgkd.datasets.identity import content_key
from mmdgkd.datasets.view_dataset import _MAKERS, ViewDataset, _version_of
from mmdgkd.datasets.view_sampler import ViewSampler
from mmdgkd.utils.random import states, view_seed

# Transforms that draw from Python's, from NumPy's and from PyTorch's
# generator, and one that seldom does anything.
PIPELINE = [
    dict(type='RandomResizedCrop', scale=8),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='AutoAugment', policies='imagenet'),
    dict(type='RandomErasing', erase_prob=0.3, mode='rand'),
    dict(type='TensorImage'),
    dict(type='torchvision/RandomErasing', p=0.5, value='random'),
    dict(type='NumpyImage'),
    dict(type='PythonShift'),
    dict(type='PackInputs'),
]


@TRANSFORMS.register_module(force=True)
class TensorImage:
    """To torchvision's tensors."""

    def __call__(self, results):
        image = np.ascontiguousarray(results['img'].transpose(2, 0, 1))
        results['img'] = torch.from_numpy(image) / 255
        return results


@TRANSFORMS.register_module(force=True)
class NumpyImage:
    """Back from torchvision's tensors."""

    def __call__(self, results):
        image = results['img']
        results['img'] = (image.permute(1, 2, 0).numpy() * 255)
        return results


@TRANSFORMS.register_module(force=True)
class PythonShift:
    """Draws from Python's generator."""

    def __call__(self, results):
        results['img'] = results['img'] + random.random()
        return results


@TRANSFORMS.register_module(force=True)
class OnlyDraws:
    """Makes an image of nothing but a random number."""

    def __call__(self, results):
        results['img'] = np.full((2, 2, 3), random.random())
        return results


@TRANSFORMS.register_module(force=True)
class SystemNoise:
    """Draws what no seed repeats, from a generator or not."""

    def __init__(self, draws=None):
        self.draws = draws or (lambda: os.urandom(1)[0])

    def __call__(self, results):
        results['img'] = results['img'] * self.draws()
        return results


class Rare:
    """Changes an image with probability .05, by a generator of its own."""

    def __init__(self, draw):
        self.inner = [dict(draw=draw)]

    def __call__(self, results):
        draw = self.inner[0]['draw']
        if draw() < .05:
            results['img'] = results['img'] * draw()
        return results


IN_MODULE = np.random.RandomState()


class OfClass:
    """Draws from a generator of the class, by a function of the module."""
    draws = random.Random()

    def __call__(self):
        return drawn_here() if self.draws.random() < .5 else 1.


def drawn_here():
    return sum(IN_MODULE.rand() for _ in range(1))


class InSlots:
    """Has no __dict__."""
    __slots__ = ('draws', )

    def __init__(self):
        self.draws = torch.Generator()
        self.draws.seed()

    def __call__(self):
        return float(torch.rand((), generator=self.draws))


def of_closure():
    draws = np.random.default_rng()
    return lambda: draws.random()


OWN = dict(
    method=lambda: np.random.default_rng().random,
    state=lambda: np.random.RandomState().rand,
    python=lambda: random.Random().random,
    closure=of_closure,
    partial=lambda: functools.partial(random.Random().uniform, 0, 1),
    default=lambda: lambda draws=np.random.default_rng(): draws.random(),
    iterator=lambda: iter(
        map(lambda _, draws=random.Random(): draws.random(), itertools.count())
    ).__next__,
    bits=lambda: lambda bits=np.random.PCG64(): bits.random_raw() / 2**64,
    cls=OfClass,
    slots=InSlots)


@TRANSFORMS.register_module(force=True)
class Seldom:
    """Draws for one image alone."""

    def __call__(self, results):
        if results['sample_idx'] == 5:
            results['img'] = results['img'] * np.random.rand()
        return results


def build(pipeline=PIPELINE, images=24, split='train', **kwargs):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return DATASETS.build(
            dict(
                type='ViewDataset',
                dataset=dict(
                    type='Digits',
                    split=split,
                    indices=images,
                    pipeline=pipeline),
                **kwargs))


def all_views(dataset, epochs=2, num_workers=0, seed=0, persistent=False):
    """By (epoch, index), as a data loader in training returns them."""
    sampler = ViewSampler(dataset, seed=seed)
    loader = DataLoader(
        dataset,
        batch_size=5,
        sampler=sampler,
        num_workers=num_workers,
        persistent_workers=persistent,
        collate_fn=lambda batch: batch)
    views = {}
    for epoch in epochs if isinstance(epochs, tuple) else range(epochs):
        sampler.set_epoch(epoch)
        for batch in loader:
            for sample in batch:
                meta = sample['data_samples']
                views[epoch, meta.sample_idx] = sample['inputs']
                assert meta.view == epoch
                assert meta.view_source == dataset.source
    return views


def same(first, second):
    assert first.keys() == second.keys()
    return all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture(scope='module')
def expected():
    return all_views(build())


@pytest.mark.parametrize('num_workers, persistent', [(1, False), (2, True),
                                                     (3, False)])
def test_equal_in_any_worker(expected, num_workers, persistent):
    views = all_views(build(), num_workers=num_workers, persistent=persistent)
    assert same(views, expected)


def test_equal_in_any_order(expected):
    """Such as on other ranks, or under another seed of the training."""
    assert same(all_views(build(), seed=7), expected)


def test_equal_on_any_rank(expected, monkeypatch):
    views = {}
    for rank in (0, 1, 2):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda:
                            (rank, 3))
        part = all_views(build(), seed=2)
        assert len(part) == 16
        views.update(part)
    assert same(views, expected)


def test_equal_after_a_resume(expected):
    later = all_views(build(), epochs=(1, ))
    assert same(later, {key: expected[key] for key in later})


def test_equal_after_other_draws(expected):
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    dataset = build()
    assert torch.equal(dataset[1, 3]['inputs'], expected[1, 3])
    assert torch.equal(dataset[(0, 3)]['inputs'], dataset[3]['inputs'])


def test_different_across_epochs_samples_and_seeds(expected):
    other = all_views(build(seed=1))
    for index in range(24):
        assert not torch.equal(expected[0, index], expected[1, index])
        assert not torch.equal(expected[0, index], other[0, index])
    draws = build([dict(type='OnlyDraws'), dict(type='PackInputs')])
    numbers = {
        float(draws[epoch, index]['inputs'].mean())
        for epoch in range(2)
        for index in range(24)
    }
    assert len(numbers) == 48


def test_the_generators_of_the_process_are_left_alone():
    dataset = build()
    before = states()
    dataset[0, 1], dataset.__getitems__([(1, 2), (1, 3)])
    assert states() == before


def test_a_limited_number_of_views(expected):
    dataset = build(num_views=2)
    assert dataset.num_views == 2
    for epoch in range(5):
        sample = dataset[epoch, 7]
        assert sample['data_samples'].view == epoch % 2
        assert torch.equal(sample['inputs'], expected[epoch % 2, 7])


def test_without_randomness_there_is_one_view():
    dataset = build([dict(type='PackInputs')])
    assert dataset.num_views == 1 and build().num_views is None
    assert dataset[4, 0]['data_samples'].view == 0
    # Nor does the seed make a difference then.
    assert dataset.source.key == build([dict(type='PackInputs')],
                                       seed=9).source.key


def test_the_key_has_all_that_an_image_depends_on():
    base = build()
    keys = [base.source.key]
    assert build().source.key == keys[0]
    assert build(num_views=3).source.key == keys[0]
    for kwargs in (dict(seed=1), dict(images=23), dict(split='test'),
                   dict(pipeline=PIPELINE[1:]),
                   dict(pipeline=[dict(PIPELINE[0], scale=7)] + PIPELINE[1:])):
        keys.append(build(**kwargs).source.key)
    pixels = base.dataset.get_data_info(5)['img'].tobytes()
    place = base.dataset.data_bytes.tobytes().find(pixels)
    base.dataset.data_bytes[place + 100] ^= 1
    keys.append(ViewDataset(base.dataset).source.key)
    assert len(set(keys)) == len(keys)


def test_a_replaced_pipeline_is_another_source():
    """As MMPretrain's SwitchRecipeHook does it."""
    dataset = build()
    before = dataset.source
    dataset.dataset.pipeline = build([dict(type='PackInputs')
                                      ]).dataset.pipeline
    assert dataset.source != before and dataset.num_views == 1
    assert dataset[3, 0]['data_samples'].view_source == dataset.source


class Holder:
    """A transform that holds another."""

    def __init__(self, inner):
        self.inner = inner

    def __call__(self, results):
        return results


class Plain(torch.utils.data.Dataset):
    """A data set that is none of MMEngine's."""
    metainfo = {}

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return dict(inputs=self.images[index], data_samples=DataSample())


def key_with(transform):
    dataset = build([dict(type='PackInputs')]).dataset
    for _ in range(12):  # however deep inside
        transform = Holder(transform)
    dataset.pipeline.transforms.insert(0, transform)
    return ViewDataset(dataset).source.key


def test_the_key_looks_into_everything():
    for one, other in ((1, 2), (torch.zeros(3), torch.ones(3)), (np.zeros(3),
                                                                 np.ones(3)),
                       ({'a', 'b'}, {'a', 'c'}), (np.array([1, 'a'], object),
                                                  np.array([2, 'a'], object))):
        assert key_with(one) == key_with(one) != key_with(other)
    sets = [Plain(torch.zeros(4, 3, 2, 2)), Plain(torch.ones(4, 3, 2, 2))]
    keys = [ViewDataset(dataset).source.key for dataset in sets]
    assert keys[0] != keys[1]


def test_the_seed_of_a_view_never_changes():
    """Stores hold logits of such views: a change needs another version."""
    assert [view_seed(*numbers)
            for numbers in ((0, 0, 0), (1, 2, 3))] == [2370376738, 1835561257]


def test_draws_for_some_images_only_are_noticed():
    dataset = build([dict(type='Seldom'), dict(type='PackInputs')])
    assert dataset.num_views == 1
    dataset[3, 2]
    with pytest.raises(
            ConfigError,
            match='draws for sample 5, but not for .* '
            r'chain.views=dict\(num_views'):
        dataset[3, 5]
    one = build([dict(type='Seldom'), dict(type='PackInputs')], num_views=1)
    assert torch.equal(one[0, 5]['inputs'], one[1, 5]['inputs'])
    four = build([dict(type='Seldom'), dict(type='PackInputs')], num_views=4)
    assert not torch.equal(four[0, 5]['inputs'], four[1, 5]['inputs'])


def test_wrapped_data_sets():
    inner = dict(type='Digits', pipeline=PIPELINE, indices=6)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(
            dict(
                type='ViewDataset',
                dataset=dict(
                    type='ConcatDataset',
                    datasets=[inner, dict(inner, split='test')])))
    assert len(dataset) == 12
    views = all_views(dataset)
    assert same(views, all_views(dataset, num_workers=2))
    assert not torch.equal(views[0, 0], views[0, 6])
    assert dataset.metainfo['classes'] == [str(digit) for digit in range(10)]


def test_a_view_of_a_view_is_refused():
    with pytest.raises(ConfigError, match='a ViewDataset inside of a View'):
        ViewDataset(build())


def test_lazy_loading():
    dataset = build(lazy_init=True)
    assert dataset.source.num_samples == 24


def with_own(draw, images=60, **kwargs):
    """Two such transforms; as a config has no objects, put in later."""
    dataset = build([dict(type='PackInputs')], images).dataset
    dataset.pipeline.transforms[:0] = [Rare(draw()), Rare(draw())]
    return ViewDataset(dataset, **kwargs)


@pytest.mark.parametrize('draw', OWN.values(), ids=OWN)
def test_generators_of_transforms_are_seeded(draw):
    """Also where they seldom draw, so that a few samples do not tell."""
    dataset = with_own(draw)
    assert dataset.num_views is None
    views = all_views(dataset, epochs=3)
    assert same(all_views(with_own(draw), epochs=3, seed=7), views)
    changed = {
        epoch
        for epoch, index in views
        if not torch.equal(views[epoch, index], views[0, index])
    }
    assert changed == {1, 2}
    later = all_views(dataset, epochs=(2, ), num_workers=2)
    assert same(later, {key: views[key] for key in later})
    other = all_views(with_own(draw, seed=1), epochs=3)
    assert not same(other, views)


def test_two_generators_draw_differently():
    pair = [np.random.default_rng(1), random.Random(1), random.Random(1)]
    found = find_generators(SystemNoise(pair))
    seed_generators(found, 3)
    first = [each.random() for each in pair]
    assert len(set(first)) == 3
    seed_generators(found, 3)
    assert [each.random() for each in pair] == first


def test_the_generators_of_the_process_are_none_of_its_own():
    """Nor is anything else in the transforms of MMPretrain."""
    pair = (random.random, np.random.rand, np.random.mtrand._rand,
            torch.default_generator)
    assert find_generators(SystemNoise(pair)) == []
    assert find_generators(build().dataset) == []
    assert find_generators(build) == []


def test_the_key_of_transforms_with_generators():
    """It is the same in each process, and not that of older stores."""
    keys = {
        with_own(draw).source.key
        for draw in (OWN['method'], OWN['method'], OWN['state'])
    }
    assert len(keys) == 2


def test_the_key_has_closures_and_objects_of_methods():

    def times(factor):
        return lambda: factor

    def of(value):
        return Holder(value).__class__.__call__.__get__(Holder(value))

    for function in (times, of):
        assert key_with(function(2)) == key_with(function(2))
        assert key_with(function(2)) != key_with(function(3))


CODE = """
LABELS = {'a', 'b'}

def helped(image):
    return image if 'x' in {'x', 'y', 'z'} else image

class Edited:
    def __call__(self, results):
        results['img'] = helped(results['img'])
        return results
"""


def edited(path, code):
    path.write_text(code)
    dataset = build([dict(type='PackInputs')], images=2).dataset
    dataset.pipeline.transforms.insert(0,
                                       runpy.run_path(str(path))['Edited']())
    return ViewDataset(dataset).source.key


def test_the_key_has_the_code_of_transforms(tmp_path):
    """A transform that is edited makes other images under the same name."""
    path = tmp_path / 'edited.py'
    key = edited(path, CODE)
    assert edited(path, '# A comment.\n' + CODE) == key
    changed = CODE.replace('return image if', 'return image * 2 if')
    assert edited(path, changed) != key
    assert code_of(build().dataset.pipeline.transforms[:5]) == []


@pytest.mark.slow
def test_the_key_of_code_is_that_of_any_process(tmp_path):
    """Also of one with another order of sets."""
    path = tmp_path / 'edited.py'
    path.write_text(CODE)
    script = ('import runpy, sys; from mmdgkd.datasets.generators import '
              'code_of; print(code_of(runpy.run_path(sys.argv[1])["Edited"]))')
    found = subprocess.run(
        [sys.executable, '-c', script, str(path)],
        env=dict(os.environ, PYTHONHASHSEED='1'),
        capture_output=True,
        text=True,
        check=True).stdout
    here = code_of(runpy.run_path(str(path))['Edited'])
    assert len(here) == 2 and found == f'{here}\n'


@pytest.mark.parametrize('draw, message', [
    (lambda: random.SystemRandom().random,
     'Rare.inner.draw.* is a SystemRandom, which cannot be seeded'),
    (lambda: np.random.RandomState(np.random.PCG64()).rand,
     'Rare.inner.draw is a RandomState, which cannot be seeded'),
    (lambda: lambda: secrets.randbelow(100) / 100,
     'is a SystemRandom, which cannot be seeded'),
])
def test_generators_that_cannot_be_seeded_are_refused(draw, message):
    with pytest.raises(ConfigError, match=message) as error:
        with_own(draw)
    assert '\n' not in str(error.value)
    assert 'train_dataloader.dataset.pipeline: ' in str(error.value)


def image_folder(folder, names='abcd', **kwargs):
    """Two classes of black images; the views of them."""
    for name in names:
        path = folder / f'class_{name < "c"}' / f'{name}.png'
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return DATASETS.build(
            dict(
                type='ViewDataset',
                dataset=dict(
                    type='CustomDataset',
                    data_root=str(folder),
                    pipeline=pipeline),
                **kwargs))


def listed(folder, **kwargs):
    """The same images by a data set that is none of MMEngine's."""
    image_folder(folder)
    plain = Plain(torch.zeros(4, 3, 8, 8))
    plain.names = np.array(
        sorted(path.name for path in (folder / 'class_True').iterdir()))
    plain.root = folder / 'class_True'
    return ViewDataset(plain, **kwargs)


@pytest.mark.parametrize('views', [image_folder, listed])
def test_files_that_change_under_their_names(tmp_path, views):
    path = tmp_path / 'class_True' / 'b.png'
    key = views(tmp_path).source.key
    assert views(tmp_path).source.key == key
    content = views(tmp_path, file_key='content').source.key
    # Of the same size, a moment later.
    data = path.read_bytes()
    cv2.imwrite(str(path), np.full((8, 8, 3), 255, np.uint8))
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 9))
    assert views(tmp_path).source.key != key
    assert views(tmp_path, file_key='content').source.key != content
    path.write_bytes(data)
    assert views(tmp_path).source.key != key
    assert views(tmp_path, file_key='content').source.key == content


def test_files_of_transforms(tmp_path):
    path = tmp_path / 'mask.npy'
    path.write_bytes(b'1')
    key = key_with(str(path))
    assert key_with(str(path)) == key
    path.write_bytes(b'22')
    assert key_with(str(path)) != key


def test_images_in_memory_are_known_by_their_pixels():
    """The digits have the key that they had before files were looked at."""
    digits = build(images=3).dataset
    before = hashlib.sha256(digits.data_bytes.tobytes() +
                            digits.data_address.tobytes() + b'NoneNone3None')
    assert content_key(digits) == before.hexdigest()


@pytest.mark.parametrize('kwargs, message', [
    (dict(num_views=0), 'ViewDataset.num_views: 0 must be an integer'),
    (dict(file_key='md5'), "ViewDataset.file_key: 'md5' is none of stat"),
    (dict(pipeline=[dict(
        type='SystemNoise'), dict(type='PackInputs')]),
     'train_dataloader.dataset.pipeline: returns another image of sample 0'),
    (dict(pipeline=[]), "end it with type='PackInputs'"),
])
def test_bad_input(kwargs, message):
    with pytest.raises(ConfigError, match=message) as error:
        build(**kwargs)[0]
    assert '\n' not in str(error.value)


def test_hooks_find_in_it_what_the_data_set_has():
    dataset = build()
    inner = dataset.dataset
    assert dataset.CLASSES == inner.CLASSES == inner.metainfo['classes']
    assert dataset.class_to_idx == inner.class_to_idx
    assert (dataset.get_gt_labels() == inner.get_gt_labels()).all()
    assert dataset.pipeline is inner.pipeline
    assert not hasattr(dataset, 'datasets')
    with pytest.raises(AttributeError, match='Digits.* has no attribute'):
        dataset.nothing


def test_a_pipeline_that_a_hook_sets_is_that_of_the_data_set():
    """As SwitchRecipeHook does with what has a pipeline."""
    dataset = build()
    assert dataset.num_views is None
    dataset.pipeline = build([dict(type='PackInputs')]).pipeline
    assert dataset.dataset.pipeline is dataset.pipeline
    assert dataset.num_views == 1


@pytest.mark.parametrize('copied', [
    copy.copy,
    copy.deepcopy,
    lambda dataset: pickle.loads(pickle.dumps(dataset)),
])
def test_a_copy_gives_the_same_views(copied, expected):
    dataset = copied(build())
    assert same(all_views(dataset), expected)
    assert dataset.CLASSES == build().CLASSES
    with pytest.raises(AttributeError, match='ViewDataset has no dataset'):
        ViewDataset.__new__(ViewDataset).dataset


@TRANSFORMS.register_module()
class SomeUnreadable(BaseTransform):
    """Some files are no images."""

    def transform(self, results):
        if results['sample_idx'] % 7 in (2, 3):
            raise OSError(f'cannot read image_{results["sample_idx"]}.png')
        return results


def test_the_versions_of_what_makes_views_are_known_whoever_has_them():
    assert all(map(_version_of, _MAKERS))


def test_what_cannot_be_read_may_be_skipped(monkeypatch):
    """With a count; the sample, its label and its index are the next one's."""
    pipeline = [dict(type='SomeUnreadable'), *PIPELINE]
    with pytest.raises(OSError, match='image_2.png'):
        build(pipeline)[0, 2]
    said = []
    monkeypatch.setattr('mmdgkd.datasets.view_dataset.print_log',
                        lambda text, **_: said.append(text))
    dataset = build(pipeline, skip_unreadable=True)
    assert dataset[0, 2]['data_samples'].sample_idx == 4
    assert torch.equal(dataset[1, 2]['inputs'], dataset[1, 4]['inputs'])
    assert torch.equal(dataset[1, 3]['inputs'], dataset[1, 4]['inputs'])
    assert len(said) == 2 and 'sample 2 cannot be read (cannot re' in said[0]
    assert ' 2 so far in process ' in said[1]
    none = build([dict(type='NeverReadable'), *PIPELINE], skip_unreadable=True)
    with pytest.raises(ConfigError, match='none of its 24 images can be'):
        none[0, 0]


@TRANSFORMS.register_module()
class NeverReadable(BaseTransform):

    def transform(self, results):
        raise OSError('no image')
