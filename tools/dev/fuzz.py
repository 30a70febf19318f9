# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Change shipped configs and ledgers at random: each ends in a line or a run.

A change is a key renamed or left out, a value of another type, or a number out
of range. A config is planned with its rehearsal, as by ``--dry-run``; a ledger
is planned with ``--resume`` and reported, or is damaged as a text. Each trial
is a process of its own. What ends in anything but a plan or a one-line error,
takes too long or kills its process, is listed; the exit code is then 1.

    python tools/dev/fuzz.py configs --count 1000
    python tools/dev/fuzz.py ledgers --count 1000 --seed 1
"""
import argparse
import collections
import copy
import functools
import glob
import json
import os
import os.path as osp
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from typing import Any, Callable, Dict, Iterator, Sequence, Tuple

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
# A trial that takes longer, in seconds, or needs more memory, in bytes.
_LIMIT = 120
_MEMORY = 16 * 2**30
_OTHERS = (None, True, -1, 0, 1, 2.5, float('nan'), float('inf'), 10**9, '',
           'x', [], [1, 'x'], {}, dict(x=1), dict(type='x'))


def paths_of(value: Any, path: Tuple = ()) -> Iterator[Tuple]:
    """All places in nested dicts and lists.

    Args:
        value (Any): Plain data.
        path (tuple): Where it is. Defaults to ().
    """
    keys: Sequence = ()
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = range(len(value))
    for key in keys:
        yield (*path, key)
        yield from paths_of(value[key], (*path, key))


def change(data: Dict, draw: random.Random) -> str:
    """Make one change.

    Args:
        data (dict): Plain data, which is changed.
        draw (random.Random): The generator.

    Returns:
        str: What was changed.
    """
    path = draw.choice(list(paths_of(data)))
    owner, key = data, path[-1]
    for part in path[:-1]:
        owner = owner[part]
    where, old = '.'.join(map(str, path)), owner[key]
    kind = draw.choice(('rename', 'leave out', 'other', 'other', 'number'))
    if kind == 'rename' and isinstance(owner, dict) and len(key) > 1:
        place = draw.randrange(len(key) - 1)
        new = key[:place] + key[place + 1] + key[place] + key[place + 2:]
        items = [(new if name == key else name, item)
                 for name, item in owner.items()]
        owner.clear()
        owner.update(items)
        return f'{where} renamed {new}'
    if kind == 'leave out':
        del owner[key]
        return f'{where} left out'
    if kind == 'number' and isinstance(old, (int, float)):
        owner[key] = draw.choice((-old, old - 1, old * 10**6, old / 3, 0))
    else:
        owner[key] = copy.deepcopy(draw.choice(_OTHERS))
    return f'{where}={owner[key]!r}'


def damage(text: str, draw: random.Random) -> Tuple[str, str]:
    """Damage a text of JSON.

    Args:
        text (str): The text.
        draw (random.Random): The generator.

    Returns:
        tuple[str, str]: The damaged text, and what was done.
    """
    place = draw.randrange(len(text))
    kind = draw.choice(('cut', 'byte', 'twice', 'nested'))
    if kind == 'cut':
        return text[:place], f'cut at {place}'
    if kind == 'byte':
        letter = chr(draw.randrange(1, 256))
        return text[:place] + letter + text[place + 1:], (
            f'{letter!r} at {place}')
    if kind == 'twice':
        return text + text[:place], f'twice, until {place}'
    depth = draw.choice((10, 1000, 100000))
    return text[:place] + '[' * depth + text[place:], (
        f'{depth} brackets at {place}')


def try_config(path: str, cfg: Dict, folder: str) -> None:
    """Plan a config, with its rehearsal.

    Args:
        path (str): Its file.
        cfg (dict): Its content.
        folder (str): An empty folder.
    """
    from mmengine.config import Config

    from mmdgkd.chain.runner import ChainRunner
    cfg = Config(cfg, filename=path)
    cfg.work_dir = osp.join(folder, 'work')
    ChainRunner(cfg, verbose=False).plan()


def try_ledger(trained: Any, text: str, folder: str) -> None:
    """Plan and report a trained chain with another ledger.

    Args:
        trained (ChainRunner): The trained chain.
        text (str): The text of the ledger.
        folder (str): An empty folder.
    """
    import shutil

    from mmdgkd.chain.runner import ChainRunner
    from mmdgkd.report.records import read_runs
    cfg = trained.cfg.copy()
    cfg.work_dir = osp.join(folder, 'work')
    shutil.copytree(trained.work.path, cfg.work_dir)
    with open(osp.join(cfg.work_dir, 'chain.json'), 'w') as file:
        file.write(text)
    runner = ChainRunner(cfg, verbose=False)
    # No ledger changes the networks.
    runner._facts = trained.facts
    runner.plan()
    read_runs([cfg.work_dir])


def outcome_of(trial: Callable[[str], None], limit: float) -> str:
    """Run a trial in a process that is forked.

    Args:
        trial (Callable): A function of an empty folder.
        limit (float): The seconds that it may take.

    Returns:
        str: ``'run'``, ``'line: <the line>'``, or what went wrong.
    """
    with tempfile.TemporaryDirectory(prefix='fuzz_') as folder:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(read)
            with os.fdopen(write, 'w') as pipe:
                _run(trial, folder, pipe)
            os._exit(0)
        os.close(write)
        end = time.monotonic() + limit
        while not os.waitpid(child, os.WNOHANG)[0]:
            if time.monotonic() > end:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return f'took more than {limit} s'
            time.sleep(.01)
        with os.fdopen(read) as pipe:
            return pipe.read() or 'its process was killed'


def _run(trial: Callable[[str], None], folder: str, pipe: Any) -> None:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    # The tracebacks of unforeseen errors, among others.
    tempfile.tempdir = folder
    os.chdir(folder)
    try:
        trial(folder)
        pipe.write('run')
    except BaseException as error:
        text = str(error)
        if hasattr(error, 'exit_code') and '\n' not in text:
            pipe.write(f'line: {text}')
        else:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            pipe.write(f'{type(error).__name__}: {text[:200]!r} at '
                       f'{frame.filename}:{frame.lineno}')


@functools.lru_cache(maxsize=None)
def _read(path: str) -> Dict:
    from mmengine.config import Config
    return Config.fromfile(path).to_dict()


def trained_chain(folder: str) -> Any:
    """Train a small chain, whose ledger is to be changed.

    Args:
        folder (str): Its work dir.
    """
    from mmengine.config import Config

    from mmdgkd.chain.runner import ChainRunner
    cfg = Config.fromfile(
        osp.join(ROOT, 'configs/dgkd/resnet20_to_resnet8_digits.py'))
    cfg.merge_from_dict({
        'train_cfg.max_epochs': 2,
        'train_dataloader.dataset.indices': 64,
        'val_dataloader.dataset.indices': 64,
        'chain.preflight': False
    })
    cfg.work_dir = folder
    ChainRunner(cfg, verbose=False).train()
    cfg.resume = True
    runner = ChainRunner(cfg, verbose=False)
    assert runner.facts
    return runner


def trials(what: str, count: int, seed: int,
           folder: str) -> Iterator[Tuple[str, Callable[[str], None]]]:
    """The trials: what is changed, and a function of an empty folder.

    Args:
        what (str): ``'configs'`` or ``'ledgers'``.
        count (int): How many.
        seed (int): Of all that is drawn.
        folder (str): An empty folder.
    """
    draw = random.Random(seed)
    if what == 'configs':
        known = [
            path for path in glob.glob(osp.join(ROOT, 'configs', '*', '*.py'))
            if '/_base_/' not in path
        ]
        on_digits = [path for path in known if 'digits' in path]
        for _ in range(count):
            # The data of the others may not be there.
            path = draw.choice(
                sorted(known if draw.random() < .2 else on_digits))
            cfg = copy.deepcopy(_read(path))
            text = f'{osp.relpath(path, ROOT)}: {change(cfg, draw)}'
            yield text, lambda at, path=path, cfg=cfg: try_config(
                path, cfg, at)
        return
    runner = trained_chain(osp.join(folder, 'trained'))
    with open(osp.join(runner.work.path, 'chain.json')) as file:
        whole = file.read()
    for _ in range(count):
        if draw.random() < .8:
            data = json.loads(whole)
            text = change(data, draw)
            ledger = json.dumps(data)
        else:
            ledger, text = damage(whole, draw)
        yield text, lambda at, ledger=ledger: try_ledger(runner, ledger, at)


def main() -> int:
    """Run the trials, and list what went wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=['configs', 'ledgers'])
    parser.add_argument('--count', type=int, default=1000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--seconds', type=float, help='end after so many, whatever the count')
    parser.add_argument(
        '-v', '--verbose', action='store_true', help='print each line')
    args = parser.parse_args()
    import torch

    import mmdgkd  # noqa: F401
    torch.set_num_threads(1)
    begin, found = time.monotonic(), collections.Counter()
    with tempfile.TemporaryDirectory(prefix='fuzz_') as folder:
        for text, trial in trials(args.what, args.count, args.seed, folder):
            outcome = outcome_of(trial, _LIMIT)
            kind = outcome.split(':')[0]
            found[kind if kind in ('run', 'line') else 'wrong'] += 1
            if args.verbose or kind not in ('run', 'line'):
                print(f'{text}\n    {outcome}', flush=True)
            if args.seconds and time.monotonic() - begin > args.seconds:
                break
    print(f'{args.what}, seed {args.seed}: {found["run"]} runs, '
          f'{found["line"]} lines, {found["wrong"]} wrong, '
          f'{time.monotonic() - begin:.0f} s')
    return int(found['wrong'] > 0)


if __name__ == '__main__':
    sys.exit(main())
