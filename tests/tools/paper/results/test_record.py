# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import dataclasses
import importlib
import json

import numpy as np
import pytest
import results
from results.record import read_records, record_name, write_record
from results.record_check import pack_errors, unpack_errors

from mmdgkd import ConfigError


def test_written_records_are_read_again(make_record, tmp_path):
    one = make_record(best=50.1, last=49.9)
    two = make_record('kd', seed=1, variant='equal_weight', kd_weight=4.)
    path = write_record(str(tmp_path / 'released-none'), one)
    write_record(str(tmp_path / 'released-none'), two)
    assert path.endswith('/released-none/dgkd_plain2_seed0.json')
    assert record_name(two) == 'kd_equal_weight_plain2_seed1.json'
    assert read_records(str(tmp_path)) == [one, two]
    assert not list(tmp_path.rglob('*.part'))
    # A key a line, so that a history does not fill a page of a diff.
    with open(path) as file:
        assert len(file.readlines()) == 2 + len(dataclasses.fields(one))


def test_errors_are_unpacked_in_their_order():
    wrong = np.random.RandomState(0).rand(10000) < .5
    assert (unpack_errors(pack_errors(wrong)) == wrong).all()
    # The base64 of the byte 255.
    assert pack_errors([True] * 8) == '/w=='


@pytest.mark.parametrize('change, message', [
    (dict(method=None), 'method: is missing'),
    (dict(method='fitnet'), "method: is 'fitnet', should be 'alone' or 'kd'"),
    (dict(recipe='paper'),
     "recipe: is 'paper', should be 'released' or 'own' or 'short'"),
    (dict(version=2), 'version: is 2, should be 1'),
    (dict(colour='red'), 'colour: is unknown'),
    (dict(best=49.), 'best: 49.0 is less than last, 50.0'),
    (dict(best=51.), 'best: is 51.0, should be 50.0 as in history'),
    (dict(history=[[1, 50.], [2, 48.]]), 'last: is 50.0, should be 48.0'),
    (dict(history=[[1, 50.]]), 'history: ends at epoch 1, should be at 2'),
    (dict(history=[[2, 50.], [2, 50.]]), 'history: should have each'),
    (dict(best_at=3), 'best_at: is 3, should be an epoch of history'),
    (dict(wrong='AAAA'), 'wrong: has 24 bits, should be 10,000'),
    (dict(wrong='?'), 'wrong: is not base64'),
    (dict(wrong='ä'), 'wrong: is not base64'),
    (dict(seed='0'), "seed: is '0', should be an integer"),
    (dict(best=True), 'best: is True, should be a number'),
    (dict(variant='tas_0'), "variant: is 'tas_0', should be null or match"),
    (dict(guidance='direct'), "guidance: is 'direct', should be 'dense'"),
    (dict(guides=['plain1']), "guides: 'plain1' is not before 'plain2'"),
    (dict(guides=[]), r'guides: is \[\], should be one or more'),
    (dict(network='plain3'), "network: 'plain3' is not in networks"),
    (dict(guides=['plain4', 'plain4']), 'should name each teacher once'),
    (dict(networks=['plain2', 'plain2']), 'networks: is .* each network'),
    (dict(epochs=0), 'epochs: is 0, should be 1 or more'),
    (dict(last=-1., best=50.), 'last: is -1.0, should be in percent'),
    (dict(guides=[], guidance='none',
          method='alone'), 'kd_weight: is 4.0, should be null without guides'),
])
def test_bad_records_are_named_in_one_line(make_record, tmp_path, change,
                                           message):
    path = write_record(str(tmp_path), make_record())
    with open(path) as file:
        data = json.load(file)
    data.update(change)
    data = {k: v for k, v in data.items() if k != 'method' or v is not None}
    with open(path, 'w') as file:
        json.dump(data, file)
    with pytest.raises(ConfigError, match=message) as caught:
        read_records(str(tmp_path))
    assert str(caught.value).startswith(f'{path}: ')
    assert len(str(caught.value).splitlines()) == 1


def test_wrong_images_must_be_those_of_the_last_epoch(make_record, tmp_path):
    wrong = np.arange(10000) < 5000
    write_record(str(tmp_path), make_record(best=51., last=50.01, wrong=wrong))
    with pytest.raises(ConfigError, match='wrong: 5,000 wrong images of'):
        write_record(
            str(tmp_path), make_record(best=51., last=50.03, wrong=wrong))


def test_bad_files(make_record, tmp_path):
    with pytest.raises(ConfigError, match='there is no such folder'):
        read_records(str(tmp_path / 'none'))
    write_record(str(tmp_path / 'a'), make_record())
    write_record(str(tmp_path / 'b'), make_record())
    with pytest.raises(ConfigError, match='seed: 0 of this method and netwo'):
        read_records(str(tmp_path))
    (tmp_path / 'a.json').write_text('{"best": NaN}')
    with pytest.raises(ConfigError, match='a.json: is not JSON: NaN'):
        read_records(str(tmp_path))


def test_missing_libraries_are_named(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(ConfigError, match='matplotlib: is not installed'):
        importlib.reload(results)
