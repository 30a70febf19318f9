# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import errno
import os

import pytest
import torch
from mmengine.fileio import get_file_backend, put_text
from mmengine.runner import save_checkpoint

from mmdgkd import TrainingError
from mmdgkd.fileio import (AtomicBackend, atomic_write, checksum_matches,
                           disk_full_as_error, remove_parts, sha256_of)

ATOMIC = dict(backend='atomic')


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / 'new' / 'a.txt'
    with atomic_write(str(path)) as file:
        file.write('old')
    with pytest.raises(RuntimeError):
        with atomic_write(str(path)) as file:
            file.write('new')
            file.flush()
            assert path.read_text() == 'old'
            raise RuntimeError
    assert path.read_text() == 'old' and os.listdir(path.parent) == ['a.txt']
    with atomic_write(str(path), 'wb') as file:
        file.write(b'new')
    assert path.read_text() == 'new' and os.listdir(path.parent) == ['a.txt']


def test_it_is_synced_before_it_is_renamed(tmp_path, monkeypatch):
    events = []
    for name in ('fsync', 'replace'):
        real = getattr(os, name)
        monkeypatch.setattr(
            os,
            name,
            lambda *args, name=name, real=real:
            (events.append(name), real(*args)))
    with atomic_write(str(tmp_path / 'a')) as file:
        file.write('x')
    # The second one is of the folder, which holds the name.
    assert events == ['fsync', 'replace', 'fsync']


def test_unfinished_files_are_removed(tmp_path):
    (tmp_path / 'a.pth.123.part').write_text('half')
    (tmp_path / 'a.pth').write_text('old')
    remove_parts(str(tmp_path))
    remove_parts(str(tmp_path / 'nowhere'))
    assert os.listdir(tmp_path) == ['a.pth']


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_is_one_line(number):
    with pytest.raises(TrainingError, match='make room, and add --resume'):
        with disk_full_as_error('w'):
            raise OSError(number, os.strerror(number), 'w/a.pth')
    with pytest.raises(FileNotFoundError):
        with disk_full_as_error('w'):
            raise FileNotFoundError(errno.ENOENT, 'no', 'a')


def test_mmengine_writes_through_it(tmp_path):
    assert isinstance(get_file_backend(backend_args=ATOMIC), AtomicBackend)
    path = tmp_path / 'new' / 'a.pth'
    save_checkpoint(dict(a=torch.ones(3)), str(path), backend_args=ATOMIC)
    assert checksum_matches(str(path)) and torch.load(path)['a'].sum() == 3
    put_text('ä', str(tmp_path / 'new' / 'a.txt'), backend_args=ATOMIC)
    assert (tmp_path / 'new' / 'a.txt').read_text('utf-8') == 'ä'
    assert sorted(os.listdir(tmp_path / 'new')) == ['a.pth', 'a.txt']


def test_sha256(tmp_path):
    (tmp_path / 'a').write_bytes(b'abc')
    assert sha256_of(str(tmp_path / 'a')).startswith('ba7816bf8f01cfea')
