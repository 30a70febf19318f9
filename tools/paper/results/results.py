# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""All records of one chain as a pandas frame, by what is compared."""
import dataclasses
import itertools
from typing import List, NamedTuple, Optional, Sequence, Tuple

import pandas as pd
from _experiments import METHODS as PAPER_METHODS

from mmdgkd.errors import ConfigError
from mmdgkd.report.methods import METHOD_STYLES, MethodStyle
from .record import Record
from .record_check import TEST_IMAGES, unpack_errors

SETTINGS = {
    'released-none': 'released recipe, no augmentation',
    'released-crop_flip': 'released recipe, crop + flip',
    'own-none': 'own recipe, no augmentation',
    'own-crop_flip': 'own recipe, crop + flip',
    'short-crop_flip': 'short recipe, crop + flip',
}
# Accuracies of the papers, in percent: "student alone" and KD are of the TAKD
# paper, the others of the DGKD paper; CIFAR-100, plain CNN, 10-8-6-4-2.
PAPER = dict(
    alone=41.09, kd=44.57, takd=45.14, dgkd=48.92, dgkd_stochastic=50.15)
# With so many TAs, of TAKD and of DGKD.
PAPER_TAS = {
    0: (44.57, 44.57),
    3: (45.14, 48.92),
    7: (44.07, 49.56),
}
PAPER_SETTING = 'released-none'
PAPER_SOURCE = ('CIFAR-100, plain CNN 10-8-6-4-2; alone and KD from [TAKD]'
                '(https://arxiv.org/abs/1902.03393), the others from [DGKD]'
                '(https://arxiv.org/abs/2009.08825); released recipe '
                'without augmentation, 160 epochs')


class Method(NamedTuple):
    """One row of a table, one colour of a figure.

    Attributes:
        name (str): The ``method`` of the records.
        variant (str): Theirs, ``''`` for none. Defaults to ``''``.
    """

    name: str
    variant: str = ''

    @property
    def style(self) -> MethodStyle:
        """Its name and looks; a control has those of its method."""
        return METHOD_STYLES[self.name]

    @property
    def label(self) -> str:
        """Its name in tables and figures."""
        return 'equal-weight ' * bool(self.variant) + self.style.label


# By label. The controls, at last, have DGKD's total weight.
METHODS = {
    method.label: method
    for method in (*map(Method, PAPER_METHODS), Method('kd', 'equal_weight'),
                   Method('takd', 'equal_weight'))
}


