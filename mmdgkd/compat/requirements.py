# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What must be installed, and one clear line where it is not."""
import importlib.util
from importlib import metadata
from typing import NamedTuple, Optional, Tuple

from packaging.version import Version


class Requirement(NamedTuple):
    """A package that mmdgkd cannot do without.

    Attributes:
        names (tuple[str]): The distributions that provide it.
        low (str): The oldest version that works.
        high (str, optional): The first version, or with ``inclusive`` the
            last one, that bounds it from above.
        inclusive (bool): Whether ``high`` itself works.
        install (str): What to hand to pip.
    """

    names: Tuple[str, ...]
    low: str
    high: Optional[str]
    inclusive: bool
    install: str


REQUIREMENTS = (
    Requirement(('torch', ), '2.4', None, False, 'torch>=2.4'),
    Requirement(('mmengine', 'mmengine-lite'), '0.10', '1.0', False,
                'mmengine>=0.10,<1.0'),
    # MMRazor 1.0.0 asserts mmcv <= 2.1.0 when it is imported.
    Requirement(('mmcv', 'mmcv-lite'), '2.0.0', '2.1.0', True,
                'mmcv-lite==2.1.0'),
    Requirement(('mmpretrain', ), '1.2.0', '2.0', False, 'mmpretrain==1.2.0'),
    Requirement(('mmrazor', ), '1.0.0', '1.1', False, 'mmrazor==1.0.0'),
    # mmrazor.models imports joblib without declaring it.
    Requirement(('joblib', ), '1.0', None, False, 'joblib'),
)


def _installed_version(names: Tuple[str, ...]) -> Optional[Version]:
    for name in names:
        try:
            return Version(metadata.version(name))
        except metadata.PackageNotFoundError:
            continue
    return None


def complaint(requirement: Requirement) -> Optional[str]:
    """Say in one line what is wrong with a requirement, or nothing.

    Args:
        requirement (Requirement): The package to look for.

    Returns:
        str, optional: The line, with the command that mends it.
    """
    names, low, high, inclusive, install = requirement
    found = _installed_version(names)
    wanted = f'>={low}'
    if high is not None:
        wanted += f',{"<=" if inclusive else "<"}{high}'
    fix = f"pip install '{install}'"
    if found is None:
        return f'mmdgkd needs {names[0]}{wanted}, none is installed: {fix}'
    # Local and pre-release parts (2.13.0+cpu, 0.11rc1) do not count.
    release = Version(found.base_version)
    too_new = high is not None and (release > Version(high) or
                                    (not inclusive
                                     and release == Version(high)))
    if release < Version(low) or too_new:
        return (f'mmdgkd needs {names[0]}{wanted}, {found} is installed: '
                f'{fix}')
    return None


def check_requirements() -> None:
    """Stop with one line where a package is missing, too old or too new.

    Raises:
        ImportError: With the package, the range that works, what was found
            and the command that installs the right one.
    """
    for requirement in REQUIREMENTS:
        line = complaint(requirement)
        if line is not None:
            raise ImportError(line)
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
