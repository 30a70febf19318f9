# The recipe of this project in a fraction of its time: 8 epochs of the teacher
# and 3 of a TA, 6 of the student, all on three views of each image.
# Objective: as in the parent.
_base_ = './plain10_to_plain2_cifar100_own.py'

warm_up = dict(_base_.param_scheduler[0], end=1)
down = dict(_base_.param_scheduler[1], begin=1)
param_scheduler = [warm_up, dict(down, T_max=7, end=8)]
train_cfg = dict(max_epochs=8)
assistant = dict(
    train_cfg=dict(max_epochs=3),
    param_scheduler=[warm_up, dict(down, T_max=2, end=3)])
chain = dict(
    views=dict(num_views=3),
    networks=dict(
        plain8=dict(stage=assistant),
        plain6=dict(stage=assistant),
        plain4=dict(stage=assistant),
        plain2=dict(
            stage=dict(
                train_cfg=dict(max_epochs=6),
                param_scheduler=[warm_up, dict(down, T_max=5, end=6)]))))
