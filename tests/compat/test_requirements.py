# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from importlib import metadata

import pytest

from mmdgkd.compat import REQUIREMENTS, check_requirements, requirement_error

MMCV = next(item for item in REQUIREMENTS if 'mmcv' in item.names)


@pytest.mark.parametrize('versions, expected', [
    ({}, 'none is installed: pip install'),
    ({'mmcv-lite': '1.7.1'}, '1.7.1 is installed: pip install'),
    ({'mmcv': '2.2.0'}, '2.2.0 is installed: pip install'),
    ({'mmcv': '2.1.0'}, None),
    ({'mmcv-lite': '2.0.1'}, None),
    ({'mmcv': '2.1.0+cu118'}, None),
])  # yapf: disable
def test_one_line_names_what_to_install(monkeypatch, versions, expected):

    def version(name):
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, 'version', version)
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
