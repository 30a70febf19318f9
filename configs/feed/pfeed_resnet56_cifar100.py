# Parallel FEED: three networks trained alone teach the fourth together.
# Objective: as in the parent.
_base_ = './sfeed_resnet56_cifar100.py'
chain = dict(
    guidance=dict(
        _delete_=True, resnet56_3=['resnet56_0', 'resnet56_1', 'resnet56_2']))
