# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from functools import wraps
from typing import Any, Callable, Optional

from .repair import Repair


def _plain(method: Callable) -> Callable:
    """Have a choice that is drawn be a str of Python's."""

    @wraps(method)
    def sample_choice(self: Any) -> str:
        return str(method(self))

    return sample_choice


def _diagnose() -> Optional[str]:
    import numpy as np
    written = repr(np.str_('a'))
    if written == repr('a'):
        return None
    return f"a choice is written as {written}, not as 'a'"


def _fix() -> None:
    from mmrazor.models.mutables import OneShotMutableOP
    OneShotMutableOP.sample_choice = _plain(OneShotMutableOP.sample_choice)


REPAIR = Repair(
    name='sampled choices',
    cause='MMRazor writes the subnets that it compares as text and reads them '
    'again, and NumPy 2 writes its own strings in a way that Python cannot '
    'read: every evolutionary search would end with a NameError',
    diagnose=_diagnose,
    fix=_fix)
