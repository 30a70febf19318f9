# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Repairs for OneDL's forks of MMEngine, MMPretrain and MMCV, and MMCV 2.2."""
import contextlib
import importlib
import importlib.util
import inspect
import io
import os.path as osp
import sys
from typing import Any, Optional


class WeightsOnly:
    """OneDL's mmengine reads a checkpoint that weights-only reading refuses a
    second time, as code; it also allows getattr in it, and after each reading
    takes what else was allowed from the list."""

    name = 'weights only'

    @staticmethod
    def symptom() -> Optional[str]:
        from mmengine.runner import checkpoint
        if not hasattr(checkpoint, '_safe_torch_load'):
            if 'weights_only=False' in inspect.getsource(checkpoint):
                raise ImportError(
                    'mmdgkd needs a mmengine that reads weights only, or the '
                    'onedl-mmengine 0.10.12, whose reading it repairs')
            return None
        return 'mmengine falls back to torch.load with weights_only=False'

    @staticmethod
    def fix() -> None:
        from mmengine.runner import checkpoint
        checkpoint._safe_torch_load = _weights_only_load


def _weights_only_load(file: Any,
                       map_location: Any = None,
                       weights_only: Optional[bool] = None) -> Any:
    """Replace ``mmengine.runner.checkpoint._safe_torch_load``.

    Args:
        file (str or file): The checkpoint.
        map_location (Any): As of ``torch.load``. Defaults to None.
        weights_only (bool, optional): As of ``torch.load``; None is True.
            Defaults to None.
    """
    import torch
    return torch.load(
        file,
        map_location=map_location,
        weights_only=weights_only is not False)


class QuietImport:
    """OneDL's mmpretrain prints that it lacks a package of OneDL, before all
    that a command prints."""

    name = 'quiet import'

    @staticmethod
    def symptom() -> Optional[str]:
        if 'mmpretrain' in sys.modules:
            return None
        spec = importlib.util.find_spec('mmpretrain')
        folder = osp.dirname(spec.origin)
        if not osp.exists(osp.join(folder, 'datasets', 'onedl.py')):
            return None
        return 'mmpretrain.datasets prints what it cannot import'

    @staticmethod
    def fix() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            importlib.import_module('mmpretrain.datasets')


class NewerMMCV:
    """MMRazor 1.0.0 asserts mmcv <= 2.1.0 when it is imported, the newest of
    its time. mmcv 2.2 has other compiled ops and no other Python code outside
    of mmcv.ops; OneDL's 2.3 is tested, too."""

    name = 'newer mmcv'

    @staticmethod
    def symptom() -> Optional[str]:
        try:
            importlib.import_module('mmrazor')
        except AssertionError as error:
            return str(error)
        return None

    @staticmethod
    def fix() -> None:
        """Import mmrazor, which looks at the version then and not again."""
        import mmcv
        version = mmcv.__version__
        mmcv.__version__ = '2.1.0'
        try:
            importlib.import_module('mmrazor')
        finally:
            mmcv.__version__ = version
