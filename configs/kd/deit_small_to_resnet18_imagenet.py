_base_ = '../dgkd/deit_small_to_resnet18_imagenet.py'
chain = dict(guidance='direct', networks=dict(resnet34=None))
