# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Weighing the teachers of a real chain: what is run, cached and written."""
import copy
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from chain_fixtures import DIGITS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.nn import functional as F

import mmdgkd_cli
from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.stage_config import merged_config
from mmdgkd.datasets import digits
from mmdgkd.fileio.checkpoint import write_weights
from mmdgkd.report import write_report
from mmdgkd.weigh import chains
from mmdgkd.weigh import held_out_logits as held_out
from mmdgkd.weigh import weigh_chain


@pytest.fixture
def own(trained, tmp_path):
    """A copy of ``trained``, whose validation images are held out."""
    cfg = copy.deepcopy(trained[0])
    shutil.copytree(cfg.work_dir, tmp_path / 'work')
    cfg.work_dir = str(tmp_path / 'work')
    return cfg


@pytest.fixture
def runs(monkeypatch):
    """The networks that were run since, in order."""
    names = []
    run = held_out.run_network

    def noted(cfg, network, *args):
        names.append(network.name)
        run(cfg, network, *args)

    monkeypatch.setattr(held_out, 'run_network', noted)
    return names


def weigh(cfg, **kwargs):
    runner = ChainRunner(cfg, verbose=False)
    loader = kwargs.pop('loader', runner.cfg.val_dataloader)
    return weigh_chain(
        runner.cfg, runner.chain, runner.work, loader, resamples=10, **kwargs)


def logits_of(cfg, names, loader=None):
    runner = ChainRunner(cfg, verbose=False)
    return held_out.held_out_logits(runner.cfg, runner.chain, runner.work,
                                    names, loader or runner.cfg.val_dataloader)


def test_what_it_prints_and_writes(own):
    work = Path(own.work_dir)
    # Of other tests.
    tested = {*work.glob('*/test')}
    output = weigh(own)
    found = json.loads((work / 'weigh.json').read_text())
    assert found['network'] == 'resnet8' and found['images'] == 64
    assert [*found['teachers']] == ['resnet20', 'resnet14']
    lines = output.splitlines()
    assert lines[0] == ('held-out images: 64; computed: resnet20, resnet14')
    assert found['sentence'] in lines
    # A config that has the chain as its _base_.
    heading = next(
        line for line in lines if line.startswith(
            'for the config of resnet8, with that of the chain as its _base_'))
    zero = [not each for each in found['teacher_weights'].values()]
    assert ('it is KD from' in heading) == (sum(zero) == 1)
    (work / 'own.py').write_text('\n'.join(
        [f'_base_ = {str(DIGITS)!r}', *lines[lines.index(heading) + 1:-2]]))
    cfg = Config.fromfile(work / 'own.py')
    stage = merged_config(cfg, Chain.from_cfg(cfg.chain)['resnet8'])
    loss = stage.model.distiller.distill_losses.loss_kd
    assert loss.form == 'stacked'
    assert loss.teacher_weights == found['teacher_weights']
    assert loss.teacher_tau == found['teacher_tau']
    assert 'teacher_weights' not in (
        cfg.model.distiller.distill_losses.loss_kd)
    assert (work / 'weigh.png').read_bytes()[:4] == b'\x89PNG'
    # No log of a test, and nothing that is not finished.
    assert {*work.glob('*/test')} == tested
    assert not [*work.glob('**/*.part')]


def test_the_logits_are_those_of_the_network(own, built_from_file):
    """Up to a constant per image; the accuracy is that of the validation."""
    runner = ChainRunner(own, verbose=False)
    found = logits_of(own, ['resnet20'])
    right = found.logits['resnet20'].argmax(1) == found.labels
    metric = runner.work.ledger['resnet20']['metric']
    assert 100 * right.mean() == pytest.approx(metric['last'])
    model = built_from_file(own, 'resnet20')
    loader = copy.deepcopy(own.val_dataloader)
    loader.dataset.type, loader.collate_fn.type = 'Digits', 'default_collate'
    with DefaultScope.overwrite_default_scope('mmpretrain'), torch.no_grad():
        batch = next(iter(Runner.build_dataloader(loader)))
        scores = model(**model.data_preprocessor(batch), mode='tensor')
    expected = scores.log_softmax(1).numpy()
    assert found.logits['resnet20'] == pytest.approx(expected, abs=1e-4)


