# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import errno
import multiprocessing
import os
import resource
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmdgkd.logit_store import logit_file
from mmdgkd.logit_store.logit_store import LogitStore
from mmdgkd.structures.views import BatchViews, ViewSource

CPU = torch.device('cpu')
SOURCE = ViewSource('k' * 64, 60, 'sixty')
TEACHER = dict(
    name='net', weights='w', model='m', source='head.fc', precision='float32')


def views(indices=range(8), view=0, source=SOURCE):
    indices = np.array(indices)
    return BatchViews(source, np.full_like(indices, view), indices)


def logits(indices=range(8), view=0, offset=0.0):
    """Those of the teacher, a function of (view, index)."""
    generator = torch.Generator().manual_seed(view)
    table = torch.randn(60, 10, generator=generator)
    return table[list(indices)] + offset


def cache(store, indices=range(8), view=0, offset=0.0):
    """Look a batch up in vain and cache its logits."""
    assert store.lookup(TEACHER, views(indices, view), CPU) is None
    return store.keep(TEACHER, views(indices, view),
                      logits(indices, view, offset))


@pytest.fixture
def store(tmp_path):
    return LogitStore(str(tmp_path / 'logits'))


def files(store):
    return sorted(
        name for name in os.listdir(store.path) if name.endswith('.logits'))


def test_what_is_kept_is_found(store):
    kept = cache(store)
    assert torch.equal(kept, logits().half().float())
    for each in (store, LogitStore(store.path)):
        assert torch.equal(each.lookup(TEACHER, views(), CPU), kept)
        assert each.lookup(TEACHER, views(view=1), CPU) is None
        assert each.lookup(TEACHER, views([7, 8]), CPU) is None
    assert store.counts == dict(net=dict(recalled=8, computed=18))
    assert len(files(store)) == 1 and files(store)[0].startswith('net-')


def test_rows_that_are_cached_stay(store):
    """Of a batch that is cached in part only the rest is new."""
    cache(store, [1, 2])
    kept = cache(store, [2, 3], offset=1.0)
    wanted = torch.stack([logits()[2], logits()[3] + 1]).half().float()
    assert torch.equal(kept, wanted)
    assert torch.equal(store.lookup(TEACHER, views([2, 3]), CPU), wanted)


@pytest.mark.parametrize('change', [
    dict(weights='x'),
    dict(model='x'),
    dict(source='neck'),
    dict(precision='bfloat16'),
    dict(options=dict(fold_bn=True))
])
def test_another_teacher_is_a_miss(store, change):
    cache(store)
    for each in (store, LogitStore(store.path)):
        assert each.lookup(dict(TEACHER, **change), views(), CPU) is None


def test_other_views_and_forms_are_misses(store):
    cache(store)
    other = views(source=ViewSource('j' * 64, 60, 'sixty'))
    assert store.lookup(TEACHER, other, CPU) is None
    for form in (dict(dtype='float32'), dict(top_k=3),
                 dict(dtype='float32', top_k=3), dict(top_k=3, others='zero')):
        fresh = LogitStore(store.path, **form)
        kept = cache(fresh)
        assert torch.equal(fresh.lookup(TEACHER, views(), CPU), kept)
    # The default of the others is no other form: older stores stay valid.
    fresh = LogitStore(store.path, top_k=3, others='even')
    assert fresh.lookup(TEACHER, views(), CPU) is not None
    assert len(files(store)) == 5


def test_a_teacher_is_found_under_any_name(store):
    kept = cache(store)
    other = dict(TEACHER, name='other', path='elsewhere.pth')
    assert torch.equal(
        LogitStore(store.path).lookup(other, views(), CPU), kept)


@pytest.fixture
def warnings(monkeypatch):
    """All that the store warns of."""
    found = []
    monkeypatch.setattr('mmdgkd.logit_store.logit_store.print_log',
                        lambda message, **_: found.append(message))
    return found


