# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import importlib.util
import os.path as osp
import sys
from importlib import metadata
from typing import Optional

from .repair import Repair


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


def _diagnose() -> Optional[str]:
    if importlib.util.find_spec('pkg_resources') is not None:
        return None
    from mmengine.utils import package_utils
    try:
        package_utils.is_installed('mmengine')
    except ImportError as error:
        return f'mmengine.utils.is_installed: {error}'
    return None


def _fix() -> None:
    from mmengine.utils import package_utils
    for mine in (is_installed, get_installed_path):
        broken = getattr(package_utils, mine.__name__)
        # MMEngine and its family import the two by name: replace every such
        # reference that exists by now.
        for name, module in list(sys.modules.items()):
            if (name.split('.')[0].startswith('mm')
                    and getattr(module, mine.__name__, None) is broken):
                setattr(module, mine.__name__, mine)


REPAIR = Repair(
    name='package lookup',
    cause='setuptools 82 dropped pkg_resources, by which mmengine finds '
    'packages and `mmpretrain::` configs',
    diagnose=_diagnose,
    fix=_fix)
