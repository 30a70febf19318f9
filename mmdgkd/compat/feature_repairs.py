# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Repairs of MMRazor 1.0.0 whose causes show in use, not at its import.

By then mmrazor.models is imported: a repair costs a probe of microseconds.
"""
import importlib.util
from collections import OrderedDict
from functools import wraps
from types import ModuleType
from typing import Any, Dict, Iterable, Optional, Sequence


class SearchGradients:
    """zero_grad leaves no gradients since torch 2.0, where it left zeros.
    DSNAS scales the gradients of its architecture parameters after it: each
    search ends with an AttributeError. DMCP's get gradients outside of the
    forward pass of DDP: it refuses the next step that does not use them."""

    name = 'gradients of a search'

    @staticmethod
    def symptom() -> Optional[str]:
        import torch
        param = torch.nn.Parameter(torch.zeros(1))
        param.grad = torch.zeros(1)
        torch.optim.SGD([param], lr=1.).zero_grad()
        if param.grad is not None:
            return None
        return 'zero_grad leaves None, not zeros'

    @staticmethod
    def fix() -> None:
        """Make zeros of them again, where MMRazor's step has just ended."""
        from mmrazor.models.algorithms import DMCP, DSNAS
        scale, update = DSNAS.handle_grads, DMCP._update_arch_params

        @wraps(scale)
        def handle_grads(self: Any) -> None:
            _zeros_for_none(self.mutator.arch_params.values())
            scale(self)

        @wraps(update)
        def _update_arch_params(self: Any, *args: Any, **kwargs: Any) -> Dict:
            losses = update(self, *args, **kwargs)
            _zeros_for_none(self.mutator.arch_params.values())
            return losses

        DSNAS.handle_grads = handle_grads
        DMCP._update_arch_params = _update_arch_params


def _zeros_for_none(params: Iterable) -> None:
    """Give each parameter that has no gradient one of zeros."""
    import torch
    for param in params:
        if param.grad is None:
            param.grad = torch.zeros_like(param)


class DynamicContainers:
    """nn.Module keeps its children in a plain dict since torch 2.5, and
    nn.Sequential takes an OrderedDict alone: no static Sequential becomes a
    DynamicSequential."""

    name = 'dynamic containers'

    @staticmethod
    def symptom() -> Optional[str]:
        from mmrazor.models.architectures.dynamic_ops import DynamicSequential
        from torch import nn
        try:
            DynamicSequential.convert_from(nn.Sequential(nn.Identity()))
        except TypeError as error:
            return f'DynamicSequential.convert_from: {error}'
        return None

    @staticmethod
    def fix() -> None:
        from mmrazor.models.architectures.dynamic_ops import DynamicSequential

        def convert_from(cls: type, module: Any) -> Any:
            # named_children() leaves out what is there twice.
            return cls(OrderedDict(module._modules))

        DynamicSequential.convert_from = classmethod(convert_from)


class MetricVectors:
    """NumPy 1.24 has no np.int, by which MMRazor's predictor of metrics makes
    a vector of a subnet."""

    name = 'metric predictor'

    @staticmethod
    def symptom() -> Optional[str]:
        import numpy as np
        from mmrazor.models.task_modules.predictor import metric_predictor
        if hasattr(np, 'int') or hasattr(metric_predictor.np, 'int'):
            return None
        return f'numpy {np.__version__} has no int'

    @staticmethod
    def fix() -> None:
        from mmrazor.models.task_modules.predictor import metric_predictor
        metric_predictor.np = _NumPy(int=int)


class GaussianProcesses:
    """np.where takes no single number since NumPy 2.1, and pydacefit, of
    which MMRazor's GaussProcessHandler is, compares its bounds by it: they
    are made vectors of one number, as pydacefit takes them, too."""

    name = 'Gaussian processes'

    @staticmethod
    def symptom() -> Optional[str]:
        import numpy as np
        if importlib.util.find_spec('pydacefit') is None:
            return None
        try:
            np.where(np.bool_(False))
        except ValueError:
            return f'np.where of numpy {np.__version__} takes no number'
        return None

    @staticmethod
    def fix() -> None:
        import numpy as np
        from mmrazor.models.task_modules.predictor.handler import gp_handler
        kind = gp_handler.DACE_with_smooth
        init = kind.__init__

        @wraps(init)
        def __init__(self: Any,
                     regr: Any,
                     corr: Any,
                     theta: float = 1.0,
                     thetaL: float = 0.0,
                     thetaU: float = 100.0) -> None:
            init(self, regr, corr, *map(np.atleast_1d,
                                        (theta, thetaL, thetaU)))

        kind.__init__ = __init__


class ContrastSamples:
    """NumPy 1.24 makes no array of lists of different lengths: CRDDataset
    takes only data whose classes are of one size."""

    name = 'CRD data set'

    @staticmethod
    def symptom() -> Optional[str]:
        import numpy as np
        try:
            np.asarray([np.zeros(1), np.zeros(2)])
        except ValueError:
            return 'an array of lists of different lengths is refused'
        return None

    @staticmethod
    def fix() -> None:
        from mmrazor.datasets import crd_dataset_wrapper
        crd_dataset_wrapper.np = _NumPy(asarray=_ragged)


def _ragged(values: Sequence) -> Any:
    """An array, as ``np.asarray``, or of lists where they differ in length.

    Args:
        values (Sequence): Numbers, or arrays of numbers.

    Returns:
        np.ndarray: Of numbers, or of shape (N, ) with N arrays.
    """
    import numpy as np
    try:
        return np.asarray(values)
    except ValueError:
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array


class _NumPy(ModuleType):
    """NumPy for one module of MMRazor, with names of its own.

    Args:
        names (Any): The names that are not NumPy's.
    """

    def __init__(self, **names: Any) -> None:
        super().__init__('numpy')
        vars(self).update(names)

    def __getattr__(self, name: str) -> Any:
        import numpy
        return getattr(numpy, name)