def test_a_damaged_file_is_filled_again(store, warnings):
    cache(store)
    path = os.path.join(store.path, files(store)[0])
    with open(path, 'r+b') as file:
        file.seek(40)
        file.write(b'\xff\xff')
    fresh = LogitStore(store.path)
    kept = cache(fresh)
    assert torch.equal(fresh.lookup(TEACHER, views(), CPU), kept)
    assert len(warnings) == 1 and 'is damaged' in warnings[0]


def test_a_file_that_another_process_has_just_made_is_not_damaged(
        store, warnings):
    other = LogitStore(store.path)
    for each in (store, other):
        assert each.lookup(TEACHER, views(), CPU) is None
    kept = store.keep(TEACHER, views(), logits())
    assert torch.equal(other.keep(TEACHER, views(), logits()), kept)
    assert not warnings and len(files(store)) == 1


@pytest.mark.parametrize('step', ['posix_fallocate', 'pwrite'])
def test_a_full_disk_stops_the_storing_but_not_the_run(store, monkeypatch,
                                                       warnings, step):
    cache(store)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(logit_file.os, step, full)
    for view in (1, 2):
        kept = cache(store, view=view)
        assert torch.equal(kept, logits(view=view).half().float())
        assert store.lookup(TEACHER, views(view=view), CPU) is None
    assert len(warnings) == 1 and 'No space left on device' in warnings[0]
    assert 'goes on without storing' in warnings[0]
    # What was cached is still found.
    assert store.lookup(TEACHER, views(), CPU) is not None


def test_the_last_of_a_disk_is_for_the_checkpoints(store, monkeypatch,
                                                   warnings):
    disk = SimpleNamespace(f_blocks=10**6, f_frsize=1000, f_bavail=50 * 10**3)
    monkeypatch.setattr(logit_file.os, 'fstatvfs', lambda fd: disk)
    cache(store)
    assert len(warnings) == 1 and 'No space left' in warnings[0]
    disk.f_bavail += 10
    other = LogitStore(store.path)
    cache(other)
    assert other.lookup(TEACHER, views(), CPU) is not None


def test_a_file_that_cannot_be_read_is_one_warning(store, monkeypatch,
                                                   warnings):
    kept = cache(store)

    def denied(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(logit_file.LogitFile, 'open', denied)
    other = LogitStore(store.path)
    for _ in range(2):
        assert torch.equal(cache(other), kept)
    assert len(warnings) == 1 and 'Permission denied' in warnings[0]


def _fill_to_a_limit(store, warnings):
    for view in range(4):
        cache(store, view=view)
        if view == 0:
            path = os.path.join(store.path, files(store)[0])
            limit = os.path.getsize(path) + 100
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    assert store.lookup(TEACHER, views(), CPU) is not None
    assert store.lookup(TEACHER, views(view=1), CPU) is None
    assert len(warnings) == 1 and 'goes on without' in warnings[0]


def test_a_limit_that_the_system_enforces(store, warnings):
    """Neither a signal nor an error, as at the end of a quota."""
    process = multiprocessing.get_context('fork').Process(
        target=_fill_to_a_limit, args=(store, warnings))
    process.start()
    process.join()
    assert process.exitcode == 0


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / 'file').write_text('')
    store = LogitStore(str(tmp_path / 'file' / 'logits'))
    kept = cache(store)
    assert torch.equal(kept, logits().half().float())


def test_what_is_not_finite_is_not_cached(store):
    """Spoiled images once must not spoil the teacher for ever."""
    spoiled = logits()
    spoiled[3, 1], spoiled[5, 0] = float('nan'), float('inf')
    store.lookup(TEACHER, views(), CPU)
    store.keep(TEACHER, views(), spoiled)
    assert store.lookup(TEACHER, views([2, 3]), CPU) is None
    assert store.lookup(TEACHER, views([5]), CPU) is None
    assert store.lookup(TEACHER, views([2, 4]), CPU) is not None
    store.keep(TEACHER, views([5]), logits([5]))
    assert store.lookup(TEACHER, views([4, 5]), CPU) is not None
