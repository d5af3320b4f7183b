"""What parts need and give, so that a recipe whose parts do not fit is refused before training.

An objective says what it needs; a view generator, an encoder and the engine say what they give. Nothing is probed.
"""

from __future__ import annotations

from enum import Enum


class Trait(Enum):
    """A fact about a part. The value is how an error message says it."""

    SEVERAL_VIEWS = "two or more views of each sample"
    HIDDEN_TOKENS = "views that withhold tokens"
    ASKED_TOKENS = "views that ask for sets of tokens"
    ALIGNED_TOKENS = "views whose tokens stand for the same things in the same order"
    PRETEXT_TARGET = "views that carry the answer to a pretext task"
    TOKEN_TARGETS = "an encoder that gives the raw content of each token"
    TOKEN_CLASSES = "an encoder that gives a class for the content of each token"
    HIDES_TOKENS = "an encoder that can be shown a part of the tokens"
    CAUSAL = "an encoder whose tokens can be kept from seeing those behind them"
    UNPLACED = "an encoder that can be kept from knowing where its tokens lie"
    OWN_TOKENS = "an encoder whose tokens are the data's own parts"
    LAYERS = "an encoder that gives what each of its layers makes of the tokens"
    LOCAL_TOKENS = "an encoder that gives each token by itself, before it saw the others"
    PLACED_TOKENS = "an encoder whose tokens lie on a grid or at coordinates"
    MOMENTS = "an encoder whose tokens follow one another in time"
    FEATURE_MAPS = "an encoder that gives maps of features over the input's axes"
    TEACHER = "an EMA teacher"


ENGINE_GIVES = frozenset({Trait.TEACHER})
"""What every recipe has, whatever its parts."""
