# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
from mmrazor.models.algorithms import (BaseAlgorithm, ItePruneAlgorithm,
                                       SingleTeacherDistill)
from torch import nn

from mmdgkd import ConfigError
from mmdgkd.chain.method import METHODS
from mmdgkd.chain.preflight.chain_check import check_algorithm

KNOWN = [kind for method in METHODS.values() for kind in method.algorithms]


class Stepping(BaseAlgorithm):
    """Trained by steps of its own, as BigNAS and AutoSlim are."""

    def train_step(self, data, optim_wrapper):
        pass


class Mutating(BaseAlgorithm):
    """Draws another path in each step, as Autoformer does."""

    mutator = object()


@pytest.mark.parametrize('kind', [Stepping, Mutating])
def test_what_would_be_trained_wrongly_is_refused(kind):
    with pytest.raises(
            ConfigError,
            match=f'^chain.networks.a.model.type: {kind.__name__} cannot '
            'train a network of a chain; those that can are FewBit'):
        check_algorithm('a', kind.__new__(kind))


@pytest.mark.parametrize('kind', [*KNOWN, SingleTeacherDistill, nn.Linear])
def test_what_can_be_trained_is_not(kind):
    model = kind.__new__(kind)
    nn.Module.__init__(model)
    check_algorithm('a', model)
    assert ItePruneAlgorithm in KNOWN
