# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy
import json
import math
import random
import shutil
import sys

import pytest

from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain
from mmdgkd.chain.ledger import Ledger, file_entry
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.fileio.files import sha256_of
from mmdgkd.report.records import read_runs


def chain(guidance='dense', names='ts'):
    return Chain.from_cfg(
        dict(
            guidance=guidance,
            networks={name: dict(model=dict())
                      for name in names}))


def test_what_is_written_is_read(tmp_path):
    ledger = Ledger.open(str(tmp_path), chain())
    assert ledger['s'] == dict(state='pending', guides=['t'])
    assert not (tmp_path / 'chain.json').exists()
    ledger.update('t', state='running', config_sha256='', seconds=1.5)
    ledger.update(seed=3)
    again = Ledger.open(str(tmp_path), chain())
    assert again['t']['seconds'] == 1.5 and again.data['seed'] == 3


def test_best_last_and_going_back(tmp_path):
    ledger = Ledger.open(str(tmp_path), chain())
    for step, value in ((1, 10.0), (2, 30.0), (3, 20.0)):
        ledger.record('t', 'accuracy/top1', step, value)
    metric = ledger['t']['metric']
    assert (metric['best'], metric['best_at'], metric['last']) == (30, 2, 20)
    assert ledger.rewind('t', 1)
    assert ledger['t']['metric']['best'] == 10
    # The checkpoint of step 2 exists, its validation does not.
    assert not ledger.rewind('t', 2)
    ledger.record('t', 'accuracy/top1', 2, 5.0)
    assert ledger['t']['metric']['history'] == [[1, 10.0], [2, 5.0]]
    assert not ledger.rewind('s', 0)


def test_of_a_loss_the_least_is_the_best(tmp_path):
    ledger = Ledger.open(str(tmp_path), chain())
    for step, value in ((1, 2.0), (2, 1.0), (3, 1.5)):
        ledger.record('t', 'val/loss', step, value)
    assert ledger['t']['metric']['best'] == 1.0


def test_a_value_that_is_not_finite_is_never_the_best(tmp_path):
    ledger = Ledger.open(str(tmp_path), chain())
    for step, value in enumerate((math.nan, 10., math.inf, 30., 20.), 1):
        ledger.record('t', 'accuracy/top1', step, value)
    metric = ledger['t']['metric']
    assert (metric['best'], metric['best_at'], metric['last']) == (30, 4, 20)


def test_a_rule_is_kept_and_without_one_there_is_no_best(tmp_path):
    ledger = Ledger.open(str(tmp_path), chain())
    for step, value in ((1, 2.0), (2, 1.0), (3, 1.5)):
        ledger.record('t', 'my/number', step, value)
        ledger.record('s', 'my/number', step, value, 'less')
    assert ledger['t']['metric']['best'] is None
    assert ledger['t']['metric']['last'] == 1.5
    assert ledger['s']['metric']['best'] == 1.0
    # As a resume goes back.
    Ledger.open(str(tmp_path), chain()).rewind('s', 1)
    again = Ledger.open(str(tmp_path), chain())['s']['metric']
    assert (again['best'], again['rule']) == (2.0, 'less')


@pytest.mark.parametrize('other', [
    chain(names='tas'),
    chain(names='tx'),
    chain(names='st'),
])
def test_other_networks_are_refused(tmp_path, other):
    Ledger.open(str(tmp_path), chain()).update(seed=0)
    with pytest.raises(ConfigError, match=r'holds another chain \(t; s <- t'):
        Ledger.open(str(tmp_path), other)


def test_another_guidance_is_refused_where_it_matters(tmp_path):
    Ledger.open(str(tmp_path), chain()).update(seed=0)
    ledger = Ledger.open(str(tmp_path), chain('none'))
    with pytest.raises(ConfigError, match=r'\(t; s <- t\) than .* \(t; s\)'):
        ledger.check_teachers(chain('none'))


@pytest.mark.parametrize('text', [
    '', '{"stages": 3}', '[]', '{"version": 1}',
    '{"version": 1, "stages": {}}', '[' * 100_000 + ']' * 100_000,
    '{"a":' * 100_000
])
def test_a_damaged_ledger_is_reported_as_one(tmp_path, text):
    (tmp_path / 'chain.json').write_text(text)
    with pytest.raises(ConfigError, match='chain.json: is not readable'):
        Ledger.open(str(tmp_path), chain())


def test_deep_brackets_with_the_limit_that_mmrazor_sets(tmp_path):
    """They ended in signal 11."""
    (tmp_path / 'chain.json').write_text('[' * 100_000)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    try:
        with pytest.raises(ConfigError, match='is nested too deep'):
            Ledger.open(str(tmp_path), chain())
        assert sys.getrecursionlimit() == 1_000_000
    finally:
        sys.setrecursionlimit(limit)


OTHERS = (None, 1, -1, 2.5, 'x', True, [], [1], {}, {'a': 1})


def entries_of(value, path=()):
    """The paths to all entries of dicts and lists."""
    keys = value if isinstance(
        value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*path, key)
        yield from entries_of(value[key], (*path, key))


def changed(data, path, new):
    """A copy with an entry of another value, or without it."""
    data = copy.deepcopy(data)
    owner = data
    for key in path[:-1]:
        owner = owner[key]
    if new is entries_of:
        del owner[path[-1]]
    else:
        owner[path[-1]] = new
    return data


@pytest.mark.slow
def test_any_entry_missing_or_of_another_type_is_one_line(trained, tmp_path):
    """In a whole ledger: it is planned and reported, or refused by a line."""
    cfg = copy.deepcopy(trained[0])
    work = tmp_path / 'work'
    shutil.copytree(cfg.work_dir, work)
    cfg.work_dir, cfg.resume = str(work), True
    file = work / 'chain.json'
    data = json.loads(file.read_text())
    # The networks are checked once: no ledger changes them.
    facts = trained[1].facts
    draw = random.Random(0)
    paths = list(entries_of(data))
    tried = [(path, entries_of)
             for path in paths] + [(path, draw.choice(OTHERS))
                                   for path in paths]
    refused = 0
    for path, new in tried:
        file.write_text(json.dumps(changed(data, path, new)))
        try:
            runner = ChainRunner(cfg)
            runner._facts = facts
            runner.plan()
            read_runs([str(work)])
        except ConfigError as error:
            refused += 1
            assert '\n' not in str(error), path
    assert len(tried) > 200 and refused > 50


def test_a_newer_ledger_is_not_guessed_at(tmp_path):
    ledger = Ledger.open(str(tmp_path), chain())
    ledger.update(version=99)
    with pytest.raises(ConfigError, match='is of version 99'):
        Ledger.open(str(tmp_path), chain())


def test_files_are_named_by_path_and_sha256(tmp_path):
    path = tmp_path / 't.pth'
    path.write_bytes(b'abc')
    entry = file_entry(str(path), str(tmp_path))
    assert entry['file'] == 't.pth'
    # The sha256 of "abc", from FIPS 180-2.
    assert entry['sha256'] == sha256_of(str(path)) == (
        'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
    assert file_entry(str(path), str(tmp_path / 'x'))['file'] == str(path)
    assert file_entry('https://x/y.pth', '.')['sha256'] is None


def test_the_ledger_is_json(tmp_path):
    Ledger.open(str(tmp_path), chain()).update('t', seconds=1)
    data = json.loads((tmp_path / 'chain.json').read_text())
    assert list(data['stages']) == ['t', 's']
