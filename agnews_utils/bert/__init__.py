"""Chapters "Attention and pre-training" and "BERT fine-tuning".

By hand: `attention`, `wordpiece`, `masking`. `pretraining` holds network, tasks and batches,
`encoder` saves and loads, `fine_tuning` teaches an encoder a classification.
"""

from agnews_utils.bert.attention import (
    attention,
    encoder_layer,
    gelu,
    layer_norm,
    layer_parameters,
    multi_head_attention,
    sinusoidal_positions,
)
from agnews_utils.bert.batches import HiddenPieces, distillation_loss
from agnews_utils.bert.encoder import (
    bundled_encoder,
    load_encoder,
    read_hashes,
    read_log,
    save_encoder,
)
from agnews_utils.bert.fine_tuning import (
    MAX_LENGTH,
    attention_maps,
    bert_loader,
    encode_for_bert,
    layerwise_parameter_groups,
    pooled_states,
    predict_texts,
)
from agnews_utils.bert.masking import asked_positions, corrupt, word_starts
from agnews_utils.bert.pooling import (
    MeanPooledClassifier,
    contrastive_loss,
    mean_pool,
)
from agnews_utils.bert.pretraining import (
    PretrainingBatches,
    PretrainingModel,
    Recipe,
    encode_rows,
    validation_batches,
)
from agnews_utils.bert.wordpiece import pieces_by_id, train_tokenizer, wordpiece

__all__ = [
    "MAX_LENGTH",
    "HiddenPieces",
    "MeanPooledClassifier",
    "PretrainingBatches",
    "PretrainingModel",
    "Recipe",
    "asked_positions",
    "attention",
    "attention_maps",
    "bert_loader",
    "bundled_encoder",
    "contrastive_loss",
    "corrupt",
    "distillation_loss",
    "encode_for_bert",
    "encode_rows",
    "encoder_layer",
    "gelu",
    "layer_norm",
    "layer_parameters",
    "layerwise_parameter_groups",
    "load_encoder",
    "mean_pool",
    "multi_head_attention",
    "pieces_by_id",
    "pooled_states",
    "predict_texts",
    "read_hashes",
    "read_log",
    "save_encoder",
    "sinusoidal_positions",
    "train_tokenizer",
    "validation_batches",
    "word_starts",
    "wordpiece",
]
