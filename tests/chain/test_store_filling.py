# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A store is filled before a training, and its rows are compared."""
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdgkd import ConfigError, TrainingError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.store_filling import StoreFilling
from mmdgkd.fileio.object_folder import ObjectFolder
from mmdgkd.logit_store.piece import unpack
from mmdgkd.models.algorithms.dgkd import DGKD

NAMES = ['resnet20', 'resnet14']


@pytest.fixture
def cfg(tiny_cfg, trained, tmp_path):
    """The trained chain, with another store, which is empty."""
    cfg = tiny_cfg(2, work_dir=str(tmp_path / 'work'))
    shutil.copytree(trained[0].work_dir, cfg.work_dir)
    shutil.rmtree(os.path.join(cfg.work_dir, 'logits'))
    cfg.chain.logit_store = dict(store_dir=str(tmp_path / 'logits'))
    return cfg


def filling(cfg, *args):
    runner = ChainRunner(cfg, verbose=False)
    return StoreFilling(runner.cfg, runner.chain, runner.work, *args)


def rows_of(folder):
    """The rows of each file, without what is for people."""
    found = {}
    for path in sorted(Path(folder).glob('*/view_*')):
        piece = unpack(path.read_bytes())
        found[path.parent.name,
              piece.header['view']] = (piece.indices, piece.rows.values)
    return found


def assert_same(first, second):
    assert first.keys() == second.keys()
    for key, (indices, values) in first.items():
        assert np.array_equal(indices, second[key][0])
        assert torch.equal(values, second[key][1])


def test_it_is_filled_as_by_a_training(cfg, trained, capsys, monkeypatch):
    filling(cfg).fill()
    own = rows_of(cfg.chain.logit_store.store_dir)
    assert_same(own, rows_of(os.path.join(trained[0].work_dir, 'logits')))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(',')[0] for line in lines] == [
        f'view {view}: 128 rows computed of resnet20' for view in (0, 1)
    ]
    # What is there is not computed again, nor are its images read.
    batches, fill_store = [], DGKD.fill_store
    monkeypatch.setattr(
        DGKD, 'fill_store',
        lambda *args, **kwargs: batches.append(1) or fill_store(
            *args, **kwargs))
    filling(cfg).fill()
    assert 'view 1: 0 rows computed of' in capsys.readouterr().out
    assert len(batches) == 2  # one a view, of two


def test_jobs_fill_their_shares(cfg, trained):
    for teacher in NAMES:
        for view in (0, 1):
            filling(cfg, 'resnet8', [teacher]).fill(range(view, view + 1))
    own = rows_of(cfg.chain.logit_store.store_dir)
    assert len(own) == 4
    assert_same(own, rows_of(os.path.join(trained[0].work_dir, 'logits')))


def test_an_endless_sampler_has_each_sample_once(cfg):
    cfg.train_cfg = dict(by_epoch=False, max_iters=5, val_interval=5)
    cfg.train_dataloader.sampler.type = 'InfiniteSampler'
    cfg.train_dataloader.drop_last = True
    cfg.train_dataloader.batch_size = 30
    with pytest.raises(ConfigError, match='--views: must be given'):
        filling(cfg).fill()
    filling(cfg).fill(range(3, 4))
    own = rows_of(cfg.chain.logit_store.store_dir)
    assert {view for _, view in own} == {3}
    assert all(len(indices) == 64 for indices, _ in own.values())


def table(capsys):
    return [[cell.strip() for cell in line.split('|')[1:-1]]
            for line in capsys.readouterr().out.splitlines()
            if line.startswith('| resnet')]


def test_rows_that_are_not_those_of_a_teacher(cfg, capsys):
    filling(cfg).fill(range(1))
    store = Path(cfg.chain.logit_store.store_dir)
    capsys.readouterr()
    filling(cfg).verify(None, 20)
    # A batch has 32 images; nothing is cached of view 1, nor was it now.
    assert table(capsys) == [
        ['resnet14', '0', '32', '32', '0', '0'],
        ['resnet14', '1', '0', '0', '0', '0'],
        ['resnet20', '0', '32', '32', '0', '0'],
        ['resnet20', '1', '0', '0', '0', '0'],
    ]
    assert len(rows_of(store)) == 2
    (path, ) = store.glob('resnet20-*/view_*')
    piece = unpack(path.read_bytes())
    piece.rows.values[:40] += 1
    path.unlink()
    ObjectFolder(str(store)).write(
        f'{path.parent.name}/{path.name.split("-")[0]}', '.npz', piece.pack())
    with pytest.raises(TrainingError, match=r'\d+ rows differ by more than 1'):
        filling(cfg, None, ['resnet20']).verify(range(1), 64)
    ((*_, rows, equal, wrong, off), ) = table(capsys)
    assert (rows, equal, wrong) == ('64', '24', '40')
    assert 0.9 < float(off) < 1.1


