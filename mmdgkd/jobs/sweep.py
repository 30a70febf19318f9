# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Runs of one chain that share the networks which they train alike."""
import copy
import os.path as osp
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

from mmengine.config import Config

from mmdgkd.chain.chain import Chain, teachers_of
from mmdgkd.chain.ledger_schema import read_ledger
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.store_size import refuse_excess
from mmdgkd.errors import ConfigError
from mmdgkd.fileio.files import atomic_write

# Of an entry of chain.networks what a given network has no use for.
_OF_TRAINING = ('stage', 'init_from', 'use')


@dataclass(frozen=True)
class Job:
    """The training of one network.

    Args:
        run (str): The run that it belongs to, below the work dir of all.
        network (str): The network.
    """

    run: str
    network: str

    def __str__(self) -> str:
        return '/'.join(filter(None, (self.run, self.network)))


class Sweep:
    """The runs of a config with several guidances, or seeds of the student.

    Each has an ordinary work dir below that of the config. What two of them
    would train alike is trained in the first one, and given to the others by
    its file: the teachers have the first seed. Of one guidance and one seed
    there is one run, in the work dir itself.

    Args:
        cfg (Config): The config, with ``work_dir``.
        guidances (Sequence[str]): Those to compare. Defaults to (): that of
            the config.
        seeds (Sequence[int]): Of the last network that is trained. Defaults to
            (): that of the config.

    Raises:
        ConfigError: As :class:`ChainRunner`, and if a run would have no seed,
            or another than it says, or a network that is trained within
            another one were to be shared.
    """

    def __init__(
        self,
        cfg: Config,
        guidances: Sequence[str] = (),
        seeds: Sequence[int] = ()
    ) -> None:
        self.path = osp.abspath(cfg.work_dir)
        self.needs: Dict[Job, Tuple[Job, ...]] = {}
        self._runners: Dict[str, ChainRunner] = {}
        self._configs: Dict[str, Config] = {}
        self._jobs: Dict[Any, Job] = {}
        if not seeds and (cfg.get('randomness') or {}).get('seed') is None:
            raise ConfigError('randomness.seed: is not set, and each job would'
                              ' draw its own; set it, or give --seeds')
        for guidance in guidances or (None, ):
            for seed in seeds or (None, ):
                words = [guidance] if guidances[1:] else []
                words += [f'seed{seed}'] if seeds[1:] else []
                self._add(cfg, '_'.join(words), guidance, seed)

    def _add(self, cfg: Config, run: str, guidance: Optional[str],
             seed: Optional[int]) -> None:
        cfg = copy.deepcopy(cfg)
        # Of several runs the work dirs have but what each trains itself: they
        # are not those of the whole chain.
        cfg.work_dir = osp.join(self.path, run, 'whole') if run else self.path
        if guidance is not None:
            cfg.chain.guidance = guidance
        if seed is not None:
            cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
        runner = ChainRunner(cfg, verbose=False)
        chain = runner.chain
        if run:
            _refuse_parts(chain)
        if seed is not None:
            _refuse_own_seed(chain)
        jobs: Dict[str, Job] = {}
        for network in chain.networks:
            if not network.ckpt_path:
                name = network.name
                jobs[name] = self._jobs.setdefault(
                    _key(chain, name, seed), Job(run, name))
        own = [name for name, job in jobs.items() if job.run == run]
        for name in own:
            self.needs[jobs[name]] = tuple(jobs[each]
                                           for each in chain.needs(name)
                                           if each in jobs)
        if own:
            self._runners[run] = runner
            self._configs[run] = self._config(runner, run, own, jobs)

    def check(self, rehearsal: bool) -> None:
        """Check the runs, before anything is submitted.

        Args:
            rehearsal (bool): Whether those with something to train are
                rehearsed.

        Raises:
            ConfigError: As :meth:`ChainRunner.train`, and if a network was
                trained with another config.
        """
        for cfg in self._configs.values():
            given = [
                each.ckpt_path for each in Chain.from_cfg(cfg.chain).networks
                if each.ckpt_path
            ]
            if osp.exists(osp.join(cfg.work_dir, 'chain.json')) and all(
                    osp.exists(each) or '://' in each for each in given):
                ChainRunner(copy.deepcopy(cfg), verbose=False).work.todo(True)
        seen = []
        for run in {job.run: None for job in self.todo()}:
            runner = self._runners[run]
            # Seeds change nothing that could fail.
            if rehearsal and runner.chain.guidance not in seen:
                seen.append(runner.chain.guidance)
                runner.plan()
                refuse_excess(runner.store_size)

    @property
    def runs(self) -> List[str]:
        """The work dir of each run."""
        return [self._folder(run) for run in self._configs]

    def is_done(self, job: Job) -> bool:
        """Whether a network is trained already."""
        return self._state(job) == 'done'

    def todo(self) -> Dict[Job, Tuple[Job, ...]]:
        """The jobs to run, in order, and those of them that each waits for."""
        return {
            job: tuple(each for each in needs if not self.is_done(each))
            for job, needs in self.needs.items() if not self.is_done(job)
        }

    def table(self) -> List[Tuple[str, str, str]]:
        """For each job its name, what it waits for, and its state."""
        return [(str(job), ', '.join(map(str, needs)) or '-', self._state(job))
                for job, needs in self.needs.items()]

    def _state(self, job: Job) -> str:
        path = osp.join(self._folder(job.run), 'chain.json')
        stages = read_ledger(path)['stages'] if osp.exists(path) else {}
        state = stages.get(job.network, {}).get('state', 'pending')
        # What was removed is trained again.
        is_gone = state == 'done' and not osp.exists(self._file(job))
        return 'pending' if is_gone else state

    def _file(self, job: Job) -> str:
        """The trained network."""
        suffix = self._runners[job.run].chain.save_as
        return osp.join(
            self._folder(job.run), job.network, f'{job.network}.{suffix}')

    def write_configs(self, folder: str) -> None:
        """Write the config of each run.

        Args:
            folder (str): Where to. Jobs that wait read them: another
                submission has another one.
        """
        for run, cfg in self._configs.items():
            with atomic_write(_config_file(folder, run)) as file:
                file.write(cfg.pretty_text)

    def words(self, job: Job, folder: str) -> List[str]:
        """The command line of ``mmdgkd train`` that does a job.

        Args:
            job (Job): The job.
            folder (str): That of :meth:`write_configs`.
        """
        return [
            _config_file(folder, job.run), '--work-dir',
            self._folder(job.run), '--stage', job.network, '--resume'
        ]

    def _folder(self, run: str) -> str:
        return osp.join(self.path, run) if run else self.path

    def _config(self, runner: ChainRunner, run: str, own: List[str],
                jobs: Dict[str, Job]) -> Config:
        """The config of a run, with the files of what others train."""
        chain, cfg = runner.chain, runner.work.config_as_run()
        cfg.work_dir = self._folder(run)
        if not run:
            return cfg
        used = {*own, *(each for name in own for each in chain.needs(name))}
        networks = []
        for entry in cfg.chain.networks:
            name = entry['name']
            if name not in used:
                continue
            if name in jobs and name not in own:
                stage = entry.get('stage') or {}
                entry = {
                    key: value
                    for key, value in entry.items() if key not in _OF_TRAINING
                }
                entry['ckpt_path'] = self._file(jobs[name])
                if 'data_preprocessor' in stage:
                    # It has these images as a teacher, too.
                    entry['stage'] = dict(
                        data_preprocessor=stage['data_preprocessor'])
            if chain.folds is not None:
                # By default that of its place, among all.
                entry['fold'] = chain.fold_of(name)
            networks.append(entry)
        cfg.chain.networks = networks
        names = [entry['name'] for entry in networks]
        teachers = {name: chain.teachers[name] for name in own}
        # A word means something else among fewer networks, a mapping may name
        # one that is not here.
        if not isinstance(chain.guidance, str) or any(
                teachers_of(chain.guidance, names, own[-1])[name] != found
                for name, found in teachers.items()):
            cfg.chain.guidance = {
                name: list(found)
                for name, found in teachers.items()
            }
        if chain.logit_store is not None:
            # The same teachers: the logits of the same views.
            store = cfg.chain.logit_store
            store['store_dir'] = store.get('store_dir') or osp.join(
                self.path, 'logits')
            if cfg.chain.views.get('seed') is None:
                cfg.chain.views['seed'] = 0
        return cfg


