# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .accuracy import accuracy_chart, metric_name, seeds_chart
from .canvas import Chart
from .chain_picture import chain_picture
from .curves import curves_chart
from .times import times_chart, times_of

__all__ = [
    'Chart', 'accuracy_chart', 'chain_picture', 'curves_chart', 'metric_name',
    'seeds_chart', 'times_chart', 'times_of'
]
