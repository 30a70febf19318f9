# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The search on held-out images by one command."""
import pytest
from mmengine.config import Config
from results.search import read_rows

COMMAND = ('tools/paper/search.py', 'own-crop_flip', '--lambdas', '0.25')


def test_dry_run_prints_the_plan_and_writes_nothing(run_here, tmp_path):
    done = run_here(*COMMAND, '1', '--taus', '2', '--dry-run', '--work-dir',
                    tmp_path / 'w', '--results', tmp_path / 'r')
    names = [
        line.split('|')[1].strip() for line in done.stdout.splitlines()
        if '_seed0' in line
    ]
    assert names == [
        'alone_seed0', 'kd_lambda_0.25_tau_2_seed0',
        'dgkd_lambda_0.25_tau_2_seed0', 'kd_lambda_1_tau_2_seed0',
        'dgkd_lambda_1_tau_2_seed0'
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('words, message', [
    (('--taus', '0'), '--taus: 0; should be above 0'),
    (('2', '--taus', '4'), '--lambdas: 2; should be above 0 and at most 1'),
    (('--taus', '4', '--held-out', '50000'),
     '--held-out: 50000; should be between 1 and 49999 of 50000 images'),
    (('--taus', '4', '--cfg-options', 'train_dataloader.dataset.indices=9'),
     '--cfg-options: train_dataloader.dataset.indices would change which'),
    (('--taus', '4'), 'plain10.pth for kd_lambda_0.25_tau_4_seed0; python '
     'tools/paper/reproduce.py own-crop_flip trains it, in its run teacher'),
])
def test_bad_input(run_here, tmp_path, words, message):
    done = run_here(*COMMAND, *words, '--work-dir', tmp_path, check=False)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count('\n') == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_students_are_trained_and_measured_on_training_images(
        run_here, monkeypatch, tmp_path, small_cifar100, trainings):
    monkeypatch.setattr('_search.TRAIN_IMAGES', dict(cifar100=256))
    common = ('--epochs', '1', '--seeds', '0', '--work-dir', tmp_path / 'w',
              '--data-root', small_cifar100, '--no-amp', '--cfg-options',
              'chain.preflight=False')
    run_here('tools/paper/reproduce.py', 'own-crop_flip', '--methods', 'kd',
             '--results', tmp_path / 'r', *common,
             'train_dataloader.dataset.indices=64')
    done = run_here(*COMMAND, '--taus', '2', '--methods', 'alone', 'kd',
                    '--held-out', '192', '--results', tmp_path / 'r', *common,
                    'chain.views.num_views=1',
                    'default_hooks.logger.interval=1')
    path = tmp_path / 'r/search/plain10_to_plain2_cifar100/own-crop_flip.jsonl'
    rows = read_rows(str(path))
    assert [(row['method'], row['loss_weight'], row['tau'], row['held_out'])
            for row in rows] == [('alone', None, None, 192),
                                 ('kd', 0.25, 2.0, 192)]
    # How often it is logged makes no other run.
    assert rows[0]['options'] == '--no-amp chain.views.num_views=1'
    assert '| 0.25 | 2 |' in done.stdout
    folder = tmp_path / 'w/own-crop_flip-held_out_192'
    cfg = Config.fromfile(
        str(folder / 'kd_lambda_0.25_tau_2_seed0/plain2/config.py'))
    assert cfg.model.task_loss_weight == 0.75
    loss = cfg.model.distiller.distill_losses.loss_kd
    assert (loss.loss_weight, loss.tau) == (0.25, 2)
    # No network is trained on the images that measure it.
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    while 'indices' not in train:
        train = train.dataset
    assert (train.split, val.split) == ('train', 'train')
    assert (train.indices, val.indices) == (-64, 192)
    # The test images are not touched.
    assert cfg.test_dataloader.dataset.split == 'train'
