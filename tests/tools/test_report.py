# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The report's command line, as a user types it."""
import shutil


def test_a_report(run_here, trained, tmp_path):
    out = tmp_path / 'out'
    done = run_here('tools/report.py', trained[0].work_dir, '--out', out,
                    '--title', 'Digits & more')
    assert done.stdout.split() == [str(out / 'report.html')]
    assert 'Digits &amp; more</h1>' in (out / 'report.html').read_text()


def test_a_torn_ledger_is_one_line(run_here, trained, tmp_path):
    (tmp_path / 'torn').mkdir()
    (tmp_path / 'torn/chain.json').write_text('{"version": 1, ')
    shutil.copy(f'{trained[0].work_dir}/chain.json', tmp_path)
    done = run_here(
        'tools/report.py',
        tmp_path,
        tmp_path / 'torn',
        '--out',
        tmp_path / 'out',
        check=False)
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith('error: ')
    assert str(tmp_path / 'torn/chain.json') in lines[0]
    assert not (tmp_path / 'out').exists()