@pytest.mark.parametrize('change, args, message', [
    (None, (), 'chain.logit_store: is None'),
    ({}, ('resnet9', ), '--network: '),
    ({}, ('resnet20', ), '--network: "resnet20" has no teachers'),
    ({}, ('resnet14', ['resnet14']),
     '--teacher: "resnet14" is none of the teachers of "resnet14": resnet20'),
])
def test_bad_input(cfg, change, args, message):
    if change is None:
        cfg.chain.logit_store = None
    with pytest.raises(ConfigError, match=message):
        filling(cfg, *args)


def test_views_that_are_none(cfg):
    for views in (range(1, 3), range(0), range(-1, 1)):
        with pytest.raises(ConfigError, match='is not within 0:2, the views'):
            filling(cfg).fill(views)


def test_a_teacher_that_is_not_trained(tiny_cfg):
    with pytest.raises(ConfigError, match='has no trained "resnet20" yet'):
        filling(tiny_cfg(2))


def test_rows_that_cannot_be_written(cfg, tmp_path):
    (tmp_path / 'file').write_text('')
    cfg.chain.logit_store.store_dir = str(tmp_path / 'file' / 'logits')
    with pytest.raises(TrainingError, match='Not a directory'):
        filling(cfg).fill()


def test_to_verify_writes_nothing(cfg):
    """Nor are two files of a view made one, or a damaged one removed."""
    filling(cfg).fill(range(1))
    store = Path(cfg.chain.logit_store.store_dir)
    (path, ) = store.glob('resnet20-*/view_*')
    shutil.copyfile(path, path.with_name(path.name.replace('_64-', '_63-')))
    path.write_bytes(b'damaged')
    before = {each: each.read_bytes() for each in store.rglob('*.npz')}
    filling(cfg).verify(range(2), 64)
    assert {each: each.read_bytes() for each in store.rglob('*.npz')} == before


def test_to_verify_what_is_not_there_is_an_error(cfg, monkeypatch, capsys):
    with pytest.raises(TrainingError, match='has none of these rows; they '):
        filling(cfg).verify(range(1), 32)
    filling(cfg).fill(range(1))

    def denied(*_):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(ObjectFolder, 'read', denied)
    with pytest.raises(TrainingError, match='logits.: Permission denied'):
        filling(cfg).verify(range(1), 32)


@pytest.mark.parametrize('others', ['zero', 'even'])
def test_to_verify_the_largest_logits(cfg, capsys, others):
    """Two small classes that change places are no other teacher."""
    cfg.chain.logit_store.update(top_k=3, others=others)
    filling(cfg, None, ['resnet20']).fill(range(1))
    store = Path(cfg.chain.logit_store.store_dir)
    (path, ) = store.glob('resnet20-*/view_*')
    piece = unpack(path.read_bytes())
    filling(cfg, None, ['resnet20']).verify(range(1), 64)
    for wrong, value in ((10, 3.), (20, float('nan'))):
        path.unlink()
        piece.rows.values[:wrong, 0] += value
        name = ObjectFolder(str(store)).write(
            f'{path.parent.name}/{path.name.split("-")[0]}', '.npz',
            piece.pack())
        path = store / name
        capsys.readouterr()
        with pytest.raises(TrainingError, match='rows differ'):
            filling(cfg, None, ['resnet20']).verify(range(1), 64)
        ((*_, rows, equal, found, _), ) = table(capsys)
        assert (rows, equal) == ('64', str(64 - wrong))
        assert found == str(wrong)


def test_old_files_are_refused(cfg):
    store = Path(cfg.chain.logit_store.store_dir)
    store.mkdir()
    (store / f'net-{"2" * 16}.logits').write_bytes(b'old')
    with pytest.raises(ConfigError, match='was written by an older mmdgkd'):
        filling(cfg).fill()
