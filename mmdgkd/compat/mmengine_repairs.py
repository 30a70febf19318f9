# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Repairs of MMEngine 0.10."""
import codecs
import importlib.util
import io
import os.path as osp
import sys
import warnings
from functools import wraps
from importlib import metadata
from types import SimpleNamespace
from typing import Any, Callable, Optional, Tuple


class PackageLookup:
    """setuptools 82 dropped pkg_resources, by which mmengine finds packages
    and `mmpretrain::` configs."""

    name = 'package lookup'

    @staticmethod
    def symptom() -> Optional[str]:
        if importlib.util.find_spec('pkg_resources') is not None:
            return None
        from mmengine.utils import package_utils
        try:
            package_utils.is_installed('mmengine')
        except ImportError as error:
            return f'mmengine.utils.is_installed: {error}'
        return None

    @staticmethod
    def fix() -> None:
        from mmengine.utils import package_utils
        for mine in (is_installed, get_installed_path):
            broken = getattr(package_utils, mine.__name__)
            # MMEngine and its family import the two by name: replace every
            # such reference that exists by now.
            for name, module in list(sys.modules.items()):
                if (name.split('.')[0].startswith('mm')
                        and getattr(module, mine.__name__, None) is broken):
                    setattr(module, mine.__name__, mine)


def is_installed(package: str) -> bool:
    """Whether a package can be imported or is known to the installer.

    Args:
        package (str): Name of a distribution or of a module.
    """
    try:
        metadata.distribution(package)
        return True
    except metadata.PackageNotFoundError:
        spec = importlib.util.find_spec(package)
        return spec is not None and spec.origin is not None


def get_installed_path(package: str) -> str:
    """The folder of an installed package.

    Args:
        package (str): Name of a distribution or of a module, such as
            ``'mmpretrain'``, or ``'mmcv-lite'`` whose module is ``mmcv``.

    Raises:
        importlib.metadata.PackageNotFoundError: If there is none.
    """
    names = [package]
    if importlib.util.find_spec(package) is None:
        names = [
            module for module, distributions in
            metadata.packages_distributions().items()
            if package in distributions
        ]
    for name in names:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            return osp.dirname(spec.origin)
    raise metadata.PackageNotFoundError(package)


class CompiledOps:
    """Python 3.14 has no pkgutil.find_loader, by which mmengine and mmcv find
    the compiled ops of mmcv; no Runner is built without."""

    name = 'compiled ops'

    @staticmethod
    def symptom() -> Optional[str]:
        from mmengine.utils.dl_utils import mmcv_full_available
        try:
            with warnings.catch_warnings():
                # Of Python 3.12 and 3.13, about its removal.
                warnings.simplefilter('ignore')
                mmcv_full_available()
        except AttributeError as error:
            return str(error)
        return None

    @staticmethod
    def fix() -> None:
        from mmcv.utils import ext_loader
        from mmengine.utils.dl_utils import misc

        # They use nothing else of it.
        finder = SimpleNamespace(find_loader=importlib.util.find_spec)
        misc.pkgutil = ext_loader.pkgutil = finder


class OwnConfigs:
    """mmengine finds `package::` bases of OpenMMLab's packages alone, and
    gives them a scope, in which mmdgkd, a plugin, registers nothing."""

    name = 'own configs'

    @staticmethod
    def symptom() -> Optional[str]:
        from mmengine.config.utils import MODULE2PACKAGE
        if 'mmdgkd' in MODULE2PACKAGE:
            return None
        return "mmengine does not support to load mmdgkd config: 'mmdgkd::'"

    @staticmethod
    def fix() -> None:
        from mmengine.config import Config
        known = Config._get_cfg_path

        def get_cfg_path(cfg_path: str,
                         filename: str) -> Tuple[str, Optional[str]]:
            package, found, name = cfg_path.partition('::')
            if not found or package != 'mmdgkd':
                return known(cfg_path, filename)
            return osp.join(own_configs(), name), None

        Config._get_cfg_path = staticmethod(get_cfg_path)


