"""What the fuzzer that is guided by coverage has found worth keeping, looked at once more."""

from pathlib import Path

from tests.each import each
from tests.fuzz.agreement import check

_CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())


@each("kept", _CORPUS)
def test_the_kept_corpus_is_read_alike(kept: Path) -> None:
    """
    Each file reaches code, or a path through it, that no other one does; crashes stay here too.
    """
    check(kept.read_bytes())
