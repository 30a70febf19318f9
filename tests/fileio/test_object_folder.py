# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Files that are written once, on a disk, in memory, and on an S3 server."""
import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmdgkd import ConfigError
from mmdgkd.fileio.checked_names import DamagedFile
from mmdgkd.fileio.object_folder import ObjectFolder, check_address


@pytest.fixture(params=['disk', 'file', 'memory', 's3'])
def folder(request, tmp_path):
    """A folder of each kind, that is not there yet."""
    addresses = dict(
        disk=str(tmp_path / 'a' / 'logits'),
        file=f'file://{tmp_path}/a/logits',
        memory=f'memory://{tmp_path.name}/logits')
    if request.param == 's3':
        addresses['s3'] = f's3://{request.getfixturevalue("bucket")}/logits'
    return ObjectFolder(addresses[request.param], str(tmp_path / 'cache'))


def test_what_is_written_is_read(folder):
    assert folder.list() == folder.list('net') == []
    folder.check()
    name = folder.write('net/view_1', '.npz', b'data')
    assert name == 'net/view_1-3a6eb0790f39ac87.npz'
    assert folder.write('net/view_1', '.npz', b'data') == name
    other = folder.write('net/view_1', '.npz', b'other')
    assert folder.read(name) == b'data' and folder.read(other) == b'other'
    assert folder.list() == ['net']
    assert folder.list('net') == sorted(
        each.removeprefix('net/') for each in (name, other))
    assert folder.size(name) > 0
    for _ in range(2):
        folder.remove(name)
    assert folder.list('net') == [other.removeprefix('net/')]
    folder.remove_folder('net')
    assert folder.read(other) == b'other'


def test_what_is_not_there(folder):
    with pytest.raises(FileNotFoundError):
        folder.read(f'net/view-{"0" * 16}.npz')


def overwrite(folder, name, data):
    """Change a file as no program of ours does."""
    if folder.is_local:
        with open(os.path.join(folder.path, name), 'wb') as file:
            file.write(data)
    else:
        there = folder._files
        there._fs.pipe_file(f'{there._root}/{name}', data)


@pytest.mark.parametrize('data', [b'', b'dat', b'datb', b'datab'])
def test_a_damaged_file_is_noticed(folder, data):
    name = folder.write('net/view', '.npz', b'data')
    overwrite(folder, name, data)
    with pytest.raises(DamagedFile):
        folder.read(name)


@pytest.mark.parametrize('name', ['view.npz', 'view-0.npz', 'view'])
def test_a_name_without_a_checksum_is_damaged(folder, name):
    overwrite(folder, folder.write('net/view', '.npz', b'data'), b'data')
    overwrite(folder, f'net/{name}', b'data')
    with pytest.raises(DamagedFile):
        folder.read(f'net/{name}')


# Copies of what is elsewhere ------------------------------------------------


def elsewhere(tmp_path, **options):
    return ObjectFolder(f'memory://{tmp_path.name}/x', str(tmp_path / 'cache'),
                        **options)


def copies(tmp_path):
    return sorted(
        path for path in (tmp_path / 'cache').rglob('*') if path.is_file())


def test_it_is_fetched_once(tmp_path, monkeypatch):
    folder = elsewhere(tmp_path)
    name = folder.write('net/view', '.npz', b'data')
    fetches = []
    client = folder._files._fs
    inner = client.cat_file
    monkeypatch.setattr(client, 'cat_file',
                        lambda path: fetches.append(path) or inner(path))
    for _ in range(3):
        assert folder.read(name) == b'data'
    assert len(fetches) == 1
    (path, ) = copies(tmp_path)
    path.write_bytes(b'dat')
    assert folder.read(name) == b'data' and len(fetches) == 2
    assert path.read_bytes() == b'data'


def test_the_copies_that_were_read_last_are_kept(tmp_path):
    folder = elsewhere(tmp_path, cache_bytes=250)
    names = [folder.write(f'net/{i}', '.npz', bytes([i]) * 100)
             for i in range(4)]  # yapf: disable
    for age, place in enumerate((0, 1, 0, 2)):
        folder.read(names[place])
        path = Path(folder._files._copies._folder) / names[place]
        os.utime(path, (age, age))
    # Read again it is the newest.
    assert [path.name[0] for path in copies(tmp_path)] == ['0', '2']
    assert sum(path.stat().st_size for path in copies(tmp_path)) <= 250
    tiny = elsewhere(tmp_path, cache_bytes=10)
    assert tiny.read(names[3]) == bytes([3]) * 100
    assert len(copies(tmp_path)) == 2


