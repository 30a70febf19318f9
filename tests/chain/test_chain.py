# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest

from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain, teachers_of

NAMES = ['t', 'a', 'b', 's']
MODEL = dict(type='ImageClassifier')


def chain(**kwargs):
    cfg = dict(networks={name: dict(model=MODEL) for name in NAMES})
    cfg.update(kwargs)
    return Chain.from_cfg(cfg)


@pytest.mark.parametrize('guidance, expected', [
    ('none', ['', '', '', '']),
    ('direct', ['', 't', 't', 't']),
    ('sequential', ['', 't', 'a', 'b']),
    ('dense', ['', 't', 'ta', 'tab']),
    ('independent', ['', '', '', 'tab']),
    (dict(s=['b', 't']), ['', '', '', 'tb']),
    (dict(), ['', '', '', '']),
])
def test_teachers_of_each_network(guidance, expected):
    teachers = teachers_of(guidance, NAMES, 's')
    assert [''.join(teachers[name]) for name in NAMES] == expected


@pytest.mark.parametrize('name', ['half', 'type', 'training', 'keys'])
def test_attributes_of_modules_are_no_names(name):
    with pytest.raises(ConfigError, match=f'networks.{name}: "{name}" is an '):
        chain(networks={name: dict(model=MODEL)})


def test_words_of_python_are_no_names():
    """The configs of the work dir could not be read."""
    with pytest.raises(ConfigError, match='networks.lambda: "lambda" is a '):
        chain(networks={'lambda': dict(model=MODEL)})


def test_dense_is_the_default_and_order_is_kept():
    made = chain()
    assert made.names == NAMES
    assert made.teachers['s'] == ('t', 'a', 'b')


def test_a_given_network_has_no_teachers_but_teaches():
    networks = {name: dict(model=MODEL) for name in NAMES}
    networks['a']['ckpt_path'] = 'a.pth'
    made = chain(networks=networks)
    assert made.teachers['a'] == () and made.teachers['b'] == ('t', 'a')


def test_the_student_of_independent_teachers_is_trained():
    networks = {name: dict(model=MODEL) for name in NAMES}
    networks['s']['ckpt_path'] = 's.pth'
    made = chain(networks=networks, guidance='independent')
    assert made.teachers == dict(t=(), a=(), b=('t', 'a'), s=())


def test_none_leaves_a_network_out():
    networks = {name: dict(model=MODEL) for name in NAMES}
    networks['a'] = None
    assert chain(networks=networks).teachers['s'] == ('t', 'b')


def names_of(names, order, **kwargs):
    """The order of networks of these names; those in brackets are None."""
    return ''.join(
        chain(
            networks={
                name.strip('()'): None if '(' in name else dict(model=MODEL)
                for name in names
            },
            order=order,
            **kwargs).names)


@pytest.mark.parametrize(
    'names, order, expected',
    [
        # As MMEngine sorts the keys of a dict that it writes.
        ('abst', 'tabs', 'tabs'),
        ('abst', None, 'abst'),
        ('sbat', 'tabs', 'tabs'),
        # A child config leaves one out, or replaces all.
        (['a', '(b)', 's', 't'], 'tabs', 'tas'),
        ('st', 'tabs', 'ts'),
        ('xy', 'tabs', 'xy'),
        # Or adds one by name; then it is written.
        ('tabsc', 'tabs', 'tabsc'),
        ('abcst', 'tabs', 'tabsc'),
        ('cabst', 'tabs', 'tabsc'),
        (['a', '(b)', 'c', 's', 't'], 'tabs', 'tasc'),
        # A dict that is not sorted has a place for it.
        ('tcas', 'tas', 'tcas'),
        ('ctsa', 'tas', 'tasc'),
    ])
def test_a_list_keeps_the_order(names, order, expected):
    order = order and list(order)
    assert names_of(names, order) == expected
    assert names_of(sorted(names, key=lambda name: name.strip('()')),
                    order) == (
                        expected if names != 'tcas' else 'tasc')


def test_a_list_of_networks_has_its_own_order():
    networks = [dict(name=name, model=MODEL) for name in 'tcas']
    assert chain(networks=networks, order=list('tas')).names == list('tcas')
    assert chain(networks=networks, order=list('tbs')).names == list('tcas')
    with pytest.raises(
            ConfigError, match='chain.order: is s, t, but the list'):
        chain(networks=networks, order=list('st'))


@pytest.mark.parametrize('names, order, message', [
    ('abst', 'taes', 'chain.order: "e" is no network, and "b" is not listed; '
     'list all of a, b, s, t'),
    ('abst', 'tabst', 'chain.order: .* must be a list of names, each once'),
])
def test_what_is_no_order(names, order, message):
    with pytest.raises(ConfigError, match=message):
        names_of(names, list(order))
    with pytest.raises(ConfigError, match='chain.order: .* must be a list'):
        names_of(names, 3)


