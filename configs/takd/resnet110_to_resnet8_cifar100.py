_base_ = '../dgkd/resnet110_to_resnet8_cifar100.py'
chain = dict(guidance='sequential')
