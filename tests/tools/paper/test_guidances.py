# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import argparse
import json
from pathlib import Path

import _guidance_runs
import _guidances
import pandas as pd
import pytest
from _guidances import METHODS, RUNS, SETTINGS, Method, Run, Setting
from mmengine.config import Config
from results import guidances as tables
from results.markdown import read_page, stale

from mmdgkd.chain.chain import Chain

ROOT = Path(__file__).parents[3]
RECIPE = ('task_loss_weight', 'loss_weight', 'form')


def runs_of(tmp_path, setting='plain_10k', **kwargs):
    return _guidance_runs.GuidanceRuns(
        argparse.Namespace(
            **{
                'setting': setting,
                'work_dir': str(tmp_path / 'work'),
                'root': str(tmp_path / 'root'),
                'data_root': 'd',
                'minutes': None,
                'teachers': None,
                'again': False,
                'methods': [*METHODS],
                'seeds': [0, 1],
                **kwargs
            }))


def test_the_page_has_the_numbers_that_are_committed():
    blocks = tables.tables_of(str(ROOT))
    text = read_page(str(ROOT), tables.PAGE)
    for name in blocks:
        assert f'<!-- results: {name} begin -->' in text
    assert not stale(tables.PAGE, text, blocks)
    for setting in SETTINGS.values():
        rows = tables.read_rows(str(ROOT / tables.csv_of(setting)))
        assert not rows.duplicated(['method', 'seed']).any()
        students = rows[~rows['method'].str.contains('/').astype(bool)]
        assert set(students['method']) <= set(METHODS)
        assert students['test'].notna().all()


@pytest.mark.parametrize('setting', SETTINGS)
@pytest.mark.parametrize('name', METHODS)
def test_each_method_is_a_chain(name, setting, tmp_path, monkeypatch):
    runs, method = runs_of(tmp_path, setting), METHODS[name]
    monkeypatch.setattr(runs, '_weights', lambda method: {})
    cfg = runs.student_config(method, 3, str(tmp_path / 'student'))
    chain = Chain.from_cfg(cfg.chain)
    assert chain.names[-1] == SETTINGS[setting].student
    assert chain.teachers[chain.names[-1]] == tuple(chain.names[:-1])
    assert all(chain[teacher].ckpt_path for teacher in chain.names[:-1])
    assert chain.holdout and cfg.randomness.seed == 3
    assert chain.views['seed'] == 0
    mixed = cfg.optim_wrapper.get('type') == 'AmpOptimWrapper'
    assert mixed == SETTINGS[setting].amp
    # One total weight, unless it is said that it is another.
    model, plain = cfg.model, Config.fromfile(
        str(ROOT / f'configs/dgkd/{SETTINGS[setting].config}.py')).model
    settings = [[
        each.task_loss_weight, *(each.distiller.distill_losses.loss_kd[key]
                                 for key in ('loss_weight', 'form'))
    ] for each in (model, plain)]
    assert (settings[0] == settings[1]) == method.equal


def test_the_teachers_of_a_method_fit_the_chain():
    wanted = dict(
        kd=['dense/0'],
        takd=['takd/4'],
        dgkd=[f'dense/{place}' for place in range(5)],
        labels=['dense/0', *(f'labels/{place}' for place in range(1, 5))],
        seeds=['dense/0', 'seed1/0', 'seed2/0', 'seed3/0'])
    for name, teachers in wanted.items():
        found = SETTINGS['resnet110'].teachers(METHODS[name])
        assert found == tuple(teachers)


@pytest.mark.parametrize('setting', ['plain_10k', 'resnet110'])
@pytest.mark.parametrize('name', RUNS)
def test_each_run_is_a_chain(name, setting, tmp_path):
    cfg = runs_of(tmp_path, setting).teachers_config(name,
                                                     str(tmp_path / 'run'))
    chain, run = Chain.from_cfg(cfg.chain), RUNS[name]
    teachers = [*enumerate(SETTINGS[setting].names[:-1])][run.networks]
    names = [name for _, name in teachers]
    assert [name for name in chain.names if name in names] == names
    for place, name in teachers:
        assert chain.fold_of(name) == run.folds.get(place)
        assert bool(chain[name].ckpt_path) == (place in run.given)


def test_other_teachers_have_other_seeds_and_files(tmp_path):
    one, other = SETTINGS['plain_10k'], SETTINGS['plain_10k_seed4']
    assert one.config == other.config
    assert tables.csv_of(one).endswith('/plain10_to_plain2_cifar100_10k.csv')
    assert tables.csv_of(other).endswith('_10k_seed4.csv')
    assert tables.weighed_of(other).endswith('_10k_seed4_weigh.json')
    runs = runs_of(tmp_path, 'plain_10k_seed4')
    seeds = [
        runs.teachers_config(name, str(tmp_path / name)).randomness.seed
        for name in ('dense', 'labels', 'seed3')
    ]
    assert seeds == [4, 4, 7]
    # Those of the students stay, and with them the comparison.
    cfg = runs.student_config(METHODS['alone'], 1, str(tmp_path / 'student'))
    assert cfg.randomness.seed == 1


