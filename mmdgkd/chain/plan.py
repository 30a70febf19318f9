# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The chain as a table: before, with ``--dry-run``, and after training."""
import math
from typing import Any, Collection, Dict, Mapping, Optional, Sequence

from mmengine.config import Config

from mmdgkd.utils.metrics import number_of
from mmdgkd.utils.table import draw_table
from .chain import Chain
from .ledger import Ledger
from .method import methods_of
from .network import NetworkFacts
from .store_size import StoreSize, excess_lines
from .use import format_use, same_weights, used_value


def length_of(stage: Config) -> str:
    """How long a stage trains, such as ``160 epochs``.

    Args:
        stage (Config): Its config.
    """
    train_cfg = stage.get('train_cfg') or {}
    if train_cfg.get('max_epochs'):
        return f'{train_cfg["max_epochs"]} epochs'
    return f'{train_cfg.get("max_iters", 0)} iters'


def stage_cost(chain: Chain, facts: Mapping[str, NetworkFacts],
               name: str) -> float:
    """Operations per image of a stage: forward, twice that backward, teachers.

    With a logit store a teacher runs only in its first stage. A network that
    is trained within another one costs nothing more.

    Args:
        chain (Chain): The chain.
        facts (Mapping[str, NetworkFacts]): What is known of its networks.
        name (str): The stage.
    """
    if chain[name].part_of:
        return 0.0
    before = chain.names[:chain.names.index(name)]
    cached = {
        teacher
        for other in before
        for teacher in chain.teachers[other]
    } if chain.logit_store is not None else ()
    own = facts[name].step_macs or facts[name].macs or 1
    return 3 * own + sum(facts[teacher].macs or 1
                         for teacher in chain.teachers[name]
                         if teacher not in cached)


def later_share(chain: Chain, facts: Mapping[str, NetworkFacts],
                stages: Mapping[str, Config], name: str,
                names: Sequence[str]) -> float:
    """The operations of all later stages, as a multiple of those of one.

    Args:
        chain (Chain): The chain.
        facts (Mapping[str, NetworkFacts]): What is known of its networks.
        stages (Mapping[str, Config]): The config of each stage.
        name (str): The stage.
        names (Sequence[str]): All that are trained in this run, in order.
    """

    def cost(stage: str) -> float:
        train_cfg = stages[stage].get('train_cfg') or {}
        steps = train_cfg.get('max_epochs') or train_cfg.get('max_iters') or 1
        return stage_cost(chain, facts, stage) * steps

    own = cost(name)
    later = names[names.index(name) + 1:]
    return sum(map(cost, later)) / own if own else 0.0


def store_lines(size: Optional[StoreSize]) -> str:
    """Where the logit store of a chain is, how large it gets, and what fits.

    Args:
        size (StoreSize, optional): Its size; None without a store.

    Returns:
        str: Empty without a store, or without any teacher.
    """
    if size is None or not size.stages:
        return ''
    lines = (f'logit store: {size}', excess_lines(size))
    return '\n'.join(filter(None, lines))


def plan_table(chain: Chain, facts: Mapping[str, NetworkFacts],
               stages: Mapping[str, Config], ledger: Ledger,
               fresh: Collection[str]) -> str:
    """The stages to train, and those that are done.

    Args:
        chain (Chain): The chain.
        facts (Mapping[str, NetworkFacts]): What is known of its networks.
        stages (Mapping[str, Config]): The config of each stage.
        ledger (Ledger): The record so far.
        fresh (Collection[str]): Those that begin anew, whatever the record
            says: the folder may have been removed.
    """
    rows = []
    for number, name in enumerate(chain.names, 1):
        entry = ledger[name]
        length = '-' if entry['state'] == 'given' else length_of(stages[name])
        if chain[name].part_of:
            length = f'with {chain[name].part_of}'
        state = 'pending' if name in fresh else entry['state']
        if state == 'running':
            history = entry.get('metric', {}).get('history') or [[0]]
            state = f'running, last validated at {history[-1][0]}'
        elif state == 'done' and not same_weights(entry, chain[name].use):
            state = f'done, to be written as {chain[name].use!r}'
        rows.append((f'{number} {name}',
                     _teacher_names(chain, name), f'{facts[name].params:,}',
                     _millions(facts[name].macs), length, state))
    return draw_table(
        ('stage', 'teachers', 'parameters', 'MACs', 'length', 'state'), rows)


