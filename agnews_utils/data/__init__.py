"""Chapter "Dataset exploration": load the news, count what is in them, find near duplicates, split.

`corpus` names the files of AG News, `ag_news_csv` reads them, `download` fetches them; `own_data`
reads anybody's texts (`formats`: the files, `columns`: what is in them, `text_files`: one text a
file), and `loading` is the door to all; `needs` says what chapters need. `exploration` counts,
`duplicates` finds texts that are (nearly) the same, `splitting` carves validation rows.
"""

from agnews_utils.data.ag_news_csv import read_news_csv
from agnews_utils.data.corpus import CLASS_NAMES
from agnews_utils.data.download import download_ag_news
from agnews_utils.data.duplicates import (
    jaccard,
    minhash_signatures,
    near_duplicate_groups,
    near_duplicate_pairs,
    shingles,
    text_hashes,
)
from agnews_utils.data.exploration import (
    accuracy_interval,
    artifact_counts,
    class_log_odds,
    log_odds,
    news_source,
)
from agnews_utils.data.loading import load_news, read_truth
from agnews_utils.data.needs import check_needs
from agnews_utils.data.splitting import train_valid_split

__all__ = [
    "CLASS_NAMES",
    "accuracy_interval",
    "artifact_counts",
    "check_needs",
    "class_log_odds",
    "download_ag_news",
    "jaccard",
    "load_news",
    "log_odds",
    "minhash_signatures",
    "near_duplicate_groups",
    "near_duplicate_pairs",
    "news_source",
    "read_news_csv",
    "read_truth",
    "shingles",
    "text_hashes",
    "train_valid_split",
]