def own_configs() -> str:
    """The folder of the configs of mmdgkd, as installed or in a checkout."""
    package = osp.dirname(osp.dirname(osp.abspath(__file__)))
    return osp.join(package, '.mim', 'configs')


class ValidationOutputs:
    """MMEngine looks for losses at the end of what a network predicts since
    0.10.5, and takes a list for granted: a network that predicts a dict is
    not validated any more."""

    name = 'validation outputs'

    @staticmethod
    def symptom() -> Optional[str]:
        from mmengine.runner import loops
        try:
            # Before, there is nothing to repair.
            getattr(loops, '_update_losses', lambda *args: None)({}, {})
        except KeyError as error:
            return f'outputs of a network are a dict: KeyError: {error}'
        return None

    @staticmethod
    def fix() -> None:
        from mmengine.runner import loops
        function = loops._update_losses

        @wraps(function)
        def _update_losses(outputs: Any, losses: dict) -> Tuple[Any, dict]:
            # Neither does an empty list have a last one.
            if isinstance(outputs, dict) or len(outputs) == 0:
                return outputs, losses
            return function(outputs, losses)

        loops._update_losses = _update_losses


class Checkpoints:
    """torch.load reads weights only since 2.6, and the checkpoints of
    mmengine hold HistoryBuffer and NumPy objects; these few types are allowed,
    so that weights-only stays on."""

    name = 'checkpoints'

    @staticmethod
    def symptom() -> Optional[str]:
        import torch
        from mmengine.logging import HistoryBuffer
        file = io.BytesIO()
        torch.save(HistoryBuffer([1.], [1]), file)
        file.seek(0)
        try:
            # Before PyTorch 2.6 it is not the default.
            torch.load(file, weights_only=True)
        except Exception as error:
            return f'torch.load of a HistoryBuffer: {type(error).__name__}'
        return None

    @staticmethod
    def fix() -> None:
        import numpy as np
        from mmengine.logging import HistoryBuffer
        from torch.serialization import add_safe_globals
        core = np._core if hasattr(np, '_core') else np.core
        safe = [
            HistoryBuffer,
            np.ndarray,
            np.dtype,
            _alias(_history_buffer_method, 'builtins', 'getattr'),
            # How NumPy writes bytes; newer PyTorch allows it by itself.
            _alias(codecs.encode, '_codecs', 'encode')
        ]
        # NumPy 2 moved numpy.core to numpy._core: files of both are about.
        for package in ('numpy.core', 'numpy._core'):
            for name in ('_reconstruct', 'scalar'):
                safe.append(
                    _alias(
                        getattr(core.multiarray, name),
                        f'{package}.multiarray', name))
        for kind in (np.bool_, np.uint8, np.int32, np.int64, np.float16,
                     np.float32, np.float64):
            safe.append(type(np.dtype(kind)))
        add_safe_globals(safe)


def _history_buffer_method(owner: Any, name: str) -> Any:
    """Stand in for ``getattr`` while a checkpoint is read.

    A ``HistoryBuffer`` pickles a table of its own public methods; nothing else
    may be looked up.

    Args:
        owner (Any): The object that the checkpoint names.
        name (str): The attribute.

    Raises:
        ValueError: For anything but a public method of ``HistoryBuffer``.
    """
    from mmengine.logging import HistoryBuffer
    if owner is not HistoryBuffer or name.startswith('_'):
        raise ValueError(f'a checkpoint may not look up {name!r} of {owner!r}')
    return getattr(owner, name)


def _alias(function: Callable, module: str, name: str) -> Callable:
    """Give a function the name that checkpoints have for it.

    ``add_safe_globals`` takes a pair of both, but only since PyTorch 2.6.
    """

    def alias(*args: Any) -> Any:
        return function(*args)

    alias.__module__, alias.__name__, alias.__qualname__ = module, name, name
    return alias