def test_a_teacher_sees_its_own_images(own, built_from_file):
    """Of its size, and normalized as it wants them, as in a stage."""
    own.chain.networks.resnet20.input = dict(
        size=16, mean=[0.] * 3, std=[255.] * 3)
    found = logits_of(own, ['resnet20'])
    model = built_from_file(own, 'resnet20')
    loader = copy.deepcopy(own.val_dataloader)
    loader.dataset.type, loader.collate_fn.type = 'Digits', 'default_collate'
    with DefaultScope.overwrite_default_scope('mmpretrain'), torch.no_grad():
        images = next(iter(Runner.build_dataloader(loader)))['inputs'] / 255
        images = F.interpolate(images, (16, 16), mode='bilinear')
        scores = model(images, mode='tensor')
    expected = scores.log_softmax(1).numpy()
    assert found.logits['resnet20'] == pytest.approx(expected, abs=1e-3)


def test_a_second_time_no_network_is_run(own, runs):
    first = weigh(own)
    assert runs == ['resnet20', 'resnet14']
    second = weigh(own)
    assert runs == ['resnet20', 'resnet14']
    assert second.splitlines()[0] == (
        'held-out images: 64; cached: resnet20, resnet14')
    assert second.splitlines()[1:] == first.splitlines()[1:]


def test_other_weights_are_run_again(own, runs):
    logits_of(own, ['resnet20', 'resnet14'])
    path = f'{own.work_dir}/resnet14/resnet14.pth'
    checkpoint = torch.load(path, weights_only=True)
    checkpoint['state_dict']['head.fc.bias'] += 1000 * torch.eye(10)[3]
    torch.save(checkpoint, path)
    runs.clear()
    found = logits_of(own, ['resnet20', 'resnet14'])
    assert runs == ['resnet14'] == found.computed
    assert found.cached == ['resnet20']
    assert (found.logits['resnet14'].argmax(1) == 3).all()


def test_other_images_are_run_again(own, runs):
    logits_of(own, ['resnet20'])
    loader = copy.deepcopy(own.val_dataloader)
    loader.dataset.indices = 32
    runs.clear()
    assert len(logits_of(own, ['resnet20'], loader).labels) == 32
    assert runs == ['resnet20']


def test_other_content_of_the_data_is_run_again(own, runs, monkeypatch):
    """Their config is the same."""
    logits_of(own, ['resnet20'])
    images, labels = digits._images_and_labels()
    monkeypatch.setattr(digits, '_images_and_labels', lambda:
                        (16 - images, labels))
    runs.clear()
    logits_of(own, ['resnet20'])
    assert runs == ['resnet20'] == logits_of(own, ['resnet20']).cached


def test_another_pipeline_is_run_again(own, runs):
    logits_of(own, ['resnet20'])
    loader = copy.deepcopy(own.val_dataloader)
    loader.dataset.pipeline.insert(0, dict(type='RandomFlip', prob=0.))
    runs.clear()
    logits_of(own, ['resnet20'], loader)
    assert runs == ['resnet20']


@pytest.mark.parametrize('change, again', [
    (dict(data_preprocessor=dict(mean=[0.] * 3)), ['resnet20', 'resnet14']),
    ({
        'chain.networks.resnet14.stage.data_preprocessor.mean': [0.] * 3
    }, ['resnet14']),
    ({
        'chain.networks.resnet14.input.mean': [0.] * 3
    }, ['resnet14']),
])
def test_images_by_another_preprocessor_are_run_again(own, runs, change,
                                                      again):
    names = ['resnet20', 'resnet14']
    logits_of(own, names)
    own.merge_from_dict(change)
    runs.clear()
    logits_of(own, names)
    assert runs == again


def test_a_damaged_file_is_written_again(own, runs):
    expected = logits_of(own, ['resnet20']).logits['resnet20']
    path = Path(own.work_dir, 'resnet20', 'held_out.npz')
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    runs.clear()
    found = logits_of(own, ['resnet20']).logits['resnet20']
    assert runs == ['resnet20'] and np.array_equal(found, expected)
    assert logits_of(own, ['resnet20']).cached == ['resnet20']


def test_a_given_network_is_a_teacher_too(own):
    """Also before there is a work dir."""
    path = Path(own.work_dir, 'resnet20', 'resnet20.pth')
    other = path.parents[2] / 'other.pth'
    shutil.move(path, other)
    shutil.rmtree(own.work_dir)
    own.chain.networks.resnet20.ckpt_path = str(other)
    found = logits_of(own, ['resnet20'])
    assert found.computed == ['resnet20'] and len(found.labels) == 64
    assert logits_of(own, ['resnet20']).cached == ['resnet20']


