_base_ = '../dgkd/resnet50_to_mobilenet_v3_small_imagenet.py'
chain = dict(guidance='direct', networks=dict(mobilenet_v3_large=None))
