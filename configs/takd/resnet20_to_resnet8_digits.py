_base_ = '../dgkd/resnet20_to_resnet8_digits.py'
chain = dict(guidance='sequential')
