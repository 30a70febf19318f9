# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Records by what they are compared by."""
import dataclasses
from collections import Counter, defaultdict
from typing import Dict, List, Optional, Sequence, Tuple

from mmdgkd.errors import ConfigError
from .record import Record

SETTINGS = {
    'released-none': 'released recipe, no augmentation',
    'released-crop_flip': 'released recipe, crop + flip',
    'own-none': 'own recipe, no augmentation',
    'own-crop_flip': 'own recipe, crop + flip',
    'short-crop_flip': 'short recipe, crop + flip',
}


@dataclasses.dataclass(frozen=True)
class Method:
    """One row of a table, one colour of a figure.

    Attributes:
        name (str): Its name; a control has that of its method.
        method (str): As in the records.
        variant (str, optional): As in the records. Defaults to None.
        paper (float, optional): The paper's figure for it, in percent.
            Defaults to None: the paper has none.
    """

    name: str
    method: str
    variant: Optional[str] = None
    paper: Optional[float] = None

    @property
    def key(self) -> Tuple[str, Optional[str]]:
        """What its records have in common."""
        return self.method, self.variant

    @property
    def is_control(self) -> bool:
        """Whether it is there for DGKD's total weight alone."""
        return self.variant == 'equal_weight'

    @property
    def label(self) -> str:
        """Its name in tables and figures."""
        return f'equal-weight {self.name}' if self.is_control else self.name


# The figures: "student alone" and KD are of the TAKD paper, the others of the
# DGKD paper; CIFAR-100, plain CNN, 10-8-6-4-2.
METHODS = (
    Method('alone', 'alone', paper=41.09),
    Method('KD', 'kd', paper=44.57),
    Method('TAKD', 'takd', paper=45.14),
    Method('DGKD', 'dgkd', paper=48.92),
    Method('stochastic DGKD', 'dgkd_stochastic', paper=50.15),
    Method('KD', 'kd', 'equal_weight'),
    Method('TAKD', 'takd', 'equal_weight'),
)
# With so many TAs, of TAKD and of DGKD.
PAPER_TAS = {
    0: (44.57, 44.57),
    3: (45.14, 48.92),
    7: (44.07, 49.56),
}
PAPER_SOURCE = ('CIFAR-100, plain CNN 10-8-6-4-2; alone and KD from [TAKD]'
                '(https://arxiv.org/abs/1902.03393), the others from [DGKD]'
                '(https://arxiv.org/abs/2009.08825); released recipe '
                'without augmentation, 160 epochs')


