# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy
import errno
import glob
import multiprocessing
import os
import resource
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmdgkd.fileio import object_folder
from mmdgkd.logit_store import teacher_views
from mmdgkd.logit_store.logit_store import LogitStore
from mmdgkd.logit_store.piece import unpack
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
    kept = store.keep(TEACHER, views(indices, view),
                      logits(indices, view, offset))
    store.flush()
    return kept


@pytest.fixture
def store(tmp_path):
    return LogitStore(str(tmp_path / 'logits'))


def files(store, view=None):
    """Those of a view, or all, without the name of the store."""
    name = '*' if view is None else f'view_{view:05d}_*'
    return sorted(
        os.path.relpath(path, store.path)
        for path in glob.glob(os.path.join(store.path, '*', name)))


def found(store, indices=range(8), view=0):
    return store.lookup(TEACHER, views(indices, view), CPU)


def test_what_is_kept_is_found(store):
    kept = cache(store)
    assert torch.equal(kept, logits().half().float())
    for each in (store, LogitStore(store.path)):
        assert torch.equal(found(each), kept)
        assert found(each, view=1) is None
        assert found(each, [7, 8]) is None
    assert store.counts == dict(net=dict(recalled=8, computed=18))
    assert len(files(store)) == 1 and files(store)[0].startswith('net-')


def test_a_row_is_found_before_it_is_written(store):
    store.lookup(TEACHER, views(), CPU)
    kept = store.keep(TEACHER, views(), logits())
    assert torch.equal(found(store, [7, 2]), kept[[7, 2]])
    assert not files(store)
    # Another view begins.
    store.lookup(TEACHER, views(view=1), CPU)
    assert len(files(store)) == 1
    assert torch.equal(found(LogitStore(store.path)), kept)


def test_rows_that_are_cached_stay(store):
    """Of a batch that is cached in part only the rest is new."""
    cache(store, [1, 2])
    kept = cache(store, [2, 3], offset=1.0)
    wanted = torch.stack([logits()[2], logits()[3] + 1]).half().float()
    assert torch.equal(kept, wanted)
    assert torch.equal(found(store, [2, 3]), wanted)


def test_a_batch_of_two_views(store):
    """As where an endless sampler begins its next pass."""
    cache(store, range(4), view=0)
    both = BatchViews(SOURCE, np.array([1, 0, 0, 1]), np.array([5, 3, 2, 2]))
    assert store.lookup(TEACHER, both, CPU) is None
    own = torch.cat([logits([5], 1), logits([3, 2]) + 1, logits([2], 1)])
    kept = store.keep(TEACHER, both, own)
    # Those of view 0 were cached.
    own[1:3] -= 1
    wanted = torch.cat([logits([5], 1), logits([3, 2]), logits([2], 1)])
    assert torch.equal(kept, wanted.half().float())
    store.flush()
    for each in (store, LogitStore(store.path)):
        assert torch.equal(each.lookup(TEACHER, both, CPU), kept)
    assert [len(files(store, view)) for view in (0, 1)] == [1, 1]


def test_files_of_a_view_become_one(store):
    """Each process writes its own; the first one merges them when it reads."""
    other = LogitStore(store.path)
    for each in (store, other):
        assert found(each) is None
    for each, indices in ((store, [0, 4]), (other, [1, 4])):
        each.lookup(TEACHER, views(indices), CPU)
        each.keep(TEACHER, views(indices), logits(indices))
        each.flush()
    assert len(files(store)) == 2
    kept = logits([0, 1, 4]).half().float()
    for each in (other, store):
        assert torch.equal(found(each, [0, 1, 4]), kept)
        (name, ) = files(store)
        assert 'view_00000_3-' in name


def test_a_file_that_another_process_merges(store, monkeypatch):
    """It is gone between the list and the read."""
    for index in range(3):
        LogitStore(store.path).flush()
        other = LogitStore(store.path)
        other.lookup(TEACHER, views([index + 10], 1), CPU)
        other.keep(TEACHER, views([index + 10], 1), logits([index + 10], 1))
        other.close()
    read, calls = teacher_views.TeacherViews._read, []

    def merged_before(self, names):
        calls.append(names)
        if len(calls) == 1:
            assert found(LogitStore(store.path), [10, 11], 1) is not None
        return read(self, names)

    # More than one: they were not read since.
    cache(LogitStore(store.path), [20], 1, 1.0)
    monkeypatch.setattr(teacher_views.TeacherViews, '_read', merged_before)
    assert found(store, [10, 11, 12, 20], 1) is not None
    assert len(calls) > 1 and len(files(store)) == 1


