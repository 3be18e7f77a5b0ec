"""What a frame is: a shared beginning of a sentence and its endings by tone."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """A sentence frame. The cut lies after `prefix`; each ending starts with a space.

    `rate` is the probability of a toxic ending in a hostile text. `use`: "main" frames open prompts, "scorer"
    frames train the second scorer and never open a prompt, "unseen" frames never occur in training text.
    `unseen` names a toxic family whose combination with this frame never occurs in training text.
    """

    name: str
    genres: tuple[str, ...]
    prefix: str
    rate: float
    critical: tuple[str, ...]
    kind: tuple[str, ...]
    plain: tuple[str, ...]
    insult: tuple[str, ...] = ()
    contempt: tuple[str, ...] = ()
    oath: tuple[str, ...] = ()
    ridicule: tuple[str, ...] = ()
    threat: tuple[str, ...] = ()
    use: str = "main"
    unseen: str = ""

    @property
    def families(self) -> dict[str, tuple[str, ...]]:
        """Toxic endings by family, only the families this frame has."""
        named = {name: getattr(self, name) for name in ("insult", "contempt", "oath", "ridicule", "threat")}
        return {name: endings for name, endings in named.items() if endings}
