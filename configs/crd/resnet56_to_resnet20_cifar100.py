_base_ = './resnet56_to_resnet20_cifar100_dense.py'
chain = dict(guidance='direct', networks=dict(resnet44=None, resnet32=None))
