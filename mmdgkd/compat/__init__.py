# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""MMRazor 1.0.0, MMEngine 0.10 and MMPretrain's tools on current packages.

Importing this package changes nothing; :func:`apply` makes the repairs, in
memory only: no file is touched, and no attribute of ``torch`` is set.

A repair is a class: its docstring is the cause, ``symptom()`` returns what is
broken here or None, and ``fix()`` is called only where there is a symptom. To
delete a repair, delete its class and its line in :data:`REPAIRS`; to delete
them all, delete this folder and the call of ``apply`` in
``mmdgkd/__init__.py``.
"""
import contextlib
import importlib.util
import warnings
from importlib import metadata
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from .feature_repairs import (ContrastSamples, DynamicContainers,
                              GaussianProcesses, MetricVectors,
                              SearchGradients)
from .fork_repairs import NewerMMCV, QuietImport, WeightsOnly
from .mmengine_repairs import (Checkpoints, CompiledOps, OwnConfigs,
                               PackageLookup, ValidationOutputs)
from .mmrazor_repairs import (DemoInputs, InplaceModules, LayerDepths,
                              MMClsNames, Quantization, Quantizers,
                              ResumedPruning, SampledChoices)
from .tool_repairs import CamDevice, TightBox, TSNEIterations

# The order matters: those up to Quantization must be in force before
# mmrazor.models is imported, which MMClsNames does; the others look at the
# result.
REPAIRS = (PackageLookup, Checkpoints, WeightsOnly, QuietImport, NewerMMCV,
           CompiledOps, Quantization, MMClsNames, InplaceModules, DemoInputs,
           ResumedPruning, Quantizers, SampledChoices, LayerDepths,
           SearchGradients, DynamicContainers, MetricVectors,
           GaussianProcesses, ContrastSamples, ValidationOutputs, OwnConfigs,
           TightBox, TSNEIterations, CamDevice)

# Warnings of packages below, about what nobody here can change; they would
# stand before every one-line error. Each by the beginning of its message.
SILENCED = (
    # mmengine imports it; the repair PackageLookup waits for its removal.
    'pkg_resources is deprecated as an API',
    # Each Hsigmoid of mmcv, about a default that changed in 2022.
    'In MMCV v1.4.4, we modified the default value of args',
    # mmcv-lite lacks its compiled ops; nothing here needs them.
    'Fail to import ``MultiScaleDeformableAttention``',
)

# What the names of OneDL's forks begin with. They have the same modules.
FORK = 'onedl-'


class Requirement(NamedTuple):
    """A package that mmdgkd needs.

    Attributes:
        names (tuple[str]): The distributions that provide it, forks last.
        versions (str): The range that works.
        install (str): The argument of ``pip install``.
    """

    names: Tuple[str, ...]
    versions: str
    install: str


REQUIREMENTS = (
    Requirement(('torch', ), '>=2.4', 'torch>=2.4'),
    Requirement(('mmengine', 'mmengine-lite', 'onedl-mmengine'), '>=0.10,<1.0',
                'mmengine>=0.10,<1.0'),
    # MMPretrain asserts mmcv < 2.4 when it is imported.
    Requirement(('mmcv', 'mmcv-lite', 'onedl-mmcv'), '>=2.0.0,<2.4',
                'mmcv-lite==2.1.0'),
    Requirement(('mmpretrain', 'onedl-mmpretrain'), '>=1.2.0,<2.0',
                'mmpretrain==1.2.0'),
    Requirement(('mmrazor', ), '>=1.0.0,<1.1', 'mmrazor==1.0.0'),
    # mmrazor.models imports joblib without declaring it.
    Requirement(('joblib', ), '>=1.0', 'joblib'),
)

_report: List[Tuple[type, Optional[str]]] = []


def apply() -> List[Tuple[type, Optional[str]]]:
    """Check the installation and make the repairs that it needs, once.

    Returns:
        list[tuple[type, str | None]]: Each repair with the symptom for which
        it was made, or None where it is not needed.

    Raises:
        ImportError: If a package is missing, too old or too new.
    """
    if not _report:
        check_requirements()
        silence_warnings()
        with warnings.catch_warnings():
            # PyTorch 2.4 and 2.5 warn of what one of the symptoms is on 2.6.
            warnings.filterwarnings('ignore', 'You are using `torch.load`')
            for repair in REPAIRS:
                symptom = repair.symptom()
                if symptom is not None:
                    repair.fix()
                _report.append((repair, symptom))
    return _report


def silence_warnings() -> None:
    """Ignore the warnings of :data:`SILENCED` from now on."""
    for message in SILENCED:
        warnings.filterwarnings('ignore', message)


def check_requirements() -> None:
    """Check that each package is installed in a version that works.

    Raises:
        ImportError: One line: the package, the range that works, what was
            found, and the command that installs the right one.
    """
    for requirement in REQUIREMENTS:
        error = requirement_error(requirement)
        if error is not None:
            raise ImportError(error)
    mixed = [
        name for names, *_ in REQUIREMENTS for name in installed(names)
        if len({each.startswith(FORK)
                for each in installed(names)}) > 1
    ]
    mmcv = installed(('mmcv', 'mmcv-lite'))
    if len(set(mmcv.values())) > 1:
        mixed += mmcv
    if mixed:
        raise ImportError(
            "mmdgkd needs either OpenMMLab's packages or OneDL's forks, and "
            f"one mmcv: {', '.join(mixed)} are installed and overwrite each "
            f"other: pip uninstall {' '.join(mixed)}, then pip install "
            "'mmdgkd[lite]' or 'mmdgkd[onedl]'")
    _check_neighbours(installed(('mmcv', 'mmcv-lite', 'onedl-mmcv')))
    # MMRazor imports mmcls wherever it finds it, and no release of mmcls
    # accepts the mmcv that MMRazor and mmpretrain need.
    if importlib.util.find_spec('mmcls') is not None:
        try:
            import mmcls  # noqa: F401
        except Exception as error:
            raise ImportError(
                'mmcls is installed and does not import '
                f'({str(error).splitlines()[0]}); MMRazor then does not '
                'either: pip uninstall mmcls (mmpretrain replaces it)'
            ) from None


def _check_neighbours(mmcv: Dict[str, str]) -> None:
    """Check that what MMRazor imports where it finds it takes a newer mmcv.

    Args:
        mmcv (dict[str, str]): The versions of its distributions.
    """
    if not any(
            Version(version) > Version('2.1.0') for version in mmcv.values()):
        return
    for name in ('mmdet', 'mmseg', 'mmpose'):
        if importlib.util.find_spec(name) is not None:
            try:
                importlib.import_module(name)
            except Exception as error:
                raise ImportError(
                    f'mmdgkd needs a {name} that imports, or none: '
                    f'{str(error).splitlines()[0]}; pip uninstall {name}, or '
                    'install mmcv or mmcv-lite 2.1.0') from None


def installed(names: Sequence[str]) -> Dict[str, str]:
    """The versions of those distributions that are installed.

    Args:
        names (Sequence[str]): The distributions.
    """
    found = {}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def requirement_error(requirement: Requirement) -> Optional[str]:
    """Describe in one line what is wrong with a requirement.

    Args:
        requirement (Requirement): The package.

    Returns:
        str, optional: The line, with the command that fixes it; None if the
        requirement is met.
    """
    names, versions, install = requirement
    found = next(iter(installed(names).values()), 'none')
    # Local and pre-release parts (2.13.0+cpu, 0.11rc1) do not count.
    if found != 'none' and SpecifierSet(versions).contains(
            Version(found).base_version):
        return None
    if names[-1].startswith(FORK):
        # The extra that has it, unless that would bring another mmcv.
        others = [
            name for each in REQUIREMENTS if each.names[-1].startswith(FORK)
            for name in installed(each.names)
        ]
        if any(name.startswith(FORK) for name in others):
            install = 'mmdgkd[onedl]'
        elif not others:
            install = 'mmdgkd[lite]'
    return (f'mmdgkd needs {names[0]}{versions}, {found} is installed: '
            f"pip install '{install}'")


__all__ = ['REPAIRS', 'apply', 'check_requirements']
