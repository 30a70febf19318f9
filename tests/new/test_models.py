# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks by name, and which lie between two."""
import pytest

from mmdgkd.errors import ConfigError
from mmdgkd.new.families import arch_of, family_of
from mmdgkd.new.models import Zoo


@pytest.fixture(scope='module')
def zoo():
    return Zoo(32, 10)


def test_tas_have_equal_ratios_of_macs(zoo):
    teacher, student = (zoo.model(f'resnet{n}', '--teacher') for n in (32, 8))
    tas = zoo.between(teacher, student, 2)
    assert [model.name for model in tas] == ['resnet20', 'resnet14']
    assert zoo.between(teacher, student, 1)[0].name == 'resnet14'
    assert not zoo.between(student, teacher, 1)


def test_a_published_accuracy_and_weights_are_known(zoo):
    model = zoo.model('resnet18_8xb16_cifar10', '--student')
    assert (model.accuracy, model.of) == (94.82, 'CIFAR-10')
    assert model.has_weights and not model.is_transformer
    assert model.key == 'resnet18' and model.params < 11.2e6


def test_a_vision_transformer_gets_the_size(zoo):
    pytest.importorskip('timm')
    model = zoo.model('timm:vit_tiny_patch16_224', '--teacher')
    assert model.other == dict(img_size=32) and model.is_transformer


@pytest.mark.parametrize('name, arch, within, without', [
    ('resnet34_8xb32_in1k', 'resnet34',
     ('resnet18_8xb32_in1k', 'resnet50_8xb32_in1k'),
     ('resnetv1d50_8xb32_in1k', 'resnet18_8xb16_cifar10')),
    ('mobilenet-v3-small_8xb128_in1k', 'mobilenet-v3-small',
     ('mobilenet-v3-large_8xb128_in1k', ), ('mobilenet-v2_8xb32_in1k', )),
    ('mmpretrain::deit/deit-small_4xb256_in1k.py', 'deit-small',
     ('deit-tiny_4xb256_in1k', ), ('deit3-small-p16_3rdparty_in1k', )),
    ('resnet110', 'resnet110', ('resnet56', 'resnet8'), ('wrn_16_2', )),
    ('wrn_40_2', 'wrn_40_2', ('wrn_16_2', ), ('resnet20', )),
])
def test_a_family_differs_in_size_alone(name, arch, within, without):
    assert arch_of(name) == arch
    family = dict(family_of(name))
    assert name in family and {*within} <= {*family}
    assert not {*without} & {*family}


@pytest.mark.parametrize('name', ['resnet35_8xb32_in1k', 'resnet9', 'x::y'])
def test_an_unknown_name_is_one_line(zoo, name):
    with pytest.raises(ConfigError, match=f"^--student: '{name}' ") as error:
        zoo.model(name, '--student')
    assert '\n' not in str(error.value)
    assert str(error.value).count(name) == 1


def test_a_network_that_needs_larger_images_is_one_line():
    with pytest.raises(ConfigError, match='does not run .*--size 224'):
        Zoo(8, 10).model('vgg11_8xb32_in1k', '--teacher')
