# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Teacher and student, image by image."""
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS

from mmdgkd.chain.runner import ChainRunner
from mmdgkd.datasets.splits import held_out
from mmdgkd.engine.hooks.predictions_hook import data_key
from mmdgkd.fileio.predictions import (FILE, Predictions, read_predictions,
                                       write_predictions)
from mmdgkd.report import write_report
from mmdgkd.report.comparison import compare
from mmdgkd.report.confusion import plot_confusion
from mmdgkd.report.groups import Levels, group_runs
from mmdgkd.report.images import ImageSource, sources_of, to_pixels
from mmdgkd.report.records import read_runs
from mmdgkd.report.settings import add_settings


def comparison_of(*paths):
    runs = read_runs([str(path) for path in paths])
    for run in runs:
        add_settings(run)
    return compare(group_runs(runs)[:1], Levels(runs))[0]


@pytest.fixture
def work(trained, tmp_path):
    """A copy of the chain, where a test may change the files."""
    path = tmp_path / 'work'
    shutil.copytree(
        trained[0].work_dir, path, ignore=shutil.ignore_patterns('epoch_*'))
    return path


def predictions(weights='', classes=(), **scores):
    """Of five images of three classes."""
    values = dict(
        indices=[0, 1, 2, 3, 4],
        labels=[0, 0, 1, 1, 2],
        preds=[0, 0, 1, 1, 2],
        label_scores=[.9, .8, .7, .6, .5],
        pred_scores=[.9, .8, .7, .6, .5])
    values.update(scores)
    return Predictions(
        **{
            key: np.array(value)
            for key, value in values.items()
        },
        classes=np.array(classes, dtype='U'),
        weights=weights)


def test_a_stage_leaves_what_its_ledger_says(trained):
    cfg, runner = trained
    for name in runner.chain.names:
        found = read_predictions(f'{cfg.work_dir}/{name}')
        entry = runner.work.ledger[name]
        assert found.weights == entry['wrote']['sha256']
        assert found.indices.tolist() == list(range(64))
        assert 100 * np.mean(found.preds == found.labels) == pytest.approx(
            entry['metric']['last'], abs=1e-4)
        right = found.preds == found.labels
        same = found.label_scores == found.pred_scores
        assert (same == right).all() and found.note == ''


def test_matrices_pairs_and_differences(work):
    """By hand: two errors of the student, one of which the teacher shares."""
    ledger = read_runs([str(work)])[0].stages
    names = ('cat', 'dog', 'eel')
    shown = dict(data=read_predictions(work / 'resnet8').data)
    teacher = predictions(
        ledger['resnet20'].wrote,
        names,
        preds=[0, 0, 1, 0, 2],
        label_scores=[.9, .8, .7, .1, .5])
    student = predictions(
        ledger['resnet8'].wrote,
        names,
        preds=[0, 1, 0, 0, 2],
        label_scores=[.9, .1, .3, .1, .5],
        pred_scores=[.9, .6, .5, .8, .5])
    write_predictions(work / 'resnet20', replace(teacher, **shown))
    write_predictions(work / 'resnet8', replace(student, **shown))
    found = comparison_of(work)
    assert found.names == ['resnet20', 'resnet8']
    assert found.classes == list(names)
    assert [matrix.tolist() for matrix in found.matrices] == [[[2, 0, 0],
                                                               [1, 1, 0],
                                                               [0, 0, 1]],
                                                              [[1, 1, 0],
                                                               [2, 0, 0],
                                                               [0, 0, 1]]]
    assert found.pairs == [('dog', 'cat', '1', '2', '2'),
                           ('cat', 'dog', '0', '1', '2')]
    assert [row[1] for row in found.agreement] == ['2', '2', '0', '1', '0']
    # .8 - .1, then .7 - .3; the fourth the teacher does not know itself.
    assert [(one.index, one.truth, one.taken_for)
            for one in found.differences] == [(1, 'cat', 'dog'),
                                              (2, 'dog', 'cat')]
    # Other classes by now: the real data have digits there.
    assert found.note == ('The images are not shown: the data have other '
                          'classes by now.')
    write_report([str(work)], str(work / 'report'))
    text = (work / 'report/report.html').read_text()
    assert '<th scope="row">1</th><td class="short">cat</td>' in text
    assert found.note in text


def test_images_are_those_of_the_data(trained):
    found = comparison_of(trained[0].work_dir)
    assert found.note == ''
    assert all(one.picture for one in found.differences)


def test_images_that_were_held_out(tiny_cfg):
    """They have the indices that they have among the training images."""
    cfg = tiny_cfg()
    cfg.chain.holdout = 16
    cfg.chain.networks.resnet14 = None
    ChainRunner(cfg, verbose=False).train()
    work = Path(cfg.work_dir)
    for name in ('resnet20', 'resnet8'):
        found = read_predictions(work / name)
        labels = found.labels
        preds = labels if name == 'resnet20' else (labels + 1) % 10
        write_predictions(work / name, replace(found, preds=preds))
    found = comparison_of(work)
    assert found.note == '' and len(found.differences) == 12
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        images = DATASETS.build(dict(type='Digits', indices=64))
    for one in found.differences:
        assert one.index in held_out(64, 16)
        shown = cv2.imdecode(np.frombuffer(one.picture.png, np.uint8), 1)
        assert np.array_equal(shown, images.get_data_info(one.index)['img'])