def test_a_paired_difference():
    """By hand: 1, 2 and 3; mean 2, standard deviation 1."""
    one = pd.Series({0: 11., 1: 22., 2: 33., 5: 0.})
    other = pd.Series({2: 30., 1: 20., 0: 10., 7: 0.})
    found = tables.Paired(one, other)
    assert (found.n, found.mean) == (3, 2.)
    assert found.error == pytest.approx(1 / 3**.5)
    # Three seeds are too few for a star.
    assert str(found) == '+2.00 (0.58)'
    many = pd.Series(range(5)) * 1.
    assert str(tables.Paired(2 * many + 1, many)) == '+3.00 (0.71)*'
    assert str(tables.Paired(2 * many - 3, many)) == '-1.00 (0.71)'
    assert str(tables.Paired(one[:1], other)) == '+1.00'
    assert str(tables.Paired(one[3:], other)) == '-'


@pytest.fixture
def tiny(monkeypatch):
    """A setting on the digits, of seconds."""
    settings = dict(
        tiny=Setting(
            'resnet20_to_resnet8_digits',
            'digits', ('resnet20', 'resnet14', 'resnet8'), {
                'chain.holdout': 100,
                'train_cfg.max_epochs': 3,
                'train_dataloader.dataset.indices': 600,
                'test_dataloader.dataset.indices': 64,
                'model.distiller.distill_losses.loss_kd.form': 'averaged',
                'visualizer': None,
            },
            seed=4))
    runs = dict(
        dense=Run(slice(None), 'dense'),
        takd=Run(slice(None), 'sequential', {0: 'dense'}),
        fold0=Run(slice(1), folds={0: 0}),
        fold1=Run(slice(1), seed=1, folds={0: 1}))
    kd = 'model.distiller.distill_losses.loss_kd'
    methods = dict(
        alone=Method('alone'),
        kd=Method('KD', ('dense/0', ), baseline='alone'),
        stacked=Method('stacked', ('dense/*', ), weigh='stacked'),
        unseen=Method('unseen', ('fold0/0', 'fold1/0'),
                      {f'{kd}.unseen_weight': 0.5}))
    for module in (_guidances, _guidance_runs, tables):
        for key, value in (('SETTINGS', settings), ('RUNS', runs), ('METHODS',
                                                                    methods)):
            monkeypatch.setattr(module, key, value, raising=False)
    return settings['tiny']


def test_a_setting_is_trained_once_and_again(tiny, tmp_path, capsys,
                                             monkeypatch):
    methods = ['alone', 'kd', 'stacked', 'unseen']
    runs = runs_of(tmp_path, 'tiny', methods=methods, data_root='')
    assert runs.left() == [
        'teachers: dense', 'teachers: fold0', 'teachers: fold1',
        *(f'student: {name}, seed {seed}' for seed in (0, 1)
          for name in methods)
    ]
    runs.run_all()
    assert runs.left() == []
    path = tmp_path / 'root' / tables.csv_of(tiny)
    rows = tables.read_rows(str(path))
    assert tuple(rows.columns) == tables.COLUMNS
    assert rows['method'].tolist() == [
        *[name for name in methods for _ in range(2)], 'dense/resnet14',
        'dense/resnet20', 'fold0/resnet20', 'fold1/resnet20'
    ]
    # The seed of the setting is that of its teachers alone.
    assert rows['seed'].tolist() == [0, 1] * len(methods) + [4, 4, 4, 5]
    weighed = tables.read_weighed(
        str(tmp_path / 'root' / tables.weighed_of(tiny)))
    assert set(weighed) == {'dense/0', 'dense/0 dense/1', 'fold0/0 fold1/0'}
    student = tmp_path / 'work/tiny/students/stacked_0/resnet8/config.py'
    loss = Config.fromfile(str(student)).model.distiller.distill_losses.loss_kd
    assert loss.form == 'stacked'
    assert loss.teacher_tau == weighed['dense/0 dense/1']['teacher_tau']
    table = tables.students_table(tiny, rows, weighed)
    assert table.count('\n') == 5 and '| stacked |' in table
    assert '| over KD, held out |' in table
    # A second time nothing is trained.
    monkeypatch.setattr(runs, '_train', None)
    runs.run_all()
    assert tables.read_rows(str(path)).equals(rows)
    # A student needs its own teachers, not those that come after them.
    (tmp_path / 'work/tiny/dense/chain.json').unlink()
    monkeypatch.setattr(runs.args, 'methods', ['kd'])
    runs.run_all()
    # So do teachers whose own teachers are given.
    runs_of(tmp_path, 'tiny', teachers=['takd'], data_root='').run_all()
    rows = tables.read_rows(str(path))
    assert 'takd/resnet14' in rows['method'].tolist()
    assert not (tmp_path / 'work/tiny/dense/chain.json').exists()
    capsys.readouterr()
    again = runs_of(
        tmp_path,
        'tiny',
        methods=['kd', 'unseen'],
        seeds=[0],
        again=True,
        data_root='')
    again.run_all()
    lines = [
        line for line in capsys.readouterr().out.splitlines()
        if 'seed 0: best' in line
    ]
    assert len(lines) == 2
    assert all('the bytes of the weights are the same' in line
               for line in lines)
    # What differs is said.
    record = tmp_path / 'work/tiny/students/kd_0/chain.json'
    text = json.loads(record.read_text())
    text['stages']['resnet8']['wrote']['sha256'] = 'other'
    record.write_text(json.dumps(text))
    again.run_all()
    assert capsys.readouterr().out.count('DIFFERS') == 1
