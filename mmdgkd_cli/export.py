# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Write trained networks of a chain as programs for a device.

    mmdgkd export CONFIG --work-dir D --format pt2 onnx --preprocess

writes D/<network>/<network>.pt2 and .onnx for each trained network. A pruned
network has only the channels that are left. A network with low-bit weights is
also written as integers and steps, D/<network>/<network>_int.pth. A program
needs neither mmdgkd nor MMRazor on the device:

    logits = torch.export.load('resnet8.pt2').module()(images)
    logits, = onnxruntime.InferenceSession('resnet8.onnx').run(
        None, {'images': images})

with images of shape (N, C, H, W), not normalized: of files uint8 in the order
red, green, blue. With --preprocess they have any size; without it they are
resized and cropped as the data set does it. The last line that is printed has
what it takes. So has the file, with the names of the classes: inputs.json in a
*.pt2, the metadata of an *.onnx.
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
        '--out',
        help='the file, *.pt2 or *.onnx, where --stage names the network')
    parser.add_argument(
        '--format',
        nargs='+',
        choices=['pt2', 'onnx'],
        help='of the files (default: pt2); onnx needs mmdgkd[onnx]')
    parser.add_argument(
        '--channels',
        choices=['RGB', 'BGR'],
        default='RGB',
        help='the order of the channels of images from files (default: RGB)')
    parser.add_argument(
        '--preprocess',
        action='store_true',
        help='take images of any size: resize and crop are in the program')


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
    if args.out and (args.format or not args.stage or not args.out.endswith(
        ('.pt2', '.onnx'))):
        raise ConfigError(f'--out: {args.out!r}; should be a *.pt2 or *.onnx, '
                          'and needs --stage, and no --format')
    facts = export_chain(
        cfg,
        chain,
        only=args.stage,
        path=args.out,
        formats=args.format or ('pt2', ),
        channels=args.channels,
        preprocess=args.preprocess)
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
