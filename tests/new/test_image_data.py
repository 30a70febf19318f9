# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What is found out about a folder of images."""
import pytest
from PIL import Image

from mmdgkd.errors import ConfigError
from mmdgkd.new.image_data import find_data


@pytest.fixture
def folder(tmp_path):
    """A function that makes ``<part>/<class>/<number>.png``: its root."""

    def make(size=(32, 32), **parts):
        for part, classes in parts.items():
            part = '' if part == 'root' else part
            for name, count in classes.items():
                (tmp_path / part / name).mkdir(parents=True)
                for i in range(count):
                    Image.new('RGB', size, (i, 99, 7)).save(tmp_path / part /
                                                            name / f'{i}.png')
        return tmp_path

    return make


def found_in(root, size=None, seed=0, share=0.25):
    return find_data(str(root), size, seed, share)


def test_train_and_val_are_taken_as_they_are(folder):
    root = folder(train=dict(b=3, a=2), val=dict(a=1, b=1))
    data = found_in(root)
    assert data.names == ('a', 'b') and data.classes == 2
    assert data.prefixes == ('train', 'val') and not data.lists
    assert (data.samples, data.size, data.as_they_are) == (5, 32, True)


@pytest.mark.parametrize('name', ['valid', 'validation', 'test'])
def test_other_names_of_val(folder, name):
    root = folder(train=dict(a=1, b=1), **{name: dict(a=1, b=1)})
    assert found_in(root).prefixes == ('train', name)


@pytest.mark.parametrize('part', ['root', 'train'])
def test_a_split_is_of_each_class_and_of_the_seed_alone(folder, part):
    root = folder(**{part: dict(cat=8, dog=4, owl=2)})
    before = sorted(root.rglob('*'))
    lists = found_in(root).lists
    assert [label for _, label in lists['val']] == [0, 0, 1, 2]
    assert not {*lists['train']} & {*lists['val']}
    assert len(lists['train']) + len(lists['val']) == 14
    assert found_in(root).lists == lists != found_in(root, seed=1).lists
    assert sorted(root.rglob('*')) == before


def test_folders_without_images_and_hidden_ones_are_no_classes(folder):
    """MMPretrain takes them: the images are listed then."""
    root = folder(train=dict(a=2, b=2), val=dict(a=1, b=1))
    (root / 'train' / '.cache').mkdir()
    (root / 'train' / 'new').mkdir()
    data = found_in(root)
    assert data.names == ('a', 'b')
    assert data.lists['val'] == [('a/0.png', 0), ('b/0.png', 1)]
    assert data.prefixes == ('train', 'val')


@pytest.mark.parametrize('shape, size, wanted, as_they_are', [
    ((64, 64), None, 64, True),
    ((64, 64), 32, 32, False),
    ((96, 80), None, 64, False),
    ((300, 240), None, 224, False),
    ((20, 30), None, 32, False),
    ((128, 128), None, 128, False),
])
def test_the_size_is_that_of_the_images(folder, shape, size, wanted,
                                        as_they_are):
    data = found_in(folder(shape, root=dict(a=2, b=2)), size)
    assert (data.size, data.as_they_are) == (wanted, as_they_are)


@pytest.mark.parametrize('parts, message', [
    (dict(root=dict(a=0, b=0)), 'has no images in folders'),
    (dict(root=dict(a=2)), "has one class, 'a'"),
    (dict(root=dict(a=2, b=1)), "the class 'b' .* has one image"),
    (dict(train=dict(a=2, b=2), val=dict(a=1)), "val' has no images of .*'b'"),
    (dict(train=dict(a=2, b=2), val=dict(a=1, b=0)), "no images of .*'b'"),
    (dict(train=dict(a=2, b=2), val=dict(a=1, b=1, c=1)), "not: .*'c'"),
    (dict(val=dict(a=1, b=1)), 'but no train/'),
])
def test_a_mistake_in_the_folder_is_one_line(folder, parts, message):
    with pytest.raises(ConfigError, match=f'^--data: .*{message}') as error:
        found_in(folder(**parts))
    assert '\n' not in str(error.value)


def test_images_that_are_not_read_are_not_left_out(folder):
    root = folder(train=dict(a=2, b=2), val=dict(a=1, b=1))
    (root / 'train' / 'b' / 'one.GIF').touch()
    with pytest.raises(ConfigError, match="the class 'b' of .*1 files .gif, "):
        found_in(root)


def test_images_beside_each_other_have_no_class(folder):
    root = folder(root=dict(a=0))
    Image.new('RGB', (8, 8)).save(root / '1.png')
    with pytest.raises(ConfigError, match='only images beside each other'):
        found_in(root)


@pytest.mark.parametrize('damage', [
    lambda data: b'', lambda data: b'no image', lambda data: data[:-30]
])  # yapf: disable
def test_a_damaged_image_is_named(folder, damage):
    root = folder(root=dict(a=3, b=3))
    path = root / 'b' / '1.png'
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ConfigError, match="'.*/b/1.png' cannot be read"):
        found_in(root)


@pytest.mark.parametrize('name, near', [('CIFAR-10', 'cifar10'),
                                        ('image-net', 'imagenet')])
def test_a_known_data_set_that_is_mistyped(name, near):
    with pytest.raises(ConfigError, match=f'no folder .* did you mean {near}'):
        find_data(name, None, 0, 0.2)


def test_known_data_sets():
    data = find_data('cifar100', None, 0, 0.2)
    assert (data.classes, data.samples, data.size) == (100, 50000, 32)
    assert find_data('imagenet', None, 0, 0.2).size == 224
