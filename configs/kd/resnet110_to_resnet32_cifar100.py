_base_ = '../dgkd/resnet110_to_resnet32_cifar100.py'
chain = dict(guidance='direct', networks=dict(resnet56=None, resnet44=None))
