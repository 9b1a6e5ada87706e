import pytest

from aiperf.mock.faults import KNOWN, Fault, describe, find, parse_faults


def test_a_fault_is_a_name_and_parameters():
    assert parse_faults("reset-mid-stream;after=3") == (Fault("reset-mid-stream", after=3),)


def test_several_are_joined_by_commas_and_blanks_do_not_matter():
    faults = parse_faults(" crlf ,stall; after=2 ;seconds=0.5,")
    assert faults == (Fault("crlf"), Fault("stall", after=2, seconds=0.5))
    assert describe(faults) == "crlf,stall"


def test_no_text_is_no_fault():
    assert parse_faults("") == ()


@pytest.mark.parametrize("name", KNOWN)
def test_every_fault_takes_a_rate(name):
    assert parse_faults(f"{name};rate=0.25") == (Fault(name, rate=0.25),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("explode", "unknown fault"),
        ("crlf;after=1", "no parameter 'after'"),
        ("stall;after=x", "must be a number"),
        ("stall;after=1.5", "must be a number"),
        ("stall;seconds=-1", "negative"),
        ("error;status=200", "between 400 and 599"),
        ("crlf;rate=2", "fraction"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(text, says):
    with pytest.raises(ValueError, match=says):
        parse_faults(text)


def test_find_gives_the_first_that_is_named():
    faults = parse_faults("crlf,no-done,stall")
    assert find(faults, "stall", "no-done") == Fault("no-done")
    assert find(faults, "cr") is None
