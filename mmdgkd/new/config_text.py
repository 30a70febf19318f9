# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The text of a config: what a person wants to edit, and no more."""
import os.path as osp
import textwrap
from dataclasses import replace
from typing import List, Sequence

from .families import arch_of
from .image_data import ImageData
from .models import Model, unique_keys
from .options import Options
from .recipe import Recipe, Store, size_text

# Of ImageNet, as in MMPretrain.
_MEAN, _STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
# The better one of 2 and 4 for the students of docs/which_guidance.md.
_TEMPERATURE = ('model = dict(distiller=dict(distill_losses=dict(loss_kd='
                'dict(tau=2.0))))')
# As many lines as a person reads.
LINES = 40
_NAMED_BASES = dict(
    cifar10='cifar10_bs128', cifar100='cifar100_bs128',
    imagenet='imagenet_bs32')  # yapf: disable


def config_text(options: Options, data: ImageData, models: Sequence[Model],
                recipe: Recipe, store: Store) -> str:
    """Write the config of a chain, in at most 40 lines.

    Args:
        options (Options): The command line.
        data (ImageData): The images.
        models (Sequence[Model]): The chain, the largest first.
        recipe (Recipe): How to train.
        store (Store): The logit store.
    """
    names = [arch_of(model.name) for model in models]
    between = ''
    if names[2:]:
        tas = ', '.join(names[1:-1])
        between = f' by way of {tas if len(tas) < 50 else "TAs"}'
    where = data.name or ascii(options.data)[1:-1].replace('"', "'")
    base = _NAMED_BASES.get(data.name or '', 'image_folder')
    lines = [
        f'"""{names[0]} to {names[-1]}{between}.', '',
        f'{data.classes} classes of {where}, {data.size} px. '
        'Objective: 0.1 times CE + 0.9 times the mean of KD."""',
        "_base_ = ['mmdgkd::_base_/distillers/dense_kd_averaged.py',",
        "          'mmdgkd::_base_/default_runtime.py', "
        f"'mmdgkd::_base_/datasets/{base}.py']"
    ]
    lines += (
        _named_data(options, recipe) if data.name else _folder_data(
            options, data, recipe))
    lines += _schedule(models, recipe) + [_TEMPERATURE] + _chain(store)
    entries = [f'{entry},' for entry in _entries(options, models)]
    if len(lines) + len(entries) > LINES:
        entries = textwrap.wrap(
            ' '.join(entry.replace(' ', '\0') for entry in entries),
            91,
            break_long_words=False,
            break_on_hyphens=False)
    entries[-1] = entries[-1].removesuffix(',') + '))'
    lines += [f'        {entry}'.replace('\0', ' ') for entry in entries]
    return '\n'.join(lines) + '\n'


def _folder_data(options: Options, data: ImageData,
                 recipe: Recipe) -> List[str]:
    lines = [f'images = dict(data_root={data.root!r})']
    parts = [
        f', data_prefix={prefix!r}' if prefix else ''
        for prefix in data.prefixes
    ]
    if data.lists:
        split = osp.basename(options.split)
        lines = [
            f"split = '{{{{ fileDirname }}}}/{split}/'  # lists of the images "
            'that train and that validate',
            f'images = dict(data_root={data.root!r}, '
            "classes=split + 'classes.txt')"
        ]
        parts = [
            f"{part}, ann_file=split + '{name}.txt'"
            for part, name in zip(parts, ('train', 'val'))
        ]
    size, workers = recipe.batch_size, f'num_workers={recipe.workers}'
    drop = ', drop_last=True' if recipe.drop_last else ''
    return lines + [
        'data_preprocessor = dict(',
        f'    num_classes={data.classes}, mean={_MEAN}, std={_STD}, '
        'to_rgb=True)', *_pipelines(data),
        f'train_dataloader = dict(batch_size={size}{drop}, {workers}, '
        'dataset=dict(', f'    images{parts[0]}, pipeline=train_pipeline))',
        f'val_dataloader = test_dataloader = dict(batch_size={2 * size}, '
        f'{workers}, dataset=dict(',
        f'    images{parts[1]}, pipeline=test_pipeline))'
    ]


def _named_data(options: Options, recipe: Recipe) -> List[str]:
    size = f'batch_size={recipe.batch_size}'
    if options.data_root is None:
        lines = [f'train_dataloader = dict({size})']
    else:
        root = 'dataset=dict(data_root=data_root)'
        lines = [
            f'data_root = {osp.abspath(options.data_root)!r}',
            f'train_dataloader = dict({size}, {root})',
            f'val_dataloader = test_dataloader = dict({root})'
        ]
    return lines + ['val_cfg = test_cfg = dict()']


