# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Print the versions of what mmdgkd needs, and the repairs in force.

    mmdgkd compat
"""
import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There are no flags."""


def run(args: argparse.Namespace) -> None:
    """Print them."""
    from mmdgkd.compat.__main__ import main
    main()
