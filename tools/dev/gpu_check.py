# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Try mmdgkd on a GPU, in at most nine minutes, and print a table.

The machine needs PyTorch with torchvision, and no network: what else there has
to be is put into a folder before, where there is a network.

    python tools/dev/gpu_check.py bundle FOLDER --python 3.12
    python tools/dev/gpu_check.py run FOLDER --data CIFAR100 --out OUT

A part that fails, or for which too little time is left, is a row like others.
Without a GPU it runs on the CPU; --small has the least sizes.
"""
import argparse
import contextlib
import json
import os
import os.path as osp
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
DIGITS = 'configs/dgkd/resnet20_to_resnet8_digits.py'
HEADLINE = 'configs/dgkd/resnet110_to_resnet8_cifar100.py'
RELEASED = 'configs/dgkd/resnet110_to_resnet8_cifar100_released.py'
# What is there, in its own build.
_THERE = re.compile(r'(torch|torchvision)\b')
_NONE_FOR = 20  # seconds: no part begins with less
# Both on the first device, which NCCL refuses, but not gloo.
_TWO = """
import os, socket, subprocess, sys
with socket.socket() as found:
    found.bind(('127.0.0.1', 0))
    port = str(found.getsockname()[1])
env = dict(os.environ, WORLD_SIZE='2', LOCAL_RANK='0', MASTER_ADDR='127.0.0.1',
           MASTER_PORT=port)
ranks = [subprocess.Popen([sys.executable, *sys.argv[1:]],
                          env=dict(env, RANK=str(rank))) for rank in (1, 0)]
