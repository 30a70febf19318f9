# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""``python -m mmdgkd.compat``: which repairs are in force, and why."""
from . import REQUIREMENTS, apply, installed


def main() -> None:
    """Print the versions and, per repair, the symptom and the cause."""
    for names, *_ in REQUIREMENTS:
        for name, version in installed(names).items():
            print(f'{name} {version}', end='  ')
    print()
    for repair, symptom in apply():
        state = 'in force' if symptom else 'not needed'
        print(f'\n{repair.name}: {state}')
        if symptom:
            print(f'  symptom: {symptom}')
        print(f'  cause:   {" ".join(repair.__doc__.split())}')


if __name__ == '__main__':
    main()