@pytest.mark.parametrize('ending', ['pth', 'old', 'safetensors'])
def test_what_was_trained_elsewhere_may_have_seen_the_images(
        own, tmp_path, ending):
    """No file of another package tells; the line is in the report, too."""
    state = torch.load(
        f'{own.work_dir}/resnet14/resnet14.pth',
        weights_only=True)['state_dict']
    path = str(tmp_path / f'elsewhere.{ending}')

    def save(**meta):
        if ending == 'safetensors':
            write_weights(path, state, meta)
        else:
            torch.save(
                dict(state_dict=state, meta=meta),
                path,
                _use_new_zipfile_serialization=ending == 'pth')

    save(epoch=2)
    own.chain.networks.resnet14.ckpt_path = path
    output = weigh(own)
    found = json.loads(Path(own.work_dir, 'weigh.json').read_text())
    lines = output.splitlines()
    assert found['unknown'] == ['resnet14']
    caveat = lines[lines.index(found['sentence']) + 1]
    assert caveat == found['caveat'] and caveat.startswith(
        'but whether resnet14 had the held-out images in training is not ')
    # As a training with it notes it.
    ledger = ChainRunner(own).work.ledger
    ledger.update(
        'resnet14',
        state='given',
        wrote=dict(file=path, sha256=found['files']['resnet14']))
    write_report([own.work_dir], str(tmp_path / 'report'))
    text = (tmp_path / 'report' / 'report.md').read_text()
    assert f'{found["sentence"]}; {caveat}.' in text
    save(mmdgkd_version='0.2.0')
    assert 'not known' not in weigh(own)
    found = json.loads(Path(own.work_dir, 'weigh.json').read_text())
    assert found['unknown'] == []


def test_some_of_the_teachers(own):
    output = weigh(own, teachers=['resnet20'])
    assert output.splitlines()[:2] == [
        'teachers of resnet8 by --teachers: resnet20; not resnet14',
        'held-out images: 64; computed: resnet20'
    ]
    output = weigh(own, network='resnet14')
    assert 'cached: resnet20\n' in output and 'there is one teacher' in output


@pytest.fixture
def four(own):
    """Given networks, of which two are the same, and a student."""
    networks = own.chain.networks
    networks.again = copy.deepcopy(networks.resnet14)
    for name, one in zip(('resnet20', 'resnet14', 'again'),
                         ('resnet20', 'resnet14', 'resnet14')):
        networks[name].ckpt_path = f'{own.work_dir}/{one}/{one}.pth'
    own.chain.order = ['resnet20', 'resnet14', 'again', 'resnet8']
    own.work_dir += '_four'
    return own


@pytest.mark.parametrize('guidance, names, fits', [
    ('dense', ['resnet20', 'resnet14', 'again'], True),
    ('sequential', ['resnet20', 'resnet14', 'again'], False),
    ('direct', ['resnet20', 'resnet14', 'again'], False),
    (dict(resnet8=['resnet14', 'resnet20']), ['resnet20', 'resnet14'], True),
])
def test_the_teachers_are_those_of_the_chain(four, guidance, names, fits):
    """All before the network, if it has fewer than two."""
    four.chain.guidance = guidance
    lines = weigh(four).splitlines()
    weighed = json.loads(Path(four.work_dir, 'weigh.json').read_text())
    assert [*weighed['teachers']] == names
    which = ('teachers of resnet8 by chain.guidance: resnet20, resnet14; not '
             'again')
    assert (lines[0] == which) == (len(names) == 2)
    # The loss refuses weights of what is no teacher.
    heading = 'for the config of resnet8, with that of the chain as its _base_'
    found = next(line for line in lines if line.startswith(heading))
    assert ('once these are its teachers (chain.guidance)' in found) != fits
    assert lines[0 if len(names) == 3 else 1].startswith('held-out images: 64')


def test_the_student_of_a_part_is_its_stage(four):
    """Neither its network nor its peers are its teachers."""
    networks = four.chain.networks
    networks.resnet8.model = dict(
        type='mmrazor.JointSlimmable',
        architecture=networks.resnet8.model,
        widths=[0.5, 0.75, 1.0])
    for name, width in dict(wide=0.75, narrow=0.5).items():
        networks[name] = dict(width_of='resnet8', width=width)
        four.chain.order.append(name)
    assert 'chain = dict(networks=dict(resnet8=dict(stage=' in weigh(four)
    weighed = json.loads(Path(four.work_dir, 'weigh.json').read_text())
    assert weighed['network'] == 'resnet8'
    assert [*weighed['teachers']] == ['resnet20', 'resnet14', 'again']