sys.exit(max(rank.wait() for rank in ranks))
"""


@dataclass(frozen=True)
class Part:
    """A command, and what of its output is for the table.

    Attributes:
        name (str): Its name.
        words (list[str]): The command, after the interpreter.
        seconds (int): When it is stopped.
        needs_data (bool): Whether it needs CIFAR-100. Defaults to False.
        env (dict, optional): Variables. Defaults to None.
    """

    name: str
    words: List[str]
    seconds: int = 90
    needs_data: bool = False
    env: Optional[Dict[str, str]] = None


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest='action', required=True)
    bundle = actions.add_parser('bundle', help='download the packages')
    bundle.add_argument('folder')
    bundle.add_argument(
        '--python', default='3.12', help='of the machine (default: 3.12)')
    run = actions.add_parser('run', help='try all parts')
    run.add_argument(
        'folder', nargs='?', help='the packages (default: they are there)')
    run.add_argument('--data', help='the folder of cifar-100-python')
    run.add_argument('--out', default='gpu_check', help='logs and figures')
    run.add_argument(
        '--minutes', type=float, default=9, help='in all (default: 9)')
    run.add_argument(
        '--parts', nargs='+', metavar='NAME', help='some (default: all)')
    run.add_argument(
        '--small', action='store_true', help='the least sizes, to try this')
    return parser.parse_args()


def bundle(folder: str, python: str) -> None:
    """Download what mmdgkd needs beside PyTorch, as wheels.

    Args:
        folder (str): Where to.
        python (str): The version of Python there, such as ``'3.12'``.
    """
    os.makedirs(folder, exist_ok=True)
    platforms = [
        word for tag in ('manylinux_2_28_x86_64', 'manylinux_2_17_x86_64',
                         'manylinux2014_x86_64', 'any')
        for word in ('--platform', tag)
    ]
    with tempfile.TemporaryDirectory() as own:
        # mmdgkd itself comes with the checkout.
        with open(osp.join(own, 'needs.txt'), 'w') as file:
            file.write('\n'.join([*_requirements(), 'pytest<9.2']))
        subprocess.run([
            sys.executable, '-m', 'pip', 'download', '-q', '-c',
            osp.join(ROOT, 'constraints.txt'), '--only-binary=:all:',
            '--python-version', python, '--implementation', 'cp', *platforms,
            '-d', own, '-r',
            osp.join(own, 'needs.txt')
        ],
                       check=True)
        for name in os.listdir(own):
            if name.endswith('.whl'):
                os.replace(osp.join(own, name), osp.join(folder, name))
    names = sorted(os.listdir(folder))
    size = sum(osp.getsize(osp.join(folder, name)) for name in names)
    print(f'{len(names)} wheels, {size / 1e6:.0f} MB, in {folder}')


def _requirements() -> List[str]:
    """Those of setup.cfg, with mmcv-lite and without PyTorch."""
    from configparser import ConfigParser
    parser = ConfigParser()
    parser.read(osp.join(ROOT, 'setup.cfg'))
    lines = (parser['options']['install_requires'] +
             parser['options.extras_require']['lite']).splitlines()
    lines = [line.strip() for line in lines]
    return [
        line for line in lines
        if line and line[0] != '#' and not _THERE.match(line)
    ]


def parts_of(small: bool, data: Optional[str], out: str) -> List[Part]:
    """What is tried, the most important first.

    Args:
        small (bool): Whether in the least sizes.
        data (str, optional): The folder of CIFAR-100.
        out (str): Where logs and figures are written.
    """

    def train(name: str, config: str, *flags: str, **options: Any) -> Part:
        settings = [f'{key.replace("__", ".")}={value}'
                    for key, value in options.items()]  # yapf: disable
        on_data = config != DIGITS
        if on_data:
            settings += [
                f'{loader}_dataloader.dataset.data_root={data}'
                for loader in ('train', 'val', 'test')
            ]
        return Part(name, [
            'tools/train.py', config, '--work-dir',
            osp.join(out, name.replace(' ', '_')), *flags, '--cfg-options',
            *settings
        ], 150, on_data)

    def one_step(name: str, *words: str) -> Part:
        return Part(name, [
            'tools/dev/benchmark.py', RELEASED, '--steps',
            '1' if small else '20', '--rounds', '1' if small else '3',
            '--json',
            osp.join(out, f'{name.replace(" ", "_")}.json'), '--cfg-options',
            f'train_dataloader.dataset.data_root={data}', *words
        ], 150, True)

    digits: Dict[str, Any] = dict(train_cfg__max_epochs=1 if small else 3)
    few: Dict[str, Any] = dict(
        train_cfg__max_epochs=1,
        train_dataloader__dataset__indices=128 if small else 10000,
        val_dataloader__dataset__indices=128 if small else 2000)
    for network in ('resnet56', 'resnet32', 'resnet20', 'resnet14', 'resnet8'):
        few[f'chain__networks__{network}__stage__train_cfg__max_epochs'] = 1
    return [
        train('digits', DIGITS, **digits),
        # As setup.cfg has it, without the plugins that are not there.
        Part('tests of a GPU', [
            '-m', 'pytest', '-q', '-o', 'addopts=', '--import-mode=importlib',
            '-W', 'ignore', '-m', 'gpu', 'tests/chain', 'tests/engine',
            'tests/logit_store', 'tests/models', 'tests/utils'
        ], 120),
        train('float16', DIGITS, '--amp', **digits),
        train(
            'bfloat16',
            DIGITS,
            '--amp',
            **digits,
            optim_wrapper__dtype='bfloat16'),
        one_step('one step', '--cases', 'stored', 'student_alone')
        if small else one_step('one step'),
        train('with the store', HEADLINE, **few),
        train('live', HEADLINE, **few, chain__logit_store=None),
        Part('killed', [
            'tools/dev/survive.py', '--kills', '1' if small else '3', '--json',
            osp.join(out, 'survive.json')
        ], 90),
        Part('two processes', [
            '-c', _TWO, 'tools/train.py', DIGITS, '--launcher', 'pytorch',
            '--work-dir',
            osp.join(out, 'two_processes'), '--cfg-options',
            'train_cfg.max_epochs=1', 'env_cfg.dist_cfg.backend=gloo'
        ]),
        train('compiled', DIGITS, **digits, custom_hooks__1__compile='True'),
        train(
            'CUDA graphs',
            DIGITS,
            **digits,
            custom_hooks__1__compile='reduce-overhead'),
        one_step('one step of CUDA graphs', 'custom_hooks.1.compile='
                 'reduce-overhead', 'optim_wrapper.optimizer.fused=True',
                 '--cases', 'stored', 'student_alone')
    ]


def run_parts(parts: List[Part], args: argparse.Namespace,
              env: Dict[str, str]) -> List[Dict[str, Any]]:
    """Run parts one after the other.

    Args:
        parts (list[Part]): The parts.
        args (Namespace): The command line.
        env (dict[str, str]): Variables of all of them.

    Returns:
        list[dict]: Of each its ``name``, ``outcome``, ``seconds`` and
        ``last``, the last line that it has printed.
    """
    end, rows = time.monotonic() + 60 * args.minutes, []
    for part in parts:
        left = end - time.monotonic()
        start, last = time.monotonic(), ''
        log = osp.join(args.out, f'{part.name.replace(" ", "_")}.log')
        if part.needs_data and not args.data:
            outcome = 'needs --data'
        elif left < _NONE_FOR:
            outcome = 'no time left'
        else:
            with open(log, 'w') as file:
                outcome = _run(part, min(part.seconds, left), {
                    **env,
                    **(part.env or {})
                }, file)
            last = _last_line(log)
        seconds = time.monotonic() - start
        rows.append(
            dict(
                name=part.name,
                outcome=outcome,
                seconds=round(seconds, 1),
                last=last))
        print(
            f'{part.name}: {outcome}, {seconds:.0f} s: {last[:150]}',
            flush=True)
    return rows


def _run(part: Part, seconds: float, env: Dict[str, str], log: Any) -> str:
    """Run a part; its processes end with it."""
    process = subprocess.Popen([sys.executable, *part.words],
                               cwd=ROOT,
                               env=env,
                               stdout=log,
                               stderr=subprocess.STDOUT,
                               start_new_session=True)
    try:
        code = process.wait(seconds)
        return 'passed' if code == 0 else f'exit code {code}'
    except subprocess.TimeoutExpired:
        return 'out of time'
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_line(path: str) -> str:
    with open(path, errors='replace') as file:
        lines = [line.strip() for line in file if line.strip(' \n+-=|')]
    return lines[-1] if lines else ''


def environment_of(env: Dict[str, str]) -> Dict[str, Any]:
    """The versions and the device, as a process of the parts sees them.

    Args:
        env (dict[str, str]): Variables of the parts.
    """
    found = subprocess.run([
        sys.executable, '-c',
        'import json; from mmdgkd.chain.environment import environment; '
        'print(json.dumps(environment()))'
    ],
                           cwd=ROOT,
                           env=env,
                           check=True,
                           capture_output=True,
                           text=True)
    return json.loads(found.stdout.splitlines()[-1])


def run(args: argparse.Namespace) -> int:
    """Install the packages in a folder of their own, and try all parts.

    Args:
        args (Namespace): The command line.

    Returns:
        int: 1 if a part has not passed, else 0.
    """
    args.out = osp.abspath(args.out)
    args.data = args.data and osp.abspath(args.data)
    os.makedirs(args.out, exist_ok=True)
    with tempfile.TemporaryDirectory() as site:
        paths = [ROOT, osp.join(ROOT, 'tools/dev')]
        if args.folder:
            wheels = [
                osp.join(args.folder, name)
                for name in sorted(os.listdir(args.folder))
                if name.endswith('.whl')
            ]
            subprocess.run([
                sys.executable, '-m', 'pip', 'install', '-q', '--no-index',
                '--no-deps', '--no-compile', '--target', site, *wheels
            ],
                           check=True)
            paths.append(site)
        env = dict(
            os.environ,
            PYTHONPATH=os.pathsep.join(
                filter(None, [*paths, os.environ.get('PYTHONPATH')])),
            PYTHONWARNINGS='ignore',
            PYTHONUNBUFFERED='1')
        here = environment_of(env)
        print(f'{here["device"]}: {here["versions"]}', flush=True)
        parts = [
            part for part in parts_of(args.small, args.data, args.out)
            if not args.parts or part.name in args.parts
        ]
        rows = run_parts(parts, args, env)
    print('\n| part | outcome | s | last line |\n|---|---|---:|---|')
    for row in rows:
        last = row['last'].replace('|', ' ')[:100]
        print(f'| {row["name"]} | {row["outcome"]} | {row["seconds"]} | '
              f'{last} |')
    with open(osp.join(args.out, 'gpu_check.json'), 'w') as file:
        json.dump(dict(environment=here, parts=rows), file, indent=1)
        file.write('\n')
    return int(any(row['outcome'] != 'passed' for row in rows))


def main() -> int:
    """Run the command line."""
    args = parse_args()
    if args.action == 'bundle':
        bundle(args.folder, args.python)
        return 0
    return run(args)


if __name__ == '__main__':
    sys.exit(main())
