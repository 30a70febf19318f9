# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The experiments by one command, a few iterations of them."""
import json
import sys

import pytest
from _reproduction import STOPPED, Reproduction, finish
from results.record import read_records
from results.record_check import unpack_errors


def test_dry_run_prints_the_plan_and_writes_nothing(run_here, tmp_path):
    done = run_here('tools/paper/reproduce.py', 'own-crop_flip', '--dry-run',
                    '--methods', 'kd', 'dgkd', '--work-dir', tmp_path / 'w',
                    '--results', tmp_path / 'r')
    for word in ('dgkd_tas', 'plain8, plain6, plain4', 'kd_seed2', 'to do'):
        assert word in done.stdout
    assert 'takd' not in done.stdout
    assert not list(tmp_path.iterdir())


def test_chosen_runs(run_here, tmp_path):
    command = ('tools/paper/reproduce.py', 'short-crop_flip', '--ablations',
               '--seeds', '1', '--work-dir', tmp_path, '--runs')
    chosen = run_here(*command, 'takd_tas_1_seed1', 'teacher', '--dry-run')
    rows = [
        row.split()[1] for row in chosen.stdout.splitlines() if 'to do' in row
    ]
    assert rows == ['teacher', 'takd_tas_1_seed1']
    unknown = run_here(*command, 'takd_tas_1_seed0', check=False)
    assert unknown.returncode == 2
    assert "--runs: there is no run 'takd_tas_1_seed0';" in unknown.stderr
    assert ', takd_tas_1_seed1, ' in unknown.stderr
    alone = run_here(*command, 'takd_tas_1_seed1', check=False)
    assert alone.returncode == 2
    assert 'plain10.pth for takd_tas_1_seed1; python tools/' in alone.stderr
    teacher = run_here(*command, 'teacher', '--again', check=False)
    assert teacher.returncode == 2
    assert '--again: is for runs that train the student' in teacher.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('words, amp', [([], True), (['--no-amp'], False)])
def test_mixed_precision_is_the_default(monkeypatch, words, amp):
    monkeypatch.setattr('sys.argv', ['reproduce.py', 'own-crop_flip', *words])
    import reproduce
    made = Reproduction(reproduce.parse_args())
    assert all(('--amp' in made.command_of(run)) == amp for run in made.runs)


@pytest.mark.parametrize(
    'code, seconds, expected',
    [
        ('raise SystemExit(3)', 60, 3),
        ('', 60, 0),
        # Stopped before it has a handler, and by its handler.
        ('import time; time.sleep(60)', 1, STOPPED),
        ('import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: '
         'sys.exit(75)); time.sleep(60)', 1, STOPPED),
    ])
def test_exit_codes_of_trainings(code, seconds, expected):
    assert finish([sys.executable, '-c', code], seconds) == expected


def test_no_time_is_left_and_other_settings_are_refused(run_here, tmp_path):
    done = run_here(
        'tools/paper/reproduce.py',
        'own-crop_flip',
        '--minutes',
        '0',
        '--work-dir',
        tmp_path,
        check=False)
    assert done.returncode == 75
    assert 'stopped in teacher; the same command goes on' in done.stdout

    other = run_here(
        'tools/paper/reproduce.py',
        'own-crop_flip',
        '--epochs',
        '3',
        '--minutes',
        '0',
        '--work-dir',
        tmp_path,
        check=False)
    assert other.returncode == 2
    assert ('teacher was begun with train_cfg.max_epochs=None, not 3; choose '
            'another --work-dir') in other.stderr


