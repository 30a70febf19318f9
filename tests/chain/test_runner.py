# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Real, tiny trainings of chains."""
import errno
import json
import multiprocessing
import os
import os.path as osp
import shutil
import subprocess
import sys
from pathlib import Path

import mmpretrain
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.fileio.files import sha256_of
from mmdgkd.fileio.stage_checkpoints import latest_checkpoint

DIGITS = 'configs/dgkd/resnet20_to_resnet8_digits.py'
NAMES = ['resnet20', 'resnet14', 'resnet8']


def ledger_of(work_dir):
    with open(osp.join(work_dir, 'chain.json')) as file:
        return json.load(file)


def weights_of(work_dir, name):
    path = osp.join(work_dir, name, f'{name}.pth')
    return torch.load(path, weights_only=True)['state_dict']


def test_the_work_dir_is_as_designed(trained):
    cfg, _ = trained
    assert {'chain.json', 'config.py', *NAMES} <= set(os.listdir(cfg.work_dir))
    for name in NAMES:
        held = os.listdir(osp.join(cfg.work_dir, name))
        assert {'config.py', 'epoch_2.pth', f'{name}.pth',
                f'{name}.py'} <= set(held)
        logs = [item for item in held if item[0].isdigit()]
        assert len(logs) == 1
        assert 'vis_data' in os.listdir(osp.join(cfg.work_dir, name, logs[0]))


def test_the_ledger_lists_what_was_read_and_written(trained):
    cfg, _ = trained
    stages = ledger_of(cfg.work_dir)['stages']
    assert [stages[name]['guides']
            for name in NAMES] == [[], ['resnet20'], ['resnet20', 'resnet14']]
    for name in NAMES:
        entry = stages[name]
        assert entry['state'] == 'done' and entry['seconds'] > 0
        path = osp.join(cfg.work_dir, entry['wrote']['file'])
        assert sha256_of(path) == entry['wrote']['sha256']
        assert list(entry['read']) == entry['guides']
        for teacher, read in entry['read'].items():
            assert read == stages[teacher]['wrote']
        metric = entry['metric']
        assert metric['name'] == 'accuracy/top1'
        assert [step for step, _ in metric['history']] == [1, 2]
        assert metric['best'] == max(v for _, v in metric['history'])
        assert metric['last'] == metric['history'][-1][1]


def test_networks_load_strictly_and_have_the_metric_of_the_ledger(trained):
    cfg, _ = trained
    stages = ledger_of(cfg.work_dir)['stages']
    for name in NAMES:
        stem = osp.join(cfg.work_dir, name, name)
        model = mmpretrain.get_model(f'{stem}.py')
        file = torch.load(f'{stem}.pth', weights_only=True)
        model.load_state_dict(file['state_dict'], strict=True)
        assert file['meta']['network'] == name
        assert file['meta']['dataset_meta']['classes'] == list('0123456789')
        # Counted by hand, without any evaluator.
        from mmpretrain.registry import DATASETS
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
        hits = 0
        model.eval()
        for sample in dataset:
            data = model.data_preprocessor(
                dict(
                    inputs=[sample['inputs']],
                    data_samples=[sample['data_samples']]))
            with torch.no_grad():
                logits = model(data['inputs'])
            hits += int(logits.argmax()) == sample['data_samples'].gt_label
        accuracy = 100 * float(hits) / len(dataset)
        assert abs(accuracy - stages[name]['metric']['last']) < 1e-3


def test_no_teacher_is_in_a_checkpoint(trained):
    cfg, _ = trained
    saved = torch.load(osp.join(cfg.work_dir, 'resnet8',
                                'epoch_2.pth'))['state_dict']
    assert all(key.startswith('architecture.') for key in saved)
    assert len(saved) == len(weights_of(cfg.work_dir, 'resnet8'))


def test_terms_are_in_the_log(trained):
    cfg, _ = trained
    folder = osp.join(cfg.work_dir, 'resnet8')
    logs = next(item for item in os.listdir(folder) if item[0].isdigit())
    with open(osp.join(folder, logs, f'{logs}.log')) as file:
        text = file.read()
    assert 'distill.kd.resnet20: ' in text and 'distill.kd.resnet14: ' in text
    assert ('stage 3/3 resnet8 <- resnet20, resnet14 | epoch 2/2 | chain ETA '
            '0:00:00') in text


