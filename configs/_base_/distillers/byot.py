# Be your own teacher, for a ResNet of three stages on 32x32 pixels and 100
# classes: an auxiliary head behind the first and the second stage (1 and 2) is
# trained by the labels, the network's own logits, and its last features. The
# numbers are those of MMRazor's config.
byot = dict(
    type='mmrazor.BYOTDistiller',
    student_recorders={
        f'stage{i}':
        dict(type='mmrazor.ModuleOutputs', source=f'backbone.layer{i}')
        for i in (1, 2)
    },
    teacher_recorders=dict(
        logits=dict(type='mmrazor.ModuleOutputs', source='head.fc'),
        # The features, one vector an image, and not the map of neck.gap.
        features=dict(type='mmrazor.ModuleInputs', source='head.fc'),
        labels=dict(type='mmrazor.ModuleInputs', source='head.loss_module')),
    connectors={
        f'head{i}':
        dict(
            type='mmrazor.BYOTConnector',
            in_channel=8 * 2**i,
            out_channel=64,
            expansion=1,
            stride=2,
            pool_size=8,
            num_classes=100)
        for i in (1, 2)
    },
    distill_losses={
        f'loss_{what}_{i}': dict(cfg)
        for i in (1, 2)
        for what, cfg in dict(
            label=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=0.7),
            soft=dict(type='mmrazor.KLDivergence', tau=3, loss_weight=0.3),
            feat=dict(
                type='mmrazor.L2Loss',
                normalize=False,
                dist=True,
                loss_weight=0.03)).items()
    },
    loss_forward_mappings={
        f'loss_{what}_{i}': {
            mine:
            dict(
                recorder=f'stage{i}',
                from_student=True,
                connector=f'head{i}',
                connector_idx=item),
            theirs:
            dict(recorder=recorder, from_student=False, data_idx=data_idx)
        }
        for i in (1, 2)
        for what, mine, item, theirs, recorder, data_idx in (
            ('label', 'cls_score', 1, 'label', 'labels',
             1), ('soft', 'preds_S', 1, 'preds_T', 'logits',
                  None), ('feat', 's_feature', 0, 't_feature', 'features', 0))
    })
