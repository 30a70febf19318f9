_base_ = '../dgkd/resnet34_to_resnet18_imagenet.py'
chain = dict(guidance='sequential')