def test_the_tables(trained):
    _, runner = trained
    with open(osp.join(runner.work.path, 'chain.log')) as file:
        text = file.read()
    for word in ('pending', 'parameters', 'MACs', '2 epochs', '78,042',
                 'best accuracy/top1', 'last accuracy/top1', 'seconds'):
        assert word in text
    assert runner.plan().count('done') == 3


def test_a_teacher_that_is_smaller_than_its_student(tiny_cfg):
    """Such as after MMEngine has sorted the names."""
    cfg = tiny_cfg()
    assert 'is smaller than' not in ChainRunner(cfg).plan()
    networks, order = cfg.chain.networks, cfg.chain.pop('order')
    cfg.chain.networks = {name: networks[name] for name in sorted(order)}
    assert ('warning: the teacher "resnet14" is smaller than its student '
            '"resnet20" (1.7 M MACs, not 2.6 M); chain.networks begins with '
            ) in ChainRunner(cfg).plan()
    cfg.chain.networks = dict(
        small=networks.resnet8,
        medium=networks.resnet14,
        big=networks.resnet20)
    assert 'not 1.7 M, and 2 more);' in ChainRunner(cfg).plan()
    # In the order of the config again.
    cfg.chain.order = ['big', 'medium', 'small']
    assert 'is smaller than' not in ChainRunner(cfg).plan()


def test_a_stage_can_be_run_alone_and_gives_the_same_bits(trained, tmp_path):
    cfg, _ = trained
    stage = Config.fromfile(osp.join(cfg.work_dir, 'resnet8', 'config.py'))
    assert 'chain' not in stage and not stage.resume
    stage.work_dir = str(tmp_path)
    Runner.from_cfg(stage).train()
    saved = torch.load(tmp_path / 'epoch_2.pth')['state_dict']
    for key, value in weights_of(cfg.work_dir, 'resnet8').items():
        assert torch.equal(saved[f'architecture.{key}'], value)


def test_the_written_config_is_the_same_chain(trained):
    cfg, _ = trained
    again = Config.fromfile(osp.join(cfg.work_dir, 'config.py'))
    again.resume = True
    runner = ChainRunner(again)
    assert runner.chain.names == NAMES
    assert runner.work.todo(True) == []


def test_mmengines_registry_builds_it(tiny_cfg):
    runner = RUNNERS.build(tiny_cfg())
    assert isinstance(runner, ChainRunner)


