# Little more than half of sgd_20e_12e_30e.py: 12 epochs for the teacher, 8 for
# TAs that have `assistant` as their stage, and 15 for a student that has
# `student`.
_base_ = './sgd_20e_onecycle.py'
warm_up = dict(_base_.param_scheduler[0], end=2)
down = dict(_base_.param_scheduler[1], begin=2)
param_scheduler = [warm_up, dict(down, T_max=10, end=12)]
train_cfg = dict(max_epochs=12)
assistant = dict(
    train_cfg=dict(max_epochs=8),
    param_scheduler=[warm_up, dict(down, T_max=6, end=8)])
student = dict(
    train_cfg=dict(max_epochs=15),
    param_scheduler=[warm_up, dict(down, T_max=13, end=15)])
