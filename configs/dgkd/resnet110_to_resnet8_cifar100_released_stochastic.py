# Stochastic teaching of the student: one random teacher is dropped in each
# step. Objective: as in the parent.
_base_ = [
    './resnet110_to_resnet8_cifar100_released.py',
    '../_base_/distillers/stochastic.py'
]
chain = dict(
    networks=dict(
        resnet8=dict(stage=dict(model={{_base_.stochastic_teaching}}))))
