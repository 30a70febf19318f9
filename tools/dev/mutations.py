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
import json
import os
import os.path as osp
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Dict, List, Sequence, Tuple

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
        '--jobs', type=int, default=1, help='copies (default: 1)')
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
        if osp.isfile(source):  # not deleted
            os.makedirs(osp.dirname(copy), exist_ok=True)
            shutil.copy2(source, copy)


def run_tests(folder: str,
              tests: Sequence[str],
              flag: str = '-q') -> Tuple[int, List[str], str]:
    """Run tests of a copy.

    Args:
        folder (str): The copy.
        tests (Sequence[str]): Their node ids.
        flag (str): One more of pytest. Defaults to ``'-q'``.

    Returns:
        tuple[int, list[str], str]: The exit code of pytest, the node ids of
        failed tests, and its output.
    """
    env = dict(os.environ, PYTHONPATH=folder)
    # A mutation within a second may leave the size of a file as it was.
    env.update(PYTHONDONTWRITEBYTECODE='1', OMP_NUM_THREADS='1')
    done = subprocess.run([
        sys.executable, '-m', 'pytest', '-m', '', '--tb=line', '-rfE', '-p',
        'no:cacheprovider', f'--timeout={TIMEOUT}', flag, *tests
    ],
                          cwd=folder,
                          env=env,
                          capture_output=True,
                          text=True)
    failed = re.findall(r'^(?:FAILED|ERROR) (\S+::\S+)', done.stdout, re.M)
    return done.returncode, failed, done.stdout + done.stderr


def failing_unchanged(folder: str, tests: Sequence[str]) -> List[str]:
    """Run tests before any mutation.

    Args:
        folder (str): The copy.
        tests (Sequence[str]): Their node ids.

    Returns:
        list[str]: Those that fail.

    Raises:
        SystemExit: If they cannot be collected.
    """
    code, failed, output = run_tests(folder, tests) if tests else (0, [], '')
    if code not in (0, 1):
        sys.exit(f'{output}\nthe tests of the table do not run')
    return failed


def try_mutation(mutation: Mutation, folder: str) -> Dict:
    """Apply a mutation to a copy, run its tests, and take it back.

    Args:
        mutation (Mutation): The mutation.
        folder (str): The copy.

    Returns:
        dict: ``name``, ``result``, ``seconds`` and ``test``, the first test
        that failed.
    """
    start, path = time.monotonic(), osp.join(folder, mutation.file)
    with open(path) as file:
        text = file.read()
    result, test = 'stale', ''
    if text.count(mutation.old) == 1:
        with open(path, 'w') as file:
            file.write(text.replace(mutation.old, mutation.new))
        try:
            code, failed, _ = run_tests(folder, mutation.tests, '-qx')
        finally:
            with open(path, 'w') as file:
                file.write(text)
        # A mutation with which a file of tests cannot be imported is no good.
        result = {0: 'SURVIVED', 1: 'caught'}.get(code, 'broken')
        test = failed[0] if failed else ''
    seconds = round(time.monotonic() - start, 1)
    return dict(name=mutation.name, result=result, seconds=seconds, test=test)


def run_all(mutations: Sequence[Mutation], jobs: int) -> List[Dict]:
    """Try mutations in copies of the checkout, and print a line for each.

    Args:
        mutations (Sequence[Mutation]): The mutations.
        jobs (int): How many copies, each with a process of its own.
    """
    with tempfile.TemporaryDirectory() as parent, ThreadPoolExecutor(
            jobs) as pool:
        folders = [osp.join(parent, str(i)) for i in range(jobs)]
        free: queue.Queue = queue.Queue()
        for folder in folders:
            copy_checkout(folder)
            free.put(folder)
        tests = sorted({test for each in mutations for test in each.tests})
        parts = [
            tests[i * len(tests) // jobs:(i + 1) * len(tests) // jobs]
            for i in range(jobs)
        ]
        bad = sum(pool.map(failing_unchanged, folders, parts), [])

        def attempt(mutation: Mutation) -> Dict:
            if any(failed.startswith(mutation.tests) for failed in bad):
                found = dict(
                    name=mutation.name, result='broken', seconds=0, test='')
            else:
                folder = free.get()
                found = try_mutation(mutation, folder)
                free.put(folder)
            print(
                '{result:8} {seconds:5.1f} s  {name:32} {test}'.format(
                    **found),
                flush=True)
            return found

        return list(pool.map(attempt, mutations))


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
    found = run_all(chosen, args.jobs)
    os.makedirs(osp.dirname(osp.abspath(args.out)), exist_ok=True)
    with open(args.out, 'w') as file:
        json.dump(found, file, indent=1)
    caught = sum(each['result'] == 'caught' for each in found)
    print(f'{caught} of {len(found)} caught; see {args.out}')
    sys.exit(caught < len(found))


if __name__ == '__main__':
    main()
