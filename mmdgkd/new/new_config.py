# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Write the config of a chain, after it has been rehearsed."""
import os
import os.path as osp
import tempfile
from dataclasses import replace
from typing import Callable, List

from mmengine.config import Config

from mmdgkd.chain.runner import ChainRunner
from mmdgkd.errors import ConfigError
from mmdgkd.fileio.files import can_write
from .config_text import config_text
from .explain import explained
from .image_data import ImageData, find_data
from .models import Model, Zoo, unique_keys
from .options import Options
from .recipe import recipe_of, store_of


def new_config(options: Options,
               explain: bool = False,
               say: Callable[[str], None] = print) -> str:
    """Write the config of a chain of networks on a person's images.

    It is rehearsed in a temporary folder first: what does not train is not
    written.

    Args:
        options (Options): What is wanted.
        explain (bool): Whether to tell why these TAs. Defaults to False.
        say (Callable): Prints a line. Defaults to ``print``.

    Returns:
        str: The work dir that the training takes if no other is named.

    Raises:
        ConfigError: For a mistake in the options, in the images or in a file.
    """
    folder = osp.dirname(osp.abspath(options.config))
    if not can_write(folder):
        raise ConfigError(f'CONFIG: nothing can be written into {folder!r}')
    if options.data == 'imagenet' and options.rehearsal and not osp.isdir(
            options.data_root or 'data/imagenet'):
        raise ConfigError("--data-root: there is no 'data/imagenet'; name the "
                          'folder that has train/<class>/ and val/<class>/, '
                          'or add --no-rehearsal to write the config alone')
    data = find_data(options.data, options.size, options.seed,
                     options.val_share)
    say(data.facts)
    zoo = Zoo(data.size, data.classes)
    models = choose_models(options, zoo, say)
    if explain:
        say(explained(models, zoo))
    recipe = recipe_of(data, options.epochs, options.pretrained)
    work_dir = options.work_dir
    if osp.exists(work_dir):
        work_dir = _unused(work_dir)
    store = store_of(data, recipe.epochs, len(models) - 1, work_dir)
    text = config_text(options, data, models, recipe, store)
    with tempfile.TemporaryDirectory(prefix='.mmdgkd_new_', dir=folder) as tmp:
        draft = replace(
            options,
            config=osp.join(tmp, osp.basename(options.config)),
            force=True)
        files = [(draft.config, options.config)]
        _write(draft.config, text)
        if data.lists:
            os.mkdir(draft.split)
            for name, lines in _lists(data).items():
                path = osp.join(draft.split, name)
                files.append((path, osp.join(options.split, name)))
                _write(path, ''.join(f'{line}\n' for line in lines))
        if options.rehearsal:
            say(_rehearsed(draft, options, unique_keys(models)[0], work_dir))
        _place(files, say)
    return work_dir


def choose_models(options: Options, zoo: Zoo,
                  say: Callable[[str], None]) -> List[Model]:
    """The chain, the largest first: named, or proposed.

    Args:
        options (Options): What is wanted.
        zoo (Zoo): Counts models.
        say (Callable): Prints a line.

    Raises:
        ConfigError: If a name is unknown, or there are fewer TAs than wanted.
    """
    teacher = zoo.model(options.teacher, '--teacher')
    student = zoo.model(options.student, '--student')
    if options.tas:
        tas = [zoo.model(name, '--tas') for name in options.tas]
        tas.sort(key=lambda model: -model.macs)
        return [teacher, *tas, student]
    wanted = 1 if options.num_tas is None else options.num_tas
    tas = zoo.between(teacher, student, wanted)
    if len(tas) < wanted and options.num_tas is not None:
        if teacher.macs <= student.macs:
            raise ConfigError(
                f'--teacher: {teacher.name} has {teacher.macs / 1e6:,.1f} M '
                f'MACs, no more than the student, {student.name} with '
                f'{student.macs / 1e6:,.1f} M; a TA is between them')
        found = ', '.join(model.name for model in tas) or 'none'
        raise ConfigError(
            f'--tas: {wanted} wanted, but between {teacher.name} and '
            f'{student.name} their families have {found}; name others, of '
            f'{student.macs / 1e6:,.1f} to {teacher.macs / 1e6:,.1f} M MACs, '
            'by --tas NAME')
    if len(tas) < wanted and teacher.macs > student.macs:
        say(f'no TA: their families have none between {teacher.name} and '
            f'{student.name}; --tas NAME takes any')
    return [teacher, *tas, student]


def _rehearsed(draft: Options, options: Options, teacher: str,
               work_dir: str) -> str:
    """The plan of the draft, after its rehearsal."""
    try:
        cfg = Config.fromfile(draft.config)
        cfg.work_dir, cfg.launcher, cfg.resume = work_dir, 'none', False
        return ChainRunner(cfg, verbose=False).plan()
    except ConfigError as error:
        text = str(error)
        if options.teacher_ckpt:
            # Where the names of the config were typed.
            here = f'chain.networks.{teacher}'
            text = text.replace(f'{here}.teacher_classes', '--teacher-classes')
            for key in ('ckpt_path', 'model'):
                text = text.replace(f'{here}.{key}: ', '--teacher-ckpt: ')
        raise ConfigError(f'{text}; nothing is written') from None


def _lists(data: ImageData) -> dict:
    """The files of a split: what MMPretrain's CustomDataset reads."""
    return {
        'classes.txt': data.names,
        **{
            f'{part}.txt': [f'{file} {label}' for file, label in samples]
            for part, samples in data.lists.items()
        }
    }


def _write(path: str, text: str) -> None:
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)


def _place(files: List, say: Callable[[str], None]) -> None:
    """Move the files of the draft to where they belong."""
    for source, target in files:
        os.makedirs(osp.dirname(osp.abspath(target)), exist_ok=True)
        verb = 'written over' if osp.exists(target) else 'written'
        os.replace(source, target)
        say(f'{verb}: {target}')


def _unused(work_dir: str) -> str:
    number = 2
    while osp.exists(f'{work_dir}_{number}'):
        number += 1
    return f'{work_dir}_{number}'
