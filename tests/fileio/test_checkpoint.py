# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import os
import pickle
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import load_checkpoint
from torch import nn

from mmdgkd import ConfigError
from mmdgkd.fileio.checkpoint import (checkpoint_meta, read_checkpoint,
                                      write_weights)


class Attack:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder, )


def plain_pickle(data, path):
    with open(path, 'wb') as file:
        pickle.dump(data, file)


def old_format(data, path):
    torch.save(data, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize('write', [torch.save, old_format, plain_pickle])
@pytest.mark.parametrize('place', ['all', 'state_dict', 'meta', 'optimizer'])
def test_nothing_in_a_checkpoint_is_executed(tmp_path, write, place):
    attack, path = Attack(tmp_path / 'pwned'), tmp_path / 'a.pth'
    data = dict(state_dict=dict(a=torch.ones(1)), meta={})
    write(attack if place == 'all' else dict(data, **{place: attack}), path)
    with pytest.raises(ConfigError, match='^key: .*a.pth. is refused') as info:
        read_checkpoint(str(path), 'key')
    assert '\n' not in str(info.value)
    if write is torch.save:
        assert 'would call posix.mkdir' in str(info.value)
        with pytest.raises(ConfigError, match='would call posix.mkdir'):
            checkpoint_meta(str(path), 'key')
    assert not (tmp_path / 'pwned').exists()


def test_what_mmengine_saves_is_data(tmp_path):
    data = dict(
        meta=dict(epoch=1, iter=np.int64(3)),
        message_hub=HistoryBuffer([1.], [1]),
        optimizer=dict(state={0: dict(momentum_buffer=torch.ones(2))}))
    torch.save(data, tmp_path / 'a.pth')
    found = read_checkpoint(str(tmp_path / 'a.pth'), 'key')
    assert found['message_hub'].data == (np.array([1.]), np.array([1]))
    assert checkpoint_meta(str(tmp_path / 'a.pth'), 'key')['epoch'] == 1


def test_the_meta_is_read_once_of_what_has_not_changed(tmp_path, monkeypatch):
    path, reads, load = str(tmp_path / 'a.pth'), [], torch.load
    monkeypatch.setattr(
        'torch.load',
        lambda *args, **kwargs: reads.append(args) or load(*args, **kwargs))
    for epoch in (1, 2):
        torch.save(dict(meta=dict(epoch=epoch)), path)
        checkpoint_meta(path, 'key')['epoch'] = 3
        assert checkpoint_meta(path, 'key')['epoch'] == epoch
        assert len(reads) == epoch
    (tmp_path / 'a.pth').unlink()
    with pytest.raises(ConfigError, match='^key: .*a.pth. does not load'):
        checkpoint_meta(path, 'key')


@pytest.mark.parametrize('ending', ['pth', 'safetensors'])
def test_weights_are_read_as_they_were_written(tmp_path, ending):
    net = nn.Linear(3, 2)
    net.bias.data[0] = float('nan')
    path = str(tmp_path / f'a.{ending}')
    write_weights(path, dict(net.state_dict(), tied=net.weight.data),
                  dict(network='a', last=1.5))
    found = read_checkpoint(path, 'key')
    assert found['meta'] == dict(network='a', last=1.5)
    assert set(found['state_dict']) == {'weight', 'bias', 'tied'}
    for key, value in net.state_dict().items():
        assert np.array_equal(found['state_dict'][key], value, equal_nan=True)
    # MMEngine, and so MMPretrain, reads both.
    other = nn.Linear(3, 2)
    load_checkpoint(other, path)
    assert torch.equal(other.weight, net.weight)


def test_what_is_no_safetensors_file(tmp_path):
    torch.save(Attack(tmp_path / 'pwned'), tmp_path / 'a.safetensors')
    with pytest.raises(ConfigError, match='does not load as a checkpoint'):
        read_checkpoint(str(tmp_path / 'a.safetensors'), 'key')
    assert not (tmp_path / 'pwned').exists()


def test_a_missing_file_and_other_data(tmp_path):
    with pytest.raises(ConfigError, match="key: there is no file 'no.pth'"):
        read_checkpoint('no.pth', 'key')
    torch.save([1], tmp_path / 'a.pth')
    with pytest.raises(ConfigError, match='holds a list, not a checkpoint'):
        read_checkpoint(str(tmp_path / 'a.pth'), 'key')


def test_a_damaged_file(tmp_path):
    path = tmp_path / 'a.pth'
    write_weights(str(path), dict(a=torch.arange(999)), {})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ConfigError, match='is damaged'):
        read_checkpoint(str(path), 'key')


@pytest.fixture
def served(tmp_path, monkeypatch):
    """The address of a folder, on this machine."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = None
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()


def test_a_downloaded_checkpoint_is_data_too(tmp_path, served):
    """PyTorch's downloads are not weights-only by default."""
    torch.save(dict(state_dict=Attack(tmp_path / 'pwned')), tmp_path / 'a.pth')
    with pytest.raises(ConfigError, match='is refused: .* call posix.mkdir'):
        read_checkpoint(f'{served}/a.pth', 'key')
    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(nn.Linear(1, 1), f'{served}/a.pth')
    assert not (tmp_path / 'pwned').exists()
    torch.save(dict(state_dict=dict(a=torch.ones(2))), tmp_path / 'b.pth')
    found = read_checkpoint(f'{served}/b.pth', 'key')
    assert torch.equal(found['state_dict']['a'], torch.ones(2))
    with pytest.raises(ConfigError, match='neither a file nor an address'):
        read_checkpoint('torchvision://resnet18', 'key')