def test_the_next_view_is_read_ahead(store, monkeypatch):
    for view in range(3):
        cache(store, view=view)
    read, names = object_folder.ObjectFolder.read, []

    def noted(self, name):
        names.append(int(name.split('view_')[1][:5]))
        return read(self, name)

    monkeypatch.setattr(object_folder.ObjectFolder, 'read', noted)
    fresh = LogitStore(store.path)
    for view in (0, 1, 2, 0):
        rows = found(fresh, view=view)
        assert torch.equal(rows, logits(view=view).half().float())
        for teacher in fresh._teachers.values():
            teacher._ahead.pieces.result()
    # After the last one comes the first again.
    assert names == [0, 1, 2, 0, 1]


def test_a_run_that_fills_reads_nothing_ahead(store, monkeypatch):
    """The views before are not those that come next."""
    read, names = object_folder.ObjectFolder.read, []
    monkeypatch.setattr(
        object_folder.ObjectFolder, 'read',
        lambda self, name: names.append(name) or read(self, name))
    for view in range(4):
        cache(store, view=view)
    assert names == []


def test_a_view_in_which_nothing_is_missing_is_kept(store, monkeypatch):
    """Also where the store has no rows of images that are held out."""
    cache(store, range(40))
    fresh = LogitStore(store.path)
    read, names = object_folder.ObjectFolder.read, []
    monkeypatch.setattr(
        object_folder.ObjectFolder, 'read',
        lambda self, name: names.append(name) or read(self, name))
    for _ in range(3):
        assert found(fresh, range(40)) is not None
        fresh.flush()
    assert len(names) == 1
    assert found(fresh, [40]) is None
    fresh.flush()
    assert found(fresh, [3]) is not None and len(names) == 2


def test_rows_move_to_the_device_that_has_room(store, monkeypatch):
    cache(store, range(40))
    for room in (True, False):
        monkeypatch.setattr('mmdgkd.logit_store.view._has_room',
                            lambda device, size: room)
        fresh = LogitStore(store.path)
        meta = torch.device('meta')
        fresh.lookup(TEACHER, views([1]), meta)
        (teacher, ) = fresh._teachers.values()
        rows = teacher._views[0]._rows.values
        assert (rows.device == meta) == room


def test_what_has_been_added_since_it_was_read_ahead(store):
    cache(store, view=0)
    cache(store, [1], view=1)
    fresh = LogitStore(store.path)
    assert found(fresh) is not None
    cache(store, [2], view=1)
    assert found(fresh, [1, 2], view=1) is not None


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
    assert found(fresh) is not None
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
    for module in ('logit_store', 'teacher_views'):
        monkeypatch.setattr(f'mmdgkd.logit_store.{module}.print_log',
                            lambda message, **_: found.append(message))
    return found


