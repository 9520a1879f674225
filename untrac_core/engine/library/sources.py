"""What a form reads of models and data before a run: the door of the pages to hub and data, free of torch."""

from __future__ import annotations

from untrac_core.data.collections import unique_names
from untrac_core.data.overlap import warnings_for
from untrac_core.data.passages import Passage, passage, row_of
from untrac_core.data.probes import loader as probes
from untrac_core.data.prompts import PromptData, load_prompts
from untrac_core.data.readers import records
from untrac_core.data.readers.files import files_of, is_data
from untrac_core.data.readers.records import Preview, guess_columns, guess_sides, guess_split, guess_text, rows_of
from untrac_core.data.readers.sampling import Document
from untrac_core.data.subsets import load_subset, load_subsets
from untrac_core.data.summaries import SubsetSize, prompt_facts, shown, subset_facts
from untrac_core.data.tokens import Encoder, distinct_ids, read_tokenizer
from untrac_core.hub import datasets as hub_data
from untrac_core.hub.adapter_files import AdapterInfo
from untrac_core.hub.locate import ModelInfo, fetch_tokenizer, find_adapter, find_model, inspect_model, model_info

__all__ = [
    "AdapterInfo",
    "Document",
    "Encoder",
    "ModelInfo",
    "Passage",
    "Preview",
    "PromptData",
    "SubsetSize",
    "distinct_ids",
    "fetch_tokenizer",
    "files_of",
    "find_adapter",
    "find_model",
    "guess_columns",
    "guess_sides",
    "guess_split",
    "guess_text",
    "hub_data",
    "inspect_model",
    "is_data",
    "load_prompts",
    "load_subset",
    "load_subsets",
    "model_info",
    "passage",
    "probes",
    "prompt_facts",
    "read_tokenizer",
    "records",
    "row_of",
    "rows_of",
    "shown",
    "subset_facts",
    "unique_names",
    "warnings_for",
]
