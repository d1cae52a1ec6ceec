"""The quick way through what endpoints send most: whole events, each with one piece of the answer and nothing else.

It takes a fourth of the time that `decoder.py` takes, which reads whatever looks different in any way.
"""

import msgspec

_PREFIX, _END = b"data: ", b"\n\n"


class _Delta(msgspec.Struct):
    content: str
    reasoning: None = None
    reasoning_content: None = None
    refusal: None = None


class _Choice(msgspec.Struct):
    delta: _Delta
    index: int | None = None
    finish_reason: None = None
    error: None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice]
    usage: None = None
    error: None = None
    message: None = None


_decoder = msgspec.json.Decoder(_Chunk)


def text_of(chunk: bytes, index: int | None) -> str:
    """Return the text that these events of the choice `index` add to the answer, or nothing if they may say more.

    The bytes must begin where an event does.
    """
    if not (chunk.startswith(_PREFIX) and chunk.endswith(_END)) or b"\r" in chunk:
        return ""
    blocks = chunk[len(_PREFIX) : -len(_END)].split(_END + _PREFIX)
    # An event of several lines, or a comment between events, is not plain.
    if chunk.count(b"\n") != len(_END) * len(blocks):
        return ""
    try:
        text = "".join([_text(_decoder.decode(block), index) for block in blocks])
    except (ValueError, RecursionError):
        return ""
    # As the patient decoder, which leaves it out.
    return "" if "\0" in text else text


def _text(chunk: _Chunk, index: int | None) -> str:
    (choice,) = chunk.choices
    if choice.index != index:
        raise ValueError
    return choice.delta.content
