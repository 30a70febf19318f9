_base_ = '../dgkd/vgg13_to_vgg8_cifar100.py'
chain = dict(guidance='direct', networks=dict(vgg11=None))
