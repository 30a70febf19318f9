# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""One of several networks of a stage, as a file of its own."""
import os.path as osp
import time
from typing import Any, Mapping, Optional

from mmengine.config import Config
from mmengine.dist import is_main_process

from mmdgkd.chain.chain import Chain, Network
from mmdgkd.chain.environment import environment
from mmdgkd.chain.evaluate import save_predictions, validate_network
from mmdgkd.chain.ledger import file_entry
from mmdgkd.chain.method import methods_of
from mmdgkd.chain.metric import chosen_metric
from mmdgkd.chain.network import build_network
from mmdgkd.chain.network_file import write_network_config
from mmdgkd.chain.training_settings import fingerprint
from mmdgkd.chain.work_dir import WorkDir
from mmdgkd.engine.hooks.predictions_hook import PredictionsHook
from mmdgkd.fileio.checkpoint import checkpoint_meta, write_weights
from mmdgkd.models.utils.weights import check_weights, load_weights


def extract_network(cfg: Config, chain: Chain, work: WorkDir, name: str,
                    runner_type: type) -> None:
    """Extract a network from the one it was trained in, and validate it.

    It then has what any trained network has: weights and config in a folder
    of its own, and an entry in the ledger. To be called on all ranks.

    Args:
        cfg (Config): The whole config.
        chain (Chain): Its chain.
        work (WorkDir): The work dir.
        name (str): The network that has no stage of its own.
        runner_type (type): Validates it: MMEngine's Runner, or a subclass.

    Raises:
        ConfigError: If the weights of the parent cannot be read, or the
            validation does not give ``chain.metric``.
    """
    start = time.monotonic()
    network, ledger, path = chain[name], work.ledger, work.own_file(name)
    parent = network.part_of
    source, stage = work.source_of(name), work.stage_config(name)
    whole = work.file_of(parent)
    ledger.clear(name)
    ledger.update(
        name,
        state='running',
        config_sha256=fingerprint(stage),
        environment=environment(),
        read={parent: file_entry(whole, work.path)},
        **network.part_facts)
    if is_main_process():
        _write_part(cfg, chain, network, source, path,
                    ledger[parent].get('split'))
    work.shared.update()
    seen = PredictionsHook()
    metrics = validate_network(cfg, network, path, work.folder(name), stage,
                               runner_type, [seen])
    save_predictions(seen, work.path, name, path)
    found = chosen_metric(metrics, chain.metric) if metrics else None
    if found:
        # At the step of its weights.
        metric = ledger[parent].get('metric', {})
        history = metric.get('history')
        step = history[-1][0] if history else 0
        if source != whole:
            by_iter = 'max_iters' in (stage.get('train_cfg') or {})
            unit = 'iter' if by_iter else 'epoch'
            step = checkpoint_meta(source, 'work_dir')[unit]
        elif chain[parent].use == 'best':
            step = metric['best_at']
        ledger.record(name, found[0], step, found[1], chain.rule)
    ledger.update(
        name,
        state='done',
        seconds=round(time.monotonic() - start, 1),
        wrote=file_entry(path, work.path))


def _write_part(cfg: Config, chain: Chain, network: Network, source: str,
                path: str, split: Optional[Mapping[str, Any]]) -> None:
    """Write weights and config of a network, out of a file of its parent.

    ``split`` is that of a parent that was trained here. The file of another
    one says it, if anything does.
    """
    scope = cfg.default_scope
    whole = chain[network.part_of]
    parent = build_network(whole, scope).eval()
    meta = load_weights(parent, source, 'work_dir', whole.ckpt_key,
                        whole.picked, whole.model).get('meta') or {}
    methods = methods_of(parent)
    weights = check_weights(
        build_network(network, scope), methods[0].extract(parent, network)
        if methods else parent.state_dict(), source, network.name)
    split = split or meta.get('split')
    facts = {
        key: meta[key]
        for key in ('epoch', 'iter', 'seed', 'mmdgkd_version', 'dataset_meta')
        if key in meta
    }
    write_weights(
        path, weights,
        dict(
            facts,
            network=network.name,
            guides=list(chain.teachers[network.name]),
            **network.part,
            **(dict(split=split) if split else {})))
    write_network_config(cfg, network, osp.splitext(path)[0] + '.py')
