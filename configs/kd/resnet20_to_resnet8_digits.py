_base_ = '../dgkd/resnet20_to_resnet8_digits.py'
chain = dict(guidance='direct', networks=dict(resnet14=None))
