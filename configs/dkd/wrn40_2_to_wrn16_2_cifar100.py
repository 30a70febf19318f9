_base_ = './wrn40_2_to_wrn16_2_cifar100_dense.py'
chain = dict(
    guidance='direct', networks=dict(wrn34_2=None, wrn28_2=None, wrn22_2=None))