def test_a_written_chain_is_the_same_chain():
    networks = {name: dict(model=MODEL) for name in NAMES}
    networks['t'].update(ckpt_path='t.pth', ckpt_key='model_ema')
    networks['s']['stage'] = dict(train_cfg=dict(max_epochs=3))
    networks['s']['init_from'] = 'a'
    made = chain(networks=networks, guidance='sequential', metric='acc')
    assert Chain.from_cfg(made.to_cfg()) == made
    assert made.needs('s') == ('b', 'a') and made.needs('b') == ('a', )


@pytest.mark.parametrize('cfg, message', [
    (None, 'chain: the config has none'),
    (dict(networks={}), 'chain.networks: is empty'),
    (dict(networks=dict(t=None)), 'chain.networks: is empty'),
    (dict(network={}), 'chain.network: is unknown; chain takes guidance'),
    (dict(networks=dict(t=dict(model=MODEL, ckpt='x'))),
     'chain.networks.t.ckpt: is unknown; .* takes model, ckpt_path, '
     'init_from, stage'),
    (dict(networks=dict(t=dict())), 'chain.networks.t.model: is missing'),
    (dict(networks=dict(t='resnet')), 'chain.networks.t: must be dict'),
    (dict(networks=dict(t=dict(model=MODEL, stage=3))), 't.stage: must be a'),
    (dict(networks={'a/b': dict(model=MODEL)}), 'a/b: a name is made of'),
    (dict(networks={'lossy': dict(model=MODEL)}), 'without the word "loss"'),
    (dict(networks=[dict(name='t', model=MODEL)] * 2),
     'there are 2 networks named "t"'),
    (dict(networks=[dict(model=MODEL)]), r'chain.networks\[0\]: has no name'),
    (dict(networks=3), 'must be a dict or a list'),
    (dict(networks=dict(config=dict(model=MODEL))), 'choose another'),
    (dict(networks=dict(t=dict(model=MODEL, ckpt_path=5))),
     'chain.networks.t.ckpt_path: 5 must be the name of a file'),
    (dict(networks=dict(t=dict(model=MODEL, ckpt_path='t', ckpt_key=5))),
     'chain.networks.t.ckpt_key: 5 must be a key of the file'),
    (dict(networks=dict(t=dict(model=MODEL, ckpt_key='ema'))),
     "chain.networks.t.ckpt_key: 'ema' is a key of a file; give ckpt_path"),
])
def test_what_makes_no_chain(cfg, message):
    with pytest.raises(ConfigError, match=message) as error:
        Chain.from_cfg(cfg)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('guidance, message', [
    ('densest', "chain.guidance: 'densest' is none of none, direct, seq"),
    (3, 'chain.guidance: 3 must be one of'),
    (dict(x=['t']), 'chain.guidance.x: is no network of this chain; there'),
    (dict(s=['x']), 'chain.guidance.s: the teacher "x" is no network'),
    (dict(a=['b']), 'the teacher "b" does not come before "a"; possible: t'),
    (dict(a=['a']), 'the teacher "a" does not come before "a"'),
    (dict(t=['s']), 'possible: none, it is the first'),
    (dict(s='t'), "chain.guidance.s: 't' must be a list of names"),
])
def test_unknown_guidance(guidance, message):
    with pytest.raises(ConfigError, match=message):
        chain(guidance=guidance)


def test_an_unknown_name_is_reported_with_its_key():
    with pytest.raises(
            ConfigError, match='--stage: "x" is no network .* t, a, b, s'):
        chain().require('x', '--stage')


def of_path(**model):
    chain = Chain.from_cfg(dict(networks=dict(a=dict(model=model))))
    return chain['a'].model


def test_a_model_of_another_package():
    """MMRazor's way to name one; other keys are merged into it."""
    path = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'
    model = of_path(cfg_path=path, head=dict(num_classes=7))
    assert model['backbone']['depth'] == 18
    assert model['head']['num_classes'] == 7
    assert 'init_cfg' not in model and 'data_preprocessor' not in model


def test_a_pretrained_model_of_another_package_keeps_its_normalization():
    model = of_path(
        cfg_path='mmpretrain::resnet/resnet18_8xb32_in1k.py', pretrained=True)
    assert model['init_cfg']['checkpoint'].startswith('https://')
    assert model['data_preprocessor']['mean'] == [123.675, 116.28, 103.53]


@pytest.mark.parametrize('path, reason', [
    (3, 'the package 3 is not installed'),
    ('mmpretran::a.py', 'the package mmpretran is not installed'),
    ('mmpretrain::resnet/nothing.py', 'does not exist'),
    ('mmpretrain', 'please specify the package name'),
])
def test_a_path_that_names_no_model(path, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        of_path(cfg_path=path)
    assert str(error.value).startswith(
        f'chain.networks.a.model.cfg_path: {path!r} names no config (')
