# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Backbones for small images."""
from .plain_cnn import PlainCNN
from .resnet_6n2 import ResNet6n2
from .small_vgg import SmallVGG
from .wide_resnet import WideResNet

__all__ = ['PlainCNN', 'ResNet6n2', 'SmallVGG', 'WideResNet']
