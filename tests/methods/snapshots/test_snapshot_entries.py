# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Snapshots in ``chain.networks``: pure data."""
import pytest

from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain

MODEL = dict(type='ImageClassifier')


def test_a_third_is_named_by_its_per_cent():
    chain = Chain.from_cfg(
        dict(networks=dict(a=dict(model=MODEL, snapshots=[0.333, 1.0]))))
    assert chain.names == ['a', 'a_33']
    assert chain['a_33'].part == dict(snapshot_of='a', at=0.333)
    assert Chain.from_cfg(chain.to_cfg()) == chain


def test_its_images_as_a_teacher_are_those_of_its_network():
    own = dict(mean=[0.], std=[1.])
    chain = Chain.from_cfg(
        dict(
            networks=dict(
                a=dict(model=MODEL, input=own, snapshots=[0.5]),
                b=dict(model=MODEL))))
    assert chain['a_50'].input == chain['a'].input is not None
    assert Chain.from_cfg(chain.to_cfg()) == chain


@pytest.mark.parametrize('networks, message', [
    (dict(a=dict(model=MODEL, ckpt_path='a.pth', snapshots=[0.5])),
     'a.snapshots: "a" has a ckpt_path'),
    (dict(
        a=dict(model=MODEL, ckpt_path='a.pth'),
        b=dict(snapshot_of='a',
               at=0.5)), 'b.snapshot_of: "a" has a ckpt_path'),
    (dict(a=dict(model=MODEL, snapshots=[0.5]),
          a_50=dict(model=MODEL)), r'there are 2 networks named "a_50"'),
    (dict(
        a=dict(model=MODEL, snapshots=[0.5]),
        b=dict(snapshot_of='a_50',
               at=0.5)), 'b.snapshot_of: "a_50" is trained within "a"'),
    (dict(a=dict(model=MODEL), b=dict(snapshot_of='a',
                                      at=1)), 'b.at: 1 is "a" itself'),
    (dict(a=dict(model=MODEL),
          b=dict(snapshot_of='a')), 'b.at: None must be a fraction'),
    (dict(b=dict(snapshot_of='a', at=0.5)),
     "b.snapshot_of: 'a' is no network before"),
    (dict(a=dict(model=MODEL), b=dict(snapshot_of='a', at=0.5,
                                      use='ema')), 'b.use: is unknown'),
    (dict(
        a=dict(
            model=dict(
                type='mmrazor.MutualNetworks',
                architecture=MODEL,
                peers=dict(c=MODEL)),
            snapshots=[0.5])), 'a_50.snapshot_of: "a" is a mmrazor.Mutual'),
])
def test_wrong_networks(networks, message):
    with pytest.raises(
            ConfigError, match=f'^chain.networks[.:] ?{message}') as error:
        Chain.from_cfg(dict(networks=networks))
    assert '\n' not in str(error.value)


def test_a_mapping_lists_it_as_a_teacher_alone():
    networks = dict(a=dict(model=MODEL, snapshots=[0.5]), b=dict(model=MODEL))
    chain = Chain.from_cfg(
        dict(networks=networks, guidance=dict(b=['a', 'a_50'])))
    assert chain.teachers == dict(a=(), a_50=(), b=('a', 'a_50'))
    with pytest.raises(
            ConfigError,
            match='^chain.guidance.a_50: is trained with "a" and has its'):
        Chain.from_cfg(dict(networks=networks, guidance=dict(a_50=['a'])))


def test_the_student_of_independent_teachers_may_have_some():
    """They are trained with it, by its teachers."""
    networks = dict(
        a=dict(model=MODEL, snapshots=[0.5]),
        b=dict(model=MODEL),
        c=dict(model=MODEL, snapshots=[0.5]))
    chain = Chain.from_cfg(dict(networks=networks, guidance='independent'))
    all_before = ('a', 'a_50', 'b')
    assert chain.teachers == dict(
        a=(), a_50=(), b=(), c=all_before, c_50=all_before)
