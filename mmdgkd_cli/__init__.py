# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The command ``mmdgkd``, and the tools of a checkout.

It is no part of the package ``mmdgkd``, whose import takes seconds, and fails
where a package is missing: help comes at once, and each error is one line.
"""
import argparse
import difflib
import importlib
import importlib.metadata
import os
import sys
from typing import Any, Optional

from .common import one_line_errors

COMMANDS = dict(
    new='write the config of a chain: your images, two networks',
    plan='print what a chain trains, what it costs, and its mistakes',
    train='train a chain, or anything else that MMEngine trains',
    submit='train a chain as jobs, here or on a Slurm cluster',
    test='test the networks of a chain',
    weigh='say whether several teachers are worth more than one',
    export='write networks as programs that PyTorch runs alone',
    report='write one page of results of work dirs',
    store='show, fill, check and clean a logit store',
    compat='print versions, and what is repaired in MMRazor')


def usage() -> str:
    """The text of ``mmdgkd --help``."""
    lines = [f'  {name:<8} {text}' for name, text in COMMANDS.items()]
    return '\n'.join([
        'usage: mmdgkd COMMAND ...', '',
        'Densely Guided Knowledge Distillation for OpenMMLab.', '', *lines, '',
        'mmdgkd COMMAND --help lists the flags of a command, with an example.'
    ])


def module_of(command: str) -> Any:
    """The module of a command: its help, ``add_arguments`` and ``run``."""
    return importlib.import_module(f'{__name__}.{command}')


def complete() -> None:
    """Give the shell what may come next."""
    import argcomplete
    parser = argparse.ArgumentParser('mmdgkd')
    commands = parser.add_subparsers()
    for command in COMMANDS:
        module_of(command).add_arguments(commands.add_parser(command))
    argcomplete.autocomplete(parser)


def main(command: Optional[str] = None, prog: Optional[str] = None) -> None:
    """Run a command.

    Args:
        command (str, optional): Defaults to None: the first word of the
            command line.
        prog (str, optional): How its help calls it. Defaults to None: by the
            name of the script.
    """
    words = sys.argv[1:]
    if command is None:
        if '_ARGCOMPLETE' in os.environ:
            complete()
        command = words.pop(0) if words else '--help'
        prog = f'mmdgkd {command}'
    if command in ('-h', '--help'):
        print(usage())
        return
    if command == '--version':
        print(f'mmdgkd {importlib.metadata.version("mmdgkd")}')
        return
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, 1)
        hint = f'; did you mean {near[0]}?' if near else ''
        print(
            f'error: {command!r} is none of {", ".join(COMMANDS)}{hint}',
            file=sys.stderr)
        sys.exit(2)
    module = module_of(command)
    parser = argparse.ArgumentParser(
        prog,
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    with one_line_errors():
        module.add_arguments(parser)
        module.run(parser.parse_args(words))
