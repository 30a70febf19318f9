# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Run MMRazor's own tests, with mmdgkd's repairs or without, and compare.

    pip download --no-deps --no-binary mmrazor mmrazor==1.0.0
    tar -xzf mmrazor-1.0.0.tar.gz
    python tools/dev/mmrazor_tests.py run mmrazor-1.0.0 repaired.json
    python tools/dev/mmrazor_tests.py run mmrazor-1.0.0 bare.json --bare
    python tools/dev/mmrazor_tests.py compare before.json repaired.json

It needs neither mmdgkd nor its Python with --bare, so that "before" may be the
PyTorch that MMRazor was written for.
"""
import argparse
import json
import os
import os.path as osp
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Dict, List
from xml.etree import ElementTree

PACKAGES = ('torch', 'torchvision', 'numpy', 'mmengine', 'mmcv', 'mmcv-lite',
            'mmpretrain', 'mmrazor', 'mmdgkd', 'pytest')
# MMRazor's tests import mmcls, which is mmpretrain now, and call a function of
# torch.ao themselves, by the name that an argument had before PyTorch 2.0. The
# plugin provides these names with and without the repairs.
PLUGIN = '''\
import importlib.util
import sys
{repairs}
if importlib.util.find_spec('mmcls') is None:
    import mmpretrain.models
    sys.modules.update({{
        'mmcls' + name[len('mmpretrain'):]: module
        for name, module in list(sys.modules.items())
        if name.split('.')[0] == 'mmpretrain'}})
import inspect
from torch.ao.quantization import quantize_fx
fuse = quantize_fx._fuse_fx
if 'graph_module' not in inspect.signature(fuse).parameters:
    quantize_fx._fuse_fx = (
        lambda graph_module, *args, **kwargs: fuse(
            graph_module, *args, **kwargs))
'''


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    run = commands.add_parser('run', help='run the tests')
    run.add_argument('source', help='the unpacked source of MMRazor')
    run.add_argument('out', help='the JSON to write')
    run.add_argument(
        '--bare', action='store_true', help='without mmdgkd\'s repairs')
    run.add_argument(
        '--timeout',
        type=int,
        default=600,
        help='seconds that a file of tests may take (default: 600)')
    run.add_argument(
        '--jobs', type=int, default=1, help='files at a time (default: 1)')
    compare = commands.add_parser('compare', help='compare two such JSONs')
    compare.add_argument('before')
    compare.add_argument('after')
    return parser.parse_args()


def read_report(path: str, file: str) -> Dict[str, Dict]:
    """Read the outcomes from pytest's JUnit XML.

    Args:
        path (str): The XML.
        file (str): The file of tests, a prefix of their names.

    Returns:
        dict[str, dict]: Per test its ``outcome``, ``'passed'``, ``'failed'``,
        ``'error'`` or ``'skipped'``, and its message as ``said``.
    """
    found = {}
    for case in ElementTree.parse(path).getroot().iter('testcase'):
        marks = {part.tag: part for part in case}
        outcome = next(
            (tag for tag in ('error', 'failure', 'skipped') if tag in marks),
            'passed')
        message = '' if outcome == 'passed' else marks[outcome].get(
            'message', '')
        if message == 'collection failure':
            # The file could not be imported; the text has the reason.
            lines = (marks[outcome].text or '').splitlines()
            message = next(
                (line[1:] for line in reversed(lines) if line[:2] == 'E '),
                message)
        message = message.replace(sys.prefix + os.sep, '')
        module = file[:-len('.py')].replace('/', '.')
        owner = case.get('classname', '')[len(module) + 1:]
        name = '::'.join(filter(None, (file, owner, case.get('name', ''))))
        if not case.get('classname'):
            # The file could not be imported.
            name = file
        found[name] = dict(
            outcome='failed' if outcome == 'failure' else outcome,
            said=message.strip().splitlines()[0][:200]
            if message.strip() else '')
    return found


def run_file(root: str, file: str, timeout: int) -> Dict[str, Dict]:
    """Run one file of tests in a process of its own.

    Args:
        root (str): The folder of ``tests``, with the plugin.
        file (str): The file, from there.
        timeout (int): Seconds that it may take.

    Returns:
        dict[str, dict]: As :func:`read_report`.
    """
    report = osp.join(root, file.replace('/', '.') + '.xml')
    try:
        done = subprocess.run(
            [
                sys.executable, '-m', 'pytest', '-q', '-p', 'given_names',
                '-p', 'no:cacheprovider', f'--rootdir={root}',
                f'--junitxml={report}', file
            ],
            cwd=root,
            env=dict(
                os.environ,
                PYTHONPATH=os.pathsep.join(
                    filter(None, (root, os.environ.get('PYTHONPATH')))),
                OMP_NUM_THREADS='1'),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout)
    except subprocess.TimeoutExpired:
        return {file: dict(outcome='error', said=f'took over {timeout} s')}
    if osp.exists(report):
        return read_report(report, file)
    message = (done.stderr or done.stdout).strip().splitlines() or ['']
    return {file: dict(outcome='error', said=message[-1][:200])}


def run_tests(args: argparse.Namespace) -> Dict:
    """Run all files of tests, each in a process of its own.

    Args:
        args (argparse.Namespace): The command line.

    Returns:
        dict: ``versions``, ``counts`` and ``tests``.
    """
    with tempfile.TemporaryDirectory() as root:
        # Away from the sources: the installed MMRazor is tested.
        tests = osp.join(root, 'tests')
        shutil.copytree(osp.join(args.source, 'tests'), tests)
        with open(osp.join(root, 'given_names.py'), 'w') as file:
            file.write(
                PLUGIN.format(repairs='' if args.bare else 'import mmdgkd'))
        files = sorted(
            osp.relpath(osp.join(folder, name), root)
            for folder, _, names in os.walk(tests) for name in names
            if name.startswith('test_') and name.endswith('.py'))
        found: Dict[str, Dict] = {}
        with ThreadPoolExecutor(args.jobs) as pool:
            for file, outcomes in zip(
                    files,
                    pool.map(lambda file: run_file(root, file, args.timeout),
                             files)):
                found.update(outcomes)
                counts = Counter(test['outcome'] for test in outcomes.values())
                print(file, dict(counts), flush=True)
    versions = {'python': platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if args.bare:
        versions.pop('mmdgkd', None)
    counts = Counter(test['outcome'] for test in found.values())
    return dict(
        versions=versions,
        counts=dict(sorted(counts.items())),
        tests=dict(sorted(found.items())))


def compare(before: Dict, after: Dict) -> List[str]:
    """Compare the outcomes of the tests that passed before.

    Args:
        before (dict): The result of :func:`run_tests`.
        after (dict): Another one.

    Returns:
        list[str]: Lines to print.
    """
    passed = [
        name for name, test in before['tests'].items()
        if test['outcome'] == 'passed'
    ]
    lost = [
        name for name in passed
        if after['tests'].get(name, {}).get('outcome') != 'passed'
    ]
    lines = [
        f'passed before: {len(passed)}, of these after: '
        f'{len(passed) - len(lost)}'
    ]
    for name in lost:
        # If a file could not be imported, it stands for its tests.
        test = after['tests'].get(name) or after['tests'].get(
            name.split('::')[0]) or dict(
                outcome='not run', said='')
        lines.append(f'{name}: {test["outcome"]}: {test["said"]}')
    return lines


def main() -> None:
    """Run the command line."""
    args = parse_args()
    if args.command == 'run':
        if not osp.isdir(osp.join(args.source, 'tests')):
            sys.exit(f'source: {args.source!r} has no folder tests; should be '
                     'the unpacked source of MMRazor')
        result = run_tests(args)
        with open(args.out, 'w') as file:
            file.write(json.dumps(result, indent=1) + '\n')
        print(result['counts'])
        return
    results = []
    for path in (args.before, args.after):
        with open(path) as file:
            results.append(json.load(file))
    print('\n'.join(compare(*results)))


if __name__ == '__main__':
    main()
