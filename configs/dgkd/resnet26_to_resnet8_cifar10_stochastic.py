# Stochastic teaching of the student: one random teacher is dropped in each
# step. Objective: as in the parent.
_base_ = [
    './resnet26_to_resnet8_cifar10.py', '../_base_/distillers/stochastic.py'
]
chain = dict(
    networks=dict(
        resnet8=dict(stage=dict(model={{_base_.stochastic_teaching}}))))
