# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Programs of images from files: order of channels, sizes, formats."""
import json
import os

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import CenterCrop, Resize
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmpretrain.datasets.transforms import ResizeEdge
from sklearn.datasets import load_sample_images

from mmdgkd import ConfigError
from mmdgkd.chain import environment
from mmdgkd.chain.chain import Chain
from mmdgkd.chain.export import latency, torch_export
from mmdgkd.chain.export.formats import FORMATS, format_of, require_torch
from mmdgkd.chain.export.preprocessing import ResizeImages, preprocessing_of
from mmdgkd.chain.export.torch_export import _ANY_SIZE, export_chain
from mmdgkd.fileio.files import sha256_of
from mmdgkd.fileio.programs import ProgramRecord, add_programs, read_programs

MEAN, STD = [120., 110., 100.], [60., 57., 50.]
MODEL = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        type='ClsDataPreprocessor', mean=MEAN, std=STD, to_rgb=True),
    backbone=dict(type='ResNet6n2', depth=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=2, in_channels=64))
RESIZE = [
    dict(type='ResizeEdge', scale=40, edge='short'),
    dict(type='CenterCrop', crop_size=32)
]
SIZES = [(90, 120), (120, 90), (77, 77), (50, 151), (64, 41)]


@pytest.fixture(scope='module')
def photos():
    """Parts of two photos, RGB, of several sizes."""
    return [[
        np.ascontiguousarray(photo[i * 40:i * 40 + high, i * 30:i * 30 + wide])
        for i, (high, wide) in enumerate(SIZES)
    ] for photo in load_sample_images().images]


@pytest.fixture
def chain_of(photos, tmp_path):
    """A function that gives the config of a chain of one given network."""

    def make(*steps):
        for label, images in enumerate(photos):
            folder = tmp_path / 'images' / f'class {label}'
            folder.mkdir(parents=True, exist_ok=True)
            for i, image in enumerate(images):
                cv2.imwrite(str(folder / f'{i}.png'), image[..., ::-1])
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            model = MODELS.build(MODEL)
        # Of a few steps, so that its logits are not of noise.
        for _ in range(3):
            model.train()(torch.randn(8, 3, 32, 32) + 1)
        torch.save(model.state_dict(), tmp_path / 'net.pth')
        return model.eval(), Config(
            dict(
                default_scope='mmpretrain',
                work_dir=str(tmp_path / 'work'),
                chain=dict(
                    networks=dict(
                        net=dict(
                            model=MODEL, ckpt_path=str(tmp_path /
                                                       'net.pth')))),
                test_dataloader=dict(
                    dataset=dict(
                        type='CustomDataset',
                        data_root=str(tmp_path / 'images'),
                        pipeline=[
                            dict(type='LoadImageFromFile'), *steps,
                            dict(type='PackInputs')
                        ]))))

    return make


def export(cfg, path, **kwargs):
    """The facts of a program."""
    chain = Chain.from_cfg(cfg.chain)
    return export_chain(cfg, chain, 'net', str(path), **kwargs)[str(path)]


def load(path):
    """A program, and what its file says of it, as on a device."""
    if path.suffix == '.pt2':
        extra = {'inputs.json': ''}
        program = torch.export.load(path, extra_files=extra).module()
        return program, json.loads(extra['inputs.json'])
    if path.suffix == '.pte':
        runtime = pytest.importorskip('executorch.runtime')
        program = runtime.Runtime.get().load_program(path)
        method = program.load_method('forward')
        (says, ) = program.load_method('inputs').execute([])
        return (lambda images: method.execute([images.contiguous()])[0],
                json.loads(says))
    onnxruntime = pytest.importorskip('onnxruntime')
    session = onnxruntime.InferenceSession(str(path))
    says = session.get_modelmeta().custom_metadata_map

    def run(images):
        (logits, ) = session.run(None, {'images': images.numpy()})
        return torch.from_numpy(logits)

    return run, {key: json.loads(value) for key, value in says.items()}


def prepared(image, steps=RESIZE):
    """An image after MMCV's own transforms."""
    kinds = dict(ResizeEdge=ResizeEdge, CenterCrop=CenterCrop, Resize=Resize)
    results = dict(img=image)
    for step in steps:
        options = {key: step[key] for key in step if key != 'type'}
        results = kinds[step['type']](**options)(results)
    return results['img']


def tensor(image):
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]


def require(ending, any_size=False):
    """Skip where this format cannot be written, or not for any size."""
    try:
        format_of(f'net.{ending}')
        if any_size:
            require_torch(_ANY_SIZE, '--preprocess')
    except ConfigError as error:
        pytest.skip(str(error))


