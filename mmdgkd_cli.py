# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The command ``mmdgkd``: the tools, wherever it is installed.

It is no part of the package ``mmdgkd``, whose import takes seconds, and fails
where a package is missing: help comes at once, and each error is one line.
"""
import difflib
import importlib.metadata
import importlib.util
import os.path as osp
import sys

COMMANDS = dict(
    new='write the config of a chain: your images, two networks',
    train='train a chain, or anything else that MMEngine trains',
    test='test the networks of a chain',
    export='write networks as programs that PyTorch runs alone',
    report='write one page of results of work dirs')


def usage() -> str:
    """The text of ``mmdgkd --help``."""
    lines = [f'  {name:<8} {text}' for name, text in COMMANDS.items()]
    return '\n'.join([
        'usage: mmdgkd COMMAND ...', '',
        'Densely Guided Knowledge Distillation for OpenMMLab.', '', *lines, '',
        'mmdgkd COMMAND --help lists the flags of a command.'
    ])


def main() -> None:
    """Run the tool that the command line names.

    The tools are scripts of a folder that has a module in common.
    """
    command = sys.argv[1] if len(sys.argv) > 1 else '--help'
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
    # Without its import.
    package = importlib.util.find_spec('mmdgkd').origin
    folder = osp.join(osp.dirname(package), '.mim', 'tools')
    sys.path.insert(0, folder)
    sys.argv = [f'mmdgkd {command}', *sys.argv[2:]]
    # Not by their names: Python has a package "test", too.
    spec = importlib.util.spec_from_file_location(
        f'mmdgkd_{command}', osp.join(folder, f'{command}.py'))
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    with tool.one_line_errors():
        tool.main()


if __name__ == '__main__':
    main()