def test_the_networks_are_tested(trained):
    cfg, runner = trained
    results = ChainRunner(cfg).test()
    stages = ledger_of(cfg.work_dir)['stages']
    for name in NAMES:
        assert abs(results[name]['accuracy/top1'] -
                   stages[name]['metric']['last']) < 1e-3


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of the trained chain, to spoil: its config."""
    cfg = Config(trained[0].to_dict())
    work_dir = str(tmp_path / 'copied')
    shutil.copytree(cfg.work_dir, work_dir)
    cfg.work_dir = work_dir
    cfg.resume = True
    return cfg


def test_finished_stages_are_skipped_in_a_moved_work_dir(copied):
    runner = ChainRunner(copied)
    before = {
        name: os.stat(runner.work.own_file(name)).st_mtime_ns
        for name in NAMES
    }
    runner.train()
    for name in NAMES:
        assert os.stat(runner.work.own_file(name)).st_mtime_ns == before[name]


def test_without_resume_nothing_is_trained_over(copied):
    copied.resume = False
    with pytest.raises(ConfigError, match='3 of 3 stages done; add --resume'):
        ChainRunner(copied).train()
    with pytest.raises(ConfigError, match='add --resume'):
        ChainRunner(copied, only='resnet8').train()


def test_a_changed_config_of_a_finished_stage_is_refused(copied):
    copied.optim_wrapper.optimizer.lr = 0.5
    with pytest.raises(
            ConfigError,
            match='trained with another config: optim_wrapper.optimizer.lr '
            'was 0.1, is 0.5'):
        ChainRunner(copied).train()


def test_only_the_changed_stage_is_named(copied):
    copied.model.distiller.distill_losses.loss_kd.tau = 2.0
    with pytest.raises(ConfigError, match='resnet14.*loss_kd.tau was 5.0'):
        ChainRunner(copied).train()


def change_a_weight(path):
    checkpoint = torch.load(path, weights_only=True)
    checkpoint['state_dict']['head.fc.bias'][0] += 1e-3
    torch.save(checkpoint, path)


def test_a_changed_file_is_refused(copied):
    change_a_weight(osp.join(copied.work_dir, 'resnet8', 'resnet8.pth'))
    with pytest.raises(ConfigError, match='is not the file that was trained'):
        ChainRunner(copied).train()


def test_a_changed_teacher_of_a_half_trained_stage_is_refused(copied):
    ledger = ledger_of(copied.work_dir)
    ledger['stages']['resnet8']['state'] = 'running'
    given = osp.join(copied.work_dir, 'given.pth')
    shutil.copy(osp.join(copied.work_dir, 'resnet20', 'resnet20.pth'), given)
    ledger['stages']['resnet20'].update(state='given')
    with open(osp.join(copied.work_dir, 'chain.json'), 'w') as file:
        json.dump(ledger, file)
    copied.chain.networks.resnet20.ckpt_path = given
    assert ChainRunner(copied).work.todo(True) == ['resnet8']
    change_a_weight(given)
    with pytest.raises(ConfigError, match='has changed since the stage'):
        ChainRunner(copied).work.todo(True)


def test_a_lost_network_is_written_again_from_its_checkpoint(copied):
    path = osp.join(copied.work_dir, 'resnet8', 'resnet8.pth')
    before = sha256_of(path)
    os.remove(path)
    ChainRunner(copied).train()
    assert sha256_of(path) == before


def test_a_removed_stage_is_trained_again_to_the_same_bits(copied):
    before = sha256_of(osp.join(copied.work_dir, 'resnet8', 'resnet8.pth'))
    weights = weights_of(copied.work_dir, 'resnet8')
    shutil.rmtree(osp.join(copied.work_dir, 'resnet8'))
    ChainRunner(copied).train()
    after = weights_of(copied.work_dir, 'resnet8')
    assert all(torch.equal(weights[key], after[key]) for key in weights)
    assert before == sha256_of(
        osp.join(copied.work_dir, 'resnet8', 'resnet8.pth'))


def test_a_single_stage(copied):
    shutil.rmtree(osp.join(copied.work_dir, 'resnet14'))
    shutil.rmtree(osp.join(copied.work_dir, 'resnet8'))
    with pytest.raises(
            ConfigError, match='needs its teacher "resnet14", which'):
        ChainRunner(copied, only='resnet8').train()
    ChainRunner(copied, only='resnet14').train()
    assert osp.exists(osp.join(copied.work_dir, 'resnet14', 'resnet14.pth'))
    assert not osp.exists(osp.join(copied.work_dir, 'resnet8'))


def test_a_stage_is_not_kept_when_its_teacher_is_trained_again(copied):
    shutil.rmtree(osp.join(copied.work_dir, 'resnet20'))
    with pytest.raises(
            ConfigError,
            match='is gone, but "resnet20" was a teacher of "resnet14"'
            '; put it back, .* or remove .*resnet14'):
        ChainRunner(copied).train()


def set_state(work_dir, name, state, history=None):
    ledger = ledger_of(work_dir)
    ledger['stages'][name]['state'] = state
    if history is not None:
        ledger['stages'][name]['metric']['history'] = history
    with open(osp.join(work_dir, 'chain.json'), 'w') as file:
        json.dump(ledger, file)


def test_a_half_trained_stage_keeps_its_config(copied):
    set_state(copied.work_dir, 'resnet8', 'running')
    os.remove(osp.join(copied.work_dir, 'resnet8', 'resnet8.pth'))
    copied.chain.networks.resnet8.stage = dict(
        optim_wrapper=dict(optimizer=dict(lr=0.5)))
    with pytest.raises(ConfigError, match='optimizer.lr was 0.1, is 0.5'):
        ChainRunner(copied).train()
    # But it may become longer.
    copied.chain.networks.resnet8.stage = dict(train_cfg=dict(max_epochs=3))
    ledger = ChainRunner(copied).train()
    steps = [step for step, _ in ledger['resnet8']['metric']['history']]
    assert steps == [1, 2, 3]


def test_a_lost_network_is_not_written_under_another_config(copied):
    os.remove(osp.join(copied.work_dir, 'resnet8', 'resnet8.pth'))
    copied.chain.networks.resnet8.stage = dict(
        optim_wrapper=dict(optimizer=dict(lr=0.5)))
    with pytest.raises(ConfigError, match='optimizer.lr was 0.1, is 0.5'):
        ChainRunner(copied).train()


def make_half_trained(cfg, *damaged):
    """Have the last stage go on from its checkpoints, some of them cut off."""
    set_state(cfg.work_dir, 'resnet8', 'running')
    folder = osp.join(cfg.work_dir, 'resnet8')
    os.remove(osp.join(folder, 'resnet8.pth'))
    paths = [osp.join(folder, f'epoch_{epoch}.pth') for epoch in damaged]
    for path in paths:
        with open(path, 'r+b') as file:
            file.truncate(os.path.getsize(path) // 2)
    return paths


def test_a_damaged_checkpoint_falls_back_to_the_one_before(copied):
    before = weights_of(copied.work_dir, 'resnet8')
    path, = make_half_trained(copied, 2)
    ledger = ChainRunner(copied).train()
    assert ledger['resnet8']['state'] == 'done'
    with open(osp.join(copied.work_dir, 'chain.log')) as file:
        log = file.read()
    assert f'{path!r} is damaged; going on from ' in log
    for key, value in weights_of(copied.work_dir, 'resnet8').items():
        assert torch.equal(value, before[key]), key


def test_a_flipped_bit_is_noticed(copied):
    folder = osp.join(copied.work_dir, 'resnet8')
    before = weights_of(copied.work_dir, 'resnet8')
    make_half_trained(copied)
    path = osp.join(folder, 'epoch_2.pth')
    with open(path, 'r+b') as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    torch.load(path)  # PyTorch does not notice
    assert latest_checkpoint(folder) == osp.join(folder, 'epoch_1.pth')
    ChainRunner(copied).train()
    for key, value in weights_of(copied.work_dir, 'resnet8').items():
        assert torch.equal(value, before[key]), key


def test_without_an_intact_checkpoint_nothing_is_trained_over(copied):
    make_half_trained(copied, 1, 2)
    with pytest.raises(ConfigError, match='is damaged, and there is no older'):
        ChainRunner(copied).train()


def test_a_config_in_a_checkpoint_is_not_executed(copied, tmp_path):
    set_state(copied.work_dir, 'resnet8', 'running')
    folder = osp.join(copied.work_dir, 'resnet8')
    os.remove(osp.join(folder, 'resnet8.pth'))
    path = osp.join(folder, 'epoch_2.pth')
    checkpoint = torch.load(path)
    checkpoint['meta']['config'] = (
        f'import os\nos.mkdir({str(tmp_path / "pwned")!r})')
    torch.save(checkpoint, path)
    ChainRunner(copied).train()
    assert not (tmp_path / 'pwned').exists()


def test_a_second_run_is_kept_out(copied):
    holder = subprocess.Popen([
        sys.executable, '-c', 'import fcntl, sys, time\n'
        f'file = open({osp.join(copied.work_dir, ".lock")!r}, "w")\n'
        'fcntl.lockf(file, fcntl.LOCK_EX)\n'
        'print("4711 on n1", end="", file=file, flush=True)\n'
        'print("held", flush=True)\n'
        'time.sleep(60)'
    ],
                              stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b'held\n'
    with pytest.raises(
            ConfigError, match='another run, process 4711 on n1, is '):
        ChainRunner(copied).train()
    holder.kill()
    holder.wait()
    ChainRunner(copied).train()


@pytest.mark.slow
def test_stages_that_do_not_wait_for_each_other_train_at_once(
        fork_tool, tmp_path):
    """By processes of their own, in one work dir whose seed was drawn."""

    def words(folder, *more, seed='None'):
        return ('tools/train.py', DIGITS, '--guidance', 'direct', '--work-dir',
                tmp_path / folder, *more, '--cfg-options',
                'train_cfg.max_epochs=2',
                'train_dataloader.dataset.indices=64',
                'val_dataloader.dataset.indices=64', f'randomness.seed={seed}')

    assert fork_tool(*words('apart', '--stage', 'resnet20')).wait(120) == 0
    seed = ledger_of(tmp_path / 'apart')['seed']
    others = [
        fork_tool(*words('apart', '--stage', name, '--resume'))
        for name in ('resnet14', 'resnet8')
    ]
    for other in others:
        assert other.wait(120) == 0, other.output()
    found = ledger_of(tmp_path / 'apart')
    assert found['seed'] == seed
    assert [each['state'] for each in found['stages'].values()] == ['done'] * 3
    assert fork_tool(*words('whole', seed=seed)).wait(120) == 0
    for name, entry in ledger_of(tmp_path / 'whole')['stages'].items():
        ours = found['stages'][name]
        assert ours.keys() == entry.keys()
        for key in ('metric', 'params', 'config_sha256'):
            assert ours[key] == entry[key], (name, key)
        expected = weights_of(tmp_path / 'whole', name)
        for key, value in weights_of(tmp_path / 'apart', name).items():
            assert torch.equal(value, expected[key]), (name, key)


def test_a_stage_and_the_whole_chain_keep_each_other_out(copied):
    """And one stage itself, but not another stage."""

    def runner(only):
        return ChainRunner(copied, only=only).work

    def try_in_another_process(only):
        """POSIX locks are those of a process."""
        result, found = multiprocessing.Pipe(duplex=False)

        def lock():
            try:
                with runner(only).lock():
                    found.send('')
            except ConfigError as error:
                found.send(str(error))

        process = multiprocessing.get_context('fork').Process(target=lock)
        process.start()
        process.join()
        return result.recv()

    with runner('resnet8').lock():
        assert try_in_another_process('resnet14') == ''
        for other in (None, 'resnet8'):
            assert f'another run, process {os.getpid()} ' in (
                try_in_another_process(other))
    with runner(None).lock():
        assert 'another run' in try_in_another_process('resnet8')
    assert try_in_another_process(None) == ''


def test_a_stages_own_normalization_goes_with_the_network(tiny_cfg):
    """The exported config and the test have it too."""
    cfg = tiny_cfg()
    cfg.chain.networks = dict(resnet8=cfg.chain.networks.resnet8)
    cfg.chain.networks.resnet8.stage = dict(
        data_preprocessor=dict(mean=[10.0] * 3))
    ledger = ChainRunner(cfg).train()
    alone = Config.fromfile(osp.join(cfg.work_dir, 'resnet8', 'resnet8.py'))
    assert alone.model.data_preprocessor.mean == [10.0] * 3
    results = ChainRunner(cfg).test()
    assert abs(results['resnet8']['accuracy/top1'] -
               ledger['resnet8']['metric']['last']) < 1e-3


def test_networks_are_tested_whatever_their_teachers(copied):
    copied.chain.guidance = 'none'
    assert set(ChainRunner(copied).test()) == set(NAMES)


def test_checkpoints_of_unknown_origin_are_not_trained_over(copied):
    os.remove(osp.join(copied.work_dir, 'chain.json'))
    with pytest.raises(ConfigError, match='of which chain.json knows nothing'):
        ChainRunner(copied).train()


def test_a_resumed_stage_makes_up_for_the_validation(copied):
    """As after a kill between the checkpoint of epoch 1 and its validation."""
    expected = ledger_of(
        copied.work_dir)['stages']['resnet8']['metric']['history']
    set_state(copied.work_dir, 'resnet8', 'running', history=[])
    folder = osp.join(copied.work_dir, 'resnet8')
    for name in ('resnet8.pth', 'epoch_2.pth', 'last_checkpoint'):
        os.remove(osp.join(folder, name))
    ledger = ChainRunner(copied).train()
    history = ledger['resnet8']['metric']['history']
    assert [step for step, _ in history] == [1, 2]
    assert history[0] == expected[0]


def test_a_given_network_is_not_trained(trained, tiny_cfg):
    cfg = tiny_cfg()
    given = osp.join(trained[0].work_dir, 'resnet20', 'resnet20.pth')
    cfg.chain.networks.resnet20.ckpt_path = given
    cfg.chain.networks.resnet14 = None
    ledger = ChainRunner(cfg).train()
    assert ledger['resnet20']['state'] == 'given'
    assert ledger['resnet20']['wrote']['sha256'] == sha256_of(given)
    assert ledger['resnet8']['read']['resnet20']['file'] == given
    # Its config alone, for tools.
    assert os.listdir(osp.join(cfg.work_dir, 'resnet20')) == ['resnet20.py']


@pytest.mark.parametrize('guidance, teachers', [
    ('none', None),
    ('direct', ['resnet20']),
    ('sequential', ['resnet14']),
    ('independent', ['resnet14', 'resnet20']),
])
def test_one_word_makes_a_baseline(tiny_cfg, guidance, teachers):
    """Also of a TA with an objective of its own, if it has no teachers."""
    cfg = tiny_cfg()
    cfg.chain.guidance = guidance
    cfg.chain.networks.resnet14.stage = dict(model=dict(task_loss_weight=0.5))
    ChainRunner(cfg).train()
    model = Config.fromfile(osp.join(cfg.work_dir, 'resnet8',
                                     'config.py')).model
    if teachers is None:
        assert model.type == 'ImageClassifier'
    else:
        assert sorted(model.teachers) == teachers


def test_a_run_without_a_seed_can_be_resumed(tiny_cfg):
    cfg = tiny_cfg()
    cfg.randomness = dict(seed=None)
    first = ChainRunner(cfg)
    first.train()
    cfg.resume = True
    assert ChainRunner(cfg).work.seed == first.work.seed
    assert ChainRunner(cfg).work.todo(True) == []


@pytest.mark.slow
def test_a_stage_counted_by_iterations(tiny_cfg):
    cfg = tiny_cfg()
    cfg.chain.networks.resnet20 = None
    cfg.train_cfg = dict(by_epoch=False, max_iters=5, val_interval=2)
    cfg.param_scheduler = None
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=2)
    ledger = ChainRunner(cfg).train()
    steps = [s for s, _ in ledger['resnet8']['metric']['history']]
    assert steps == [2, 4, 5]


def test_the_mask_follows_the_iterations_of_the_runner(tiny_cfg):
    from mmdgkd.models.connectors.keep_mask import keep_mask
    cfg = tiny_cfg(
        config='configs/dgkd/resnet20_to_resnet8_digits_stochastic.py')
    cfg.randomness.seed = 11
    cfg.default_hooks.logger.interval = 1
    ChainRunner(cfg).train()
    folder = osp.join(cfg.work_dir, 'resnet8')
    logs = next(item for item in os.listdir(folder) if item[0].isdigit())
    with open(osp.join(folder, logs, f'{logs}.log')) as file:
        lines = [line for line in file if 'Epoch(train)' in line]
    assert len(lines) == 2
    mask = keep_mask(11, 0, ['resnet14', 'resnet20'])
    for name, kept in mask.items():
        assert (f'kd.{name}:' in lines[0]) == kept
    np.testing.assert_equal(sum(mask.values()), 1)


@pytest.mark.slow
def test_with_ema_the_network_is_the_averaged_one(tiny_cfg):
    """What was validated is what is written."""
    cfg = tiny_cfg(epochs=2)
    cfg.chain.networks.resnet14 = None
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.1)]
    ledger = ChainRunner(cfg).train()
    saved = torch.load(osp.join(cfg.work_dir, 'resnet8', 'epoch_2.pth'))
    key = 'backbone.conv1.weight'
    written = weights_of(cfg.work_dir, 'resnet8')[key]
    assert torch.equal(written, saved['state_dict'][f'architecture.{key}'])
    assert not torch.equal(
        written, saved['ema_state_dict'][f'module.architecture.{key}'])
    results = ChainRunner(cfg).test('resnet8')
    assert abs(results['resnet8']['accuracy/top1'] -
               ledger['resnet8']['metric']['last']) < 1e-3


@pytest.mark.slow
def test_networks_as_safetensors(tiny_cfg):
    import mmpretrain
    cfg = tiny_cfg()
    cfg.chain.save_as = 'safetensors'
    runner = ChainRunner(cfg)
    ledger = runner.train()
    path = osp.join(cfg.work_dir, 'resnet8', 'resnet8.safetensors')
    assert ledger['resnet8']['wrote']['file'] == 'resnet8/resnet8.safetensors'
    assert ledger['resnet8']['read']['resnet20']['file'] == (
        'resnet20/resnet20.safetensors')
    assert not osp.exists(osp.join(cfg.work_dir, 'resnet8', 'resnet8.pth'))
    model = mmpretrain.get_model(
        Config.fromfile(osp.join(cfg.work_dir, 'resnet8', 'resnet8.py')), path)
    saved = torch.load(osp.join(cfg.work_dir, 'resnet8', 'epoch_1.pth'))
    for key, value in model.state_dict().items():
        assert torch.equal(value,
                           saved['state_dict'][f'architecture.{key}']), key
    found = runner.test('resnet8')['resnet8']['accuracy/top1']
    assert abs(found - ledger['resnet8']['metric']['last']) < 1e-4
    cfg.resume = True
    assert ChainRunner(cfg).work.todo(True) == []
    cfg.chain.save_as = 'onnx'
    with pytest.raises(ConfigError, match="chain.save_as: 'onnx' must be one"):
        ChainRunner(cfg)


def test_the_lock_names_the_process_that_holds_it(copied):
    with ChainRunner(copied).work.lock():
        text = Path(copied.work_dir, '.lock').read_text()
    assert text.startswith(f'{os.getpid()} on ')


def test_a_file_system_without_locks(copied, monkeypatch):
    """A run goes on, and says so; any other error is none of that."""

    def fail(number):

        def lock(*_):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr('fcntl.lockf', lock)
        monkeypatch.setattr('fcntl.flock', lock)

    fail(errno.ENOSYS)
    for name in ('resnet8', 'resnet14'):
        shutil.rmtree(osp.join(copied.work_dir, name))
    said = []
    monkeypatch.setattr('mmdgkd.fileio.files.print_log',
                        lambda text, **_: said.append(text))
    ChainRunner(copied).train()
    assert 'its file system has no locks (Function not' in said[0]
    fail(errno.EIO)
    with pytest.raises(OSError, match='Input/output error'):
        ChainRunner(copied).train()


def test_a_work_dir_that_is_only_read(copied, monkeypatch):
    """What is finished is tested, planned and resumed, without a file."""
    before = sorted(Path(copied.work_dir).rglob('*'))
    # Tests run as root, who may write everywhere.
    monkeypatch.setattr('os.access', lambda path, mode: mode != os.W_OK)
    runner = ChainRunner(copied)
    assert runner.train()['resnet8']['state'] == 'done'
    assert list(runner.test('resnet8')['resnet8']) == ['accuracy/top1']
    assert sorted(Path(copied.work_dir).rglob('*')) == before
    os.remove(osp.join(copied.work_dir, 'resnet8', 'resnet8.pth'))
    with pytest.raises(ConfigError, match='cannot be written to'):
        ChainRunner(copied).train()


def test_a_stage_alone_keeps_the_record_of_the_others(copied):
    """Also of one whose folder is elsewhere for now."""
    shutil.move(osp.join(copied.work_dir, 'resnet8'), copied.work_dir + '_8')
    plan = ChainRunner(copied).plan()
    assert plan.count('| done ') == 2 and plan.count('| pending ') == 1
    ChainRunner(copied, only='resnet14').train()
    shutil.move(copied.work_dir + '_8', osp.join(copied.work_dir, 'resnet8'))
    assert ChainRunner(copied).plan().count('| done ') == 3


@pytest.mark.parametrize('state', ['done', 'running'])
def test_a_validation_may_change(copied, monkeypatch, state):
    cfg = copied
    if state == 'running':
        path = osp.join(cfg.work_dir, 'chain.json')
        ledger = json.loads(Path(path).read_text())
        ledger['stages']['resnet8']['state'] = state
        Path(path).write_text(json.dumps(ledger))
        os.remove(osp.join(cfg.work_dir, 'resnet8', 'resnet8.pth'))
    cfg.val_evaluator = dict(type='Accuracy', topk=(1, 3))
    said = []
    monkeypatch.setattr('mmdgkd.chain.changed_stage.print_log',
                        lambda text, **_: said.append(text))
    ChainRunner(cfg).train()
    assert 'was validated by other settings before: val_evaluator' in said[-1]
    # Where the rates follow the metric, the weights do, too.
    cfg.custom_hooks.append(
        dict(type='EarlyStoppingHook', monitor='accuracy/top1'))
    with pytest.raises(ConfigError, match='trained with another config: cust'):
        ChainRunner(cfg).train()


def test_a_finished_network_is_not_trained_on(copied):
    copied.train_cfg.max_epochs = 5
    with pytest.raises(
            ConfigError,
            match=r"train_cfg.max_epochs was 2, is 5; .* begin there from its "
            r"weights, init_cfg=dict\(type='Pretrained', checkpoint=.*pth"):
        ChainRunner(copied).train()
