# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Nothing in a file that is no config is executed, wherever it is read."""
import io
import json
import os
import os.path as osp
import pickle
import shutil

import numpy as np
import pytest
import torch

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.fileio.checksum import write_with_checksum
from mmdgkd.fileio.object_folder import ObjectFolder


class Attack:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder, )


@pytest.fixture
def attack(tmp_path):
    """An attack, and afterwards the look whether it has succeeded."""
    yield Attack(tmp_path / 'pwned')
    assert not (tmp_path / 'pwned').exists()


@pytest.fixture
def half_trained(trained, tmp_path):
    """A trained chain whose last stage goes on from its checkpoint."""
    cfg = trained[0].copy()
    cfg.work_dir, cfg.resume = str(tmp_path / 'copied'), True
    shutil.copytree(trained[0].work_dir, cfg.work_dir)
    path = osp.join(cfg.work_dir, 'chain.json')
    with open(path) as file:
        ledger = json.load(file)
    ledger['stages']['resnet8']['state'] = 'running'
    with open(path, 'w') as file:
        json.dump(ledger, file)
    os.remove(osp.join(cfg.work_dir, 'resnet8', 'resnet8.pth'))
    return cfg


def refused(cfg, message):
    with pytest.raises(ConfigError, match=message) as info:
        ChainRunner(cfg).train()
    assert '\n' not in str(info.value)


@pytest.mark.parametrize('ending', ['pth', 'safetensors'])
def test_a_given_network(tiny_cfg, tmp_path, attack, ending):
    cfg = tiny_cfg()
    path = tmp_path / f'teacher.{ending}'
    torch.save(dict(state_dict=attack), path)
    cfg.chain.networks.resnet20.ckpt_path = str(path)
    refused(
        cfg, 'chain.networks.resnet20.ckpt_path: .* ' +
        ('is refused: reading it would call posix.mkdir'
         if ending == 'pth' else 'does not load as a checkpoint'))


def test_a_checkpoint_to_resume_from(half_trained, attack):
    path = osp.join(half_trained.work_dir, 'resnet8', 'epoch_2.pth')
    checkpoint = torch.load(path)
    checkpoint['message_hub']['runtime_info']['x'] = attack
    # A checksum shows that a file is as it was written, not by whom.
    torch.save(checkpoint, path + '.new')
    with open(path + '.new', 'rb') as new, open(path, 'wb') as old:
        write_with_checksum(old, new.read())
    os.remove(path + '.new')
    refused(half_trained, r"work_dir: .*epoch_2.pth. is refused: .*mkdir")


def test_a_teacher_in_the_work_dir(half_trained, attack):
    path = osp.join(half_trained.work_dir, 'resnet14', 'resnet14.pth')
    torch.save(dict(state_dict=attack, meta={}), path)
    refused(half_trained, 'resnet14.pth.: is not the file that was trained')


def test_a_ledger(half_trained, attack):
    path = osp.join(half_trained.work_dir, 'chain.json')
    with open(path, 'wb') as file:
        pickle.dump(attack, file)
    refused(half_trained, 'chain.json: is not readable as a ledger')


def test_a_logit_store(half_trained, attack):
    """What is no file of the store is computed again.

    Also with the checksum that its name has.
    """
    store = ObjectFolder(osp.join(half_trained.work_dir, 'logits'))
    plain, archive = pickle.dumps(attack), io.BytesIO()
    np.savez(archive, header=np.array(attack, dtype=object))
    count = 0
    for folder in store.list():
        for name in store.list(folder):
            data = plain if count % 2 else archive.getvalue()
            store.write(f'{folder}/{name.split("-")[0]}', '.npz', data)
            store.remove(f'{folder}/{name}')
            count += 1
    assert count == 4
    assert ChainRunner(half_trained).train()['resnet8']['state'] == 'done'


def test_a_network_to_test(trained, tmp_path, attack):
    torch.save(attack, tmp_path / 'a.pth')
    with pytest.raises(ConfigError, match='checkpoint: .* is refused'):
        ChainRunner(trained[0]).test('resnet8', str(tmp_path / 'a.pth'))


def test_weights_to_begin_from(tiny_cfg, tmp_path, attack):
    torch.save(attack, tmp_path / 'a.pth')
    cfg = tiny_cfg()
    cfg.chain.networks.resnet8.model.init_cfg = dict(
        type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    refused(cfg, 'resnet8.model.init_cfg: .* is refused')
