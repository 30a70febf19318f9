# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A row counts only when it is valid, whatever happened to the file."""
import multiprocessing
import os

import numpy as np
import pytest

from mmdgkd.logit_store.encoding import RowForm
from mmdgkd.logit_store.logit_file import (HEADER, LogitFile, file_bytes,
                                           locked, read_header)

FORM = RowForm(20)
FACTS = dict(teacher=dict(weights='abc'), dtype='float16', top_k=None)
SAMPLES = 50
ROW = 8 + FORM.num_bytes


def make(path, facts=FACTS):
    return LogitFile.make(str(path), facts, FORM, SAMPLES, dict(views='some'))


def rows_of(views, indices):
    """Other bytes in every row."""
    draws = np.random.RandomState(0)
    table = draws.randint(0, 256, (4, SAMPLES, FORM.num_bytes), np.uint8)
    return table[views, indices]


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'store' / 'net-1.logits'


@pytest.fixture
def file(path):
    file = make(path)
    yield file
    file.close()


def write(file, view, indices):
    indices = np.array(indices)
    views = np.full_like(indices, view)
    file.write(views, indices, rows_of(views, indices))


def valid(file, view=0):
    """The indices whose rows are valid; they must hold what was written."""
    indices = np.arange(SAMPLES)
    views = np.full_like(indices, view)
    rows, found = file.read(views, indices)
    assert np.array_equal(rows[found], rows_of(views, indices)[found])
    return indices[found].tolist()


def flip(path, place, bits):
    with open(path, 'r+b') as raw:
        raw.seek(place)
        byte = raw.read(1)[0]
        raw.seek(place)
        raw.write(bytes([byte ^ bits]))


def test_what_is_written_is_read(file, path):
    assert valid(file) == []
    write(file, 0, [3, 7])
    write(file, 2, [0, 49])
    assert valid(file) == [3, 7] and valid(file, 2) == [0, 49]
    assert valid(file, 1) == valid(file, 3) == []
    assert file.count(2) == 2 and file.num_views == 3
    assert os.path.getsize(path) == file_bytes(FORM, 3, SAMPLES)
    again = LogitFile.open(str(path), FACTS)
    assert valid(again) == [3, 7]
    assert read_header(str(path))['info'] == dict(views='some')


def test_rows_are_read_in_any_order(file):
    write(file, 1, range(SAMPLES))
    views, indices = np.array([1, 1, 0]), np.array([30, 2, 2])
    rows, found = file.read(views, indices)
    assert found.tolist() == [True, True, False]
    assert np.array_equal(rows[:2], rows_of(views, indices)[:2])


def test_another_process_sees_them(file, path):
    other = LogitFile.open(str(path), FACTS)
    assert valid(other) == []
    write(file, 0, [1])
    assert valid(other) == [1]
    write(other, 1, [5])
    assert valid(file, 1) == [5]


def test_a_torn_row_does_not_count(file, path):
    write(file, 0, range(10))
    with open(path, 'r+b') as raw:  # a kill in the middle of row 4
        raw.seek(HEADER + 4 * ROW + 8)
        raw.write(b'\xaa' * (FORM.num_bytes // 2))
    assert valid(file) == [0, 1, 2, 3, 5, 6, 7, 8, 9]


@pytest.mark.parametrize('place', [0, 3, 7, 8, 20, ROW - 1])
def test_a_flipped_bit_is_noticed(file, path, place):
    """In the checksum and in the row alike."""
    write(file, 0, range(3))
    for bit in range(8):
        flip(path, HEADER + ROW + place, 1 << bit)
        assert valid(file) == [0, 2]
        write(file, 0, [1])
        assert valid(file) == [0, 1, 2]


def test_a_row_in_anothers_place_does_not_count(file, path):
    write(file, 0, [1])
    data = path.read_bytes()
    row = data[HEADER + ROW:HEADER + 2 * ROW]
    with open(path, 'r+b') as raw:
        raw.seek(HEADER + 5 * ROW)
        raw.write(row)
    rows, found = file.read(np.zeros(2, int), np.array([1, 5]))
    assert found.tolist() == [True, False]


@pytest.mark.parametrize('left', [
    HEADER, HEADER + 5, HEADER + 2 * ROW, HEADER + 2 * ROW + 3,
    HEADER + SAMPLES * ROW + 1
])
def test_a_truncated_file_is_filled_again(file, path, left):
    write(file, 0, range(SAMPLES))
    write(file, 1, range(SAMPLES))
    os.truncate(path, left)
    remaining = min((left - HEADER) // ROW, SAMPLES)
    # By the process that has it open, and by one that opens it.
    for other in (file, LogitFile.open(str(path), FACTS)):
        assert valid(other) == list(range(remaining))
        assert valid(other, 1) == []
    write(file, 0, range(SAMPLES))
    write(file, 1, range(SAMPLES))
    assert valid(file) == valid(file, 1) == list(range(SAMPLES))


@pytest.mark.parametrize('place', [0, 20, 90, 200])
def test_a_damaged_header_is_noticed(file, path, place):
    write(file, 0, [1])
    flip(path, place, 4)
    assert read_header(str(path)) is None
    assert LogitFile.open(str(path), FACTS) is None
    fresh = make(path)
    assert valid(fresh) == []
    write(fresh, 0, [2])
    assert valid(fresh) == [2]


def test_a_file_cut_within_its_header(file, path):
    os.truncate(path, 100)
    assert LogitFile.open(str(path), FACTS) is None
    write(make(path), 0, [2])


def test_other_facts_are_another_file(path, file):
    write(file, 0, [1])
    changed = dict(FACTS, teacher=dict(weights='abd'))
    assert LogitFile.open(str(path), changed) is None


def test_a_header_that_is_too_long_for_a_page(path):
    info = dict(views='x' * HEADER)
    file = LogitFile.make(str(path), FACTS, FORM, SAMPLES, info)
    write(file, 0, [1])
    assert valid(file) == [1] and file.header['info'] == {}
    with pytest.raises(OSError, match='more than 4,096'):
        LogitFile.make(
            str(path), dict(FACTS, x='y' * HEADER), FORM, SAMPLES, info)


def test_a_read_only_file_is_read(file, path, monkeypatch):
    write(file, 0, [1])
    monkeypatch.setattr(os, 'access', lambda *_: False)  # root may all
    reader = LogitFile.open(str(path), FACTS)
    assert valid(reader) == [1]
    with pytest.raises(PermissionError):
        write(reader, 0, [2])


def _fill(path, start, barrier):
    barrier.wait()
    file = make(path)
    for index in range(start, SAMPLES, 2):
        write(file, 0, [index])
    file.close()


def test_two_processes_fill_it_at_once(path):
    context = multiprocessing.get_context('fork')
    barrier = context.Barrier(2)
    workers = [
        context.Process(target=_fill, args=(path, start, barrier))
        for start in (0, 1)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert valid(make(path)) == list(range(SAMPLES))


def test_its_lock_is_not_that_of_a_work_dir(tmp_path):
    """A store may be in one: to close its file would drop the lock."""
    with locked(str(tmp_path)):
        assert os.listdir(tmp_path) == ['.logits.lock']
