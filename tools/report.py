# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Report the results of work dirs: a page, Markdown, and pictures.

For those who did not run them: teachers of each network, accuracy against
cost, learning curves, spread over seeds, times. Several work dirs are
compared; those that differ in the seed alone are averaged. Their configs are
run to be read: give only work dirs that you trust.
"""
import argparse

from _common import one_line_errors


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'work_dirs',
        nargs='+',
        metavar='WORK_DIR',
        help='a work dir of a chain, trained or in training')
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='where the report goes (default: report in the first WORK_DIR)')
    parser.add_argument('--title', help='its heading')
    return parser.parse_args()


def main() -> None:
    """Write the report."""
    args = parse_args()
    from mmdgkd.report import write_report
    written = write_report(args.work_dirs, args.out, args.title)
    print(written[-1])


if __name__ == '__main__':
    with one_line_errors():
        main()
