# One cycle of the learning rate: 20 epochs for the teacher, 12 for TAs that
# have `assistant` as their stage, and 30 for a student that has `student`.
_base_ = './sgd_20e_onecycle.py'
assistant = dict(
    train_cfg=dict(max_epochs=12),
    param_scheduler=[
        dict(
            type='LinearLR',
            start_factor=0.1,
            begin=0,
            end=2,
            convert_to_iter_based=True),
        dict(
            type='CosineAnnealingLR',
            T_max=10,
            begin=2,
            end=12,
            convert_to_iter_based=True)
    ])
student = dict(
    train_cfg=dict(max_epochs=30),
    param_scheduler=[
        dict(
            type='LinearLR',
            start_factor=0.1,
            begin=0,
            end=4,
            convert_to_iter_based=True),
        dict(
            type='CosineAnnealingLR',
            T_max=26,
            begin=4,
            end=30,
            convert_to_iter_based=True)
    ])
