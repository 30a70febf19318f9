_base_ = '../dgkd/resnet50_to_mobilenet_v3_small_imagenet.py'
chain = dict(guidance='sequential')
