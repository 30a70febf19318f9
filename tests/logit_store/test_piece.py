# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Files of views: what is written is read, and nothing else is taken."""
import io

import numpy as np
import pytest
import torch

from mmdgkd.logit_store.encoding import RowForm
from mmdgkd.logit_store.piece import (Piece, merged, parse_name, stem_of,
                                      store_bytes, unpack)

SAMPLES = 50


def table(form):
    generator = torch.Generator().manual_seed(0)
    return form.encode(
        torch.randn(SAMPLES, form.classes, generator=generator) * 5)


def piece_of(indices, top_k=None, offset=0):
    form = RowForm(40, top_k=top_k)
    indices = np.array(indices)
    facts = dict(teacher=dict(weights='a'), dtype='float16', top_k=top_k)
    header = dict(
        depends_on=facts,
        classes=40,
        num_samples=SAMPLES,
        view=3,
        info=dict(views='some'))
    rows = table(form).take(torch.from_numpy(indices))
    return Piece(header, indices, rows._replace(values=rows.values + offset))


@pytest.mark.parametrize('top_k', [None, 4])
@pytest.mark.parametrize('indices', [range(SAMPLES), [3, 7, 49]])
def test_what_is_packed_is_unpacked(top_k, indices):
    piece = piece_of(indices, top_k)
    data = piece.pack()
    found = unpack(data)
    assert found.header == piece.header and found.form == piece.form
    assert np.array_equal(found.indices, piece.indices)
    for one, other in zip(found.rows, piece.rows):
        assert one is other is None or torch.equal(one, other)
    # Of the same rows there is one file, whoever writes it.
    assert data == found.pack()
    assert stem_of(found) == f'view_00003_{len(piece.indices)}'
    if len(piece.indices) == SAMPLES:
        assert len(data) <= store_bytes(piece.form, 1, SAMPLES)
        # That it does not take much more than it has is the point of it.
        assert len(data) > SAMPLES * piece.form.num_bytes


@pytest.mark.parametrize('data', [
    b'', b'PK\x03\x04 no archive',
    piece_of([1]).pack()[:-40], b'mmdgkd logits 1\n'
])
def test_what_is_no_piece(data):
    assert unpack(data) is None


@pytest.mark.parametrize('arrays', [
    dict(),
    dict(header=np.array(b'{'), values=np.zeros((1, 40))),
    dict(header=np.array(b'{"a": 1}'), values=np.zeros((1, 40))),
    dict(header=np.array(7), values=np.zeros((1, 40))),
    dict(header=np.array([{}], dtype=object), values=np.zeros((1, 40)))
])
def test_archives_of_anything_else(arrays):
    """Nothing in them is executed, either."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    assert unpack(file.getvalue()) is None


def test_several_are_merged():
    """Of a sample in two of them the first row counts."""
    first, second = piece_of([1, 5]), piece_of([0, 5, 9], offset=1)
    whole = merged([first, second])
    assert whole.indices.tolist() == [0, 1, 5, 9]
    for index, wanted in ((0, second), (1, first), (5, first), (9, second)):
        row = whole.rows.values[whole.indices.tolist().index(index)]
        place = wanted.indices.tolist().index(index)
        assert torch.equal(row, wanted.rows.values[place])
    assert merged([first]) is first


def test_names():
    assert parse_name('view_00012_640-0123456789abcdef.npz') == (12, 640)
    for other in ('view_00012_640-0123456789abcdef.npz.7.part',
                  'view_1-0123456789abcdef.npz', 'chain.json'):
        assert parse_name(other) is None
