# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import os.path as osp

import pytest
import torch

CONFIG = 'configs/dgkd/resnet20_to_resnet8_digits.py'
SMALL = ['--cfg-options', 'test_dataloader.dataset.indices=64']


def test_all_networks_of_a_chain(run_here, trained):
    done = run_here('tools/test.py', CONFIG, '--work-dir', trained[0].work_dir,
                    *SMALL)
    rows = [
        line.split('|') for line in done.stdout.splitlines()
        if line.startswith('| resnet')
    ]
    assert [row[1].strip()
            for row in rows] == ['resnet20', 'resnet14', 'resnet8']
    assert all(row[2].strip() == row[3].strip() for row in rows)


def test_a_file_names_its_network(run_here, trained, tmp_path):
    path = osp.join(trained[0].work_dir, 'resnet14', 'resnet14.pth')
    done = run_here('tools/test.py', CONFIG, path, '--work-dir', tmp_path,
                    *SMALL)
    rows = [
        line for line in done.stdout.splitlines()
        if line.startswith('| resnet')
    ]
    assert len(rows) == 1 and 'resnet14' in rows[0]


@pytest.mark.slow
def test_a_file_without_a_name(run_here, trained, tmp_path):
    path = osp.join(trained[0].work_dir, 'resnet8', 'epoch_2.pth')
    words = ('tools/test.py', CONFIG, path, '--work-dir', tmp_path, *SMALL)
    done = run_here(*words, check=False)
    assert done.returncode == 2
    assert 'add --stage with one of resnet20, resnet14, resnet8' in done.stderr
    done = run_here(*words[:3], '--stage', 'resnet8', *words[3:])
    assert '| resnet8 ' in done.stdout
    done = run_here(*words[:3], '--stage', 'resnet14', *words[3:], check=False)
    assert 'error: checkpoint: ' in done.stderr
    assert 'is of another architecture' in done.stderr


def test_an_empty_work_dir(run_here, tmp_path):
    done = run_here(
        'tools/test.py', CONFIG, '--work-dir', tmp_path, check=False)
    assert done.returncode == 2
    assert 'holds no trained network yet' in done.stderr


def test_a_malicious_checkpoint_is_refused(run_here, tmp_path):
    import os

    class Malicious:

        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'pwned'), )

    torch.save(dict(state_dict=Malicious()), tmp_path / 'bad.pth')
    done = run_here(
        'tools/test.py',
        CONFIG,
        tmp_path / 'bad.pth',
        '--work-dir',
        tmp_path,
        check=False)
    assert done.returncode == 2 and 'is refused' in done.stderr
    assert not (tmp_path / 'pwned').exists()


@pytest.mark.slow
def test_configs_of_a_work_dir_with_either_file(run_here, trained, tmp_path):
    """Without a chain; the weights are loaded strictly."""
    folder = osp.join(trained[0].work_dir, 'resnet8')
    last = trained[1].work.ledger['resnet8']['metric']['last']
    for config in ('config.py', 'resnet8.py'):
        for file in ('resnet8.pth', 'epoch_2.pth'):
            done = run_here('tools/test.py', osp.join(folder, config),
                            osp.join(folder, file), '--work-dir', tmp_path)
            assert f'accuracy/top1: {last:.4f}' in done.stdout, (config, file)
    done = run_here(
        'tools/test.py',
        osp.join(folder, 'config.py'),
        osp.join(trained[0].work_dir, 'resnet14', 'resnet14.pth'),
        '--work-dir',
        tmp_path,
        check=False)
    assert done.returncode == 2 and 'another architecture' in done.stderr
