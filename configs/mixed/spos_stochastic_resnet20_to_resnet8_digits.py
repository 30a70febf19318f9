# A network that is searched, and one random teacher is dropped in each step.
# Objective: as in the parent.
_base_ = [
    '../nas/spos_resnet20_to_resnet8_digits.py',
    '../_base_/distillers/stochastic.py'
]
chain = dict(
    networks=dict(
        resnet8_searched=dict(
            stage=dict(model={{_base_.stochastic_teaching}}))))
