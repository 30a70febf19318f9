# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks that are pruned once in a chain."""
import copy
import re
from pathlib import Path

import pytest
import torch

from mmdgkd.chain.export.torch_export import export_chain
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.methods.one_shot import one_shot_prune_hook
from mmdgkd.methods.one_shot.one_shot_pruned import OneShotPruned
from mmdgkd.methods.one_shot.sparse_weights import dense_weights

NAME = 'resnet8_pruned'


def trained(cfg, folder, plain=False, **settings):
    """Train the network of a trial; its weights, and its log."""
    cfg.work_dir = str(folder)
    cfg.chain.networks.last = None
    entry = cfg.chain.networks[NAME]
    entry.model.update(settings)
    if plain:
        entry.model = entry.model.architecture
    ChainRunner(cfg).train()
    (log, ) = Path(folder, NAME).glob('2*/*.log')
    path = f'{folder}/{NAME}/{NAME}.pth'
    weights = torch.load(path, weights_only=True)['state_dict']
    return {
        key.removeprefix('architecture.'): data
        for key, data in weights.items()
    }, log.read_text()


def test_the_pass_changes_nothing_but_the_masks(trial_cfg, tmp_path):
    """Without sparsity the training is that of the network alone."""
    one, log = trained(trial_cfg('one_shot'), tmp_path / 'one', sparsity=0)
    other, _ = trained(trial_cfg('one_shot'), tmp_path / 'other', plain=True)
    assert 'pruned once by context: 77,360 of 77,360 weights are left' in log
    for name, data in other.items():
        assert torch.equal(one[name], data), name


@pytest.mark.parametrize('criterion', ['context', 'magnitude'])
def test_that_many_weights_are_left(trial_cfg, tmp_path, criterion):
    cfg = trial_cfg('one_shot')
    found, log = trained(
        cfg, tmp_path / 'one', criterion=criterion, sparsity=.98)
    left = sum(
        int(data.count_nonzero()) for name, data in found.items()
        if name.endswith('.weight') and data.ndim > 1)
    assert left == 77360 - round(.98 * 77360)
    line = re.search('pruned once by .*', log)[0]
    assert line.startswith(f'pruned once by {criterion}: 1,547 of 77,360')
    # Once: not at the end of each epoch, and not after it was validated.
    assert log.count('pruned once') == 1


def test_the_network_that_it_begins_from_is_no_context(trial_cfg, tmp_path,
                                                       monkeypatch):
    seen = []

    def gradients(self, batches, teachers):
        seen.append((list(teachers), len(list(batches))))
        return {name: torch.ones_like(one) for name, one in self.weights()}

    monkeypatch.setattr(OneShotPruned, 'gradients', gradients)
    sums = []
    monkeypatch.setattr(one_shot_prune_hook, 'all_reduce', sums.append)
    cfg = trial_cfg('one_shot')
    cfg.chain.networks.resnet14 = copy.deepcopy(cfg.chain.networks.resnet8)
    trained(cfg, tmp_path / 'one')
    # 64 images in batches of 32.
    assert seen == [(['resnet14'], 2)]
    # Of all processes.
    assert len(sums) == 10


def test_one_pass_of_a_training_in_iterations(trial_cfg, tmp_path,
                                              monkeypatch):
    """Its sampler has no end, and has all images on each of two processes."""
    seen = []

    def gradients(self, batches, teachers):
        seen.append(len(list(batches)))
        return {name: torch.ones_like(one) for name, one in self.weights()}

    monkeypatch.setattr(OneShotPruned, 'gradients', gradients)
    for processes, batches in ((1, 2), (2, 1)):
        monkeypatch.setattr(one_shot_prune_hook, 'get_world_size',
                            lambda: processes)
        cfg = trial_cfg('one_shot')
        cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
        cfg.train_cfg = dict(by_epoch=False, max_iters=2, val_interval=2)
        cfg.param_scheduler = []
        trained(cfg, tmp_path / f'{processes}')
        assert seen.pop() == batches


def test_criteria_choose_other_weights(trial_cfg, tmp_path):
    masks = [
        trained(
            trial_cfg('one_shot'),
            tmp_path / criterion,
            criterion=criterion,
            sparsity=.5)[0]['kept_backbone-layer3-0-conv1']
        for criterion in ('context', 'magnitude')
    ]
    assert not torch.equal(*masks)


def test_a_layer_of_which_nothing_is_left(trial_cfg, tmp_path):
    _, log = trained(trial_cfg('one_shot'), tmp_path / 'one', sparsity=.9999)
    assert re.search(
        r'WARNING - model.sparsity: 0.9999 leaves nothing of '
        r'backbone\.', log)


def test_its_sparse_file_is_small_and_exact(trial_cfg, tmp_path,
                                            built_from_file):
    cfg = trial_cfg('one_shot')
    trained(cfg, tmp_path / 'one', sparsity=.98)
    ((_, facts), ) = export_chain(cfg, ChainRunner(cfg).chain, NAME).items()
    (sparse, ) = facts.extras
    assert sparse.kept == 1547 and sparse.size < .25 * sparse.dense
    tensors = torch.load(sparse.path, weights_only=True)['state_dict']
    model = built_from_file(cfg, NAME).architecture
    wanted = {name: data.clone() for name, data in model.state_dict().items()}
    found = dense_weights(tensors)
    assert found.keys() == wanted.keys()
    for name, data in wanted.items():
        assert torch.equal(found[name], data), name
