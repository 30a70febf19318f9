_base_ = '../dgkd/plain10_to_plain2_cifar100_7_tas.py'
chain = dict(guidance='sequential')