class Results:
    """All records of one chain, its variants included.

    Args:
        records (Sequence[Record]): They may be none.

    Attributes:
        frame (DataFrame): A row a record, by seed; the columns are its keys,
            and ``setting``. Without a variant it is ``''``.
        students (DataFrame): Those rows of the frame that are of students,
            with the ``label`` of the method (none for an ablation) and
            ``is_common``: whether it was trained as long as most of its
            setting.
        chain (list[str]): The networks, the teacher first; without a
            variant's.
        settings (list[str]): Those with a record, in the order of
            :data:`SETTINGS`.
        is_papers (bool): Whether the chain is that of the paper.

    Raises:
        ConfigError: If they are of several chains, or a teacher is another
            than the recorded one.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        chains = sorted({(record.dataset, record.networks[0],
                          record.networks[-1])
                         for record in records})
        if len(chains) > 1:
            raise ConfigError(
                'records: are of several chains, '
                f'{" and ".join(map(" ".join, chains))}; should be of one '
                'data set, teacher and student')
        self.is_papers = chains == [('cifar100', 'plain10', 'plain2')]
        plain = [record for record in records if record.variant is None]
        self.chain: List[str] = max(
            (record.networks for record in plain or records),
            key=len,
            default=[])
        frame = pd.DataFrame(
            map(dataclasses.asdict, records),
            columns=[field.name for field in dataclasses.fields(Record)])
        frame['variant'] = frame['variant'].astype(object).fillna('')
        frame['setting'] = pd.Categorical(
            frame['recipe'] + '-' + frame['augmentation'], SETTINGS)
        self.frame = frame = frame.sort_values('seed', kind='stable')
        self.settings = list(frame['setting'].dropna().sort_values().unique())
        students = frame[frame['network'].isin(self.chain[-1:])].copy()
        labels = {(*method, ): label for label, method in METHODS.items()}
        students['label'] = pd.Categorical(
            map(labels.get, zip(students['method'], students['variant'])),
            METHODS)
        self.students = students
        students['is_common'] = students['epochs'] == students['setting'].map(
            self.epochs).astype(float)
        self._check_teachers()

    def epochs(self, setting: str) -> Optional[int]:
        """How long most students of a setting were trained, or None.

        The longer, if two are as common.
        """
        students = self.students[self.students['setting'] == setting]
        # Studies of TAs and survival may be shorter than what they are of.
        main = students.dropna(subset='label')
        return None if students.empty else int(
            (students if main.empty else main)['epochs'].mode().max())

    def title(self, setting: str) -> str:
        """The name of a setting, and how long its students were trained."""
        return f'{SETTINGS[setting]}, {self.epochs(setting)} epochs'

    def common(self, setting: str, label: Optional[str] = None) -> \
            pd.DataFrame:
        """The students of a setting that were trained as long as most.

        Args:
            setting (str): The setting.
            label (str, optional): Of the method. Defaults to None: all.

        Returns:
            DataFrame: Its index is the seed.
        """
        found = self.students[self.students['is_common']
                              & (self.students['setting'] == setting)]
        if label is not None:
            found = found[found['label'] == label]
        return found.set_index('seed', drop=False)

    def paper(self, label: str) -> Optional[float]:
        """The paper's accuracy of a method, if this is its chain."""
        method = METHODS[label]
        return PAPER.get(method.name) if (self.is_papers
                                          and not method.variant) else None

    def has_one_weight(self, setting: str) -> bool:
        """Whether all teachers of DGKD together weigh as much as one alone.

        Equal-weight controls are KD and TAKD themselves then.
        """
        found = self.students[(self.students['setting'] == setting)
                              & self.students['method'].str.startswith('dgkd')]
        return set(found['kd_weight']) == {1}

    def teachers_from(self, setting: str) -> str:
        """The setting of the teacher and the TAs of a setting's students.

        By the files that the students have read; itself, if it has teachers.
        """
        here = self.frame['setting'] == setting
        read = {
            sha256
            for files in self.frame[here]['guide_sha256']
            for sha256 in files.values()
        }
        teachers = self.frame.drop(self.students.index)
        there = set(teachers[teachers['sha256'].isin(read)]['setting'])
        has_own = (teachers['setting'] == setting).any()
        return setting if has_own or len(there) != 1 else there.pop()

    def teacher(self, setting: str, method: str,
                name: str) -> Optional[pd.Series]:
        """The record of a teacher or TA of a method's students, or None.

        Args:
            setting (str): The setting.
            method (str): Of the student.
            name (str): The network.
        """
        frame = self.frame
        found = frame[(frame['setting'] == self.teachers_from(setting))
                      & (frame['network'] == name) & (frame['variant'] == '')]
        # The teacher is alone in all methods. The TAs of stochastic DGKD are
        # DGKD's, and so is TAKD's first one, which has the same one teacher.
        for source in (method, 'dgkd', 'alone'):
            if source == 'alone' and name != self.chain[0]:
                continue
            for _, row in found[found['method'] == source].iterrows():
                if source == method or method != 'takd' or row['guides'] in (
                    [], self.chain[:1]):
                    return row
        return None

    def _check_teachers(self) -> None:
        for _, row in self.frame.iterrows():
            for name, sha256 in row['guide_sha256'].items():
                teacher = self.teacher(row['setting'], row['method'], name)
                if teacher is None or pd.isna(teacher['sha256']):
                    continue
                if teacher['sha256'] != sha256:
                    raise ConfigError(
                        f'guide_sha256: {row["method"]} {row["network"]} seed '
                        f'{row["seed"]} of {row["setting"]} was distilled '
                        f'from another {name} than the recorded one; train '
                        'it again, or record that teacher')


