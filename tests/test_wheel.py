# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The wheel alone, without a checkout, and the source distribution."""
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from modelindex.load_model_index import load

# A user's own config on that of the package.
OWN = """
_base_ = 'mmdgkd::dgkd/resnet20_to_resnet8_digits.py'
train_cfg = dict(max_epochs=1)
train_dataloader = dict(dataset=dict(indices=64))
chain = dict(preflight=False)
"""


def built(what, source, folder):
    """Build a wheel or an sdist in a folder: its path."""
    script = ('import sys; from setuptools import build_meta; '
              'import setuptools.command.egg_info; '
              f'print(build_meta.build_{what}(sys.argv[1]))')
    done = subprocess.run([sys.executable, '-c', script,
                           str(folder)],
                          cwd=source,
                          capture_output=True,
                          text=True,
                          check=True)
    return folder / done.stdout.splitlines()[-1]


@pytest.fixture(scope='module')
def wheels(tmp_path_factory):
    """The wheel of the checkout, and that of its source distribution."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    folder = tmp_path_factory.mktemp('wheels')
    # A build leaves folders behind.
    shutil.copytree(
        root,
        folder / 'source',
        symlinks=True,
        ignore=shutil.ignore_patterns('.*_cache', '__pycache__', '*.egg-info',
                                      'build', 'data', 'work_dirs', '.git'))
    sdist = built('sdist', folder / 'source', folder)
    shutil.unpack_archive(sdist, folder / 'sdist')
    (unpacked, ) = (folder / 'sdist').iterdir()
    found = []
    for source in (folder / 'source', unpacked):
        out = folder / f'of_{source.name}'
        out.mkdir()
        found.append(built('wheel', source, out))
    return found


@pytest.mark.slow
@pytest.mark.xdist_group('wheel')
def test_both_have_the_same_files(wheels):
    names = [set(zipfile.ZipFile(path).namelist()) for path in wheels]
    assert names[0] == names[1]
    for name in ('mmdgkd/py.typed', 'mmdgkd/.mim/model-index.yml',
                 'mmdgkd/.mim/tools/dist_train.sh', 'mmdgkd_cli/train.py',
                 'mmdgkd/.mim/configs/dgkd/resnet20_to_resnet8_digits.py'):
        assert name in names[0]
    assert not any(name.startswith(('tests/', 'tools/')) for name in names[0])


@pytest.mark.slow
@pytest.mark.xdist_group('wheel')
def test_a_chain_trains_from_the_wheel_alone(wheels, tmp_path):
    site = tmp_path / 'site'
    zipfile.ZipFile(wheels[0]).extractall(site)
    (tmp_path / 'own.py').write_text(OWN)
    script = 'import mmdgkd, mmdgkd_cli; {}; print(mmdgkd.__file__)'
    done = subprocess.run([
        sys.executable, '-c',
        script.format('mmdgkd_cli.main()'), 'train', 'own.py'
    ],
                          cwd=tmp_path,
                          env=dict(os.environ, PYTHONPATH=str(site)),
                          capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    assert 'stage 3/3 resnet8: accuracy/top1 ' in done.stdout
    assert done.stdout.endswith(f'{site / "mmdgkd/__init__.py"}\n')
    assert (tmp_path / 'work_dirs/own/resnet8/resnet8.pth').exists()
    # As mim search reads it.
    index = load(str(site / 'mmdgkd/.mim/model-index.yml'))
    index.build_models_with_collections()
    assert any(model.name == 'dgkd_resnet20_to_resnet8_digits'
               for model in index.models)


@pytest.mark.parametrize(
    'version, requires',
    [
        ('3.10.13', False),
        ('3.13.0', True),
        # To pip those are 3.11.0 and 3.14.10.
        ('3.11.0rc1', True),
        ('3.14.10+', True)
    ])
def test_a_python_too_old_requires_nothing_but_another(tmp_path, version,
                                                       requires):
    """So that pip names it, not a constraint that has no release for it."""
    root = Path(__file__).parents[1]
    for name in ('setup.py', 'setup.cfg', 'README.md', 'LICENSE',
                 'mmdgkd/__init__.py', 'mmdgkd/version.py'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / name, tmp_path / name)
    script = ('import platform; '
              f'platform.python_version = lambda: {version!r}; '
              'from setuptools import build_meta; '
              'build_meta.prepare_metadata_for_build_wheel("out")')
    (tmp_path / 'out').mkdir()
    subprocess.run([sys.executable, '-c', script],
                   cwd=tmp_path,
                   capture_output=True,
                   check=True)
    (metadata, ) = (tmp_path / 'out').glob('*/METADATA')
    text = metadata.read_text()
    assert 'Requires-Python: >=3.11\n' in text
    assert 'Provides-Extra: lite\n' in text
    assert requires == ('Requires-Dist: torch>=2.4\n' in text)
    assert requires == ('\nRequires-Dist: ' in text)
