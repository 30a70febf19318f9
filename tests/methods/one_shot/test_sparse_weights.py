# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
import torch

from mmdgkd.methods.one_shot.sparse_weights import (dense_weights, size_of,
                                                    sparse_weights)


def state_of(sparsity):
    torch.manual_seed(0)
    weight = torch.randn(32, 64, 3, 3)
    weight[torch.rand_like(weight) < sparsity] = 0
    return dict(conv=weight, bias=torch.randn(32))


def test_by_hand():
    """A bit for each entry, the first in the highest; or rows and columns."""
    weight = torch.tensor([[0., 5., 0.], [0., 0., 0.], [7., 0., 8.]])
    tensors = sparse_weights(dict(w=weight), ['w'])
    assert tensors['w.values'].tolist() == [5, 7, 8]
    assert tensors['w.bits'].tolist() == [0b01000010, 0b10000000]
    wide = torch.zeros(2, 300)
    wide[1, 299] = 9
    tensors = sparse_weights(dict(w=wide), ['w'])
    assert tensors['w.rows'].tolist() == [0, 0, 1]
    assert tensors['w.columns'].tolist() == [299]
    assert tensors['w.values'].tolist() == [9]


@pytest.mark.parametrize('sparsity, form', [(0, 'bits'), (.5, 'bits'),
                                            (.9, 'bits'), (.98, 'columns'),
                                            (1, 'columns')])
def test_it_is_read_back_with_the_same_bits(sparsity, form):
    state = state_of(sparsity)
    tensors = sparse_weights(state, ['conv'])
    assert f'conv.{form}' in tensors
    found = dense_weights(tensors)
    assert found.keys() == state.keys()
    for name, data in state.items():
        assert torch.equal(found[name], data)
        assert found[name].dtype == data.dtype
    # Four bytes a value, and a bit an entry or two bytes a value.
    count = int(state['conv'].count_nonzero())
    places = min(state['conv'].numel() / 8, 2 * count + 4 * 33)
    wanted = 4 * count + places + 4 * 8 + 4 * 32
    assert size_of(tensors) == pytest.approx(wanted)