def _pipelines(data: ImageData) -> List[str]:
    size, pack = data.size, "dict(type='PackInputs')"
    load = "dict(type='LoadImageFromFile')"
    if data.as_they_are:
        crop = (f"dict(type='RandomCrop', crop_size={size}, "
                f'padding={max(1, size // 8)})')
        test = [f'test_pipeline = [{load}, {pack}]']
    else:
        crop = f"dict(type='RandomResizedCrop', scale={size})"
        # Of 256 pixels the 224 in the middle.
        test = [
            'test_pipeline = [', f"    {load}, dict(type='ResizeEdge', "
            f"scale={round(size * 8 / 7)}, edge='short'),",
            f"    dict(type='CenterCrop', crop_size={size}), {pack}]"
        ]
    return [
        'train_pipeline = [', f'    {load}, {crop},',
        f"    dict(type='RandomFlip', prob=0.5), {pack}]", *test
    ]


def _schedule(models: Sequence[Model], recipe: Recipe) -> List[str]:
    sgd = (f"type='SGD', lr={recipe.lr:g}, momentum=0.9, nesterov=True, "
           f'weight_decay={recipe.weight_decay:g}))')
    adamw = f"type='AdamW', lr={recipe.adamw_lr:g}, weight_decay=0.05))"
    kinds = {model.is_transformer for model in models}
    lines = [
        f'train_cfg = dict(by_epoch=True, max_epochs={recipe.epochs}, '
        'val_interval=1)  # each stage',
        'optim_wrapper = dict(optimizer=dict(',
        f'    {adamw if kinds == {True} else sgd}'
    ]
    if len(kinds) > 1:
        lines += [
            'adamw = dict(optim_wrapper=dict(optimizer=dict(',
            f'    _delete_=True, {adamw})'
        ]
    if recipe.warmup:
        lines += [
            "param_scheduler = [dict(type='LinearLR', start_factor=0.1, "
            f'end={recipe.warmup}, convert_to_iter_based=True),'
        ]
    else:
        lines.append('param_scheduler = [')
    return lines + [
        f"    dict(type='CosineAnnealingLR', begin={recipe.warmup}, "
        "end=train_cfg['max_epochs'],", '         convert_to_iter_based=True)]'
    ]


def _chain(store: Store) -> List[str]:
    lines = [
        'chain = dict(',
        "    guidance='independent',  # TAs by themselves; or 'dense', "
        "'direct', 'none'"
    ]
    if store.cfg is None:
        lines.append('    logit_store=None,  # the disk is too small for one')
    else:
        words = ', '.join(f'{key}={value!r}'
                          for key, value in store.cfg.items())
        lines.append(f'    logit_store=dict({words}),  # '
                     f'{size_text(store.num_bytes)} a teacher')
    if store.num_views:
        lines.append(f'    views=dict(num_views={store.num_views}),  # of '
                     'each image: one an epoch does not fit on the disk')
    return lines + ['    networks=dict(  # the largest first']


def _entries(options: Options, models: Sequence[Model]) -> List[str]:
    keys = unique_keys([*models])
    mixed = len({model.is_transformer for model in models}) > 1
    if len({model.augments for model in models}) > 1:
        # Of other views the teachers would have to run once more.
        models = [
            replace(model, other=dict(model.other or {}, train_cfg=None))
            if model.augments else model for model in models
        ]
    return [
        _entry(options, key, model, i == 0, mixed)
        for i, (key, model) in enumerate(zip(keys, models))
    ]


def _entry(options: Options, key: str, model: Model, is_teacher: bool,
           mixed: bool) -> str:
    """One network, such as ``resnet18=dict(model='resnet18_8xb32_in1k')``."""
    is_given = is_teacher and options.teacher_ckpt
    facts = dict(model.other or {})
    if options.pretrained and model.has_weights and not is_given:
        facts['pretrained'] = True
    text = repr(model.name)
    if facts:
        more = ', '.join(f'{k}={v!r}' for k, v in facts.items())
        text = f'dict(name={text}, {more})'
    if is_given:
        text += f', ckpt_path={osp.abspath(options.teacher_ckpt)!r}'
        if options.teacher_classes:
            path = osp.abspath(options.teacher_classes)
            text += f', teacher_classes={path!r}'
    elif model.is_transformer and mixed:
        text += ', stage=adamw'
    return f'{key}=dict(model={text})'
