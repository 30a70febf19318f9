# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from dataclasses import dataclass
from typing import Callable, Optional


@dataclass(frozen=True)
class Repair:
    """One thing that MMRazor or MMEngine cannot do on this installation.

    Args:
        name (str): A short name, as ``python -m mmdgkd.compat`` prints it.
        cause (str): What changed under MMRazor, in one sentence.
        diagnose (Callable): Looks at the installation and returns the symptom
            that it found, or None where there is nothing to mend.
        mend (Callable): Makes the repair, in memory only.
    """

    name: str
    cause: str
    diagnose: Callable[[], Optional[str]]
    fix: Callable[[], None]
