from aiperf.plan.spelling import did_you_mean, nearest

WORDS = ("--concurrency", "--request-rate", "round_robin")


def test_a_slip_of_a_letter_finds_the_word() -> None:
    assert nearest("--concurency", WORDS) == "--concurrency"


def test_case_and_underscores_do_not_matter() -> None:
    assert nearest("--REQUEST_RATE", WORDS) == "--request-rate"
    assert nearest("Round-Robin", WORDS) == "round_robin"


def test_a_word_unlike_all_finds_none_and_gives_no_hint() -> None:
    assert nearest("--zzz", WORDS) is None
    assert did_you_mean("--zzz", WORDS) == ""


def test_the_hint_is_a_question() -> None:
    assert did_you_mean("--concurency", WORDS) == "Did you mean --concurrency?"
