# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
import torch

from mmdgkd import ConfigError
from mmdgkd.logit_store.encoding import RowForm, check_form, joined
from mmdgkd.models.losses.dense_kd_loss import dense_kd_loss


def some_logits(classes=100, scale=5.0):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(16, classes, generator=generator) * scale


def rounded(form, logits):
    return form.decode(form.encode(logits))


@pytest.mark.parametrize('form, size', [
    (RowForm(100), 200),
    (RowForm(100, 'float32'), 400),
    (RowForm(10), 20),
    (RowForm(1000, top_k=16), 98),
    (RowForm(10, top_k=10), 20),
    (RowForm(1000, top_k=16, others='zero'), 98),
    (RowForm(1000, 'float32', 16, 'zero'), 132),
])
def test_what_is_read_is_what_was_rounded(form, size):
    logits = some_logits(form.classes)
    rows = form.encode(logits)
    taken = sum(part.nbytes for part in rows if part is not None)
    assert taken == 16 * size and size == form.num_bytes
    once = form.decode(rows)
    # Rounding again changes nothing.
    again = rounded(form, once)
    assert torch.allclose(again, once, atol=2e-2)
    if form.is_full:
        assert torch.equal(again, once)
    # The rows are no view of the logits.
    logits += 1
    assert torch.equal(form.decode(rows), once)
    some = rows.take(torch.tensor([3, 1]))
    assert torch.equal(form.decode(some), once[[3, 1]])
    twice = form.decode(joined([rows, some]))
    assert torch.equal(twice, torch.cat([once, once[[3, 1]]]))


def test_bounds():
    logits = some_logits()
    assert torch.equal(rounded(RowForm(100, 'float32'), logits), logits)
    halves = rounded(RowForm(100), logits)
    assert ((halves - logits).abs() <= 2**-11 * logits.abs() + 1e-7).all()
    # bfloat16 logits of autocast come through float16 unharmed.
    rough = logits.bfloat16()
    assert torch.equal(rounded(RowForm(100), rough), rough.float())
    huge = torch.tensor([[1e6, -1e6, 0.0]])
    assert rounded(RowForm(3), huge).isfinite().all()


def test_top_k_keeps_the_others_probability_together():
    logits = some_logits(1000, 2.0)
    form = RowForm(1000, 'float32', top_k=16)
    kept = rounded(form, logits)
    largest = logits.topk(16).indices
    assert torch.equal(kept.gather(1, largest), logits.gather(1, largest))
    probs, wanted = kept.softmax(1), logits.softmax(1)
    assert torch.allclose(
        probs.gather(1, largest), wanted.gather(1, largest), atol=1e-6)
    others = probs.scatter(1, largest, 0.0)
    assert (others.max(1).values - others.sum(1) / 984).abs().max() < 1e-6


@pytest.mark.parametrize('tau', [1., 4., 20.])
@pytest.mark.parametrize('dtype', ['float16', 'float32'])
def test_or_gives_the_others_none(tau, dtype):
    """The largest have all of it, at any temperature; no loss is NaN."""
    logits = some_logits(1000, 2.0)
    kept = rounded(RowForm(1000, dtype, 16, 'zero'), logits)
    largest = logits.topk(16)
    probs = (kept / tau).softmax(1)
    wanted = (largest.values / tau).softmax(1)
    assert torch.allclose(probs.gather(1, largest.indices), wanted, atol=1e-3)
    assert ((probs > 0).sum(1) == 16).all()
    student = torch.zeros(16, 1000, requires_grad=True)
    loss, _ = dense_kd_loss(student, dict(teacher=kept), tau)
    loss.backward()
    assert loss.isfinite() and student.grad.isfinite().all()


def test_bad_input():
    with pytest.raises(ConfigError, match="dtype: 'int8' is none of float16"):
        check_form('int8', None)
    for top_k in (0, 1.5):
        with pytest.raises(ConfigError, match='chain.logit_store.top_k: '):
            RowForm(10, top_k=top_k)
    for others in ('one', 0, ['even']):
        with pytest.raises(ConfigError, match='others: .* is none of even, '):
            RowForm(10, top_k=3, others=others)
    with pytest.raises(ConfigError, match='but top_k is not given'):
        check_form('float16', None, 'zero')