def test_members_of_ensembles_have_no_weights_of_their_own(four):
    """The loss has an entry for all of them together."""
    four.model.distiller.ensembles = dict(both=['resnet14', 'again'])
    output = weigh(four)
    assert output.splitlines()[-3] == (
        'no lines for the config of resnet8: resnet14, again are in '
        'model.distiller.ensembles, and the loss has weights for resnet20, '
        'both')
    assert 'teacher_weights=' not in output
    found = json.loads(Path(four.work_dir, 'weigh.json').read_text())
    assert [*found['teachers']] == ['resnet20', 'resnet14', 'again']
    # Those that are in none have.
    four.model.distiller.ensembles = dict(one=['again'])
    output = weigh(four, teachers=['resnet20', 'resnet14'])
    assert 'teacher_weights=' in output


def test_teachers_that_are_worse_than_a_guess_have_no_weights(own):
    """The loss refuses weights that are all 0."""
    found = logits_of(own, ['resnet20', 'resnet14'])
    for name, logits in found.logits.items():
        # After two epochs it may be worse than a guess already.
        classes = logits[np.arange(len(logits)), found.labels]
        if classes.mean() < logits.mean():
            continue
        path = f'{own.work_dir}/{name}/{name}.pth'
        checkpoint = torch.load(path, weights_only=True)
        for key in ('head.fc.weight', 'head.fc.bias'):
            checkpoint['state_dict'][key] *= -1
        torch.save(checkpoint, path)
    output = weigh(own)
    assert 'dense guidance cannot pay here' in output
    assert 'teacher_weights=' not in output
    assert output.splitlines()[-3] == (
        'no lines for the config of resnet8: the weights of all teachers are '
        '0; on the held-out images they are no better than a guess')


@pytest.mark.parametrize('distiller, message', [
    (dict(
        distill_losses=dict(
            loss_kd=dict(form='averaged', gate=dict(type='label')))),
     'DenseKDLoss.gate: is a weighted mean of teachers'),
    (dict(connectors=dict(z=dict(type='mmrazor.StandardizeConnector'))),
     'its logits are standardized'),
    (dict(
        distill_losses=dict(
            loss_kd=dict(_delete_=True, type='mmrazor.KLDivergence'))),
     'none of its distill_losses is a DenseKDLoss'),
])
def test_no_lines_that_the_loss_would_refuse(own, distiller, message):
    own.merge_from_dict(dict(model=dict(distiller=distiller)))
    output = weigh(own)
    assert 'teacher_weights=' not in output
    assert f'no lines for the config of resnet8: {message}' in output


def test_no_lines_of_a_teacher_that_is_never_wrong(own, monkeypatch):
    """The images do not tell its temperature."""
    labels = np.arange(40) % 10
    one = 30. * np.eye(10)[labels]
    monkeypatch.setattr(
        chains, 'held_out_logits', lambda *_: held_out.HeldOutLogits(
            dict(resnet20=one, resnet14=-one), labels, [], []))
    output = weigh(own)
    assert 'teacher_weights=' not in output
    assert ('no lines for the config of resnet8: resnet20 is sure and right '
            'on all held-out images') in output


def test_a_loss_of_a_base_of_a_package_has_lines(own):
    """As in a config of ``mmdgkd new``: MMEngine notes the package there."""
    own.model.distiller.distill_losses.loss_kd['_scope_'] = 'mmdgkd'
    assert 'teacher_weights=' in weigh(own)


def test_images_without_a_class_do_not_count(own):
    everything = logits_of(own, ['resnet20', 'resnet14'])
    labels = everything.labels.copy()
    labels[[1, 5]] = -100
    for name in ('resnet20', 'resnet14'):
        path = f'{own.work_dir}/{name}/held_out.npz'
        with np.load(path) as file:
            content = dict(file, labels=labels)
        np.savez(path, **content)
    found = logits_of(own, ['resnet20', 'resnet14'])
    for name, logits in found.logits.items():
        whole = everything.logits[name]
        assert np.array_equal(logits, np.delete(whole, [1, 5], axis=0))
    assert found.cached == ['resnet20', 'resnet14']
    assert weigh(own).startswith(
        'held-out images: 62; without a class: 2 more; cached: ')


