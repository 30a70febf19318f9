# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What was found about teachers, as text."""
from typing import Any, Dict, List, Mapping, Sequence

from mmdgkd.utils.table import draw_table

_DASH = '-'


def format_table(found: Mapping[str, Any]) -> str:
    """The table of teachers, their mean and their stacked estimate.

    Args:
        found (Mapping): What :func:`weigh` has found.
    """
    first, best = found['first'], found['best']
    against = dict(best=best) if best == first else dict(
        best=best, first=first)
    heads = [
        'network', 'accuracy', 'NLL', 'calibration error', 'best tau',
        'NLL calibrated', 'weight', 'lost without it'
    ] + [f'gain over {name}' for name in against.values()]
    rows = [[
        *_cells(name, one), f'{one["weight"]:.3f}',
        _DASH if one['lost'] is None else f'{one["lost"]:.0%}',
        *[_DASH] * len(against)
    ] for name, one in found['teachers'].items()]
    for form, name in (('mean', 'mean of all'), ('stack', 'stacked')):
        gains = [_interval(found[form]['gain'][key]) for key in against]
        rows.append([*_cells(name, found[form]), _DASH, _DASH, *gains])
    return draw_table(heads, rows)


def stacked_options(found: Mapping[str, Any]) -> Dict[str, Any]:
    """The options by which a :class:`DenseKDLoss` has the stacked estimate.

    Args:
        found (Mapping): What :func:`weigh` has found.
    """
    return dict(
        form='stacked',
        teacher_weights=found['teacher_weights'],
        teacher_tau=found['teacher_tau'])


def format_config(found: Mapping[str, Any], network: str, loss: str) -> str:
    """The lines of a config by which a student has the stacked estimate.

    Args:
        found (Mapping): What :func:`weigh` has found.
        network (str): The student.
        loss (str): The name of its :class:`DenseKDLoss`.
    """
    inner = '\n'.join([
        'dict(', *[
            f'        {key}={_text(value)},'
            for key, value in stacked_options(found).items()
        ]
    ])
    losses = _nested(['distill_losses', loss], inner[:-1] + ')')
    model = f'dict(\n    distiller={losses})'
    return f'chain = {_nested(["networks", network, "stage", "model"], model)}'


def _cells(name: str, one: Mapping[str, Any]) -> List[str]:
    tau = one.get('tau')
    return [
        name, f'{one["accuracy"]:.2f}', f'{one["nll"]:.3f}',
        f'{one["calibration_error"]:.3f}',
        _DASH if tau is None else f'{tau:.2f}', f'{one["nll_calibrated"]:.3f}'
    ]


def _interval(gain: Mapping[str, float]) -> str:
    # No -0.000.
    value, low, high = (f'{round(gain[key], 3) + 0.0:.3f}'
                        for key in ('value', 'low', 'high'))
    return f'{value} ({low} to {high})'


def _nested(keys: Sequence[str], inner: str) -> str:
    """A dict in a dict for each key, around the text of a value."""
    for key in reversed(keys):
        inner = f'dict({key}={inner})' if key.isidentifier(
        ) else f'{{{key!r}: {inner}}}'
    return inner


def _text(values: Any) -> str:
    if not isinstance(values, Mapping):
        return repr(values)
    if all(name.isidentifier() for name in values):
        items = [f'{name}={value}' for name, value in values.items()]
        return f'dict({", ".join(items)})'
    return repr(dict(values))
