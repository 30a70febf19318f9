_base_ = '../dgkd/resnet26_to_resnet8_cifar10.py'
chain = dict(guidance='sequential')
