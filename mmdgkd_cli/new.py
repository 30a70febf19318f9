# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Write the config of a chain: your images, a teacher and a student.

    mmdgkd new pets.py --data data/pets --teacher resnet34_8xb32_in1k \\
        --student mobilenet-v3-small_8xb128_in1k

The images are DIR/train/<class>/*.jpg and DIR/val/<class>/*.jpg. Without val/
a part of each class validates: lists beside the config say which, and the
images stay as and where they are. A network is a model of MMPretrain (its
name, or mmpretrain::FILE.py), of timm (timm:NAME), or a ResNet of 6n + 2
layers for small images (resnet20). The config is rehearsed before it is
written.
"""
import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument('config', metavar='CONFIG', help='the file to write')
    parser.add_argument(
        '--data',
        metavar='DIR',
        required=True,
        help='a folder of images, cifar10, cifar100 or imagenet')
    parser.add_argument('--teacher', metavar='NAME', required=True)
    parser.add_argument(
        '--teacher-ckpt',
        metavar='FILE',
        help='its weights; without them it is trained first')
    parser.add_argument(
        '--teacher-classes',
        metavar='FILE',
        help='the names of its classes, one a line, where they are others; '
        'those of your images are picked')
    parser.add_argument('--student', metavar='NAME', required=True)
    parser.add_argument(
        '--tas',
        metavar='TAS',
        nargs='+',
        help='how many TAs to propose, their names, or none (default: one)')
    parser.add_argument(
        '--epochs', help='of each stage (default: by the number of images)')
    parser.add_argument(
        '--size', help='edge of the images in pixels (default: by the images)')
    parser.add_argument(
        '--pretrained',
        action='store_true',
        help='begin from the weights of the zoos; they are downloaded')
    parser.add_argument(
        '--val-share',
        metavar='SHARE',
        default='0.2',
        help='of each class, where there is no val/ (default: %(default)s)')
    parser.add_argument(
        '--seed', default='0', help='of that split (default: %(default)s)')
    parser.add_argument(
        '--data-root',
        metavar='DIR',
        help='where cifar10, cifar100 or imagenet is (default: data/<name>)')
    parser.add_argument(
        '--explain', action='store_true', help='say why these TAs')
    parser.add_argument(
        '--force', action='store_true', help='write over CONFIG')
    parser.add_argument(
        '--no-rehearsal',
        action='store_true',
        help='write it unrehearsed, such as without the images')


def run(args: argparse.Namespace) -> None:
    """Write the config."""
    from mmdgkd.new import Options, new_config
    from mmdgkd.new.options import number_of, read_tas
    num_tas, tas = read_tas(args.tas)
    options = Options(
        config=args.config,
        data=args.data,
        teacher=args.teacher,
        student=args.student,
        teacher_ckpt=args.teacher_ckpt,
        teacher_classes=args.teacher_classes,
        num_tas=num_tas,
        tas=tas,
        epochs=number_of('--epochs', args.epochs),
        size=number_of('--size', args.size),
        data_root=args.data_root,
        pretrained=args.pretrained,
        seed=number_of('--seed', args.seed),
        val_share=number_of('--val-share', args.val_share, float),
        force=args.force,
        rehearsal=not args.no_rehearsal)
    work_dir = new_config(options, args.explain)
    other = '' if work_dir == options.work_dir else f' --work-dir {work_dir}'
    print(f'next: mmdgkd train {args.config}{other}')
