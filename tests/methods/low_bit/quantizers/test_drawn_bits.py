# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest

from mmdgkd.methods.low_bit.quantizers.drawn_bits import drawn_bits

LAYERS = [f'conv{i}' for i in range(8)]


def test_the_same_arguments_give_the_same_bits_in_any_order():
    forth = [drawn_bits(1, step, LAYERS, 2) for step in range(20)]
    back = [drawn_bits(1, step, LAYERS, 2) for step in reversed(range(20))]
    assert forth == back[::-1]
    assert list(forth[0]) == LAYERS
    assert len({tuple(bits.values()) for bits in forth}) > 15
    assert forth[0] != drawn_bits(2, 0, LAYERS, 2)


@pytest.mark.parametrize('prob', [.25, .5, 1])
def test_each_layer_by_itself_as_often_as_it_should(prob):
    drawn = [drawn_bits(0, step, LAYERS, 2, 8, prob) for step in range(2000)]
    for layer in LAYERS:
        share = sum(bits[layer] == 8 for bits in drawn) / 2000
        assert share == pytest.approx(prob, abs=.04)
        assert {bits[layer] for bits in drawn} <= {2, 8}
    both = sum(bits['conv0'] == bits['conv1'] == 8 for bits in drawn) / 2000
    assert both == pytest.approx(prob**2, abs=.04)
