_base_ = './resnet110_to_resnet32_cifar100_dense.py'
chain = dict(guidance='direct', networks=dict(resnet56=None, resnet44=None))
