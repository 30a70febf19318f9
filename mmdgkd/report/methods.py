# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The methods that reports and tables compare: their names and looks, once."""
from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class MethodStyle:
    """How a method is named and drawn.

    Attributes:
        label (str): Its name for people.
        meaning (str): What it is, for the glossary.
        guidance (str): The ``chain.guidance`` that makes it.
        color (str): Okabe and Ito's colours, which colour-blind people tell
            apart, darkened for a white page.
        marker (str): Of matplotlib; it tells methods apart without colour.
    """

    label: str
    meaning: str
    guidance: str
    color: str
    marker: str


METHOD_STYLES: dict[str, MethodStyle] = {
    'alone':
    MethodStyle('alone', 'trained on the labels, without a teacher', 'none',
                '#52606d', 'o'),
    'kd':
    MethodStyle(
        'KD', 'knowledge distillation: each network is distilled from the '
        'teacher alone', 'direct', '#b35900', 's'),
    'takd':
    MethodStyle(
        'TAKD', 'each network is distilled from the one before it (teacher '
        'assistants)', 'sequential', '#00795a', '^'),
    'dgkd':
    MethodStyle(
        'DGKD', 'each network is distilled from all larger ones (dense '
        'guidance)', 'dense', '#0065a8', 'D'),
    'independent':
    MethodStyle(
        'independent TAs', 'the student is distilled from all larger ones, '
        'which are trained on the labels alone', 'independent', '#6b5b00',
        '*'),
    'dgkd_stochastic':
    MethodStyle(
        'stochastic DGKD', 'DGKD with some teachers, drawn at random, dropped '
        'in each step', 'dense', '#a63d84', 'v'),
}

# For methods that are not among these, from Tol's colours.
_OTHERS = (('#8c6d1f', 'P'), ('#3d8eb9', 'X'), ('#882255', 'p'),
           ('#117733', 'h'), ('#332288', '<'), ('#661100', '>'))


def styles_of(labels: Iterable[str]) -> dict[str, MethodStyle]:
    """A style for each label, of any method.

    Args:
        labels (Iterable[str]): The labels in order; duplicates are merged.
    """
    known = {style.label: style for style in METHOD_STYLES.values()}
    labels = list(dict.fromkeys(labels))
    others = [label for label in labels if label not in known]
    for i, label in enumerate(others):
        color, marker = _OTHERS[i % len(_OTHERS)]
        known[label] = replace(
            known['alone'], label=label, color=color, marker=marker)
    return {label: known[label] for label in labels}


def rank_of(label: str) -> tuple[int, str]:
    """The order in which methods are shown."""
    known = [style.label for style in METHOD_STYLES.values()]
    return (known.index(label) if label in known else len(known), label)