def test_an_order_that_differs_is_refused(own):
    """Such as of a loader that shuffles."""
    loader = copy.deepcopy(own.val_dataloader)
    loader.sampler.shuffle = True
    with pytest.raises(ConfigError, match='images in another order'):
        logits_of(own, ['resnet20', 'resnet14'], loader)


@pytest.mark.parametrize('kwargs, message', [
    (dict(network='resnet20'), '--network: "resnet20" is the first'),
    (dict(network='no'), '--network: "no" is no network of this chain'),
    (dict(teachers=['resnet8']), '--teachers: "resnet8" is no network before'),
])
def test_a_wrong_name_is_refused(own, kwargs, message):
    with pytest.raises(ConfigError, match=message):
        weigh(own, **kwargs)


def test_a_network_that_is_not_trained_is_refused(own):
    os.remove(f'{own.work_dir}/resnet14/resnet14.pth')
    with pytest.raises(ConfigError, match='no trained "resnet14" yet'):
        weigh(own)


def test_labels_that_do_not_exclude_each_other_are_refused(own):
    own.chain.networks.resnet20.model.head.loss = dict(
        type='CrossEntropyLoss', use_sigmoid=True)
    with pytest.raises(
            ConfigError,
            match='chain.networks.resnet20.model: .* only heads by softmax'):
        weigh(own)


def test_a_network_without_finite_scores_is_refused(own):
    path = f'{own.work_dir}/resnet14/resnet14.pth'
    checkpoint = torch.load(path, weights_only=True)
    checkpoint['state_dict']['head.fc.bias'][3] = float('nan')
    torch.save(checkpoint, path)
    with pytest.raises(
            ConfigError,
            match='chain.networks.resnet14: gives NaN or infinite scores for '
            '64 of 64 held-out images; .*') as error:
        weigh(own)
    assert '\n' not in str(error.value)
    assert 'computed: resnet20' not in weigh(own, teachers=['resnet20'])


def test_a_read_only_work_dir(own, monkeypatch):
    for module in (held_out, chains):
        monkeypatch.setattr(module, 'can_write', lambda folder: False)
    assert weigh(own).endswith(f'nothing is written: {own.work_dir} is '
                               'read-only')
    assert not [*Path(own.work_dir).glob('**/held_out.npz')]
    assert not Path(own.work_dir, 'weigh.json').exists()


def test_a_report_has_the_figure_and_the_sentence(own, tmp_path):
    write_report([own.work_dir], str(tmp_path / 'before'))
    weigh(own)
    write_report([own.work_dir], str(tmp_path / 'after'))
    work = Path(own.work_dir)
    sentence = json.loads((work / 'weigh.json').read_text())['sentence']
    for name in ('report.html', 'report.md'):
        before, after = (
            Path(tmp_path, one, name).read_text()
            for one in ('before', 'after'))
        assert 'worth more than one' not in before
        assert 'worth more than one' in after and f'{sentence}.' in after
    picture = tmp_path / 'after' / 'weigh_1.png'
    assert picture.read_bytes() == (work / 'weigh.png').read_bytes()
    assert 'width="984" alt="Reliability' in after
    assert f'resnet8 by resnet20, resnet14: {sentence}.' in after
    # Of other weights than these it is not shown, nor if it does not tell.
    found = json.loads((work / 'weigh.json').read_text())
    files = found['files']
    for given, what in ((dict(files, resnet14='other'), 'resnet14'),
                        ({}, 'its teachers')):
        (work / 'weigh.json').write_text(json.dumps(dict(found, files=given)))
        write_report([own.work_dir], str(tmp_path / 'stale'))
        text = (tmp_path / 'stale' / 'report.html').read_text()
        assert sentence not in text and 'Reliability' not in text
        assert f'it was about other weights of {what} than those' in text
    # Of a file that anyone may have written nothing is executed.
    (work / 'weigh.json').write_text(
        json.dumps(dict(sentence='<b>x</b>', files=files)))
    (work / 'weigh.png').write_text('no picture')
    write_report([own.work_dir], str(tmp_path / 'other'))
    text = (tmp_path / 'other' / 'report.html').read_text()
    assert '&lt;b&gt;x&lt;/b&gt;.' in text and 'Reliability' not in text
    (work / 'weigh.json').write_text('[')
    write_report([own.work_dir], str(tmp_path / 'broken'))


