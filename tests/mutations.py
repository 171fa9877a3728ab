"""Damage to valid files, because random bytes alone would fail at the first check of any reader."""

from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Return `content` after one to three flips, cuts, repetitions or insertions."""
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        match draw(st.sampled_from(["flip", "flip", "cut", "drop", "repeat", "insert"])):
            case "flip" if content:
                flipped = content[place] ^ (1 << draw(st.integers(0, 7)))
                content = content[:place] + bytes([flipped]) + content[place + 1 :]
            case "cut":
                content = content[:place]
            case "drop":
                content = content[:place] + content[place + draw(st.integers(1, 16)) :]
            case "repeat":
                content = content[:place] + content[place : place + 16] + content[place:]
            case "insert":
                content = content[:place] + draw(st.binary(max_size=8)) + content[place:]
    return content
