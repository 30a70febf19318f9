_base_ = '../dgkd/plain10_to_plain2_cifar100.py'
chain = dict(
    guidance='direct', networks=dict(plain8=None, plain6=None, plain4=None))
