# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
import torch
from torch import nn

from mmdgkd import ConfigError
from mmdgkd.fileio.checkpoint import read_checkpoint
from mmdgkd.models.utils.weights import load_weights, network_weights


class Net(nn.Module):

    def __init__(self, classes=3, width=4):
        super().__init__()
        self.body = nn.Linear(2, width)
        self.head = nn.ModuleDict(dict(fc=nn.Linear(width, classes)))


@pytest.mark.parametrize('prefix', ['', 'module.', 'architecture.'])
def test_all_kinds_of_checkpoints_load(tmp_path, prefix):
    source, target = Net(), Net()
    state = {prefix + key: data for key, data in source.state_dict().items()}
    if prefix == 'architecture.':
        # What an algorithm has beside its network.
        state['distiller.connector.weight'] = torch.ones(1)
    path = str(tmp_path / 'a.pth')
    torch.save(dict(state_dict=state, meta={}), path)
    load_weights(target, path, 'key')
    for key, data in target.state_dict().items():
        assert torch.equal(data, source.state_dict()[key])


def test_a_bare_state_dict_loads():
    state = Net().state_dict()
    assert set(network_weights(state, 'a.pth', 'key')) == set(state)


@pytest.mark.parametrize('other, message', [
    (Net(classes=10), r"key: '.*' has 10 classes, the network has 3 \(head.fc"
     r'.weight is \(10, 4\), not \(3, 4\)\)'),
    (Net(width=5), r'is of another architecture: body.weight is \(5, 2\)'),
    (nn.Linear(1, 1), 'is of another architecture: body.weight is missing'),
])
def test_what_does_not_fit_is_named(tmp_path, other, message):
    path = str(tmp_path / 'a.pth')
    torch.save(other.state_dict(), path)
    with pytest.raises(ConfigError, match=message) as error:
        load_weights(Net(), path, 'key')
    assert '\n' not in str(error.value)


def test_a_file_that_is_missing_or_no_checkpoint(tmp_path):
    with pytest.raises(ConfigError, match="key: there is no file 'no.pth'"):
        read_checkpoint('no.pth', 'key')
    path = tmp_path / 'a.pth'
    path.write_text('hello')
    with pytest.raises(ConfigError, match='does not load as a checkpoint'):
        read_checkpoint(str(path), 'key')
    torch.save([1], path)
    with pytest.raises(ConfigError, match='holds a list, not a checkpoint'):
        read_checkpoint(str(path), 'key')


@pytest.mark.parametrize('held', [
    dict(model=dict(a=1), epoch=3),
    dict(a=1),
    dict(),
    dict(state_dict=[1]),
])
def test_a_file_of_another_kind(tmp_path, held):
    path = str(tmp_path / 'a.pth')
    torch.save(held, path)
    with pytest.raises(ConfigError, match='key: .* holds no state dict'):
        load_weights(Net(), path, 'key')