class Results:
    """All records of one chain, its variants included.

    Args:
        records (Sequence[Record]): They may be none.

    Attributes:
        records (Sequence[Record]): These.
        settings (list[str]): Those with a record, in the order of
            ``SETTINGS``.

    Raises:
        ConfigError: If they are of several chains, or a network was taught
            by another guide than the recorded one.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records
        chains = sorted({(r.dataset, r.networks[0], r.networks[-1])
                         for r in records})
        if len(chains) > 1:
            raise ConfigError(
                'records: are of several chains, '
                f'{" and ".join(map(" ".join, chains))}; should be of one '
                'data set, teacher and student')
        there = {record.setting for record in records}
        self.settings = [name for name in SETTINGS if name in there]
        self._groups: Dict[Tuple, List[Record]] = defaultdict(list)
        for record in sorted(records, key=lambda record: record.seed):
            key = (record.setting, record.method, record.variant,
                   record.network)
            self._groups[key].append(record)
        self._guides_from = {
            setting: self._setting_of_guides(setting)
            for setting in self.settings
        }
        for record in records:
            self._check_guides(record)

    @property
    def chain(self) -> List[str]:
        """The chain's networks, the teacher first; without any variant's."""
        plain = [r for r in self.records if r.variant is None]
        return max((record.networks for record in plain or self.records),
                   key=len,
                   default=[])

    def is_papers(self, setting: Optional[str] = None) -> bool:
        """Whether the chain is that of the paper's table.

        Args:
            setting (str, optional): Ask for its recipe and augmentation, too.
                Defaults to None.
        """
        chain = self.chain
        if not chain or setting not in (None, 'released-none'):
            return False
        return (self.records[0].dataset, chain[0],
                chain[-1]) == ('cifar100', 'plain10', 'plain2')

    def has_one_weight(self, setting: str) -> bool:
        """Whether all guides of DGKD together weigh as much as one alone.

        Args:
            setting (str): The setting.
        """
        weights = {
            record.kd_weight
            for record in self.records if record.setting == setting
            and record.is_student and record.method.startswith('dgkd')
        }
        return weights == {1}

    def epochs(self, setting: str) -> Optional[int]:
        """How long most students of a setting were trained.

        Args:
            setting (str): The setting.

        Returns:
            int, optional: The longer, if two are as common. None: no student.
        """
        students = [
            record for record in self.records
            if record.setting == setting and record.is_student
        ]
        # Studies of TAs and survival may be shorter than what they are of.
        keys = {method.key for method in METHODS}
        main = [r for r in students if (r.method, r.variant) in keys]
        counts = Counter(record.epochs for record in main or students)
        return max(
            counts, key=lambda epochs: (counts[epochs], epochs), default=None)

    def students(self,
                 setting: str,
                 method: str,
                 variant: Optional[str] = None) -> Dict[int, List[Record]]:
        """The students of a method, apart by how long they were trained.

        Args:
            setting (str): The setting.
            method (str): The method.
            variant (str, optional): Its variant. Defaults to None.

        Returns:
            dict[int, list[Record]]: By epochs, first the setting's common
            ones; the records by seed.
        """
        found: Dict[int, List[Record]] = defaultdict(list)
        student = self.chain[-1] if self.chain else None
        key = (setting, method, variant, student)
        for record in self._groups.get(key, ()):
            found[record.epochs].append(record)
        common = self.epochs(setting)
        return dict(
            sorted(
                found.items(), key=lambda item: (item[0] != common, item[0])))

    def common_students(self,
                        setting: str,
                        method: str,
                        variant: Optional[str] = None) -> List[Record]:
        """The students of a method that were trained as long as most.

        Args:
            setting (str): The setting.
            method (str): The method.
            variant (str, optional): Its variant. Defaults to None.
        """
        return self.students(setting, method,
                             variant).get(self.epochs(setting), [])

    def guides_from(self, setting: str) -> str:
        """The setting whose teacher and TAs guide a setting's students.

        Args:
            setting (str): The setting; it is its own if it has guides.
        """
        return self._guides_from.get(setting, setting)

    def guide(self, setting: str, method: str, name: str) -> Optional[Record]:
        """The record of a teacher or TA that a method uses.

        Args:
            setting (str): The setting.
            method (str): Of the student that it guides.
            name (str): The network.
        """
        setting = self.guides_from(setting)
        # The teacher is alone in all methods. The TAs of stochastic DGKD are
        # DGKD's, and so is TAKD's first one, which has the same one guide.
        for source in (method, 'dgkd', 'alone'):
            if source == 'alone' and name != self.chain[0]:
                continue
            for record in self._groups.get((setting, source, None, name), ()):
                if source == method or method != 'takd' or record.guides in (
                    [], self.chain[:1]):
                    return record
        return None

    def _setting_of_guides(self, setting: str) -> str:
        """By the files that the students have read."""
        read = {
            sha256
            for record in self.records if record.setting == setting
            for sha256 in record.guide_sha256.values()
        }
        there = {
            record.setting
            for record in self.records
            if not record.is_student and record.sha256 in read
        }
        own = any(record.setting == setting and not record.is_student
                  for record in self.records)
        return setting if own or len(there) != 1 else there.pop()

    def _check_guides(self, record: Record) -> None:
        for name, sha256 in record.guide_sha256.items():
            guide = self.guide(record.setting, record.method, name)
            if guide is None or guide.sha256 in (None, sha256):
                continue
            raise ConfigError(
                f'guide_sha256: {record.method} {record.network} seed '
                f'{record.seed} of {record.setting} was taught by another '
                f'{name} than the recorded one; train it again, or record '
                'that guide')


def by_seed(records: Sequence[Record], key: str = 'best') -> Dict[int, float]:
    """One figure of each record.

    Args:
        records (Sequence[Record]): Of one method, one a seed.
        key (str): ``'best'`` or ``'last'``. Defaults to ``'best'``.
    """
    return {record.seed: getattr(record, key) for record in records}


def number_of_tas(results: Results, method: str,
                  count: int) -> Tuple[str, Optional[str]]:
    """The method and variant of a student with so many TAs.

    Args:
        results (Results): All records.
        method (str): ``'takd'`` or ``'dgkd'``.
        count (int): The number of TAs; without one both are KD.
    """
    if count == 0:
        return 'kd', None
    return method, (None if count == len(results.chain) -
                    2 else f'tas_{count}')


def ta_counts(results: Results, setting: str) -> List[int]:
    """The numbers of TAs of a setting; none if only the chain's was tried.

    Args:
        results (Results): All records.
        setting (str): The setting.
    """
    tried = {
        int(record.variant[len('tas_'):])
        for record in results.records
        if record.setting == setting and record.is_student and record.variant
        and record.variant.startswith('tas_')
    }
    return sorted(tried | {0, len(results.chain) - 2}) if tried else []


def survivals(results: Results,
              setting: str) -> List[Tuple[float, str, Optional[str]]]:
    """The survival probabilities that were tried in a setting.

    Args:
        results (Results): All records.
        setting (str): The setting.

    Returns:
        list: Of (probability, method, variant), from small to large; none if
        only whole DGKD was trained. Exactly one silent guide, the plain
        ``dgkd_stochastic``, comes before the same probability by chance.
    """
    tried = {
        record.variant: record
        for record in results.records if record.setting == setting
        and record.is_student and record.method == 'dgkd_stochastic'
    }
    found = []
    for variant, record in tried.items():
        keep = (1 - 1 / len(record.guides)
                if variant is None else float(variant[len('keep_'):]))
        found.append((keep, 'dgkd_stochastic', variant))
    if found:
        found.append((1.0, 'dgkd', None))
    return sorted(found, key=lambda item: (item[0], item[2] or ''))
