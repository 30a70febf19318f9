# Stochastic teaching of the student: one random teacher is dropped in each
# step. Objective: as in the parent.
_base_ = [
    './plain10_to_plain2_cifar100_crop.py',
    '../_base_/distillers/stochastic.py'
]
chain = dict(
    networks=dict(
        plain2=dict(stage=dict(model={{_base_.stochastic_teaching}}))))
