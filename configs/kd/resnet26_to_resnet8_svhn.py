_base_ = '../dgkd/resnet26_to_resnet8_svhn.py'
chain = dict(guidance='direct', networks=dict(resnet20=None, resnet14=None))
