# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import io
import zipfile

import pytest
import torch

from mmdgkd.fileio.checksum import checksum_matches, write_with_checksum


@pytest.fixture
def path(tmp_path):
    """The path of a file with a checksum."""
    path = tmp_path / 'a.pth'
    with io.BytesIO() as buffer:
        torch.save(dict(a=torch.arange(5000)), buffer)
        with open(path, 'wb') as file:
            write_with_checksum(file, buffer.getvalue())
    return path


def test_others_read_it_as_before(path):
    assert torch.equal(torch.load(path)['a'], torch.arange(5000))
    assert torch.equal(torch.load(path, mmap=True)['a'], torch.arange(5000))
    assert zipfile.ZipFile(path).testzip() is None
    assert checksum_matches(str(path)) is True


@pytest.mark.parametrize('place', [0, 0.001, 0.3, 0.5, 0.9, 0.995, 1])
def test_every_flipped_bit_is_noticed(path, place):
    data = bytearray(path.read_bytes())
    data[min(int(place * len(data)), len(data) - 1)] ^= 4
    path.write_bytes(data)
    assert checksum_matches(str(path)) is False


@pytest.mark.parametrize('share', [0.1, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_noticed(path, share):
    data = path.read_bytes()
    path.write_bytes(data[:int(share * len(data))])
    assert checksum_matches(str(path)) is False


def test_without_a_checksum_it_is_unknown(tmp_path):
    torch.save(dict(a=1), tmp_path / 'new.pth')
    torch.save(
        dict(a=1), tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    (tmp_path / 'empty').write_bytes(b'')
    for name in ('new.pth', 'old.pth', 'empty'):
        assert checksum_matches(str(tmp_path / name)) is None


def test_other_data_is_written_as_it_is(tmp_path):
    with open(tmp_path / 'a', 'wb') as file:
        write_with_checksum(file, b'text')
    assert (tmp_path / 'a').read_bytes() == b'text'
