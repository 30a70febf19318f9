# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Repairs for the tools of MMPretrain 1.2.0.

A tool imports what it needs, then reads a config, which imports mmdgkd: what
is repaired is there already, bound by name. So it is changed in place.
Nothing is imported for a repair.
"""
import inspect
import sys
from functools import wraps
from types import ModuleType
from typing import Any, Callable, Iterator, Optional


class TightBox:
    """browse_dataset cuts its pictures by a private function of matplotlib,
    which wants the renderer since 3.8."""

    name = 'tight box'

    @staticmethod
    def symptom() -> Optional[str]:
        module = sys.modules.get('matplotlib._tight_bbox')
        if module is None or _default_of(module.adjust_bbox, 'renderer',
                                         None) is not inspect.Parameter.empty:
            return None
        return 'adjust_bbox of matplotlib wants a renderer'

    @staticmethod
    def fix() -> None:
        # Only axes with a locator use it; the tool has none.
        function = sys.modules['matplotlib._tight_bbox'].adjust_bbox
        function.__defaults__ = (None, *function.__defaults__)


class TSNEIterations:
    """vis_tsne gives TSNE n_iter, which scikit-learn 1.7 knows as max_iter
    alone."""

    name = 't-SNE iterations'

    @staticmethod
    def symptom() -> Optional[str]:
        module = sys.modules.get('sklearn.manifold')
        if module is None or 'n_iter' in _parameters(module.TSNE.__init__):
            return None
        return 'TSNE of scikit-learn takes max_iter, not n_iter'

    @staticmethod
    def fix() -> None:
        kind = sys.modules['sklearn.manifold'].TSNE
        init = kind.__init__

        @wraps(init)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            if 'n_iter' in kwargs:
                kwargs['max_iter'] = kwargs.pop('n_iter')
            init(self, *args, **kwargs)

        kind.__init__ = __init__


class CamDevice:
    """vis_cam gives the classes of grad-cam use_cuda, which they take from
    the model since 1.5."""

    name = 'CAM device'

    @staticmethod
    def symptom() -> Optional[str]:
        module = sys.modules.get('pytorch_grad_cam')
        if module is None or 'use_cuda' in _parameters(
                module.GradCAM.__init__):
            return None
        return 'GradCAM takes no use_cuda'

    @staticmethod
    def fix() -> None:
        for kind in _cams(sys.modules['pytorch_grad_cam']):
            kind.__init__ = _without_device(kind.__init__)


def _cams(module: ModuleType) -> Iterator[type]:
    """The classes of grad-cam with an ``__init__`` of their own."""
    left = [module.base_cam.BaseCAM]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        if '__init__' in vars(kind):
            yield kind


def _without_device(init: Callable) -> Callable:

    @wraps(init)
    def __init__(self: Any,
                 *args: Any,
                 use_cuda: bool = False,
                 **kwargs: Any) -> None:
        init(self, *args, **kwargs)

    return __init__


def _parameters(function: Callable) -> Any:
    """The parameters of a function, by name."""
    return inspect.signature(function).parameters


def _default_of(function: Callable, name: str, missing: Any) -> Any:
    """The default of a parameter, or what it is where there is none."""
    found = _parameters(function).get(name)
    return missing if found is None else found.default
