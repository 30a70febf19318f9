# With one TA, plain4, as in the TAKD paper's table.
_base_ = '../dgkd/plain10_to_plain2_cifar10.py'
chain = dict(guidance='sequential', networks=dict(plain8=None, plain6=None))
