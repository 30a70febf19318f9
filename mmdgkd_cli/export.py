# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Write trained networks of a chain as programs for a device.

    mmdgkd export CONFIG --work-dir D --format pt2 onnx --preprocess

writes D/<network>/<network>.pt2 and .onnx for each trained network; the format
executorch writes a .pte. A pruned network has only the channels that are left,
one of most of MMRazor's quantizers computes with integers of 8 bits in .onnx
and .pte. A network with low-bit weights is also written as integers and steps,
D/<network>/<network>_int.pth. A program needs neither mmdgkd nor MMRazor on
the device:

    logits = torch.export.load('resnet8.pt2').module()(images)
    logits, = onnxruntime.InferenceSession('resnet8.onnx').run(
        None, {'images': images})
    logits, = executorch.runtime.Runtime.get().load_program('resnet8.pte')
        .load_method('forward').execute([images.contiguous()])

with images of shape (N, C, H, W), not normalized: of files uint8 in the order
red, green, blue. With --preprocess they have any size; without it they are
resized and cropped as the data set does it. A *.pte takes at most 8 images at
once. The lines "input" that are printed have what it takes. So has the file,
with the names of the classes: inputs.json in a *.pt2, the metadata of an
*.onnx, what the method "inputs" of a *.pte returns.

--latency times each program, for one image by one thread, and mmdgkd report
shows accuracy against latency and size. Let nothing else run meanwhile.
"""
import argparse
import os.path as osp
from typing import Any, Dict, List

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
        help='the file, *.pt2, *.onnx or *.pte, where --stage names the '
        'network')
    parser.add_argument(
        '--format',
        nargs='+',
        choices=['pt2', 'onnx', 'executorch'],
        help='of the files (default: pt2); onnx needs mmdgkd[onnx], '
        'executorch mmdgkd[executorch]')
    parser.add_argument(
        '--channels',
        choices=['RGB', 'BGR'],
        default='RGB',
        help='the order of the channels of images from files (default: RGB)')
    parser.add_argument(
        '--preprocess',
        action='store_true',
        help='take images of any size: resize and crop are in the program '
        '(pt2 and onnx)')
    parser.add_argument(
        '--latency',
        action='store_true',
        help='time the programs, for one image by one thread')


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
        ('.pt2', '.onnx', '.pte'))):
        raise ConfigError(f'--out: {args.out!r}; should be a *.pt2, *.onnx or '
                          '*.pte, and needs --stage, and no --format')
    facts = export_chain(
        cfg,
        chain,
        only=args.stage,
        path=args.out,
        formats=args.format or ('pt2', ),
        channels=args.channels,
        preprocess=args.preprocess,
        latency=args.latency)
    heads = ['file', 'parameters', 'MACs', 'KB', 'largest error']
    rows = [[
        osp.relpath(path), f'{fact.params:,}', f'{fact.macs:,}',
        f'{fact.size / 1000:,.0f}', f'{fact.error:.2g}'
    ] for path, fact in facts.items()]
    if args.latency:
        heads += ['ms, median', 'of 80 % of the calls']
        for row, fact in zip(rows, facts.values()):
            took = fact.latency
            row += [f'{took.median:.3f}', f'{took.low:.3f} to {took.high:.3f}']
    print(draw_table(heads, rows))
    lines: Dict[str, List[str]] = {}
    for path, fact in facts.items():
        lines.setdefault(_describe(fact.inputs), []).append(path)
    kinds = [{osp.splitext(path)[1]
              for path in paths} for paths in lines.values()]
    for (line, paths), endings in zip(lines.items(), kinds):
        # All of a format, or some networks.
        own = len(set().union(*kinds)) == sum(map(len, kinds))
        names = [f'*{ending}' for ending in sorted(endings)] if own else map(
            osp.basename, paths)
        print(f'input{" of " + ", ".join(names) if len(lines) > 1 else ""}: '
              f'{line}')
    for fact in facts.values():
        for extra in fact.extras:
            print(extra)


def _describe(inputs: Dict[str, Any]) -> str:
    """What a program takes, in a line."""
    most = inputs.get('at_once')
    return (f'{inputs["dtype"]} images of shape '
            f'({", ".join(map(str, inputs["shape"]))}), '
            f'{f"N at most {most}, " if most else ""}not normalized, '
            f'channels: {inputs["channels"]}')
