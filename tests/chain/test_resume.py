# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What a chain does not resume from."""
import json
import os
import os.path as osp
import shutil

import pytest
import torch
from mmengine.config import Config

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner


@pytest.fixture
def half_trained(trained, tmp_path):
    """A copy of the trained chain, an epoch of its last stage undone."""
    cfg = Config(trained[0].to_dict())
    cfg.work_dir, cfg.resume = str(tmp_path / 'half'), True
    shutil.copytree(trained[0].work_dir, cfg.work_dir)
    set_entry(cfg, 'resnet8', state='running')
    for name in ('resnet8.pth', 'epoch_2.pth'):
        os.remove(osp.join(cfg.work_dir, 'resnet8', name))
    return cfg


def set_entry(cfg, name, **entries):
    path = osp.join(cfg.work_dir, 'chain.json')
    with open(path) as file:
        ledger = json.load(file)
    ledger['stages'][name].update(entries)
    with open(path, 'w') as file:
        json.dump(ledger, file)


def environment_of(cfg):
    with open(osp.join(cfg.work_dir, 'chain.json')) as file:
        return json.load(file)['stages']['resnet8']['environment']


def change(cfg, how):
    path = osp.join(cfg.work_dir, 'resnet8', 'epoch_1.pth')
    checkpoint = torch.load(path, weights_only=True)
    how(checkpoint)
    torch.save(checkpoint, path)


def rename(checkpoint):
    state = checkpoint['state_dict']
    checkpoint['state_dict'] = {f'x.{key}': x for key, x in state.items()}


def test_a_checkpoint_of_another_network(half_trained):
    """MMEngine goes on from random weights, with the old momentum."""
    change(half_trained, rename)
    set_entry(half_trained, 'resnet8', environment=dict(processes=7))
    with pytest.raises(
            ConfigError,
            match=r"work_dir: '.*epoch_1.pth' is of another architecture"):
        ChainRunner(half_trained).train()
    assert environment_of(half_trained) == dict(processes=7)


@pytest.mark.slow
def test_a_stage_alone_too(half_trained, run_here):
    change(half_trained, rename)
    folder = osp.join(half_trained.work_dir, 'resnet8')
    words = ('tools/train.py', osp.join(folder, 'config.py'), '--work-dir',
             folder, '--resume')
    done = run_here(*words, check=False)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith('error: work_dir: ')
    assert 'is of another architecture: ' in last
    done = run_here(
        *words, '--cfg-options', 'load_from=nowhere.pth', check=False)
    assert done.returncode == 2
    assert 'error: load_from: there is no file ' in done.stderr


def test_another_number_of_processes(half_trained):

    def by_two(checkpoint):
        assert checkpoint['meta'].pop('processes') == 1
        assert checkpoint['meta']['epoch_length'] == 2
        checkpoint['meta'].update(processes=2, epoch_length=1)

    change(half_trained, by_two)
    with pytest.raises(ConfigError, match='resume with 2 processes'):
        ChainRunner(half_trained).train()


@pytest.mark.slow
@pytest.mark.parametrize('before', [1, 2])
def test_from_one_process_to_two_and_back(tiny_cfg, tmp_path, fork_ranks,
                                          run_here, before):
    """Only by as many as before does it go on."""
    cfg = tiny_cfg()
    cfg.chain.networks.resnet20 = cfg.chain.networks.resnet14 = None
    cfg.dump(tmp_path / 'chain.py')
    words = ('tools/train.py', tmp_path / 'chain.py', '--work-dir',
             cfg.work_dir)
    more = (*words, '--resume', '--cfg-options', 'train_cfg.max_epochs=2')
    line = (f'was written by {before} process{"es" * (before - 1)} with '
            f'{3 - before} iterations an epoch')

    def undo():
        set_entry(cfg, 'resnet8', state='running')
        os.remove(osp.join(cfg.work_dir, 'resnet8', 'resnet8.pth'))

    if before == 1:
        run_here(*words)
        undo()
        assert line in fork_ranks(*more, codes=(2, 2))
        run_here(*more)
    else:
        fork_ranks(*words)
        undo()
        done = run_here(*more, check=False)
        assert done.returncode == 2 and line in done.stderr
        fork_ranks(*more)
    assert environment_of(cfg)['processes'] == before


def test_a_folder_with_the_name_of_a_file(half_trained):
    """Found before it is in the way of what was trained for hours."""
    for stage, name in (('resnet8', 'epoch_2.pth'), ('resnet8', 'resnet8.pth'),
                        ('resnet14', 'best_accuracy_top1_epoch_2.pth')):
        folder = osp.join(half_trained.work_dir, stage, name)
        os.mkdir(folder)
        with pytest.raises(
                ConfigError,
                match=f"work_dir: '.*{name}' has the name of a checkpoint, "
                'but is no file; remove it'):
            ChainRunner(half_trained).plan()
        os.rmdir(folder)


@pytest.fixture
def given(half_trained, tmp_path, monkeypatch):
    """A chain whose teacher is given by a relative path."""
    file = tmp_path / 'given.pth'
    shutil.move(
        osp.join(half_trained.work_dir, 'resnet20', 'resnet20.pth'), file)
    shutil.rmtree(osp.join(half_trained.work_dir, 'resnet20'))
    set_entry(half_trained, 'resnet20', state='given')
    half_trained.chain.networks.resnet20.ckpt_path = 'given.pth'
    monkeypatch.chdir(tmp_path)
    assert ChainRunner(half_trained).work.todo(True) == ['resnet8']
    return half_trained


def test_a_given_file_that_is_not_here(given, tmp_path, monkeypatch):
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for resume in (True, False):
        with pytest.raises(ConfigError) as error:
            ChainRunner(given).plan(resume)
        assert str(error.value) == (
            "chain.networks.resnet20.ckpt_path: there is no file 'given.pth' "
            f'in {str(elsewhere)!r}')
    given.chain.networks.resnet20.ckpt_path = str(tmp_path / 'gone.pth')
    with pytest.raises(ConfigError, match='resnet20.ckpt_path: there is no'):
        ChainRunner(given).train()


def test_a_given_network_that_is_not_given_any_more(given):
    del given.chain.networks.resnet20['ckpt_path']
    with pytest.raises(
            ConfigError,
            match='resnet20.ckpt_path: is missing, but "resnet14" was '
            'trained with '):
        ChainRunner(given).plan()
