# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from mmdgkd.chain.entries import Network
from mmdgkd.chain.network import build_network, network_facts


def test_a_network_that_leaves_out_the_dimension_of_a_single_image():
    network = Network(
        'lenet',
        dict(
            type='ImageClassifier',
            backbone=dict(type='LeNet5', num_classes=10),
            head=dict(type='ClsHead')))
    model = build_network(network, 'mmpretrain').to('meta').eval()
    facts = network_facts(model, 'lenet', (1, 32, 32))
    assert (facts.params, facts.classes) == (61706, 10)
    # Convolutions of 28, 10 and 1 pixels, then two linear layers.
    assert facts.macs == (28**2 * 6 * 25 + 10**2 * 16 * 150 + 120 * 400 +
                          120 * 84 + 84 * 10)