def test_teachers_of_another_chain_are_refused(run_here, tmp_path):
    done = run_here(
        'tools/paper/reproduce.py',
        'released-none',
        '--guides-from',
        'resnet26',
        '--work-dir',
        tmp_path,
        check=False)
    assert done.returncode == 2
    assert ('--guides-from: resnet26 is of another chain than released-none; '
            'should be of the same data set and networks') in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_one_command_trains_and_goes_on_and_does_it_again(
        run_here, tmp_path, small_cifar100, trainings):
    results = tmp_path / 'results'
    command = ('tools/paper/reproduce.py', 'released-none', '--methods',
               'alone', 'kd', '--seeds', '1', '--epochs', '2',
               '--guide-epochs', '1', '--work-dir', tmp_path / 'w',
               '--results', results, '--data-root', small_cifar100, '--no-amp',
               '--cfg-options', 'train_dataloader.dataset.indices=64',
               'chain.preflight=False')
    # One run is done; the others come later.
    assert run_here(*command[:-3], '--runs', 'teacher',
                    *command[-3:]).stdout.count('wrote ') == 1
    first = run_here(*command).stdout
    assert first.count('wrote ') == 3 and len(trainings) == 4
    assert '| equal-weight KD |' in first
    records = {
        (record.method, record.variant, record.network): record
        for record in read_records(str(results))
    }
    assert set(records) == {('alone', None, 'plain10'),
                            ('alone', None, 'plain2'), ('kd', None, 'plain2'),
                            ('kd', 'equal_weight', 'plain2')}
    student = records['kd', 'equal_weight', 'plain2']
    assert student.kd_weight == student.objective['loss_weight'] == 4
    assert student.guides == ['plain10'] and student.epochs == 2
    assert student.seed == 1 and records['alone', None, 'plain10'].seed == 0
    teacher = records['alone', None, 'plain10']
    assert student.guide_sha256 == {'plain10': teacher.sha256}
    wrong = unpack_errors(student.wrong)
    assert 100 - wrong.mean() * 100 == pytest.approx(student.last)

    # All is there: nothing is trained or written again.
    assert 'wrote ' not in run_here(*command).stdout and len(trainings) == 4

    other = run_here(
        *command, 'train_dataloader.batch_size=64', '--again', check=False)
    assert other.returncode == 2 and 'was begun with' in other.stderr
    assert not (tmp_path / 'w/released-none/again').exists()
    again = run_here(*command, '--again').stdout
    assert again.count('the same bytes') == 3 and len(trainings) == 7
    ledger = tmp_path / 'w/released-none/again/kd_seed1/chain.json'
    stages = json.loads(ledger.read_text())
    stages['stages']['plain2']['metric']['last'] += 0.01
    ledger.write_text(json.dumps(stages))
    spoiled = run_here(*command, '--again', check=False)
    assert spoiled.returncode == 1 and 'DIFFERS' in spoiled.stdout


@pytest.mark.slow
def test_teachers_of_another_setting(run_here, tmp_path, small_cifar100,
                                     trainings):
    """They are trained as there, once, and the student as here."""
    results = tmp_path / 'results'
    common = ('--methods', 'kd', '--seeds', '0', '--epochs', '2', '--work-dir',
              tmp_path / 'w', '--results', results, '--data-root',
              small_cifar100, '--no-amp', '--cfg-options',
              'train_dataloader.dataset.indices=64', 'chain.preflight=False')
    command = ('tools/paper/reproduce.py', 'released-none', '--guides-from',
               'released-crop_flip', '--guide-epochs', '1', *common)
    assert run_here(*command).stdout.count('wrote ') == 3
    records = {
        (record.recipe, record.augmentation, record.network, record.variant):
        record
        for record in read_records(str(results))
    }
    teacher = records['released', 'crop_flip', 'plain10', None]
    student = records['released', 'none', 'plain2', None]
    assert len(records) == 3
    assert ('released', 'none', 'plain2', 'equal_weight') in records
    assert (teacher.epochs, student.epochs) == (1, 2)
    assert student.guide_sha256 == {'plain10': teacher.sha256}
    assert not (tmp_path / 'w/released-none/teacher').exists()
    assert run_here(*command, '--dry-run').stdout.count('| done') == 3

    other = run_here(
        'tools/paper/reproduce.py', 'released-none', *common, check=False)
    assert other.returncode == 2
    assert '--guides-from' in other.stderr
