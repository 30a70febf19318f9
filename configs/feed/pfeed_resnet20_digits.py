# Parallel FEED: three networks trained alone teach the fourth together.
# Objective: as in the parent.
_base_ = './sfeed_resnet20_digits.py'
chain = dict(
    guidance=dict(
        _delete_=True, resnet20_3=['resnet20_0', 'resnet20_1', 'resnet20_2']))
