# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A given teacher with other classes, or in another order."""
import pytest
import torch
from mmengine.config import Config
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

from mmdgkd.chain.class_names import match_classes, read_classes
from mmdgkd.chain.classes import read_chain
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.errors import ConfigError

CHOSEN = [7, 3, 1]
NAMES = [str(digit) for digit in range(10)]


def on_some_digits(cfg, path, chosen=CHOSEN, **teacher):
    """A chain on some of the digits, below a teacher of all ten."""
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[key].dataset.filter_cfg = dict(classes=chosen)
    cfg.chain.order = None
    cfg.chain.networks = dict(
        teacher=dict(dict(model='resnet8', ckpt_path=path), **teacher),
        student=dict(model='resnet8'))
    return cfg


@pytest.fixture
def changed_file(trained_resnet8, tmp_path):
    """A function that gives a copy with other names, or some rows alone."""

    def change(names=None, rows=None):
        checkpoint = torch.load(trained_resnet8, weights_only=True)
        checkpoint['meta'] = dict(mmdgkd_version='0')
        if names:
            checkpoint['meta']['dataset_meta'] = dict(classes=names)
        state = checkpoint['state_dict']
        for key in ('head.fc.weight', 'head.fc.bias'):
            state[key] = state[key][rows or slice(None)].clone()
        path = tmp_path / f'file{len(list(tmp_path.iterdir()))}.pth'
        torch.save(checkpoint, path)
        return str(path)

    return change


def test_the_classes_in_its_file_are_picked(tiny_cfg, weights_of,
                                            trained_resnet8, changed_file):
    """With the store it is the training by a file of these rows alone."""
    cfg = on_some_digits(tiny_cfg(), trained_resnet8)
    cfg.chain.logit_store = dict(dtype='float32')
    runner = ChainRunner(cfg)
    assert runner.chain['teacher'].picked == dict(classes=CHOSEN, of=10)
    runner.train()
    by_hand = on_some_digits(
        tiny_cfg(work_dir='hand'), changed_file(rows=CHOSEN))
    by_hand.chain.logit_store = None
    ChainRunner(by_hand).train()
    for key, data in weights_of(cfg, 'student').items():
        assert torch.equal(data, weights_of(by_hand, 'student')[key]), key
    tested = runner.test('teacher')['teacher']
    assert tested == ChainRunner(by_hand).test('teacher')['teacher']
    # The config as run can be run again.
    again = Config.fromfile(f'{cfg.work_dir}/config.py')
    assert read_chain(again) == runner.chain


def test_another_order_and_the_same_one(tiny_cfg, trained_resnet8,
                                        changed_file):
    every = list(range(10))
    cfg = on_some_digits(tiny_cfg(), trained_resnet8, every)
    assert read_chain(cfg)['teacher'].picked is None
    cfg = on_some_digits(tiny_cfg(), changed_file(NAMES[::-1]), every)
    cfg.chain.networks.teacher.model = dict(
        name='resnet8', head=dict(num_classes=10))
    cfg.chain.networks.student.init_from = 'teacher'
    cfg.optim_wrapper.optimizer.lr = 0.
    runner = ChainRunner(cfg)
    assert runner.chain['teacher'].picked == dict(classes=every[::-1], of=10)
    runner.train()
    state = torch.load(runner.work.file_of('student'), weights_only=True)
    whole = torch.load(trained_resnet8, weights_only=True)['state_dict']
    assert torch.equal(state['state_dict']['head.fc.weight'],
                       whole['head.fc.weight'].flip(0))
    # One that is not found among others in another order is no guess.
    path = changed_file([*NAMES[:8:-1], *NAMES[1:9], 'zero'])
    with pytest.raises(ConfigError, match="'0'.*another order in its file"):
        read_chain(on_some_digits(tiny_cfg(), path, every))
    # Other names of as many classes stay as they are.
    cfg = on_some_digits(tiny_cfg(), changed_file(list('abcdefghij')), every)
    assert read_chain(cfg)['teacher'].picked is None


