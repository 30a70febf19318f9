# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Repeat the step whose loss or gradients were not finite, from its dump."""
import argparse
import sys

from mmdgkd.errors import ConfigError
from .replay import replay


def main() -> None:
    """Replay a dump and print its losses."""
    parser = argparse.ArgumentParser(
        prog='python -m mmdgkd.engine.finite_step', description=__doc__)
    parser.add_argument(
        'dump', help='bad_step_N/rank_R.pth in the folder of a stage')
    parser.add_argument(
        '--config', help='the config of the stage (default: its config.py)')
    args = parser.parse_args()
    try:
        found = replay(args.dump, args.config)
    except ConfigError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(error.exit_code)
    for name, value in found['terms'].items():
        was = found['dumped'].get(name)
        print(f'{name}: {value!r} (in the training: {was!r})')
    bad = found['bad_gradients']
    print(f'gradients that are not finite: {len(bad)}'
          f'{f", the first of {bad[0]}" if bad else ""}')


if __name__ == '__main__':
    main()