def _config_file(folder: str, run: str) -> str:
    return osp.join(folder, f'{run or "chain"}.py')


def _student(chain: Chain) -> str:
    """The last network that is trained by itself."""
    trained = [
        each.name for each in chain.networks
        if not (each.part_of or each.ckpt_path)
    ]
    if not trained:
        raise ConfigError('chain.networks: all have a ckpt_path, so that there'
                          ' is nothing to train')
    return trained[-1]


def _key(chain: Chain, name: str, seed: Optional[int]) -> Tuple:
    """What is the same where a network is trained alike."""
    network = chain[name]
    begins = network.init_from or network.part_of
    return (name,
            tuple(_key(chain, each, seed)
                  for each in chain.teachers[name]), begins
            and _key(chain, begins, seed), network.ckpt_path,
            seed if name == _student(chain) else None)


def _refuse_parts(chain: Chain) -> None:
    for network in chain.networks:
        if network.part_of:
            raise ConfigError(
                f'--seeds, --guidance: "{network.name}" is trained within '
                f'"{network.part_of}", and cannot be shared by several runs; '
                'give one seed and one guidance')


def _refuse_own_seed(chain: Chain) -> None:
    name = _student(chain)
    stage = chain[name].stage or {}
    if (stage.get('randomness') or {}).get('seed') is not None:
        raise ConfigError(
            f'chain.networks.{name}.stage.randomness.seed: is set, and would '
            'be that of all --seeds; leave one of both out')