def test_classes_that_the_file_does_not_name(tiny_cfg, changed_file, refused,
                                             tmp_path):
    cfg = on_some_digits(tiny_cfg(), changed_file())
    refused(
        cfg, r'teacher.ckpt_path: .* has 10 classes, the network has 3 .*; it '
        'is not trained: name the classes of its file by chain.networks.'
        'teacher.teacher_classes, or train it with a new head')
    (tmp_path / 'names.txt').write_text('\n'.join(NAMES))
    for given in (NAMES, str(tmp_path / 'names.txt')):
        cfg.chain.networks.teacher.teacher_classes = given
        found = read_chain(cfg)
        assert found['teacher'].picked == dict(classes=CHOSEN, of=10)
        assert found.to_cfg()['networks'][0]['teacher_classes'] == given
        assert 'student' in ChainRunner(cfg).plan()


@pytest.mark.parametrize('teacher, message', [
    (dict(teacher_classes=NAMES[:5]),
     "teacher.teacher_classes: has no '7' of the 3 classes of the data; it "
     'has 5, such as 0, 1, 2'),
    (dict(teacher_classes=[*NAMES, 'x']),
     r'has 10 classes \(head.fc.weight is \(10, 64\)\), but 11 are named'),
    (dict(teacher_classes=3), 'teacher_classes: must be the names of the '),
    (dict(teacher_classes=['a', 3]), 'teacher_classes: must be the names'),
    (dict(teacher_classes='nowhere.txt'),
     "'nowhere.txt' is neither a file of names nor a data set"),
    (dict(teacher_classes=NAMES, ckpt_path=None),
     'teacher_classes: are those of a file, and there is none; give ckpt_'),
    (dict(
        teacher_classes=NAMES,
        model=dict(name='resnet8', head=dict(num_classes=7))),
     'teacher.model: has 7 classes, its file 10 and the data 3; leave'),
])
def test_mistakes_in_them(tiny_cfg, trained_resnet8, refused, teacher,
                          message):
    refused(on_some_digits(tiny_cfg(), trained_resnet8, **teacher), message)


def test_data_without_names(tiny_cfg, trained_resnet8, refused):
    cfg = on_some_digits(tiny_cfg(), trained_resnet8, None)
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[key].dataset.metainfo = dict(classes=[])
    refused(cfg, 'teacher.model: has no num_classes, and the data does not')
    cfg.chain.networks.teacher.teacher_classes = NAMES
    refused(cfg, 'teacher_classes: the data does not name its classes')


@pytest.mark.parametrize('wanted, found', [
    (['n02012849', 'n03126707', 'n01440764'], (134, 517, 0)),
    (['tench', 'Great_White-Shark'], (0, 2)),
    (['n01440764 tench', 'n01443537'], (0, 1)),
    (['crane'], r"'crane' of the data may be any of 'crane' \(134\), "),
    (['tench', 'tinca tinca'], "'tench' and 'tinca tinca' of the data are"),
    (['goldfsh', 'x'], "has no 'goldfsh', and 1 more of the 2 classes"),
])
def test_names_that_match(wanted, found):
    """ImageNet's, which are known by their WordNet ids, too."""
    own = read_classes('ImageNet', 'key')
    assert own == tuple(IMAGENET_CATEGORIES)
    if isinstance(found, str):
        with pytest.raises(ConfigError, match=f'^key: .*{found}'):
            match_classes(wanted, own, 'key')
    else:
        assert match_classes(wanted, own, 'key') == found


def test_folders_of_wordnet_ids():
    own = ['n01443537', 'n01440764']
    assert match_classes(['tench', 'goldfish'], own, 'key') == (1, 0)
    own = ['n01443537 gold fish', 'n01440764 tench, Tinca tinca']
    assert match_classes(['n01440764', 'Gold-Fish'], own, 'key') == (1, 0)
