_base_ = '../dgkd/plain10_to_plain2_cifar100.py'
chain = dict(guidance='sequential')
