# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Try mmdgkd with the versions that are installed, and tabulate what was seen.

    python tools/dev/versions.py run docs/compat/versions.json
    python tools/dev/versions.py table docs/compat/versions.json

The first runs ``mmdgkd compat``, README's chain of digits, the export of its
networks, and tests, and adds a row to the file. It ends with 1 if one failed.
"""
import argparse
import importlib.util
import json
import os
import os.path as osp
import platform
import re
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib import metadata
from typing import Dict, List, Sequence

from packaging.version import Version

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
CHAIN = 'configs/dgkd/resnet20_to_resnet8_digits.py'
# The columns of the table and the distributions that provide them.
PACKAGES = dict(
    torch=('torch', ),
    torchvision=('torchvision', ),
    numpy=('numpy', ),
    mmengine=('mmengine', 'onedl-mmengine'),
    mmpretrain=('mmpretrain', 'onedl-mmpretrain'),
    mmcv=('mmcv', 'mmcv-lite', 'onedl-mmcv'),
    mmrazor=('mmrazor', ))
# Repairs, reading of checkpoints, resuming, export, and a method of each kind:
# three minutes on one core.
TESTS = ('tests/compat', 'tests/fileio', 'tests/engine', 'tests/chain/export',
         'tests/chain/test_untrusted_files.py',
         'tests/methods/test_contract.py')
FAST_SUITE = 'fast suite'


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    run = commands.add_parser('run', help='try the versions here')
    run.add_argument('file', help='the JSON that gets a row more')
    run.add_argument(
        '--all', action='store_true', help='the whole fast suite of tests')
    table = commands.add_parser('table', help='print the rows as a table')
    table.add_argument('file', help='the JSON')
    return parser.parse_args()


def versions() -> Dict[str, str]:
    """The versions of Python and of each package, with its distribution."""
    found = dict(python=platform.python_version())
    for package, names in PACKAGES.items():
        for name in names:
            try:
                version = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
            found[
                package] = version if name == package else f'{name} {version}'
    return found


def attempt(*command: str) -> Dict:
    """Run a command of Python in the checkout.

    Args:
        *command (str): Its arguments.

    Returns:
        dict: ``passed``, ``seconds``, what it printed as ``out``, and, where
        it failed, its last line as ``error``.
    """
    start = time.monotonic()
    done = subprocess.run([sys.executable, *command],
                          cwd=ROOT,
                          env=dict(os.environ, PYTHONPATH=ROOT),
                          stdin=subprocess.DEVNULL,
                          capture_output=True,
                          text=True)
    result = dict(
        passed=done.returncode == 0,
        seconds=round(time.monotonic() - start),
        out=done.stdout)
    if not result['passed']:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        result['error'] = (lines or [f'exit code {done.returncode}'])[-1][:300]
        print(done.stdout[-3000:], done.stderr[-3000:], file=sys.stderr)
    return result


def try_compat() -> Dict:
    """Run ``mmdgkd compat``: the repairs in force."""
    result = attempt('-m', 'mmdgkd.compat')
    result['repairs'] = re.findall(r'^(.+): in force$', result.pop('out'),
                                   re.MULTILINE)
    return result


def try_chain(work_dir: str) -> Dict:
    """Train README's chain: the last accuracy of each network, in percent."""
    result = attempt('tools/train.py', CHAIN, '--work-dir', work_dir)
    result['last'] = {
        name: float(last)
        for name, last in re.findall(
            r'^\| (\w+) +\|(?:[^|]+\|){4} +([\d.]+) \|.*done', result.pop(
                'out'), re.MULTILINE)
    }
    return result


def try_export(work_dir: str) -> Dict:
    """Export its networks to the formats whose packages are installed."""
    formats = ['pt2']
    # As the extra onnx has it.
    if (Version(metadata.version('torch')) >= Version('2.7')
            and importlib.util.find_spec('onnxscript')):
        formats.append('onnx')
    result = attempt('tools/export.py', CHAIN, '--work-dir', work_dir,
                     '--format', *formats)
    del result['out']
    return dict(result, formats=formats)


def try_tests(tests: Sequence[str]) -> Dict:
    """Run tests, all that are fast without a selection."""
    result = attempt('-m', 'pytest', '-n0', '-q', '-p', 'no:cacheprovider',
                     *tests)
    lines = result.pop('out').splitlines()
    result['counts'] = {
        what: int(count)
        for count, what in re.findall(r'(\d+) (passed|failed|skipped|errors?)',
                                      (lines or [''])[-1])
    }
    result['failed'] = [
        line.split(' - ')[0].split()[1] for line in lines
        if re.match(r'(FAILED|ERROR) \S+::', line)
    ]
    return dict(result, tests=list(tests) or FAST_SUITE)


def format_table(rows: Sequence[Dict]) -> List[str]:
    """Format the rows as a table of Markdown.

    Args:
        rows (Sequence[dict]): As :func:`main` writes them.
    """
    columns = ['python', *PACKAGES]
    lines = [
        f"| date | {' | '.join(columns)} | chain of digits | export | tests |",
        '|---' * (len(columns) + 4) + '|'
    ]
    for row in rows:
        chain, export, tests = (
            row[key] for key in ('chain', 'export', 'tests'))
        counts = ', '.join(
            f'{n} {what}'
            for what, n in tests['counts'].items()) or tests['error']
        if tests['tests'] == FAST_SUITE:
            counts = f'{FAST_SUITE}: {counts}'
        cells = [
            row['date'],
            *(row['versions'].get(column, '-') for column in columns),
            chain.get('error')
            or ', '.join(f'{last:.2f}' for last in chain['last'].values()),
            export.get('error') or ', '.join(export['formats']), counts
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Run the command line."""
    args = parse_args()
    rows = []
    if osp.exists(args.file):
        with open(args.file) as file:
            rows = json.load(file)
    if args.command == 'table':
        print('\n'.join(format_table(rows)))
        return
    row = dict(date=str(date.today()), versions=versions())
    with tempfile.TemporaryDirectory() as work_dir:
        row['compat'] = try_compat()
        row['chain'] = try_chain(work_dir)
        row['export'] = try_export(work_dir)
    row['tests'] = try_tests(() if args.all else TESTS)
    with open(args.file, 'w') as file:
        file.write(json.dumps([*rows, row], indent=1) + '\n')
    print(json.dumps(row, indent=1))
    sys.exit(not all(row[key]['passed']
                     for key in ('compat', 'chain', 'export', 'tests')))


if __name__ == '__main__':
    main()
