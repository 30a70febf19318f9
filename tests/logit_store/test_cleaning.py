# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest

from mmdgkd import ConfigError
from mmdgkd.fileio.object_folder import ObjectFolder
from mmdgkd.logit_store.cleaning import drop_teacher


def test_drop(copied, capsys):
    drop_teacher(str(copied), 'resnet20', range(1, 9))
    assert 'removed 1 files' in capsys.readouterr().out
    (path, ) = (copied / 'logits').glob('resnet20-*/view_*')
    assert path.name.startswith('view_00000_')
    drop_teacher(str(copied), path.parent.name)
    left = [path.name for path in (copied / 'logits').iterdir()]
    assert len(left) == 1 and left[0].startswith('resnet14-')
    with pytest.raises(ConfigError, match='of "resnet8", but of resnet14'):
        drop_teacher(str(copied), 'resnet8')


def test_a_store_that_cannot_be_changed(copied, monkeypatch):

    def denied(*_):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(ObjectFolder, 'remove', denied)
    with pytest.raises(ConfigError, match='changed .Permission denied.'):
        drop_teacher(str(copied), 'resnet20')