def logits_by_hand(model, image):
    """Of an RGB image of the network's size."""
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, STD))
    with torch.no_grad():
        return model((tensor(image) - mean) / std, mode='tensor')


@pytest.mark.parametrize('ending, channels', [('pt2', 'RGB'), ('pt2', 'BGR'),
                                              ('onnx', 'RGB'), ('onnx', 'BGR'),
                                              ('pte', 'RGB')])
def test_the_order_of_channels(chain_of, photos, tmp_path, ending, channels):
    require(ending)
    model, cfg = chain_of(*RESIZE)
    path = tmp_path / f'net.{ending}'
    facts = export(cfg, path, channels=channels)
    program, says = load(path)
    assert says == facts.inputs
    flip = slice(None, None, 1 if channels == 'RGB' else -1)
    assert says == dict(
        dtype='uint8',
        shape=['N', 3, 32, 32],
        channels=channels,
        steps=RESIZE,
        classes=['class 0', 'class 1'],
        mean=MEAN[flip],
        std=STD[flip],
        **(dict(at_once=8) if ending == 'pte' else {}))
    image = prepared(photos[0][0])
    wanted = logits_by_hand(model, image)
    found = program(tensor(image[..., flip]))
    assert torch.allclose(found, wanted, atol=1e-4)
    batch = torch.cat([tensor(image[..., flip])] * 8)
    assert torch.allclose(program(batch), wanted.expand(8, -1), atol=1e-4)
    # Nothing in it says where it was made.
    data = path.read_bytes()
    assert b'mmdgkd' not in data and b'mmpretrain' not in data
    # The other order is another image.
    assert (program(tensor(image[..., ::-1][..., flip])) -
            wanted).abs().max() > 1e-2


@pytest.mark.parametrize('ending', ['pt2', 'onnx'])
def test_images_of_any_size(chain_of, photos, tmp_path, ending):
    require(ending, any_size=True)
    model, cfg = chain_of(*RESIZE)
    path = tmp_path / f'net.{ending}'
    facts = export(cfg, path, preprocess=True)
    program, says = load(path)
    assert says['shape'] == ['N', 3, 'H', 'W'] and says['steps'] == []
    largest = max(
        float(logits_by_hand(model, prepared(image)).abs().max())
        for image in photos[0])
    for image in photos[0] + photos[1]:
        wanted = logits_by_hand(model, prepared(image))
        assert (program(tensor(image)) - wanted).abs().max() < .05 * largest
    assert facts.error < .05 * largest
    # A batch.
    images = torch.cat([tensor(photos[0][0]), tensor(photos[1][0])])
    found = program(images)
    for one, image in zip(found, images):
        assert torch.allclose(one, program(image[None])[0], atol=1e-4)


def test_a_single_image_and_a_wrapped_data_set(chain_of, tmp_path):
    _, cfg = chain_of(*RESIZE)
    own = cfg.test_dataloader.dataset
    own.indices = 1
    own.pipeline[1].type = ResizeEdge  # as itself, not by its name
    assert export(cfg, tmp_path / 'net.pt2').inputs['steps'] == RESIZE
    facts = export(cfg, tmp_path / 'net.pt2', preprocess=True)
    assert facts.inputs['steps'] == []
    # What is left to be done is in its parts.
    cfg.test_dataloader.dataset = dict(type='ConcatDataset', datasets=[own])
    facts = export(cfg, tmp_path / 'net.pt2')
    assert 'steps' not in facts.inputs
    with pytest.raises(ConfigError, match='has no pipeline of its own'):
        export(cfg, tmp_path / 'net.pt2', preprocess=True)


@pytest.mark.parametrize('backend, interpolation', [
    ('cv2', 'bilinear'),
    ('cv2', 'nearest'),
    ('cv2', 'bicubic'),
    ('pillow', 'bilinear'),
    ('pillow', 'bicubic'),
])
@pytest.mark.parametrize(
    'steps', [[dict(type='ResizeEdge', scale=40, edge=edge)]
              for edge in ('short', 'long', 'width', 'height')] +
    [[dict(type='Resize', scale=(45, 37))], [dict(type='Resize', scale=60)]])
def test_resized_as_by_mmcv(photos, steps, backend, interpolation):
    steps = [dict(steps[0], backend=backend, interpolation=interpolation)]
    if steps[0].get('scale') == 60:
        # It enlarges some.
        steps[0]['scale'] = (60, 60)
    (resize, ) = preprocessing_of(steps)
    for image in photos[0]:
        wanted = tensor(prepared(image, steps)).float()
        found = resize(tensor(image).float())
        assert found.shape == wanted.shape
        off = (found - wanted).abs()
        assert off.mean() < .3 and off.max() <= 2


