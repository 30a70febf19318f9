# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""MMRazor 1.0.0 and MMEngine 0.10 on current PyTorch.

Importing this package changes nothing; :func:`apply` makes the repairs, in
memory only: no file is touched, and no attribute of ``torch`` is set. Each
repair names its cause and is made only where its symptom is found.
"""
import warnings
from typing import List, Optional, Tuple

from . import (checkpoints, demo_inputs, generator_device, inplace,
               mmcls_names, package_lookup, pruning_resume, quantization,
               quantizers, sampled_choices)
from .repair import Repair
from .requirements import check_requirements

# The order matters: the first three must be in force before mmrazor.models is
# imported, which ``mmcls_names`` does; the others look at the result.
REPAIRS: Tuple[Repair, ...] = (package_lookup.REPAIR, checkpoints.REPAIR,
                               quantization.REPAIR, mmcls_names.REPAIR,
                               inplace.REPAIR, demo_inputs.REPAIR,
                               pruning_resume.REPAIR, quantizers.REPAIR,
                               sampled_choices.REPAIR, generator_device.REPAIR)

_report: List[Tuple[Repair, Optional[str]]] = []


def apply() -> List[Tuple[Repair, Optional[str]]]:
    """Check the installation and make the repairs that it needs, once.

    Returns:
        list[tuple[Repair, str | None]]: Each repair with the symptom for which
        it was made, or None where there was nothing to mend.

    Raises:
        ImportError: If a package is missing, too old or too new.
    """
    if not _report:
        check_requirements()
        with warnings.catch_warnings():
            # mmcv-lite says at import what it lacks; nothing here needs it.
            warnings.filterwarnings('ignore', 'Fail to import ``MultiScale')
            # PyTorch 2.4 and 2.5 warn of what one of the symptoms is on 2.6.
            warnings.filterwarnings('ignore', 'You are using `torch.load`')
            for repair in REPAIRS:
                symptom = repair.diagnose()
                if symptom is not None:
                    repair.fix()
                _report.append((repair, symptom))
    return _report


__all__ = ['REPAIRS', 'Repair', 'apply', 'check_requirements']
