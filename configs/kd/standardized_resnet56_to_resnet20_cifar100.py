_base_ = '../dgkd/standardized_resnet56_to_resnet20_cifar100.py'
chain = dict(guidance='direct', networks=dict(resnet44=None, resnet32=None))
