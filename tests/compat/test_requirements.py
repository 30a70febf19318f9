# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import sys
from importlib import metadata
from importlib.util import find_spec

import mmcv
import pytest

from mmdgkd.compat import REQUIREMENTS, check_requirements, requirement_error
from mmdgkd.compat.fork_repairs import NewerMMCV

MMCV = next(item for item in REQUIREMENTS if 'mmcv' in item.names)
OPENMMLAB = dict(mmengine='0.10.7', mmpretrain='1.2.0')
ONEDL = {
    'onedl-mmengine': '0.10.12',
    'onedl-mmpretrain': '1.3.6',
    'onedl-mmcv': '2.3.6'
}
REST = dict(torch='2.14.1', mmrazor='1.0.0', joblib='1.6.0')


def install(monkeypatch, versions):
    """Have these distributions and no others."""

    def version(name):
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, 'version', version)


@pytest.mark.parametrize('versions, expected', [
    ({}, 'none is installed: pip install'),
    ({'mmcv-lite': '1.7.1'}, '1.7.1 is installed: pip install'),
    ({'mmcv': '2.4.0'}, '2.4.0 is installed: pip install'),
    ({'mmcv-lite': '2.2.0'}, None),
    ({'onedl-mmcv': '2.3.6'}, None),
    ({'mmcv': '2.1.0'}, None),
    ({'mmcv-lite': '2.0.1'}, None),
    ({'mmcv': '2.1.0+cu118'}, None),
])  # yapf: disable
def test_one_line_names_what_to_install(monkeypatch, versions, expected):
    install(monkeypatch, versions)
    line = requirement_error(MMCV)
    if expected is None:
        assert line is None
    else:
        assert expected in line and 'mmcv' in line and '\n' not in line


def test_an_exclusive_bound_excludes_itself(monkeypatch):
    mmengine = next(item for item in REQUIREMENTS if 'mmengine' in item.names)
    monkeypatch.setattr(metadata, 'version', lambda name: '1.0.0')
    assert '1.0.0 is installed' in requirement_error(mmengine)
    monkeypatch.setattr(metadata, 'version', lambda name: '0.11.0')
    assert requirement_error(mmengine) is None


def test_this_environment_meets_them(monkeypatch):
    check_requirements()
    monkeypatch.setattr(metadata, 'version', lambda name: '0.1')
    with pytest.raises(ImportError, match='^mmdgkd needs torch>=2.4, 0.1 is'):
        check_requirements()


@pytest.mark.parametrize('versions, hint', [
    ({}, "mmengine>=0.10,<1.0, none is installed: pip install 'mmdgkd[lite]'"),
    # Where there is an mmcv, the extra could bring another.
    (OPENMMLAB, "mmcv>=2.0.0,<2.4, none is installed: pip install 'mmcv-lite"),
    ({'onedl-mmengine': '0.10.12', 'onedl-mmpretrain': '1.3.6'},
     "mmcv>=2.0.0,<2.4, none is installed: pip install 'mmdgkd[onedl]'"),
])  # yapf: disable
def test_what_is_missing_is_of_the_family_that_is_there(
        monkeypatch, versions, hint):
    install(monkeypatch, {**REST, **versions})
    with pytest.raises(ImportError) as info:
        check_requirements()
    assert hint in str(info.value) and '\n' not in str(info.value)


def test_forks_are_accepted_but_not_beside_the_packages_they_replace(
        monkeypatch):
    install(monkeypatch, {**REST, **ONEDL})
    check_requirements()
    # mmcv-lite beside a fork of mmengine overwrites nothing.
    others = dict(ONEDL, **{'mmcv-lite': '2.2.0'})
    del others['onedl-mmcv']
    install(monkeypatch, {**REST, **others})
    check_requirements()
    install(monkeypatch, {**REST, **ONEDL, **OPENMMLAB})
    with pytest.raises(ImportError) as info:
        check_requirements()
    assert str(info.value) == (
        "mmdgkd needs either OpenMMLab's packages or OneDL's forks, and one "
        'mmcv: mmengine, onedl-mmengine, mmpretrain, onedl-mmpretrain are '
        'installed and overwrite each other: pip uninstall mmengine '
        'onedl-mmengine mmpretrain onedl-mmpretrain, then pip install '
        "'mmdgkd[lite]' or 'mmdgkd[onedl]'")


@pytest.mark.parametrize('version, refused',
                         [('2.1.0', False), ('2.2.0', True), ('2.3.6', True)])
def test_mmrazor_imports_beside_an_mmcv_newer_than_it(monkeypatch, version,
                                                      refused):
    monkeypatch.setattr(mmcv, '__version__', version)
    monkeypatch.delitem(sys.modules, 'mmrazor')
    symptom = NewerMMCV.symptom()
    assert refused == (symptom is not None)
    if refused:
        assert f'MMCV=={version}' in symptom and 'mmrazor' not in sys.modules
        NewerMMCV.fix()
    assert 'mmrazor' in sys.modules and mmcv.__version__ == version


def test_two_mmcv_overwrite_each_other(monkeypatch):
    install(monkeypatch, {
        **REST,
        **OPENMMLAB, 'mmcv': '2.2.0',
        'mmcv-lite': '2.1.0'
    })
    with pytest.raises(ImportError, match='mmcv, mmcv-lite are installed and'):
        check_requirements()


@pytest.mark.parametrize('version', ['2.1.0', '2.2.0'])
def test_a_neighbour_that_refuses_a_newer_mmcv_is_named(
        monkeypatch, tmp_path, version):
    """MMRazor imports mmseg wherever it finds it, whatever that raises."""
    (tmp_path / 'mmseg.py').write_text('assert False, "MMCV is used"')
    monkeypatch.syspath_prepend(tmp_path)
    install(monkeypatch, {**REST, **OPENMMLAB, 'mmcv-lite': version})
    monkeypatch.setattr(
        'importlib.util.find_spec',
        lambda name, own=find_spec: None
        if name in ('mmcls', 'mmdet', 'mmpose') else own(name))
    if version == '2.1.0':
        check_requirements()
        return
    with pytest.raises(ImportError) as info:
        check_requirements()
    assert str(info.value) == (
        'mmdgkd needs a mmseg that imports, or none: MMCV is used; pip '
        'uninstall mmseg, or install mmcv or mmcv-lite 2.1.0')
