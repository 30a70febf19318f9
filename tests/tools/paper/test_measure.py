# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import argparse
import json
from pathlib import Path

import measure
import pandas as pd
import pytest
from _measurements import MEASUREMENTS
from mmengine.config import Config
from results.markdown import read_page, stale
from results.measured import measured_table, read_rows, tables_of

from mmdgkd.chain.runner import ChainRunner

ROOT = Path(__file__).parents[3]


def args_of(**kwargs):
    return argparse.Namespace(**{
        'work_dir': 'w',
        'data_root': 'd',
        'root': str(ROOT),
        **kwargs
    })


def test_the_pages_have_the_numbers_that_are_committed():
    rows = read_rows(str(ROOT))
    assert set(rows['measurement']) <= set(MEASUREMENTS)
    assert not rows.duplicated(['measurement', 'seed']).any()
    for page, blocks in tables_of(rows).items():
        text = read_page(str(ROOT), page)
        assert '<!-- results: measured begin -->' in text, page
        assert not stale(page, text, blocks), page


def test_each_is_trained_as_long_as_its_baseline():
    for one in MEASUREMENTS.values():
        if not one.baseline:
            continue
        other = MEASUREMENTS[one.baseline]
        # That of rows is trained twice, one after the other.
        twice = 1 + (one.card == 'onthefly')
        assert one.epochs * twice == other.epochs


@pytest.mark.parametrize('name', MEASUREMENTS)
def test_each_is_a_chain_that_ends_with_its_network(name, on_digits, tmp_path,
                                                    trained_resnet8):
    """And that trains this network alone, if it has no teachers to train."""
    one = MEASUREMENTS[name]
    cfg = Config.fromfile(str(ROOT / 'configs' / one.config))
    on_digits(cfg, 32)
    options = measure.options_of(name, 0, args_of())
    for key in list(options):
        if key.endswith(('data_root', 'T_max', '.end', 'max_epochs')):
            del options[key]
        elif key.endswith('ckpt_path'):
            # Its shapes are not looked at here.
            options[key] = None
    cfg.merge_from_dict(options)
    cfg.work_dir = str(tmp_path / 'work')
    chain = ChainRunner(cfg).chain
    assert one.network in chain.names
    left = set(chain.names) - set(one.given)
    assert left <= {
        one.network, 'resnet14', 'resnet14_row', 'resnet8_peer',
        'resnet8_row_paced'
    }


def test_networks_of_others_are_given():
    options = measure.options_of('speq', 2, args_of())
    networks = 'chain.networks'
    assert options[f'{networks}.resnet20.ckpt_path'] == (
        'w/teacher_0/resnet20/resnet20.pth')
    assert options[f'{networks}.resnet8.ckpt_path'] == (
        'w/kd_2/resnet8/resnet8.pth')
    assert options['randomness.seed'] == 2
    options = measure.options_of('born_again', 2, args_of())
    assert options[f'{networks}.resnet8_0.ckpt_path'] == (
        'w/alone_2/resnet8/resnet8.pth')
    assert options[f'{networks}.resnet8_1.stage.randomness.seed'] == '102'
    command = measure.command_of('kd', 1, args_of())
    assert 'chain.logit_store.store_dir=w/logits' in command
    assert '--resume' in command


def test_what_is_trained_is_noted_once(tmp_path):
    (tmp_path / 'configs').mkdir()
    args = args_of(root=str(tmp_path), work_dir=str(tmp_path))
    assert measure.entry_of('kd', 0, args) is None
    entry = dict(state='done', metric=dict(last=50.126), seconds=9.7)
    work = tmp_path / 'kd_0'
    work.mkdir()
    (work / 'chain.json').write_text(
        json.dumps(dict(stages=dict(resnet8=entry))))
    assert measure.entry_of('kd', 0, args) == entry
    for name, seed in (('kd', 1), ('alone', 0), ('kd', 0), ('kd', 0)):
        measure.note(name, seed, entry, args)
    assert (tmp_path / 'configs/results.csv').read_text() == (
        'measurement,seed,epochs,top1,seconds\n'
        'alone,0,10,50.13,10\n'
        'kd,0,10,50.13,10\n'
        'kd,1,10,50.13,10\n')


def test_a_table_by_hand():
    rows = pd.DataFrame([
        dict(measurement=name, seed=seed, epochs=10, top1=top1, seconds=1)
        for name, seed, top1 in (('alone', 0, 50.), ('alone', 1, 52.),
                                 ('kd', 0, 53.), ('kd', 1, 53.), ('dkd', 0,
                                                                  54.))
    ])
    table = measured_table(rows, ['alone', 'kd', 'dkd', 'crd'])
    alone, kd, dkd = ([cell.strip() for cell in line.strip('|').split('|')]
                      for line in table.splitlines()[2:])
    assert alone[1:] == [
        '51.00 ± 1.41', '-', '-', '2', '10', '`measure.py alone`', '-'
    ]
    # sqrt(2 / 2 + 0)
    assert kd[1:] == [
        '53.00 ± 0.00', '`alone`', '+2.00 (1.00)', '2', '10',
        '`measure.py kd`', 'first look'
    ]
    # Of one seed there is no spread.
    assert dkd[1:] == [
        '54.00', '`kd`', '+1.00', '1', '10', '`measure.py dkd`', 'first look'
    ]
    assert dkd[0] == '[DKD](dkd/README.md)'


@pytest.mark.parametrize('count, mark', [(3, 'measured'), (2, 'first look')])
def test_of_three_seeds_it_is_measured(count, mark):
    rows = pd.DataFrame([
        dict(measurement=name, seed=seed, epochs=10, top1=50., seconds=1)
        for name, seeds in (('alone', 3), ('kd', count))
        for seed in range(seeds)
    ])
    assert measured_table(rows, ['kd']).endswith(f'| {mark} |')
