_base_ = '../dgkd/resnet34_to_resnet18_imagenet.py'
chain = dict(guidance='direct', networks=dict(resnet34_56=None))
