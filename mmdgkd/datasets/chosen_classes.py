# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Dict, List

from mmdgkd.errors import ConfigError


class ChosenClasses:
    """Mixin of a data set of which some classes may be chosen.

    ``filter_cfg=dict(classes=[...])``, MMEngine's argument, keeps the images
    of these classes, by number or by name, and numbers them in this order: for
    a transfer to other classes, or for a first trial with few.
    """

    filter_cfg: Any
    _metainfo: Dict[str, Any]

    def filter_data(self) -> List[Dict]:
        """Keep the chosen classes; called by MMEngine when it loads the data.

        Raises:
            ConfigError: If one is not there, or twice.
        """
        data: List[Dict] = super().filter_data()  # type: ignore[misc]
        chosen = (self.filter_cfg or {}).get('classes')
        if chosen is None:
            return data
        names = list(self._metainfo['classes'])
        numbers = []
        for name in chosen:
            number = names.index(name) if name in names else name
            if type(number) is not int or not 0 <= number < len(names):
                raise ConfigError(
                    f'filter_cfg.classes: {name!r} is none of the '
                    f'{len(names)} classes; by name, or a number from 0 to '
                    f'{len(names) - 1}')
            if number in numbers:
                raise ConfigError(f'filter_cfg.classes: {name!r} is there '
                                  'twice')
            numbers.append(number)
        self._metainfo['classes'] = [names[number] for number in numbers]
        new = {number: i for i, number in enumerate(numbers)}
        return [
            dict(info, gt_label=new[info['gt_label']]) for info in data
            if info['gt_label'] in new
        ]
