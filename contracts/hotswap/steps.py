"""What a place does next: a step of the program, or a word to the library."""

from dataclasses import dataclass
from typing import Literal

from contracts.hotswap.program import Configuration


@dataclass(frozen=True, slots=True)
class Step:
    """Something that the program does."""

    do: Literal["prepare", "activate", "release"]
    what: Configuration

    @property
    def can_be_interrupted(self) -> bool:
        """Whether it may be cancelled half-way."""
        return self.do == "prepare"


@dataclass(frozen=True, slots=True)
class Word:
    """Something to be said to the library, or to be asked of it; ``error`` is why it is refused."""

    say: Literal["active", "failed", "what became of it?", "is anything active?"]
    about: Configuration
    error: str | None = None
