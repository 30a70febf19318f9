_base_ = '../dgkd/wrn40_2_to_wrn16_2_tiny_imagenet.py'
chain = dict(guidance='direct', networks=dict(wrn28_2=None))
