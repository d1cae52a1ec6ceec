import itertools
import re
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.sse import Decoder, ServerSentEvent, comment, encode, retry

BOM = b"\xef\xbb\xbf"
FRAGMENTS = [
    b"\r", b"\n", b"\r\n", b"\n\n", BOM, b"\xef", b"\xbb", b"\xbf", b"\xe2\x82", b"\xac", b"\xf0\x9f\x99\x82", b"\xff",
    b"data", b"data:", b"data: x", b"id", b"id:", b"id: 7", b"id: \0", b"event:", b"event: end", b"retry: 1", b"dat",
    b"data: y\n\n", b"data: z\r", b":", b": comment", b": data: y\n",
    b" ", b"\0", b"\x0b", b"\x0c", b"\x1e", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9",
]  # fmt: skip

streams = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=3), max_size=40).map(b"".join)
sizes = st.lists(st.sampled_from([0, 1, 2, 3, 5, 20]), min_size=1, max_size=9).filter(any)
limits = st.integers(len(BOM), 40) | st.just(1000)


def decode(*chunks: bytes) -> list[ServerSentEvent]:
    decoder = Decoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def data_of(*chunks: bytes) -> list[str]:
    return [event.data for event in decode(*chunks)]


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The data in chunks of these sizes, over and over."""
    start = 0
    for size in itertools.cycle(sizes):
        yield data[start : start + size]
        start += size
        if start >= len(data):
            return


def reference(stream: bytes, limit: int) -> tuple[list[ServerSentEvent], int]:
    """The standard's algorithm over the whole input at once, and the number of blocks above the limit."""
    *lines, rest = re.split(rb"\r\n|\r|\n", stream.removeprefix(BOM))
    events, dropped, last_id, block = [], 0, "", list[bytes]()
    for line in lines:
        if line:
            block.append(line)
            continue
        if size(block) > limit:
            dropped += 1
        else:
            fields = [re.fullmatch(rb"([^:]*):? ?(.*)", line, re.DOTALL) for line in block]
            values = [(field[1], field[2].decode(errors="replace")) for field in fields if field]
            last_id = [last_id, *(value for name, value in values if name == b"id" and "\0" not in value)][-1]
            event = ["", *(value for name, value in values if name == b"event")][-1]
            data = [value for name, value in values if name == b"data"]
            if data:
                events.append(ServerSentEvent(event or "message", "\n".join(data), last_id))
        block = []
    return events, dropped + (size([*block, rest]) > limit)


def size(block: list[bytes]) -> int:
    return sum(len(line) for line in block if not line.startswith(b":"))


def test_data_lines_are_joined() -> None:
    assert data_of(b"data: YHOO\ndata: +2\ndata: 10\n\n") == ["YHOO\n+2\n10"]


def test_an_id_lasts_until_the_next_one() -> None:
    stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
    assert decode(stream) == [
        ServerSentEvent("message", "first event", "1"),
        ServerSentEvent("message", "second event", ""),
        ServerSentEvent("message", " third event", ""),
    ]


def test_an_event_may_be_empty_but_not_cut_off() -> None:
    assert data_of(b"data\n\ndata\ndata\n\ndata:") == ["", "\n"]


def test_one_space_after_the_colon_is_optional() -> None:
    assert data_of(b"data:test\n\ndata: test\n\n") == ["test", "test"]


def test_a_block_without_data_only_sets_the_id() -> None:
    assert decode(b"event: ping\nid: 5\n\ndata: x\n\n") == [ServerSentEvent("message", "x", "5")]


def test_an_id_with_nul_is_ignored() -> None:
    assert decode(b"id: 1\nid: 2\0\ndata: x\n\n") == [ServerSentEvent("message", "x", "1")]


def test_the_last_event_name_counts_and_only_for_its_block() -> None:
    events = decode(b"event: a\nevent: error\ndata: x\n\ndata: y\n\n")
    assert [event.event for event in events] == ["error", "message"]


def test_only_the_first_byte_order_mark_is_removed() -> None:
    assert data_of(BOM + b"data: x\n\n") == ["x"]
    assert data_of(BOM + BOM + b"data: x\n\n") == []
    assert data_of(*(bytes([byte]) for byte in BOM), b"data: x\n\n" + BOM + b"data: y\n\n") == ["x"]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_every_line_end_ends_a_line(end: bytes) -> None:
    assert data_of(b"data: x" + end + b"data: y" + end + end + b"data: z" + end + end) == ["x\ny", "z"]


