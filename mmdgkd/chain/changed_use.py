# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Whether other weights of a stage that was trained can be used."""
from typing import Any, Sequence

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.stage_checkpoints import latest_checkpoint
from .training_settings import fingerprint
from .use import best_checkpoint, same_weights


def check_use(work: Any, name: str, in_use: Sequence[str]) -> None:
    """Refuse other weights of a stage, if they were not kept or averaged.

    Those that were kept are written in place of the file.

    Args:
        work (WorkDir): The work dir.
        name (str): The network of the stage.
        in_use (Sequence[str]): All that have files in the work dir.

    Raises:
        ConfigError: If its ``use`` cannot be had, or if something was trained
            with the weights before.
    """
    network, entry, folder = work.chain[name], work.ledger[name], work.folder(
        name)
    use, before = network.use, entry.get('use', 'last')
    if use == before or network.part_of or entry['state'] not in ('running',
                                                                  'done'):
        return
    here = f'chain.networks.{name}.use: is {use!r}, but '
    rest = 'take that back, or choose another --work-dir'
    stage = work.stage_config(name)
    if 'ema' in (before, use) and entry['config_sha256'] != fingerprint(stage):
        what = 'without' if use == 'ema' else 'with'
        raise ConfigError(f'{here}"{name}" is trained {what} averages; {rest}')
    if same_weights(entry, use):
        return
    if use == 'best':
        by_iter = 'max_iters' in (stage.get('train_cfg') or {})
        unit = 'iter' if by_iter else 'epoch'
        step = entry.get('metric', {}).get('best_at')
        kept = entry['state'] == 'running' if step is None else (
            best_checkpoint(folder, unit, step))
        if not kept:
            raise ConfigError(f'{here}"{name}" was trained by {before!r}, and '
                              f'its best {unit} was not kept; {rest}')
    for other in in_use:
        if name in work.ledger[other].get('read', {}):
            raise ConfigError(
                f'{here}"{other}" was trained with its {before!r} weights; '
                f'{rest}, or remove {work.folder(other)!r} to train that stage'
                ' again')
    if entry['state'] == 'done' and latest_checkpoint(folder) is None:
        raise ConfigError(f'{here}the checkpoints of "{name}" are gone; '
                          f'{rest}')
