# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The methods that reports and tables compare: their names and looks, once."""
from dataclasses import dataclass
from typing import Dict


@dataclass(frozen=True)
class MethodStyle:
    """How a method is named and drawn.

    Attributes:
        label (str): Its name for people.
        guidance (str): The ``chain.guidance`` that makes it.
        color (str): Okabe and Ito's colours, which colour-blind people tell
            apart, darkened for a white page.
        marker (str): Of matplotlib; it tells methods apart without colour.
    """

    label: str
    guidance: str
    color: str
    marker: str


METHOD_STYLES: Dict[str, MethodStyle] = {
    'alone': MethodStyle('alone', 'none', '#52606d', 'o'),
    'kd': MethodStyle('KD', 'direct', '#b35900', 's'),
    'takd': MethodStyle('TAKD', 'sequential', '#00795a', '^'),
    'dgkd': MethodStyle('DGKD', 'dense', '#0065a8', 'D'),
    'dgkd_stochastic': MethodStyle('stochastic DGKD', 'dense', '#a63d84', 'v'),
}
