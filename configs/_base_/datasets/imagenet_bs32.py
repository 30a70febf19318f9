# ImageNet by MMPretrain's recipe for ResNets: random crop to 224 px and flip;
# batches of 32 for 8 processes.
_base_ = 'mmpretrain::_base_/datasets/imagenet_bs32.py'