# The last are larger than some of the images.
@pytest.mark.parametrize('size', [20, 21, (20, 31), (31, 20), 64, (200, 63)])
def test_cropped_as_by_mmcv(photos, size):
    steps = [dict(type='CenterCrop', crop_size=size)]
    (crop, ) = preprocessing_of(steps)
    for image in photos[0]:
        assert torch.equal(crop(tensor(image)), tensor(prepared(image, steps)))


@pytest.mark.parametrize('step, message', [
    (dict(type='Albumentations'), "cannot put {'type': 'Albumentations'}"),
    (dict(type='Resize', scale=32, keep_ratio=True), 'Resize without keep_'),
    (dict(type='ResizeEdge', scale=32, interpolation='area'), "'area'"),
    (dict(type='CenterCrop', crop_size=32, auto_pad=True), 'auto_pad'),
    (dict(type='PackInputs'), 'neither resizes nor crops; leave out'),
])
def test_what_a_program_cannot_have_is_refused(chain_of, tmp_path, step,
                                               message):
    _, cfg = chain_of(step)
    with pytest.raises(ConfigError, match=message) as error:
        export(cfg, tmp_path / 'net.pt2', preprocess=True)
    assert '\n' not in str(error.value)
    assert str(error.value).startswith('test_dataloader.dataset.pipeline: ')
    assert not (tmp_path / 'net.pt2').exists()


def test_an_order_that_is_not_known_is_not_told(chain_of, tmp_path):
    """Normalized in the pipeline, images are RGB already."""
    normalize = dict(type='Normalize', mean=[0.] * 3, std=[1.] * 3)
    _, cfg = chain_of(*RESIZE, normalize)
    facts = export(cfg, tmp_path / 'net.pt2')
    assert facts.inputs['channels'] == 'as the data set has them'
    assert facts.inputs['dtype'] == 'float32'
    assert facts.inputs['steps'][-1]['type'] == 'Normalize'
    program, _ = load(tmp_path / 'net.pt2')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        images = DATASETS.build(cfg.test_dataloader.dataset)[0]['inputs'][None]
    # Its data preprocessor normalizes again, and flips.
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, STD))
    model, _ = chain_of(*RESIZE)
    with torch.no_grad():
        wanted = model((images.flip(1) - mean) / std, mode='tensor')
    assert torch.allclose(program(images), wanted, atol=1e-4)


def test_resized_otherwise_is_refused(chain_of, tmp_path, monkeypatch):
    require('pt2', any_size=True)
    _, cfg = chain_of(*RESIZE)
    monkeypatch.setattr(ResizeImages, 'size_of', lambda *_: [80, 60])
    with pytest.raises(ConfigError, match='--preprocess: images that the'):
        export(cfg, tmp_path / 'net.pt2', preprocess=True)
    assert not (tmp_path / 'net.pt2').exists()


