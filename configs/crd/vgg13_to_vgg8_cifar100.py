_base_ = './vgg13_to_vgg8_cifar100_dense.py'
chain = dict(guidance='direct', networks=dict(vgg11=None))
