"""Write a tiny encoder with the version of transformers that is installed, for `test_bert`.

`python tests/bert/encoders/write.py` in both environments makes the two folders beside it anew.
"""

import json
from pathlib import Path

import torch
import transformers

from agnews_utils.bert.encoder import save_encoder
from agnews_utils.bert.wordpiece import train_tokenizer

TEXTS = ["Oil prices rise as storms close ports", "Keeper saves two penalties", "Oil"]

torch.manual_seed(0)
tokenizer = train_tokenizer(TEXTS, 80)
config = transformers.BertConfig(
    vocab_size=len(tokenizer),
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=8,
    max_position_embeddings=32,
    num_labels=4,
    initializer_range=0.5,
)
model = transformers.BertForSequenceClassification(config).eval()
for weight in model.parameters():
    weight.data = weight.data.half().float()  # so that storing them in 16 bits loses nothing
batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
with torch.no_grad():
    logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
expected = {"texts": TEXTS, "ids": batch["input_ids"].tolist(), "logits": logits.tolist()}
folder = Path(__file__).parent / f"transformers{transformers.__version__.split('.')[0]}"
save_encoder(
    model, tokenizer, folder, half=True, also={"logits.json": json.dumps(expected).encode()}
)
