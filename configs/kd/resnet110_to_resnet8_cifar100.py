_base_ = '../dgkd/resnet110_to_resnet8_cifar100.py'
chain = dict(
    guidance='direct',
    networks=dict(resnet56=None, resnet32=None, resnet20=None, resnet14=None))
