# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What ``mmdgkd weigh`` has left in work dirs."""
import os.path as osp
from collections.abc import Sequence
from dataclasses import dataclass

from mmdgkd.fileio.files import parse_json
from .plots import Panel
from .records import Run

# The dots of the figure by CSS pixel (plots.mplstyle, new_axes).
_DOTS = 200 / 120


@dataclass(frozen=True)
class Weighed:
    """A run whose teachers were weighed."""

    label: str
    sentence: str  # whether dense guidance can pay
    panels: Sequence[Panel]  # of reliability and NLL; one or none


def weighed_in(runs: Sequence[Run]) -> list[Weighed]:
    """Read the sentences and figures; a file that is damaged is left out.

    Of one that is of other weights than the work dir has now, that is said.

    Args:
        runs (Sequence[Run]): The work dirs.
    """
    found = []
    for run in runs:
        try:
            with open(osp.join(run.path, 'weigh.json')) as file:
                data = parse_json(file.read())
            # One of before does not tell.
            files = dict(data.get('files') or {'its teachers': None})
            # Beside whether it pays, what limits that.
            sentence = '; '.join(
                str(part) for part in (data['sentence'], data.get('caveat'))
                if part)
            sentence = (f'{data.get("network")} by {", ".join(files)}: '
                        f'{sentence}')
        except (AttributeError, OSError, ValueError, LookupError, TypeError):
            continue
        stale = [
            teacher for teacher, weights in files.items() if
            teacher not in run.stages or run.stages[teacher].weights != weights
        ]
        if stale:
            found.append(
                Weighed(
                    run.label, 'it was about other weights of '
                    f'{", ".join(stale)} than those of chain.json', []))
            continue
        name = f'weigh_{len(found) + 1}'
        found.append(
            Weighed(run.label, sentence, _figure(run, name, sentence)))
    return found


def _figure(run: Run, name: str, sentence: str) -> list[Panel]:
    try:
        with open(osp.join(run.path, 'weigh.png'), 'rb') as file:
            png = file.read()
    except OSError:
        return []
    if png[:8] != b'\x89PNG\r\n\x1a\n':
        return []
    width = round(int.from_bytes(png[16:20]) / _DOTS)
    alt = f'Reliability, and NLL by number of teachers: {sentence}.'
    return [Panel(name, alt, width, png)]
