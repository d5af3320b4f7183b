"""The core's own components: as a plugin's, text until they are built. Their names are bare."""

from __future__ import annotations

from collections.abc import Mapping

CORE: Mapping[str, Mapping[str, str]] = {
    "objective": {
        "autoregression": "manyviews.objectives.autoregression:Autoregression",
        "barlow_twins": "manyviews.objectives.barlow_twins:BarlowTwins",
        "byol": "manyviews.objectives.byol:BYOL",
        "cca_ssg": "manyviews.objectives.cca_ssg:CCASSG",
        "dino": "manyviews.objectives.dino:DINO",
        "jepa": "manyviews.objectives.jepa:JEPA",
        "lejepa": "manyviews.objectives.lejepa:LeJEPA",
        "masked_codes": "manyviews.objectives.masked_codes:MaskedCodes",
        "masked_reconstruction": "manyviews.objectives.masked_reconstruction:MaskedReconstruction",
        "ntxent": "manyviews.objectives.ntxent:NTXent",
        "position_prediction": "manyviews.objectives.position_prediction:PositionPrediction",
        "pseudo_labels": "manyviews.objectives.pseudo_labels:PseudoLabelled",
        "random_codes": "manyviews.objectives.random_codes:RandomCodes",
        "vicreg": "manyviews.objectives.vicreg:VICReg",
    },
    "views": {
        "block_mask": "manyviews.views.block_mask:BlockMask",
        "masked_views": "manyviews.views.masked_views:MaskedViews",
        "random_mask": "manyviews.views.random_mask:RandomMask",
        "set_mask": "manyviews.views.set_mask:SetMask",
        "span_mask": "manyviews.views.span_mask:SpanMask",
        "whole": "manyviews.views.whole:Whole",
    },
    "downstream": {
        "classification": "manyviews.finetuning.units:Classification",
        "events": "manyviews.finetuning.events:EventDetection",
        "prototypical": "manyviews.finetuning.prototypical:Prototypical",
        "regression": "manyviews.finetuning.units:Regression",
        "weighted_layers": "manyviews.finetuning.layers:WeightedLayers",
    },
    "task": {
        "alignment_uniformity": "manyviews.evaluate.alignment:AlignmentUniformity",
        "clustering": "manyviews.evaluate.clustering:Clustering",
        "events": "manyviews.evaluate.event_detection:EventDetection",
        "effective_rank": "manyviews.evaluate.effective_rank:EffectiveRank",
        "few_shot": "manyviews.evaluate.prototypes:FewShot",
        "knn": "manyviews.evaluate.knn:KNN",
        "lidar": "manyviews.evaluate.lidar:LiDAR",
        "linear_probe": "manyviews.evaluate.linear_probe:LinearProbe",
        "prototypes": "manyviews.evaluate.prototypes:Prototypes",
        "retrieval": "manyviews.evaluate.retrieval:Retrieval",
        "ridge": "manyviews.evaluate.ridge:Ridge",
        "separability": "manyviews.evaluate.separability:Separability",
        "spread": "manyviews.evaluate.spread:Spread",
        "transferability": "manyviews.evaluate.transferability:Transferability",
        "verification": "manyviews.evaluate.verification:Verification",
    },
    "writer": {
        "csv": "manyviews.export.files:CsvWriter",
        "npy": "manyviews.export.files:NpyWriter",
        "npz": "manyviews.export.files:NpzWriter",
        "tsv": "manyviews.export.events:TsvWriter",
        "parquet": "manyviews.export.files:ParquetWriter",
    },
}
