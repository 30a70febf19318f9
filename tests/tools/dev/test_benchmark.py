# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import json

import pytest

DIGITS = 'configs/dgkd/resnet20_to_resnet8_digits.py'
CASES = {'released', 'mmrazor', 'live', 'drop', 'stored', 'student_alone'}


@pytest.mark.slow
def test_a_stage(run_here, tmp_path):
    done = run_here('tools/dev/benchmark.py', DIGITS, '--steps', 2, '--rounds',
                    1, '--json', tmp_path / 'b.json', '--cfg-options',
                    'train_dataloader.batch_size=16',
                    'chain.networks.left_out=None')
    figures = json.loads((tmp_path / 'b.json').read_text())
    assert {'config', 'device', 'versions', 'cases'} <= set(figures)
    assert figures['config'] == DIGITS
    assert set(figures['cases']) == CASES
    for name, case in figures['cases'].items():
        assert case['ms_per_step'] > 0 and name in done.stdout
        assert abs(case['images_per_s'] * case['ms_per_step'] - 16000) < 1
        assert case['peak_mib'] is None or case['peak_mib'] > 0
    assert set(figures['bare']) == {'stored', 'student_alone'}


@pytest.mark.slow
def test_a_chain(run_here, tmp_path):
    done = run_here('tools/dev/benchmark.py', DIGITS, '--chain', '--images',
                    64, '--epochs', 2, '--rounds', 1, '--json',
                    tmp_path / 'b.json')
    figures = json.loads((tmp_path / 'b.json').read_text())
    assert [chain['networks'] for chain in figures['chains']] == [2, 3]
    assert all(chain['stored_ratio'] > 0 for chain in figures['chains'])
    assert 'guidance s' in done.stdout


def test_bad_input(run_here):
    done = run_here(
        'tools/dev/benchmark.py',
        'configs/_base_/default_runtime.py',
        check=False)
    assert done.returncode == 2
    assert 'declares no chain' in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    done = run_here(
        'tools/dev/benchmark.py', DIGITS, '--stage', 'resnet9', check=False)
    assert done.returncode == 2 and '"resnet9" is no network' in done.stderr
    # The losses of edges are timed, too, but none is dropped.
    done = run_here(
        'tools/dev/benchmark.py',
        'configs/dskd/resnet20_to_resnet8_digits.py',
        '--cases',
        'live',
        'drop',
        check=False)
    assert done.returncode == 2 and "--cases: 'drop' drops" in done.stderr