def tas_runs(results: Results) -> pd.DataFrame:
    """The students of the settings in which other numbers of TAs were tried.

    Returns:
        DataFrame: Those of TAKD and DGKD with their number of TAs, ``tas``;
        KD, without TAs, is there for both.
    """
    found = results.students
    tas = found['variant'].str.extract(r'^tas_(\d+)$')[0].astype(float)
    tried = found['setting'].isin(found[tas.notna()]['setting'])
    found = found.assign(tas=tas.fillna(len(results.chain) - 2))
    found = found[tried & ((found['variant'] == '') | tas.notna())]
    kd = found[found['method'] == 'kd'].assign(tas=0)
    return pd.concat([
        *(kd.assign(method=method) for method in ('takd', 'dgkd')),
        found[found['method'].isin(['takd', 'dgkd'])]
    ]).astype(dict(tas=int))


def survival_runs(results: Results) -> pd.DataFrame:
    """The students of DGKD in the settings with dropped teachers.

    Returns:
        DataFrame: With ``keep``, the survival probability of a teacher, and
        ``dropped``, a text that names the teachers that are.
    """
    found = results.students
    is_stochastic = found['method'] == 'dgkd_stochastic'
    found = found[found['setting'].isin(found[is_stochastic]['setting'])
                  & (is_stochastic | (found['label'] == 'DGKD'))].copy()
    kinds = ('exactly one', 'each at random', 'none (DGKD)')
    found['dropped'] = pd.Categorical([
        kinds[2 if method == 'dgkd' else bool(variant)]
        for method, variant in zip(found['method'], found['variant'])
    ], kinds)
    found['keep'] = found['variant'].str.extract('^keep_(.*)$')[0].astype(
        float).fillna(1 - 1 / found['guides'].str.len()).where(
            found['method'] != 'dgkd', 1.)
    return found


def chain_pairs(results: Results) -> List[Tuple[str, str]]:
    """Neighbours in the chain, and at last the teacher and the student."""
    names = results.chain
    last = [(names[0], names[-1])] if len(names) > 2 else []
    return [*zip(names, names[1:]), *last]


def overlaps(results: Results) -> pd.DataFrame:
    """How many test images two networks of a chain both get wrong.

    The "error avalanche" of the DGKD paper: errors of a larger network
    :math:`i` that the smaller one :math:`j` learns from it.

    Returns:
        DataFrame: A row for each setting, method (TAKD or DGKD), pair and
        seed of :math:`j`: ``both``, :math:`|E_i \\cap E_j|`; ``given``,
        :math:`P(E_j | E_i)` in percent; ``smaller``, :math:`P(E_j)` in
        percent; and the ``ratio`` of those. Pairs of teachers that are of
        another setting are left out.
    """
    rows = []
    for setting, method, pair in itertools.product(results.settings,
                                                   ('takd', 'dgkd'),
                                                   chain_pairs(results)):
        is_own = results.teachers_from(setting) == setting
        if not is_own and pair[1] != results.chain[-1]:
            continue
        larger, smaller = (
            _networks(results, setting, method, name) for name in pair)
        for one, two in itertools.product(larger, smaller):
            first, second = map(unpack_errors, (one['wrong'], two['wrong']))
            rows.append(
                (setting, method, pair, two['seed'], (first & second).sum(),
                 first.sum(), second.sum()))
    found = pd.DataFrame(
        rows,
        columns=[
            'setting', 'method', 'pair', 'seed', 'both', 'first', 'second'
        ])
    # A network without any error has none to hand on.
    found['given'] = 100 * found['both'] / found.pop('first').clip(lower=1)
    found['smaller'] = 100 * found.pop('second') / TEST_IMAGES
    found['ratio'] = (found['given'] / found['smaller']).where(
        found['smaller'] > 0, 1.)
    return found


def _networks(results: Results, setting: str, method: str,
              name: str) -> List[pd.Series]:
    """The networks of that name whose errors are known."""
    found = [results.teacher(setting, method, name)]
    if name == results.chain[-1]:
        students = results.common(setting, METHOD_STYLES[method].label)
        found = [row for _, row in students.iterrows()]
    return [
        row for row in found if row is not None and not pd.isna(row['wrong'])
    ]