def test_other_files_in_the_folder_of_copies_stay(tmp_path):
    """It may be the one where the data is."""
    foreign = tmp_path / 'cache' / 'images' / '0.jpg'
    own = tmp_path / 'cache' / f'mmdgkd_logits_{os.getuid()}' / 'mine.npz'
    for path in (foreign, own):
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(1000))
        os.utime(path, (1, 1))
    folder = elsewhere(tmp_path, cache_bytes=150)
    for i in range(3):
        folder.read(folder.write(f'net/{i}', '.npz', bytes([i]) * 100))
    assert foreign.exists() and own.exists()
    assert len(copies(tmp_path)) == 3


@pytest.mark.parametrize('step', ['list', 'read'])
def test_what_another_machine_removes_on_nfs(tmp_path, monkeypatch, step):
    folder = ObjectFolder(str(tmp_path))
    name = folder.write('net/view', '.npz', b'data')

    def stale(*_):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    if step == 'list':
        monkeypatch.setattr(os, 'listdir', stale)
        assert folder.list('net') == []
    else:
        monkeypatch.setattr('builtins.open', stale)
        with pytest.raises(FileNotFoundError):
            folder.read(name)


def test_without_room_for_copies_it_reads_on(tmp_path):
    (tmp_path / 'cache').write_text('')
    folder = elsewhere(tmp_path)
    name = folder.write('net/view', '.npz', b'data')
    assert folder.read(name) == b'data'


# Addresses ------------------------------------------------------------------


@pytest.mark.parametrize('address, message', [
    ('s4://bucket', 'fsspec knows no such protocol'),
    ('dropbox://x', "'dropbox://x': "),
])
def test_bad_addresses(address, message):
    for call, key in ((ObjectFolder, ()), (check_address, ('key', ))):
        with pytest.raises(ConfigError) as error:
            call(address, *key)
        assert message in str(error.value) and '\n' not in str(error.value)
    assert str(error.value).startswith(f'key: {address!r}: ')


# A real server --------------------------------------------------------------


@pytest.mark.parametrize('change, message', [
    (dict(bucket='other'), 'bucket does not exist'),
    (dict(AWS_SECRET_ACCESS_KEY='wrong'), 'signature'),
    (dict(AWS_ACCESS_KEY_ID='wrong'), 'does not exist in our records'),
    (dict(AWS_ENDPOINT_URL='http://127.0.0.1:9'), '127.0.0.1:9'),
])
def test_a_server_that_refuses_is_one_line(bucket, monkeypatch, checked_users,
                                           change, message):
    for key, value in change.items():
        if key.startswith('AWS'):
            monkeypatch.setenv(key, value)
    with checked_users():
        folder = ObjectFolder(f's3://{change.get("bucket", bucket)}/logits')
        with pytest.raises(OSError) as error:
            folder.check()
    assert message.lower() in str(error.value).lower()
    assert '\n' not in str(error.value)


def test_half_an_upload_is_never_seen(bucket, monkeypatch):
    """One whose process is killed: a part of it has arrived."""
    folder = ObjectFolder(f's3://{bucket}/killed')
    client = folder._files._fs
    inner = client._call_s3

    async def killed(method, *args, **kwargs):
        if method == 'complete_multipart_upload':
            raise ConnectionError('killed')
        return await inner(method, *args, **kwargs)

    monkeypatch.setattr(client, '_call_s3', killed)
    # More than one part of S3, 50 MiB of s3fs.
    with pytest.raises(OSError, match='killed'):
        folder.write('net/view', '.npz', bytes(120 * 2**20))
    assert folder.list('net') == []


def test_many_write_at_once(bucket):

    def write(number):
        own, names = ObjectFolder(f's3://{bucket}/many'), []
        for each in range(5):
            names.append(own.write('net/view', '.npz', b'%d' % each))
            own.write(f'net/own{number}', '.npz', b'%d' % each)
            assert own.read(names[-1]) == b'%d' % each
        return names

    with ThreadPoolExecutor(4) as threads:
        first, *others = threads.map(write, range(4))
    assert all(other == first for other in others)
    folder = ObjectFolder(f's3://{bucket}/many')
    assert len(folder.list('net')) == 5 + 4 * 5
