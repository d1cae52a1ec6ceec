"""What a model is asked for a title, and what becomes of its answer."""

import pytest

from chat.titles import ANSWER_CHARS, QUESTION_CHARS, prompt, title_in


@pytest.mark.parametrize(
    ("sent", "title"),
    [
        ("Boiling eggs", "Boiling eggs"),
        ("\n\n  Boiling\teggs  \nThis title says what it is about.", "Boiling eggs"),
        ('"Boiling eggs."', "Boiling eggs"),
        ("„Eier kochen“", "Eier kochen"),
        ("«Les œufs»", "Les œufs"),
        ("「卵の茹で方」", "卵の茹で方"),
        ("“Alice’s eggs”", "Alice’s eggs"),
        ('"Eggs" and "toast"', '"Eggs" and "toast"'),
        ("# **Boiling** _eggs_", "Boiling eggs"),
        ("- `Boiling eggs`", "Boiling eggs"),
        ("Title: Boiling eggs", "Boiling eggs"),
        ("**Titel:** Eier kochen", "Eier kochen"),
        ("**Title:**\nBoiling eggs", "Boiling eggs"),
        ("[Boiling eggs](https://evil.example)", "Boiling eggs"),
        ("![](https://evil.example/x.png) Boiling eggs", "Boiling eggs"),
        ("<b>Boiling</b> eggs<img src=x onerror=alert(1)>", "Boiling eggs<img src=x onerror=alert(1)>"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("Boiling\x00 \x1b[31meggs\u202e\u200b\ufeff", "Boiling [31meggs"),
        ("Why my_own_name is kept in C#", "Why my_own_name is kept in C#"),
        ("طبخ البيض", "طبخ البيض"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("<think>A title, hm.\nEggs?</think>\n\nBoiling eggs", "Boiling eggs"),
        ("A title, hm.</think>Boiling eggs", "Boiling eggs"),
        ("<think>A title, hm.", ""),
        ("```\nBoiling eggs\n```", "Boiling eggs"),
        ("---\n***\n…", ""),
        ("", ""),
        ("word " * 100, f"{('word ' * 15).strip()}…"),
        ("x" * 10_000, f"{'x' * 79}…"),
    ],
)
def test_a_title_is_one_line_of_plain_text(sent: str, title: str) -> None:
    assert title_in(sent) == title
    assert len(title) <= 80


@pytest.mark.parametrize("part", ["*a", "_a ", "`", "[](", "<b", "<think>", '"', "> ", "Title: ", "\u202e", "**a _b "])
def test_no_answer_takes_long_to_read(part: str) -> None:
    title_in(part * 100_000)


def test_a_model_is_shown_the_beginnings() -> None:
    asked = prompt("q" * 5000, "a" * 5000)
    assert "q" * QUESTION_CHARS + "\n" in asked
    assert "a" * ANSWER_CHARS + "\n" in asked


def test_braces_are_text() -> None:
    assert "{question} {0}" in prompt("{question} {0}", "{}")