def test_the_command(chain_of, run_here, tmp_path):
    require('onnx', any_size=True)
    require('pte')
    _, cfg = chain_of(*RESIZE)
    cfg.custom_imports = dict(imports=['mmdgkd'])
    cfg.dump(tmp_path / 'chain.py')

    def run(*words, **kwargs):
        return run_here('tools/export.py', tmp_path / 'chain.py', *words,
                        **kwargs)

    done = run('--format', *FORMATS, '--preprocess', check=False)
    assert done.returncode == 2 and not (tmp_path / 'work' / 'net').exists()
    assert done.stderr == (
        'error: --preprocess: a *.pte has a plan of its memory, for images of '
        'one size; leave it out, and resize before\n')
    output = run('--format', *FORMATS)
    for line in ('input of *.onnx, *.pt2: uint8 images of shape (N, 3, 32,'
                 ' 32), not normalized, channels: RGB\n',
                 'input of *.pte: uint8 images of shape (N, 3, 32, 32), N at'
                 ' most 8, not normalized, channels: RGB\n'):
        assert line in output.stdout
    output = run('--format', 'pt2', 'onnx', '--channels', 'BGR',
                 '--preprocess')
    assert output.stdout.endswith(
        'input: uint8 images of shape (N, 3, H, W), not normalized, channels: '
        'BGR\n')
    for ending in ('pt2', 'onnx'):
        _, inputs = load(tmp_path / 'work' / 'net' / f'net.{ending}')
        assert inputs['channels'] == 'BGR' and inputs['steps'] == []
    own = tmp_path / 'own.onnx'
    run('--stage', 'net', '--out', own)
    assert load(own)[1]['shape'] == ['N', 3, 32, 32]
    for words in (('--stage', 'net', '--format', 'pt2'), ()):
        done = run('--out', own, *words, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("error: --out: '")


@pytest.mark.parametrize('preprocess', [False, True])
def test_other_logits_are_refused(chain_of, tmp_path, monkeypatch, preprocess):
    require('pt2', preprocess)
    _, cfg = chain_of(*RESIZE)
    (tmp_path / 'net.pt2').write_text('of before')
    own = FORMATS['pt2']

    def load(data):
        return lambda images: own.load(data)(images.flip(1))

    monkeypatch.setitem(FORMATS, 'pt2', own._replace(load=load))
    with pytest.raises(ConfigError, match='gives other logits .by up to'):
        export(cfg, tmp_path / 'net.pt2', preprocess=preprocess)
    assert (tmp_path / 'net.pt2').read_text() == 'of before'


def test_a_pytorch_too_old_for_it_is_one_line(chain_of, tmp_path, monkeypatch):
    _, cfg = chain_of(*RESIZE)
    monkeypatch.setattr(torch, '__version__', '2.6.0+cu124')
    with pytest.raises(ConfigError, match=r'onnx needs torch>=2.7, 2.6.0'):
        export(cfg, tmp_path / 'net.onnx')
    with pytest.raises(ConfigError, match='--preprocess needs torch>=2.8'):
        export(cfg, tmp_path / 'net.pt2', preprocess=True)
    assert not {'net.onnx', 'net.pt2'} & set(os.listdir(tmp_path))


@pytest.mark.parametrize('name', ['onnx', 'executorch'])
def test_a_format_that_is_not_installed_is_one_line(chain_of, tmp_path,
                                                    monkeypatch, name):
    _, cfg = chain_of(*RESIZE)
    monkeypatch.setattr(torch, '__version__', '2.7.0')
    monkeypatch.setattr('mmdgkd.chain.export.formats.find_spec',
                        lambda name: None)
    path = tmp_path / f'net.{FORMATS[name].ending}'
    with pytest.raises(ConfigError, match=f"pip install 'mmdgkd.{name}.'"):
        export(cfg, path)
    assert not path.exists()


def test_latency_and_records(chain_of, tmp_path, monkeypatch):
    """Of both formats there is a record, until the weights are others."""
    monkeypatch.setattr(latency, '_SECONDS', .05)
    monkeypatch.setattr(latency, '_FIRST', .01)
    # Programs run on the CPU, also where trainings have a GPU.
    monkeypatch.setattr(environment, 'get_device', lambda: 'npu')
    seen, own = [], FORMATS['pt2']

    def load(data):
        run = own.load(data)
        seen.append(torch.get_num_threads())
        return run

    monkeypatch.setitem(FORMATS, 'pt2', own._replace(load=load))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        _, cfg = chain_of(*RESIZE)
        chain = Chain.from_cfg(cfg.chain)
        export_chain(cfg, chain, formats=['pt2'], latency=True)
        # It is checked by all threads, and timed by one.
        assert seen == [2, 1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    folder = str(tmp_path / 'work' / 'net')
    export_chain(cfg, chain, formats=['onnx'])
    found = read_programs(folder)
    assert list(found) == ['net.pt2', 'net.onnx']
    for name, one in found.items():
        assert one.format == name.split('.')[1]
        assert one.size == (tmp_path / 'work' / 'net' / name).stat().st_size
        assert one.weights == sha256_of(tmp_path / 'net.pth')
    took = found['net.pt2'].latency
    assert found['net.onnx'].latency is None
    assert 0 < took.low <= took.median <= took.high < 1000
    assert took.calls >= 20
    assert took.device.startswith('CPU: ')
    assert took.device.endswith(', 1 thread')
    # Other weights.
    state = torch.load(tmp_path / 'net.pth', weights_only=True)
    state['head.fc.bias'] += 1
    torch.save(state, tmp_path / 'net.pth')
    export_chain(cfg, chain, formats=['onnx'])
    assert list(read_programs(folder)) == ['net.onnx']
    # A work dir that is only read.
    monkeypatch.setattr(torch_export, 'can_write', lambda folder: False)
    export(cfg, tmp_path / 'elsewhere.pt2')
    assert list(read_programs(folder)) == ['net.onnx']


@pytest.mark.parametrize('text', ['', '[]', '{"net.pt2": 1}', '{' * 9999])
def test_damaged_records(tmp_path, text):
    (tmp_path / 'programs.json').write_text(text)
    with pytest.raises(ValueError, match='programs.json cannot be read .'):
        read_programs(str(tmp_path))
    # They are replaced.
    record = ProgramRecord('pt2', 1, 0., 'sha')
    add_programs(str(tmp_path), {'net.pt2': record})
    assert read_programs(str(tmp_path)) == {'net.pt2': record}
