# A supernet of ResNet-14's blocks: each may be a basic block, a bottleneck of
# a half or a quarter of the width, or, where that fits, none.
# For the `architecture` of a network of type mmrazor.SubnetSPOS; its head is
# to have as many classes as the data.
supernet_backbone = dict(type='SearchableResNet6n2', depth=14)
# Some 36 subnets are tried, three rounds of 12; the best one has at most the
# operations of ResNet-8, in millions, with those of batch normalization and
# ReLU.
subnet_search = dict(
    type='mmrazor.SubnetSearchHook',
    evaluator=dict(type='Accuracy', topk=(1, )),
    constraints_range=dict(flops=(0., 12.8)))
# A path leaves the other candidates without gradients.
find_unused_parameters = True
