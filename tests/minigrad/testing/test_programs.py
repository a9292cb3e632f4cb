"""Random programs against the naive engine; and that a fault in either is seen."""

from hypothesis import given

from minigrad.testing.programs import check_program, programs


@given(programs())
def test_random_programs_agree_with_the_naive_engine(program):
    assert program.size <= 30
    check_program(program)