def test_an_event_ending_with_cr_comes_without_the_next_chunk() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: x\r\n\r") == [ServerSentEvent("message", "x", "")]
    assert decoder.feed(b"\ndata: y\r") == []
    assert decoder.feed(b"\ndata: z\n\n") == [ServerSentEvent("message", "y\nz", "")]


def test_only_an_lf_right_after_a_cr_belongs_to_it() -> None:
    assert data_of(b"data: x\r", b"", b"\ndata: y\r", b"data: z", b"\n\n") == ["x\ny\nz"]


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c"])
def test_only_cr_and_lf_end_a_line(character: str) -> None:
    assert data_of(f"data: a{character}b\n\n".encode()) == [f"a{character}b"]


def test_a_character_may_be_split_between_chunks() -> None:
    assert data_of(b"data: \xf0\x9f", b"\x99", b"\x82\n\n") == ["🙂"]


def test_bytes_that_are_not_utf_8_become_replacement_characters() -> None:
    assert data_of(b"data: \xff\xe2\x82\n\n") == ["\ufffd\ufffd"]


def test_an_event_above_the_limit_is_skipped_and_counted() -> None:
    decoder = Decoder(limit=10)
    decoder.feed(b"id: 1\n\n")
    assert decoder.feed(b"data: 1\nid: 2\n\nid: 3\ndata: 123456\n\n") == []
    assert decoder.dropped == 2
    assert decoder.feed(b": a long comment\ndata: 1234\n\n") == [ServerSentEvent("message", "1234", "1")]


def test_a_large_event_within_the_limit_arrives_whole() -> None:
    text = "x" * 1_000_000
    assert data_of(*cut(encode("delta", text), [4096])) == [text]


@settings(max_examples=1000)
@given(streams, limits, sizes)
def test_chunks_of_any_size_are_decoded_as_the_standard_says(stream: bytes, limit: int, sizes: list[int]) -> None:
    decoder = Decoder(limit)
    events = [event for chunk in cut(stream, sizes) for event in decoder.feed(chunk)]
    assert (events, decoder.dropped) == reference(stream, limit)


@given(streams, limits, sizes)
def test_a_decoder_keeps_one_event_and_the_last_id(stream: bytes, limit: int, sizes: list[int]) -> None:
    decoder = Decoder(limit)
    for chunk in cut(stream, sizes):
        decoder.feed(chunk)
        kept = {id(value): len(value) for value in vars(decoder).values() if isinstance(value, bytes | bytearray)}
        assert sum(kept.values()) <= 2 * limit


@pytest.mark.parametrize("line", [b"x", b"data: x", b"data\n", b"data: x\n", b"event: x\n", b": x", b": x\n", b"\n"])
def test_no_endless_input_needs_more_memory_than_the_limit(line: bytes) -> None:
    limit = 100_000
    decoder = Decoder(limit)
    chunk = line * 1000
    tracemalloc.start()
    try:
        for _ in range(20 * limit // len(chunk)):
            decoder.feed(chunk)
        assert tracemalloc.get_traced_memory()[1] < 3 * limit + 100 * len(chunk)
    finally:
        tracemalloc.stop()


@given(st.text(), st.sampled_from(["delta", "end"]), st.integers(min_value=0))
def test_what_is_encoded_is_decoded(data: str, event: str, seq: int) -> None:
    lines = re.split(r"\r\n|\r|\n", data)
    assert decode(encode(event, data, seq)) == [ServerSentEvent(event, "\n".join(lines), str(seq))]


@given(st.text(st.characters()), st.integers(min_value=0))
def test_comments_and_the_retry_time_are_no_events(text: str, milliseconds: int) -> None:
    assert data_of(comment(text), retry(milliseconds), encode("delta", "x")) == ["x"]


def test_an_event_is_written_with_its_id_first() -> None:
    assert encode("delta", '{"text": "é"}', 3) == 'id: 3\nevent: delta\ndata: {"text": "é"}\n\n'.encode()
    assert encode("snapshot", "a\r\nb") == b"event: snapshot\ndata: a\ndata: b\n\n"


def test_half_a_surrogate_pair_does_not_break_the_stream() -> None:
    assert data_of(encode("delta", "a\ud83db")) == ["a?b"]
