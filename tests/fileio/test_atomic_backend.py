# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import os

import torch
from mmengine.fileio import get_file_backend, put_text
from mmengine.runner import save_checkpoint

from mmdgkd.fileio.atomic_backend import AtomicBackend
from mmdgkd.fileio.checksum import checksum_matches

ATOMIC = dict(backend='atomic')


def test_mmengine_writes_through_it(tmp_path):
    assert isinstance(get_file_backend(backend_args=ATOMIC), AtomicBackend)
    path = tmp_path / 'new' / 'a.pth'
    save_checkpoint(dict(a=torch.ones(3)), str(path), backend_args=ATOMIC)
    assert checksum_matches(str(path)) and torch.load(path)['a'].sum() == 3
    put_text('ä', str(tmp_path / 'new' / 'a.txt'), backend_args=ATOMIC)
    assert (tmp_path / 'new' / 'a.txt').read_text('utf-8') == 'ä'
    assert sorted(os.listdir(tmp_path / 'new')) == ['a.pth', 'a.txt']
