# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Break the package in one place at a time, and run the tests that must fail.

    python tools/dev/mutations.py --list
    python tools/dev/mutations.py --jobs 2
    python tools/dev/mutations.py --only no_fsync mask_without_step

``_mutation_table.py`` has the mutations: a text that occurs exactly once in a
file, what replaces it, and the tests that must fail then. They are applied in
copies of the checkout, uncommitted changes included; the checkout itself stays
as it is. Unchanged, all these tests must pass, which is checked first.

There is a line for each mutation: "caught" and by which test, "SURVIVED" if
all its tests pass, "stale" if the text does not occur exactly once, or
"broken" if its tests fail unchanged or cannot be collected. The exit code is 0
if all are caught, else 1.
"""
import argparse
import importlib
import json
import multiprocessing
import os
import os.path as osp
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor, thread
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pytest
from _mutation_table import MUTATIONS, Mutation

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
# Of pytest, in seconds: a test that hangs has failed.
TIMEOUT = 180


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--only', nargs='+', metavar='NAME', help='these mutations')
    parser.add_argument(
        '--jobs', type=int, default=1, help='how many at once (default: 1)')
    parser.add_argument(
        '--list', action='store_true', help='print the table and exit')
    parser.add_argument(
        '--out',
        default='work_dirs/mutations.json',
        help='the JSON to write (default: %(default)s)')
    args = parser.parse_args()
    unknown = set(args.only or ()) - {each.name for each in MUTATIONS}
    if unknown:
        parser.error(f'--only: there is no {", ".join(sorted(unknown))}')
    return args


def copy_checkout(folder: str) -> None:
    """Copy the files of the checkout that git does not ignore.

    Args:
        folder (str): The folder to make.
    """
    listed = subprocess.run(
        ['git', 'ls-files', '-co', '--exclude-standard', '-z'],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True).stdout
    for name in filter(None, listed.split('\0')):
        source, copy = osp.join(ROOT, name), osp.join(folder, name)
        if osp.lexists(source):  # not deleted
            os.makedirs(osp.dirname(copy), exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)


def import_packages() -> None:
    """Import what takes seconds, but neither mmdgkd nor MMRazor.

    Processes that are forked have it at once.
    """
    # No files of bytecode: Python would not notice a change within a second.
    sys.dont_write_bytecode = True
    os.environ.update(PYTHONDONTWRITEBYTECODE='1', OMP_NUM_THREADS='1')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for name in ('mmengine.runner', 'mmpretrain.apis', 'mmpretrain.models',
                     'matplotlib.pyplot', 'sklearn.datasets', 'rich.progress'):
            importlib.import_module(name)


class _Failures:
    """A plugin of pytest: the node ids of what has failed."""

    def __init__(self) -> None:
        self.found: List[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.found.append(report.nodeid)


def run_tests(folder: str, tests: Sequence[str], flag: str,
              answer: Connection) -> None:
    """Run tests in a copy of the checkout, in a process of their own.

    Args:
        folder (str): The copy.
        tests (Sequence[str]): Their node ids.
        flag (str): One more flag of pytest.
        answer (Connection): Gets the exit code of pytest, the node ids of
            failed tests, and the output.
    """
    # Forked from a thread of a pool, it would wait for itself at its end.
    thread._threads_queues.clear()
    os.chdir(folder)
    sys.path[0] = os.environ['PYTHONPATH'] = folder
    with open('output.log', 'w+') as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
        failures = _Failures()
        code = pytest.main([
            '-m', '', '--tb=short', '-p', 'no:cacheprovider',
            f'--timeout={TIMEOUT}', flag, *tests
        ], [failures])
        sys.stdout.flush()
        file.seek(0)
        answer.send((int(code), failures.found, file.read()))


def run_in_copy(tests: Sequence[str],
                flag: str = '-q',
                mutation: Optional[Mutation] = None) -> Tuple:
    """Copy the checkout, apply a mutation to the copy, and run tests there.

    In a process that is forked from this one, see :func:`import_packages`.

    Args:
        tests (Sequence[str]): Their node ids.
        flag (str): One more flag of pytest. Defaults to ``'-q'``.
        mutation (Mutation, optional): Defaults to None: none.

    Returns:
        tuple[int, list[str], str]: See :func:`run_tests`.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy_checkout(folder)
        if mutation is not None:
            path = Path(folder, mutation.file)
            text = path.read_text().replace(mutation.old, mutation.new)
            path.write_text(text)
        context = multiprocessing.get_context('fork')
        result, answer = context.Pipe(duplex=False)
        process = context.Process(
            target=run_tests, args=(folder, tests, flag, answer))
        process.start()
        answer.close()
        try:
            return result.recv()
        except EOFError:
            return 1, ['the process has died'], ''
        finally:
            process.join()


def try_mutation(mutation: Mutation, failing: Sequence[str]) -> Dict[str, Any]:
    """Apply a mutation, run its tests and print a line.

    Args:
        mutation (Mutation): The mutation.
        failing (Sequence[str]): The tests that fail unchanged.

    Returns:
        dict: ``name``, ``result``, ``seconds`` and ``test``, the first test
        that failed.
    """
    start, result, failed = time.monotonic(), 'broken', []
    if Path(ROOT, mutation.file).read_text().count(mutation.old) != 1:
        result = 'stale'
    elif not any(test.startswith(mutation.tests) for test in failing):
        code, failed, _ = run_in_copy(mutation.tests, '-qx', mutation)
        # What cannot be imported any more proves nothing.
        result = {0: 'SURVIVED', 1: 'caught'}.get(code, 'broken')
    found = dict(
        name=mutation.name,
        result=result,
        seconds=round(time.monotonic() - start, 1),
        test=failed[0] if failed else '')
    print(
        '{result:8} {seconds:5.1f} s  {name:32} {test}'.format(**found),
        flush=True)
    return found


def run_all(mutations: Sequence[Mutation], jobs: int) -> List[Dict]:
    """Run all tests unchanged, then try each mutation.

    Args:
        mutations (Sequence[Mutation]): The mutations.
        jobs (int): How many at once.

    Raises:
        SystemExit: If the tests cannot be collected.
    """
    tests = sorted({test for each in mutations for test in each.tests})
    with ThreadPoolExecutor(jobs) as pool:
        failing: List[str] = []
        for code, failed, output in pool.map(
                run_in_copy, filter(None,
                                    (tests[i::jobs] for i in range(jobs)))):
            if code not in (0, 1):
                sys.exit(f'{output}\nthe tests of the table do not run')
            failing += failed
        return list(
            pool.map(lambda each: try_mutation(each, failing), mutations))


def main() -> None:
    """Run the mutations of the command line."""
    args = parse_args()
    chosen = [
        each for each in MUTATIONS if not args.only or each.name in args.only
    ]
    if args.list:
        for each in chosen:
            print(f'{each.name}: {each.file}: {" ".join(each.tests)}')
        return
    import_packages()
    found = run_all(chosen, args.jobs)
    os.makedirs(osp.dirname(osp.abspath(args.out)), exist_ok=True)
    with open(args.out, 'w') as file:
        json.dump(found, file, indent=1)
    caught = sum(each['result'] == 'caught' for each in found)
    print(f'{caught} of {len(found)} caught; see {args.out}')
    sys.exit(caught < len(found))


if __name__ == '__main__':
    main()
