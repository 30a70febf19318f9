# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Changed configs and ledgers end in a line or in a run."""
import random

import pytest


@pytest.fixture
def fuzz(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / 'tools/dev'))
    import fuzz
    return fuzz


def test_a_change_is_one_of_its_kinds(fuzz):
    draw, kinds = random.Random(0), set()
    for _ in range(200):
        data = dict(stages=[dict(name='resnet8', seconds=3)], version=1)
        text = fuzz.change(data, draw)
        assert data != dict(
            stages=[dict(name='resnet8', seconds=3)], version=1) or ('='
                                                                     in text)
        kinds.add('renamed' if ' renamed ' in text else 'left out' if text.
                  endswith(' left out') else 'value')
    assert kinds == {'renamed', 'left out', 'value'}


def test_outcomes(fuzz, tmp_path):
    from mmdgkd import ConfigError

    def fails(error):

        def trial(folder):
            raise error

        return trial

    def outcome(trial, limit=20):
        return fuzz.outcome_of(trial, limit)

    assert outcome(lambda folder: None) == 'run'
    assert outcome(fails(ConfigError('a: b'))) == 'line: a: b'
    # Neither an error of two lines nor an unforeseen one is a line.
    assert outcome(fails(ConfigError('a\nb'))).startswith('ConfigError: ')
    assert outcome(fails(KeyError('x'))).startswith('KeyError: "\'x\'" at ')
    assert outcome(lambda folder: __import__('time').sleep(60),
                   .2) == ('took more than 0.2 s')
    assert outcome(lambda folder: __import__('os').abort()) == (
        'its process was killed')


@pytest.mark.slow
@pytest.mark.parametrize('what, seconds', [('ledgers', 6), ('configs', 15)])
def test_a_seeded_part(fork_tool, what, seconds):
    fuzzing = fork_tool('tools/dev/fuzz.py', what, '--seconds', seconds,
                        '--seed', 1)
    assert fuzzing.wait(200) == 0, fuzzing.output()
    assert ' 0 wrong, ' in fuzzing.output()