@pytest.mark.parametrize('place', [0, 40, -1, -30, 'half', 'empty'])
def test_a_damaged_file_is_filled_again(store, warnings, place):
    kept = cache(store)
    path = os.path.join(store.path, files(store)[0])
    with open(path, 'r+b') as file:
        data = file.read()
        if isinstance(place, str):
            os.truncate(path, dict(half=len(data) // 2, empty=0)[place])
        else:
            file.seek(place % len(data))
            file.write(bytes([data[place] ^ 1]))
    fresh = LogitStore(store.path)
    assert torch.equal(cache(fresh), kept)
    assert torch.equal(found(LogitStore(store.path)), kept)
    assert len(warnings) == 1 and 'is damaged' in warnings[0]
    with open(path, 'rb') as file:
        assert file.read() == data


def test_a_file_in_anothers_place_does_not_count(store):
    """Of other facts, under a name that would do."""
    cache(store)
    other = LogitStore(store.path, 'float32')
    cache(other)
    first, second = (os.path.join(store.path, name) for name in files(store))
    os.replace(second,
               os.path.join(os.path.dirname(first), os.path.basename(second)))
    assert torch.equal(found(LogitStore(store.path)), logits().half().float())
    os.remove(first)
    assert found(LogitStore(store.path)) is None


def test_all_that_rows_depend_on_is_in_their_file(store):
    cache(store)
    with open(os.path.join(store.path, files(store)[0]), 'rb') as file:
        header = unpack(file.read()).header
    assert header['depends_on'] == dict(
        teacher={
            key: each
            for key, each in TEACHER.items() if key != 'name'
        },
        views=SOURCE.key,
        dtype='float16',
        top_k=None)
    assert header['info'] == dict(teacher='net', views='sixty')


def test_a_full_disk_stops_the_storing_but_not_the_run(store, monkeypatch,
                                                       warnings):
    cache(store)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr('mmdgkd.fileio.files.os.fsync', full)
    for view in (1, 2):
        kept = cache(store, view=view)
        assert torch.equal(kept, logits(view=view).half().float())
        assert found(store, view=view) is None
    assert len(warnings) == 1 and 'No space left on device' in warnings[0]
    assert 'goes on without storing' in warnings[0]
    # What was cached is still found.
    assert found(store) is not None
    assert len(files(store)) == 1


def test_the_last_of_a_disk_is_for_the_checkpoints(store, monkeypatch,
                                                   warnings):
    disk = SimpleNamespace(f_blocks=10**6, f_frsize=1000, f_bavail=50 * 10**3)
    monkeypatch.setattr(os, 'statvfs', lambda _: disk)
    cache(store)
    assert len(warnings) == 1 and 'No space left' in warnings[0]
    disk.f_bavail += 10
    other = LogitStore(store.path)
    cache(other)
    assert found(other) is not None


@pytest.mark.parametrize('step', ['read', 'list'])
def test_a_file_that_cannot_be_read_is_one_warning(store, monkeypatch,
                                                   warnings, step):
    kept = cache(store)

    def denied(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(object_folder.ObjectFolder, step, denied)
    other = LogitStore(store.path)
    for _ in range(2):
        assert torch.equal(cache(other), kept)
    assert len(warnings) == 1 and 'Permission denied' in warnings[0]


def test_a_store_that_is_read_only(store, monkeypatch, warnings):
    """It is read, also where several files would be merged."""
    cache(store, [1])
    cache(store, [2])
    other = LogitStore(store.path)

    def denied(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    for step in ('write', 'remove'):
        monkeypatch.setattr(object_folder.ObjectFolder, step, denied)
    assert found(other, [1]) is not None
    cache(other, [5], view=1)
    assert len(warnings) == 1 and 'Permission denied' in warnings[0]
    assert found(other, [1, 2]) is not None


def _fill_to_a_limit(store, warnings):
    for view in range(4):
        cache(store, range(8 + 4 * view), view)
        if view == 0:
            path = os.path.join(store.path, files(store)[0])
            limit = os.path.getsize(path)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    assert found(store) is not None
    assert found(store, view=1) is None
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
    assert found(store) is None
    store.keep(TEACHER, views(), spoiled)
    for _ in range(2):
        assert found(store, [2, 3]) is None
        assert found(store, [5]) is None
        assert found(store, [2, 4]) is not None
        store.flush()
    assert found(store, [5]) is None
    store.keep(TEACHER, views([5]), logits([5]))
    assert found(store, [4, 5]) is not None


def _fill(path, start, barrier):
    barrier.wait()
    store = LogitStore(path)
    for view in (0, 1):
        for index in range(start, 60, 2):
            assert found(store, [index], view) is None
            store.keep(TEACHER, views([index], view), logits([index], view))
            store.flush()
    store.close()


def test_two_processes_fill_it_at_once(store):
    """Both are first ones, which merge and remove what the other reads."""
    context = multiprocessing.get_context('fork')
    barrier = context.Barrier(2)
    workers = [
        context.Process(target=_fill, args=(store.path, start, barrier))
        for start in (0, 1)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    for view in (0, 1):
        kept = found(store, range(60), view)
        assert torch.equal(kept, logits(range(60), view).half().float())
        assert len(files(store, view)) == 1


def test_copies_of_a_model_share_it(store):
    assert copy.deepcopy(dict(store=store))['store'] is store


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason='needs a GPU with CUDA')
@pytest.mark.parametrize('form', [{}, dict(top_k=3)])
def test_on_a_gpu(tmp_path, form):
    """What is kept there is read there, and the view stays there."""
    device = torch.device('cuda')
    store = LogitStore(str(tmp_path), **form)
    everything = views(range(60))
    assert store.lookup(TEACHER, everything, device) is None
    kept = store.keep(TEACHER, everything, logits(range(60)).to(device))
    assert kept.is_cuda
    assert torch.equal(store.lookup(TEACHER, everything, device), kept)
    store.close()
    fresh = LogitStore(str(tmp_path), **form)
    assert torch.equal(fresh.lookup(TEACHER, everything, device), kept)
    (teacher, ) = fresh._teachers.values()
    assert teacher._views[0]._rows.values.is_cuda
    on_host = LogitStore(str(tmp_path), **form)
    assert torch.equal(on_host.lookup(TEACHER, everything, CPU), kept.cpu())