def test_the_pipeline_in_wrappers():
    steps = [dict(type='LoadImageFromFile'), dict(type='Normalize', mean=[1])]
    part = dict(type='CustomDataset', pipeline=steps)
    for dataset in (part, dict(type='HeldOut', dataset=part, holdout=2),
                    dict(type='HeldOut', dataset=dict(datasets=[part]))):
        source, = sources_of(
            dict(model={}, val_dataloader=dict(dataset=dataset)))
        assert source.is_bgr and source.normalize == steps[1]
        assert source.dataset is dataset
    source, = sources_of(
        dict(model={}, val_dataloader=dict(dataset=dict(type='Other'))))
    assert not source.is_bgr and source.normalize is None


@pytest.mark.parametrize('data, note', [
    (None, 'has no predictions of its weights in the work dir; mmdgkd test'),
    (b'', r'predictions.npz cannot be read \(.*mmdgkd test .* writes them'),
    (dict(weights='other'), 'has no predictions of its weights'),
    (dict(note='its images have several labels each'),
     'has none: its images have several labels each.'),
    (dict(data='other'), 'were run on different images; mmdgkd test'),
])
def test_what_is_missing_is_one_line(work, data, note):
    path = work / 'resnet8'
    if data is None:
        (path / FILE).unlink()
    elif data == b'':
        content = (path / FILE).read_bytes()
        (path / FILE).write_bytes(content[:-200] + b'x' + content[-199:])
    else:
        write_predictions(path, replace(read_predictions(path), **data))
    found = comparison_of(work)
    assert not found.matrices and '\n' not in found.note
    assert re.search(note, found.note), found.note
    assert str(work) not in found.note
    if data is None:
        write_report([str(work)], str(work / 'report'))
        assert 'Not shown: resnet' in (work / 'report/report.md').read_text()


@pytest.mark.parametrize('wrapped', [False, True])
def test_without_the_data_all_but_the_images_is_shown(work, wrapped):
    cfg = Config.fromfile(work / 'config.py')
    # MMPretrain's CIFAR would be downloaded where it is missing.
    cfg.val_dataloader.dataset.update(
        type='CIFAR10', data_root=str(work / 'no'))
    if wrapped:
        part = dict(
            type='ConcatDataset', datasets=[cfg.val_dataloader.dataset])
        cfg.val_dataloader.dataset = dict(
            type='HeldOut', dataset=part, holdout=10)
    cfg.dump(work / 'config.py')
    key = data_key(cfg.val_dataloader.dataset)
    for name in ('resnet20', 'resnet8'):
        found = read_predictions(work / name)
        preds = found.labels if name == 'resnet20' else found.labels * 0
        write_predictions(work / name, replace(found, data=key, preds=preds))
    found = comparison_of(work)
    assert len(found.matrices) == 2 and len(found.differences) == 12
    assert found.note.startswith('The images are not shown: the data are not '
                                 'at hand (')
    assert str(work) not in found.note and not (work / 'no').exists()


def test_a_given_teacher_is_known_by_its_file(trained, work):
    """Where it was trained, or by tools/test.py."""
    ledger = json.loads((work / 'chain.json').read_text())
    ledger['stages']['resnet20']['state'] = 'given'
    (work / 'chain.json').write_text(json.dumps(ledger))
    (work / 'resnet20' / FILE).unlink()
    assert 'resnet20 of work has no predictions' in comparison_of(work).note
    found = comparison_of(work, trained[0].work_dir)
    assert found.note == '' and len(found.matrices) == 2


@pytest.mark.parametrize('count, drawn', [(3, 2), (100, 2), (1000, 0)])
def test_many_classes_have_tables_alone(work, count, drawn):
    for name in ('resnet20', 'resnet8'):
        found = read_predictions(work / name)
        classes = np.array([f'class number {i}' for i in range(count)])
        labels = np.arange(len(found.labels)) % count
        write_predictions(
            work / name,
            replace(
                found,
                classes=classes,
                labels=labels,
                preds=(labels + 1) % count))
    found = comparison_of(work)
    panels = plot_confusion(found, 'x')
    assert len(panels) == drawn and len(found.pairs) == min(count, 12)
    for panel in panels:
        assert panel.png[:8] == b'\x89PNG\r\n\x1a\n'
        assert f'{count} classes: 0.0% of 64 images' in panel.alt


def test_images_are_shown_as_they_are_loaded():
    rgb = torch.tensor([[[10.]], [[20.]], [[30.]]])
    packed = rgb.to(torch.uint8)
    bgr = [[[30, 20, 10]]]
    norm = dict(mean=[1., 2., 3.], std=[9., 9., 9.])
    scaled = (rgb - torch.tensor([1., 2., 3.]).view(3, 1, 1)) / 9
    for inputs, is_bgr, normalize in (
        (packed, False, None),
        (packed.flip(0), True, None),
            # Loaded as BGR and normalized as RGB, and as BGR.
        (scaled, True, dict(norm, to_rgb=True)),
    ):
        source = ImageSource({}, 'mmpretrain', is_bgr, normalize)
        assert to_pixels(inputs, source).tolist() == bgr
    gray = ImageSource({}, 'mmpretrain', False, None)
    assert to_pixels(packed[:1], gray).tolist() == [[[10, 10, 10]]]