def order_line(chain: Chain, facts: Mapping[str, NetworkFacts]) -> str:
    """A warning if a teacher is smaller than its student.

    That trains without an error, and is mostly a wrong order of the networks.
    How small a student gets may be known only after its training.

    Args:
        chain (Chain): The chain.
        facts (Mapping[str, NetworkFacts]): What is known of its networks.

    Returns:
        str: Empty if there is none.
    """
    macs = {name: facts[name].macs for name in chain.names}
    known = [
        name for name in chain.names if not any(
            method.decides_size for method in methods_of(chain[name].model))
    ]
    smaller = [(teacher, name) for name in known
               for teacher in chain.teachers[name]
               if (macs[teacher] or math.inf) < (macs[name] or 0)]
    if not smaller:
        return ''
    teacher, name = smaller[0]
    more = f', and {len(smaller) - 1} more' if len(smaller) > 1 else ''
    return (f'warning: the teacher "{teacher}" is smaller than its student '
            f'"{name}" ({_millions(macs[teacher])} MACs, not '
            f'{_millions(macs[name])}{more}); chain.networks begins '
            'with the largest, and chain.order=[...] keeps the order')


def mix_line(chain: Chain, stages: Mapping[str, Config]) -> str:
    """A warning if stages with a logit store mix their images differently.

    Each has its own views then, without an error, and teachers run for both.

    Args:
        chain (Chain): The chain.
        stages (Mapping[str, Config]): The config of each stage.

    Returns:
        str: Empty if there is none.
    """
    recipes: Dict[str, str] = {}
    for name in chain.names if chain.logit_store is not None else ():
        dataset = (stages[name].get('train_dataloader') or {}).get('dataset')
        if chain.teachers[name] and not chain[name].part_of and isinstance(
                dataset, Mapping):
            mix = dataset.get('mix') or {}
            recipes.setdefault(
                str([mix.get('augments'),
                     mix.get('probs')]), name)
    if len(recipes) < 2:
        return ''
    first, second = list(recipes.values())[:2]
    return (f'warning: "{first}" and "{second}" mix their images differently, '
            'so that no logits are cached for both; the same augments in '
            'data_preprocessor.batch_augments are for all networks')


def result_table(chain: Chain, facts: Mapping[str, NetworkFacts],
                 ledger: Ledger) -> str:
    """The results: metrics, seconds and state by network.

    Args:
        chain (Chain): The chain.
        facts (Mapping[str, NetworkFacts]): What is known of its networks.
        ledger (Ledger): The record.
    """
    rows = []
    metrics = set()
    for name in chain.names:
        entry = ledger[name]
        metric: Dict = entry.get('metric', {})
        metrics.add(metric.get('name'))
        seconds = entry.get('seconds')
        rows.append((name, f'{facts[name].params:,}',
                     _millions(facts[name].macs), _teacher_names(chain, name),
                     _number(metric.get('best')), _number(metric.get('last')),
                     '-' if seconds is None else f'{seconds:.1f}',
                     entry['state'] + format_use(entry)))
    what = ' / '.join(sorted(metrics - {None})) or 'metric'
    return draw_table(('network', 'parameters', 'MACs', 'teachers',
                       f'best {what}', f'last {what}', 'seconds', 'state'),
                      rows)


def test_table(results: Mapping[str, Mapping[str, Any]],
               ledger: Ledger) -> str:
    """The metrics of a test: numbers as columns, all others below.

    Args:
        results (Mapping): By network, or ``'mean of <number>'``, its metrics.
        ledger (Ledger): The record.
    """
    numbers, others = {}, []
    for name, metrics in results.items():
        numbers[name] = {
            key: number_of(value)
            for key, value in metrics.items() if number_of(value) is not None
        }
        others += [
            f'{name}: {key}: {value}' for key, value in metrics.items()
            if key not in numbers[name]
        ]
    columns = dict.fromkeys(key for found in numbers.values() for key in found)
    stages = ledger.data['stages']
    rows = [(name, *(_number(found.get(key)) for key in columns),
             _number(used_value(stages.get(name, {}))))
            for name, found in numbers.items()]
    table = draw_table(('network', *columns, 'in the ledger'), rows)
    return '\n'.join([table, *others])


def _teacher_names(chain: Chain, name: str) -> str:
    return ', '.join(chain.teachers[name]) or '-'


def _millions(macs: Any) -> str:
    return '-' if macs is None else f'{macs / 1e6:.1f} M'


def _number(value: Any) -> str:
    return '-' if value is None else f'{value:.2f}'
