# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
import torch
from torch import nn

from mmdgkd.engine.optim import cpu_amp_optim_wrapper
from mmdgkd.engine.optim.cpu_amp_optim_wrapper import CPUAmpOptimWrapper


@pytest.mark.parametrize('has', [True, False])
def test_a_warning_without_bfloat16_comes_once(monkeypatch, has):
    logged = []
    monkeypatch.setattr(cpu_amp_optim_wrapper, 'computes_in_bfloat16',
                        lambda: has)
    monkeypatch.setattr(cpu_amp_optim_wrapper, 'print_log',
                        lambda text, **_: logged.append(text))
    cpu_amp_optim_wrapper._warn.cache_clear()
    model = nn.Linear(2, 2)
    for _ in range(2):
        wrapper = CPUAmpOptimWrapper(
            optimizer=torch.optim.SGD(model.parameters(), 0.1))
    assert len(logged) == (0 if has else 1)
    assert has or '--amp: this processor has no bfloat16' in logged[0]
    with wrapper.optim_context(model):
        assert model(torch.ones(1, 2)).dtype == torch.bfloat16