@pytest.fixture
def mmdgkd(monkeypatch, capsys):
    """A function that types ``mmdgkd weigh ...``."""

    def run(*words):
        monkeypatch.setattr(sys, 'argv', ['mmdgkd', 'weigh', *words])
        code = 0
        try:
            mmdgkd_cli.main()
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


def test_the_command_wants_a_holdout(mmdgkd, own):
    for words in ([own.work_dir],
                  ['mmdgkd::dgkd/resnet20_to_resnet8_digits.py']):
        code, output, errors = mmdgkd(*words)
        assert code == 2 and not output
        assert errors == (
            'error: chain.holdout: is not set; weigh needs images that no '
            'teacher was trained on, such as chain=dict(holdout=5000)\n')


@pytest.mark.parametrize('words, message', [
    (['--resamples', '1'], '--resamples: 1 must be from 2 to 10000'),
    (['--resamples', '1000000'], '--resamples: 1000000 must be from 2 to'),
    (['--seed', '-1'], '--seed: -1 must be 0 or more'),
])
def test_the_command_refuses_other_numbers(mmdgkd, own, words, message):
    code, output, errors = mmdgkd(own.work_dir, *words)
    assert code == 2 and not output and errors.startswith(f'error: {message}')
    assert errors.count('\n') == 1


def test_the_command(mmdgkd, tiny_cfg):
    """By a work dir, and by a config; on images that none was trained on."""
    cfg = tiny_cfg()
    cfg.chain.holdout = 32
    ChainRunner(cfg, verbose=False).train()
    words = ['--resamples', '10']
    code, output, errors = mmdgkd(cfg.work_dir, *words)
    assert code == 0, errors
    assert 'held-out images: 32; computed: resnet20' in output
    config = Path(cfg.work_dir, 'config.py')
    code, again, errors = mmdgkd(
        str(config), '--work-dir', cfg.work_dir, '--teachers', 'resnet20',
        '--network', 'resnet8', *words)
    assert code == 0 and 'cached: resnet20\n' in again, errors
    assert again.count('\n') > 5 and 'mmengine' not in output + errors
    # Of other training images others are held out, which these have seen.
    weighed = Path(cfg.work_dir, 'weigh.json').read_bytes()
    for indices, what in (('50', '64 images, but "train_dataloader" has 50'),
                          ('range(1,65)',
                           'other images than "train_dataloader" has')):
        (config.parent / 'other.py').write_text(
            f"_base_ = './config.py'\ntrain_dataloader = dict(\n"
            f'    dataset=dict(indices={indices}))')
        code, output, errors = mmdgkd(
            str(config.parent / 'other.py'), '--work-dir', cfg.work_dir,
            *words)
        assert code == 2 and not output
        assert f'resnet20.pth: is of a training on {what}' in errors
    assert Path(cfg.work_dir, 'weigh.json').read_bytes() == weighed


def test_the_command_refuses_networks_that_have_seen_the_images(mmdgkd, own):
    code, output, errors = mmdgkd(own.work_dir, '--cfg-options',
                                  'chain.holdout=16')
    assert code == 2
    assert ('resnet20.pth: was trained with 0 images of seed 0 held out, but '
            'chain.holdout is 16 images of seed 0 held out') in errors
    assert not Path(own.work_dir, 'weigh.json').exists()


def test_snapshots_are_weighed(mmdgkd, tiny_cfg):
    """A file of a part of a training tells what that has left out."""
    cfg = tiny_cfg(epochs=2)
    cfg.chain.holdout = 32
    cfg.chain.networks.resnet20.snapshots = [0.5]
    cfg.chain.networks.resnet14 = None
    cfg.chain.order = ['resnet20', 'resnet8']
    ChainRunner(cfg, verbose=False).train()
    code, output, errors = mmdgkd(cfg.work_dir, '--resamples', '10')
    assert code == 0, errors
    found = json.loads(Path(cfg.work_dir, 'weigh.json').read_text())
    assert {*found['teachers']} == {'resnet20', 'resnet20_50'}
    assert found['images'] == 32 and found['unknown'] == []
    # That of the training itself tells it, too.
    cfg.chain.networks.resnet20.update(
        snapshots=[],
        ckpt_path=f'{cfg.work_dir}/resnet20/snapshot_epoch_1.pth')
    cfg.work_dir += '_given'
    assert 'holdout: 32' in ChainRunner(cfg, verbose=False).plan()
    cfg.chain.holdout = 16
    with pytest.raises(ConfigError, match='was trained with 32 images of'):
        ChainRunner(cfg, verbose=False).plan()
