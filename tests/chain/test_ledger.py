# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import json

import pytest

from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain
from mmdgkd.chain.ledger import Ledger, file_entry
from mmdgkd.fileio.files import sha256_of


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
    ledger.update('t', state='done', seconds=1.5)
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


@pytest.mark.parametrize('text', ['', '{"stages": 3}', '[]', '{"version": 1}'])
def test_a_damaged_ledger_is_reported_as_one(tmp_path, text):
    (tmp_path / 'chain.json').write_text(text)
    with pytest.raises(ConfigError, match='chain.json: is not readable'):
        Ledger.open(str(tmp_path), chain())


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
    Ledger.open(str(tmp_path), chain()).update('t', state='done')
    data = json.loads((tmp_path / 'chain.json').read_text())
    assert list(data['stages']) == ['t', 's']
