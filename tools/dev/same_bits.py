# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Train chains in one or two checkouts and compare the bits of the weights.

One JSON file a checkout: for each config and each network the sha256 of its
tensors and its validation metrics.

    python tools/dev/same_bits.py run CHECKOUT OUT.json
    python tools/dev/same_bits.py compare OLD.json NEW.json
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import os.path as osp
import subprocess
import sys
import tempfile
from typing import Any, Dict, List

# Whole chains, as a user runs them.
WHOLE = [
    'dgkd/resnet20_to_resnet8_digits', 'takd/resnet20_to_resnet8_digits',
    'dgkd/resnet20_to_resnet8_digits_stochastic',
    'kd/resnet20_to_resnet8_digits'
]
# One chain per method, with the fewest epochs in which it does all it does.
SHORT = {
    'born_again/resnet20_digits': 2,
    'byot/resnet20_to_resnet8_digits': 2,
    'crd/resnet20_to_resnet8_digits': 2,
    'dafl/resnet20_to_resnet8_digits': 2,
    'feed/dgkd_resnet20_to_resnet8_digits': 2,
    'feed/pfeed_resnet20_digits': 2,
    'fewbit/w2_resnet20_to_resnet8_digits': 2,
    'gslr/qat8_resnet20_to_resnet8_digits': 2,
    'gslr/w2_resnet20_to_resnet8_digits': 2,
    'mixed/joint_dist_resnet20_to_resnet8_digits': 2,
    'mixed/l1_at_resnet20_to_resnet8_digits': 6,
    'mutual/resnet20_to_resnet8_digits': 2,
    'nas/spos_resnet20_to_resnet8_digits': 20,
    'onthefly/pacemaker_resnet20_to_resnet8_digits': 2,
    'pruning/dcff_resnet20_to_resnet8_digits': 20,
    'pruning/dmcp_resnet20_to_resnet8_digits': 20,
    'pruning/fisher_resnet20_to_resnet8_digits': 20,
    'pruning/l1_resnet20_to_resnet8_digits': 6,
    'quantization/qat8_resnet20_to_resnet8_digits': 2,
    'slimmable/joint_resnet20_to_resnet8_digits': 2,
    'slimmable/student_resnet20_to_resnet8_digits': 2,
    'speq/w2a2_resnet20_to_resnet8_digits': 2,
    'student_guided/resnet20_to_resnet8_digits': 2,
}


def digest(path: str) -> str:
    """The sha256 of all tensors of a network's file, by name."""
    import torch
    state = torch.load(path, map_location='cpu', weights_only=True)
    sha = hashlib.sha256()
    for name, value in sorted(state['state_dict'].items()):
        sha.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        sha.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().
                   tobytes() if value.numel() else b'')
    return sha.hexdigest()


def train(checkout: str, name: str, epochs: int) -> Dict[str, Any]:
    """Train one config by a process of its own; its digests and metrics."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            sys.executable, 'tools/train.py', f'configs/{name}.py',
            '--work-dir', folder
        ]
        options = ['randomness.seed=0']
        if epochs:
            options.append(f'train_cfg.max_epochs={epochs}')
        env = dict(os.environ, PYTHONPATH=checkout, OMP_NUM_THREADS='1')
        done = subprocess.run(
            words + ['--cfg-options', *options],
            cwd=checkout,
            env=env,
            capture_output=True,
            text=True)
        if done.returncode:
            return dict(error=done.stderr.strip().splitlines()[-1:])
        with open(osp.join(folder, 'chain.json')) as file:
            ledger = json.load(file)
        found = {}
        for network, entry in ledger['stages'].items():
            metric = entry.get('metric', {})
            found[network] = dict(
                sha256=digest(osp.join(folder, network, f'{network}.pth')),
                params=entry.get('params'),
                macs=entry.get('macs'),
                metric={
                    key: metric.get(key)
                    for key in ('name', 'best', 'last', 'history')
                })
        return found


def run(checkout: str, out: str, only: List[str]) -> None:
    """Train all of them, two at a time, and write what came out."""
    jobs = {**{name: 0 for name in WHOLE}, **SHORT}
    results = json.load(open(out)) if osp.exists(out) else {}
    jobs = {
        name: epochs
        for name, epochs in jobs.items()
        if name not in results and (not only or name in only)
    }
    checkout = osp.abspath(checkout)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        futures = {
            pool.submit(train, checkout, name, epochs): name
            for name, epochs in jobs.items()
        }
        for future in concurrent.futures.as_completed(futures):
            results[futures[future]] = future.result()
            print(futures[future], future.result().get('error', 'trained'))
            with open(out, 'w') as file:
                json.dump(results, file, indent=1, sort_keys=True)


def compare(old: str, new: str) -> int:
    """Print what is the same and what differs; 1 if anything differs."""
    before, after = json.load(open(old)), json.load(open(new))
    differs = 0
    for name in sorted({*before, *after}):
        one, two = before.get(name, {}), after.get(name, {})
        for network in {**one, **two}:
            same = one.get(network) == two.get(network)
            if 'error' in (*one, *two):
                same = False
            differs += not same
            sha = two.get(network)
            sha = sha['sha256'][:12] if isinstance(sha, dict) else sha
            print(f'{"same" if same else "DIFFERS":8}{name:50}{network:20}'
                  f'{sha}')
    print(f'{differs} networks differ')
    return int(differs > 0)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=['run', 'compare'])
    parser.add_argument('paths', nargs=2)
    parser.add_argument('--only', nargs='+', default=[])
    args = parser.parse_args()
    if args.what == 'run':
        run(*args.paths, args.only)
    else:
        sys.exit(compare(*args.paths))
