# The recipe of this project in little more than half of its time: 12 epochs of
# the teacher, 8 of a TA, and 15 of the student.
# Objective: as in the parent.
_base_ = './resnet56_to_resnet8_cifar100_own.py'

warm_up = dict(_base_.param_scheduler[0], end=2)
down = dict(_base_.param_scheduler[1], begin=2)
param_scheduler = [warm_up, dict(down, T_max=10, end=12)]
train_cfg = dict(max_epochs=12)
assistant = dict(
    train_cfg=dict(max_epochs=8),
    param_scheduler=[warm_up, dict(down, T_max=6, end=8)])
chain = dict(
    networks=dict(
        resnet32=dict(stage=assistant),
        resnet20=dict(stage=assistant),
        resnet14=dict(stage=assistant),
        resnet8=dict(
            stage=dict(
                train_cfg=dict(max_epochs=15),
                param_scheduler=[warm_up,
                                 dict(down, T_max=13, end=15)]))))
