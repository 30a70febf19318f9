# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Write trained networks of a chain as programs that PyTorch runs alone.

    mmdgkd export CONFIG --work-dir D

writes D/<network>/<network>.pt2 for each trained network. A pruned network has
only the channels that are left. A network with low-bit weights is also written
as integers and steps, D/<network>/<network>_int.pth. A program needs neither
mmdgkd nor MMRazor on the device:

    logits = torch.export.load('resnet8.pt2').module()(images)

with images of shape (N, C, H, W) as the data set gives them, not normalized:
of files mostly uint8 in the order blue, green, red. The last line that is
printed says so, and inputs.json in the program, which has the classes, too.
"""
import argparse
import os.path as osp

from .common import add_common_arguments, load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add_common_arguments(parser)
    parser.add_argument(
        '--stage',
        metavar='NAME',
        help='which network (default: all that are trained)')
    parser.add_argument(
        '--out', help='the file, *.pt2, where --stage names the network')


def run(args: argparse.Namespace) -> None:
    """Export one network, or all."""
    from mmdgkd import ConfigError
    from mmdgkd.chain.classes import read_chain
    from mmdgkd.chain.export.torch_export import export_chain
    from mmdgkd.utils.table import draw_table
    cfg = load_config(args)
    chain = read_chain(cfg)
    if args.stage:
        chain.require(args.stage, '--stage')
    if args.out and not (args.stage and args.out.endswith('.pt2')):
        raise ConfigError(f'--out: {args.out!r}; should be a *.pt2, and needs '
                          '--stage')
    facts = export_chain(cfg, chain, args.stage, args.out)
    print(
        draw_table(('file', 'parameters', 'MACs', 'KB', 'largest error'),
                   [(osp.relpath(path), f'{fact.params:,}', f'{fact.macs:,}',
                     f'{fact.size / 1000:,.0f}', f'{fact.error:.2g}')
                    for path, fact in facts.items()]))
    for fact in facts.values():
        inputs = fact.inputs
    print(f'input: {inputs["dtype"]} images of shape '
          f'({", ".join(map(str, inputs["shape"]))}), not normalized, '
          f'channels: {inputs["channels"]}')
    for fact in facts.values():
        for extra in fact.extras:
            print(extra)
